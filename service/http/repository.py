"""The Open Inference Protocol's model repository extension: what there is on disk, and loading and unloading it."""

from fastapi import APIRouter, Depends, Request, Response

from service.engine import Engine
from service.errors import MalformedRequest
from service.http.admission import Admission
from service.http.answers import answers
from service.http.guard import Guard
from service.http.json_size import FEW_VALUES
from service.http.models import Name
from service.http.rows import load_object
from service.quoting import quote
from service.reload import Keeper
from service.repository import ModelState


def repository_router(engine: Engine, keeper: Keeper, guard: Guard, admission: Admission) -> APIRouter:
    """Make the routes of the model repository extension."""
    router = APIRouter(prefix="/v2/repository", tags=["Open Inference Protocol v2"])

    @router.post("/index", summary="Repository index", responses=answers("RepositoryIndex", 400, 408, 413, 415))
    async def index(request: Request) -> list[dict[str, str]]:
        """List every version on disk and its state; `{"ready": true}` lists those that answer."""
        with admission.incoming(request.receive) as incoming:
            body = await incoming.read_weighed(dict(request.scope["headers"]), FEW_VALUES)
        only_ready = load_object(body, '{"ready": true}, or nothing').get("ready") if body else None
        if only_ready is None:
            only_ready = False
        if type(only_ready) is not bool:
            raise MalformedRequest(f'"ready" is {quote(only_ready)}', "true or false")
        entries = [entry for model in engine.models() for entry in _entries(model)]
        return [entry for entry in entries if entry["state"] == "READY" or not only_ready]

    @router.post(
        "/models/{name}/load",
        summary="Load a model",
        dependencies=[Depends(guard.admin)],
        responses=answers(None, 401, 403, 404, 409),
    )
    async def load(name: Name) -> Response:
        """Look at the disk, load what is new, and this model even if it was unloaded.

        200 when the model answers, in all workers. An admin call.
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

        200 when it answers no more, in all workers. An admin call.
        """
        await keeper.unload(name)
        return Response(status_code=200)

    return router


def _entries(model: ModelState) -> list[dict[str, str]]:
    """Describe the versions of a model; one without a number where they are unknown."""
    entries = [
        {
            "name": model.name,
            "version": str(version.version),
            "state": "READY" if version.state == "loaded" else "UNAVAILABLE",
            "reason": version.reason or ("" if version.state == "loaded" else "not loaded"),
        }
        for version in model.versions
    ]
    for entry in entries:
        if model.note and entry["version"] == str(model.served) and not entry["reason"]:
            entry["reason"] = model.note
    return entries or [{"name": model.name, "version": "", "state": "UNAVAILABLE", "reason": model.note or ""}]
