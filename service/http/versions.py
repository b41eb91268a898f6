"""`POST /v1/models/{name}:rollback`, `:pin` and `:shadow`: which version is served, and which is compared with it.

What these calls ask for holds in all workers until the service restarts.
"""

from typing import Any

import orjson
from fastapi import APIRouter, Depends, Request

from service.engine import Engine
from service.errors import MalformedRequest, ModelNotFound
from service.http.answers import answers
from service.http.body import read_body
from service.http.guard import Guard
from service.http.models import Name
from service.http.rows import load_object
from service.reload import Keeper
from service.shadow_report import shadow_report

_EXPECTED = '{"version": 3}, or {"version": null} to serve the highest again'

_SHADOW_EXPECTED = '{"version": 4, "share": 0.1}, or {"version": null} to end it'


def versions_router(engine: Engine, keeper: Keeper, guard: Guard) -> APIRouter:
    """Make the calls that change which version is served."""
    router = APIRouter(tags=["models"], dependencies=[Depends(guard.admin)])

    @router.post(
        "/v1/models/{name}:rollback",
        summary="Serve the version before",
        responses=answers("Pinned", 401, 403, 404, 409),
    )
    async def rollback(name: Name) -> dict[str, Any]:
        """Pin the version before the one that is served: the next lower one that can be served. An admin call.

        It stays pinned, whatever is published, until `:pin` says otherwise or the service restarts.
        """
        return {"model": name, "version": await keeper.rollback(name), "pinned": True}

    @router.post(
        "/v1/models/{name}:pin",
        summary="Serve a certain version, or the highest again",
        responses=answers("Pinned", 400, 401, 403, 404, 408, 409, 413, 415),
    )
    async def pin(name: Name, request: Request) -> dict[str, Any]:
        """Pin a version, or none: then the highest is served, or the one that a setting pins. An admin call."""
        body = await read_body(dict(request.scope["headers"]), request.receive, engine.settings)
        document = load_object(body, _EXPECTED)
        version = _version(document, {"version"}, _EXPECTED)
        await keeper.pin(name, version)
        return {"model": name, "version": engine.get(name).version, "pinned": version is not None}

    @router.post(
        "/v1/models/{name}:shadow",
        summary="Compare a version with the served one",
        responses=answers("ShadowAsked", 400, 401, 403, 404, 408, 409, 413, 415),
    )
    async def shadow(name: Name, request: Request) -> dict[str, Any]:
        """Run a version beside the served one on a share of the traffic, after the answers. An admin call.

        `GET /v1/models/{name}/shadow` has the differences. `{"version": null}` ends it.
        """
        body = await read_body(dict(request.scope["headers"]), request.receive, engine.settings)
        document = load_object(body, _SHADOW_EXPECTED)
        version = _version(document, {"version", "share"}, _SHADOW_EXPECTED)
        share = document.get("share", engine.settings.shadow_share)
        if type(share) not in (int, float) or not 0 < share <= 1:
            raise MalformedRequest(f'"share" is {orjson.dumps(share)[:40].decode()}', "more than 0 and at most 1")
        await keeper.shadow(name, version, float(share))
        return {"model": name, "shadow": version, "share": share if version is not None else None}

    return router


def shadow_router(engine: Engine, guard: Guard) -> APIRouter:
    """Make the call that tells what a comparison has found."""
    router = APIRouter(tags=["models"], dependencies=[Depends(guard.admin)])

    @router.get(
        "/v1/models/{name}/shadow",
        summary="Differences of the shadow version",
        responses=answers("Shadow", 401, 403, 404),
    )
    def shadow(name: Name) -> dict[str, Any]:
        """Tell how the shadow version's predictions and gates differ from the served one's, over all workers.

        After the end of a comparison it tells what the last one found. An admin call.
        """
        names = [state.name for state in engine.models()]
        if name not in names:
            raise ModelNotFound(name, None, names)
        active = engine.shadowed.get(name)
        found = active.tally.total() if active else engine.last_shadow(name)
        return {
            "model": name,
            "version": found.pair.served if found else None,
            "shadow": found.pair.candidate if found else None,
            "active": active is not None,
            "share": active.share if active else None,
            **(shadow_report(found) if found else {"rows": 0, "dropped_rows": 0, "failed_rows": 0, "tasks": {}}),
        }

    return router


def _version(document: dict[str, Any], keys: set[str], expected: str) -> int | None:
    version = document.get("version", "missing")
    if document.keys() - keys or (version is not None and (type(version) is not int or version < 1)):
        raise MalformedRequest(f"the body is {orjson.dumps(document)[:100].decode()}", expected)
    return version
