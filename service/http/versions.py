"""`POST /v1/models/{name}:rollback` and `:pin`: which version is served.

What these calls ask for holds in all workers until the service restarts.
"""

from typing import Any

from fastapi import APIRouter, Depends, Request

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

_EXPECTED = '{"version": 3}, or {"version": null} to serve the highest again'


def versions_router(engine: Engine, keeper: Keeper, guard: Guard, admission: Admission) -> APIRouter:
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
        with admission.incoming(request.receive) as incoming:
            body = await incoming.read_weighed(dict(request.scope["headers"]), FEW_VALUES)
        document = load_object(body, _EXPECTED)
        version = read_version(document, {"version"}, _EXPECTED)
        await keeper.pin(name, version)
        return {"model": name, "version": engine.get(name).version, "pinned": version is not None}

    return router


def read_version(document: dict[str, Any], keys: set[str], expected: str) -> int | None:
    """Take a version, or null, from a document.

    Args:
        document: as it came.
        keys: that it may have.
        expected: an example of what it should be.

    Raises:
        MalformedRequest: it has no version, one that is no positive integer, or another key.
    """
    version = document.get("version", "missing")
    if document.keys() - keys or (version is not None and (type(version) is not int or version < 1)):
        raise MalformedRequest(f"the body is {quote(document)}", expected)
    return version
