"""The Open Inference Protocol's model repository extension: what there is on disk, and loading and unloading it."""

import asyncio
import json
import logging
from collections.abc import Callable

from fastapi import APIRouter, Depends, Request, Response

from service.engine import Engine
from service.errors import ArtifactError, MalformedRequest
from service.http.answers import answers
from service.http.body import read_body
from service.http.guard import Guard
from service.http.models import Name
from service.http.rows import load_object
from service.logs import log_event

FOLLOW_S = 0.25
"""How long another worker may not know yet that a model was loaded or unloaded."""


class Keeper:
    """Load and unload one process's models, one change at a time, and off the event loop.

    Args:
        engine: of the process.
        after: called on the event loop after each change.
    """

    def __init__(self, engine: Engine, after: Callable[[], object]) -> None:
        self._engine, self._after = engine, after
        self._one_at_a_time = asyncio.Lock()

    async def load(self, name: str) -> None:
        """Load a model; raises as `Engine.load`."""
        await self._change(lambda: self._engine.load(name))

    async def unload(self, name: str) -> None:
        """Unload a model; raises as `Engine.unload`."""
        await self._change(lambda: self._engine.unload(name))

    async def rescan(self) -> None:
        """Look at the disk; where that fails, the log says so."""
        try:
            await self._change(self._engine.scan)
        except ArtifactError as error:
            log_event(logging.getLogger("service"), logging.ERROR, "scan_failed", "%s", error)

    async def keep_following(self) -> None:
        """Do what calls to other workers have asked for, until cancelled."""
        while True:
            if self._engine.outdated():
                await self.rescan()
            await asyncio.sleep(FOLLOW_S)

    async def _change(self, change: Callable[[], None]) -> None:
        async with self._one_at_a_time:
            try:
                await asyncio.to_thread(change)
            finally:
                self._after()


def repository_router(engine: Engine, keeper: Keeper, guard: Guard) -> APIRouter:
    """Make the routes of the model repository extension."""
    router = APIRouter(prefix="/v2/repository", tags=["Open Inference Protocol v2"])

    @router.post("/index", summary="Repository index", responses=answers("RepositoryIndex", 400, 408, 413, 415))
    async def index(request: Request) -> list[dict[str, str]]:
        """List every version on disk and its state; `{"ready": true}` lists those that answer."""
        body = await read_body(dict(request.scope["headers"]), request.receive, engine.settings)
        only_ready = load_object(body, '{"ready": true}, or nothing').get("ready", False) if body else False
        if type(only_ready) is not bool:
            raise MalformedRequest(f'"ready" is {json.dumps(only_ready)[:40]}', "true or false")
        entries = [
            {
                "name": model.name,
                "version": str(version.version),
                "state": "READY" if version.state == "loaded" else "UNAVAILABLE",
                "reason": version.reason or ("" if version.state == "loaded" else "not loaded"),
            }
            for model in engine.models()
            for version in model.versions
        ]
        return [entry for entry in entries if entry["state"] == "READY" or not only_ready]

    @router.post(
        "/models/{name}/load",
        summary="Load a model",
        dependencies=[Depends(guard.admin)],
        responses=answers(None, 401, 403, 404, 409),
    )
    async def load(name: Name) -> Response:
        """Look at the disk, load what is new, and this model even if it was unloaded.

        200 when the model answers here; other workers follow within a quarter of a second and the time that loading
        takes. An admin call.
        """
        await keeper.load(name)
        return Response(status_code=200)

    @router.post(
        "/models/{name}/unload",
        summary="Unload a model",
        dependencies=[Depends(guard.admin)],
        responses=answers(None, 401, 403, 404, 409),
    )
    async def unload(name: Name) -> Response:
        """Let go of a model until it is loaded again or the service restarts; requests in flight are answered.

        200 when it answers here no more; other workers follow within a quarter of a second. An admin call.
        """
        await keeper.unload(name)
        return Response(status_code=200)

    return router
