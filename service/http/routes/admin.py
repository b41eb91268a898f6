"""`POST /v1/models/{name}:rollback` and `:pin`: which version is served.

What these calls ask for holds in all workers until the service restarts.
"""

from typing import Any

from fastapi import APIRouter, Depends, Request, Response

from service.engine import Engine
from service.errors import MalformedRequest, ModelNotFound
from service.http.admission import Admission
from service.http.codecs.json_size import FEW_VALUES
from service.http.codecs.render import JsonAnswer
from service.http.codecs.rows import as_integer, load_object
from service.http.guard import Guard
from service.http.openapi.answers import IndexEntry, Pinned, RepositoryIndex, Shadow, ShadowAsked, answers
from service.http.types import PathName
from service.monitoring.comparison import Comparison, shadow_report
from service.system.quoting import quote
from service.versions.commands import VersionCommands
from service.versions.states import ModelState

_EXPECTED = '{"version": 3}, or {"version": null} to serve the highest again'


def versions_router(engine: Engine, commands: VersionCommands, guard: Guard, admission: Admission) -> APIRouter:
    """Make the calls that change which version is served."""
    router = APIRouter(tags=["models"], dependencies=[Depends(guard.admin)])

    @router.post(
        "/v1/models/{name}:rollback",
        summary="Serve the version before",
        responses=answers(Pinned, 401, 403, 404, 409),
    )
    async def rollback(name: PathName) -> Response:
        """Pin the version before the one that is served: the next lower one that can be served.

        An admin call.

        It stays pinned, whatever is published, until `:pin` says otherwise or the service
        restarts.
        """
        return JsonAnswer(Pinned(model=name, version=await commands.rollback(name), pinned=True))

    @router.post(
        "/v1/models/{name}:pin",
        summary="Serve a certain version, or the highest again",
        responses=answers(Pinned, 400, 401, 403, 404, 408, 409, 413, 415),
    )
    async def pin(name: PathName, request: Request) -> Response:
        """Pin a version, or none: then the highest is served, or the one that a setting pins.

        An admin call.
        """
        with admission.incoming(request.receive) as incoming:
            body = await incoming.read_weighed(dict(request.scope["headers"]), FEW_VALUES)
        document = load_object(body, _EXPECTED)
        version = read_version(document, {"version"}, _EXPECTED)
        await commands.pin(name, version)
        return JsonAnswer(Pinned(model=name, version=engine.get(name).version, pinned=version is not None))

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
    version = as_integer(document.get("version", "missing"))
    if document.keys() - keys or (version is not None and (type(version) is not int or version < 1)):
        raise MalformedRequest(f"the body is {quote(document)}", expected)
    return version


def repository_router(engine: Engine, commands: VersionCommands, guard: Guard, admission: Admission) -> APIRouter:
    """Make the routes of the model repository extension."""
    router = APIRouter(prefix="/v2/repository", tags=["Open Inference Protocol v2"])

    @router.post("/index", summary="Repository index", responses=answers(RepositoryIndex, 400, 408, 413, 415))
    async def index(request: Request) -> Response:
        """List every version on disk and its state; `{"ready": true}` lists those that answer."""
        with admission.incoming(request.receive) as incoming:
            body = await incoming.read_weighed(dict(request.scope["headers"]), FEW_VALUES)
        only_ready = load_object(body, '{"ready": true}, or nothing').get("ready") if body else None
        if only_ready is None:
            only_ready = False
        if type(only_ready) is not bool:
            raise MalformedRequest(f'"ready" is {quote(only_ready)}', "true or false")
        entries = [entry for model in engine.models() for entry in _entries(model)]
        return JsonAnswer([entry for entry in entries if entry["state"] == "READY" or not only_ready])

    @router.post(
        "/models/{name}/load",
        summary="Load a model",
        dependencies=[Depends(guard.admin)],
        responses=answers(None, 401, 403, 404, 409),
    )
    async def load(name: PathName) -> Response:
        """Look at the disk, load what is new, and this model even if it was unloaded.

        200 when the model answers, in all workers. An admin call.
        """
        await commands.load(name)
        return Response(status_code=200)

    @router.post(
        "/models/{name}/unload",
        summary="Unload a model",
        dependencies=[Depends(guard.admin)],
        responses=answers(None, 401, 403, 404, 409),
    )
    async def unload(name: PathName) -> Response:
        """Let go of a model until it is loaded again or the service restarts.

        Requests in flight are answered.

        200 when it answers no more, in all workers. An admin call.
        """
        await commands.unload(name)
        return Response(status_code=200)

    return router


def _entries(model: ModelState) -> list[IndexEntry]:
    """Describe the versions of a model; one without a number where they are unknown."""
    entries = [
        IndexEntry(
            name=model.name,
            version=str(version.version),
            state="READY" if version.state == "loaded" else "UNAVAILABLE",
            reason=version.reason or ("" if version.state == "loaded" else "not loaded"),
        )
        for version in model.versions
    ]
    for entry in entries:
        if model.note and entry["version"] == str(model.served) and not entry["reason"]:
            entry["reason"] = model.note
    return entries or [{"name": model.name, "version": "", "state": "UNAVAILABLE", "reason": model.note or ""}]


_EXPECTED = '{"version": 4, "share": 0.1}, or {"version": null} to end it'


def shadow_router(engine: Engine, commands: VersionCommands, guard: Guard, admission: Admission) -> APIRouter:
    """Make the calls that begin and end a comparison, and tell what it has found."""
    router = APIRouter(tags=["models"], dependencies=[Depends(guard.admin)])

    @router.post(
        "/v1/models/{name}:shadow",
        name="shadow",
        summary="Compare a version with the served one",
        responses=answers(ShadowAsked, 400, 401, 403, 404, 408, 409, 413, 415),
    )
    async def begin(name: PathName, request: Request) -> Response:
        """Run a version beside the served one on a share of the traffic, after the answers.

        An admin call.

        `GET /v1/models/{name}/shadow` has the differences. `{"version": null}` ends it.
        """
        with admission.incoming(request.receive) as incoming:
            body = await incoming.read_weighed(dict(request.scope["headers"]), FEW_VALUES)
        version, share = _read(body, engine.settings.shadow_share)
        await commands.shadow(name, version, float(share))
        return JsonAnswer(ShadowAsked(model=name, shadow=version, share=share if version is not None else None))

    @router.get(
        "/v1/models/{name}/shadow",
        name="shadow",
        summary="Differences of the shadow version",
        responses=answers(Shadow, 401, 403, 404),
    )
    def found(name: PathName) -> Response:
        """Compare the shadow's predictions and gates with the served version's, over all workers.

        After the end of a comparison it tells what the last one found. An admin call.
        """
        return JsonAnswer(_describe(engine, name))

    return router


def _read(body: bytes, default_share: float) -> tuple[int | None, float]:
    """Return the version and the share of the rows that are asked for."""
    document = load_object(body, _EXPECTED)
    version = read_version(document, {"version", "share"}, _EXPECTED)
    share = document.get("share")
    if share is None:
        share = default_share
    if type(share) not in (int, float) or not 0 < share <= 1:
        raise MalformedRequest(f'"share" is {quote(share)}', "more than 0 and at most 1")
    return version, share


_NOTHING_COMPARED: Comparison = {"rows": 0, "dropped_rows": 0, "failed_rows": 0, "tasks": {}}


def _describe(engine: Engine, name: str) -> Shadow:
    names = [state.name for state in engine.models()]
    if name not in names:
        raise ModelNotFound(name, None, names)
    active = engine.catalogue.shadowed.get(name)
    found = active.tally.total() if active else engine.catalogue.last_shadow(name)
    compared = shadow_report(found) if found else _NOTHING_COMPARED
    return {
        "model": name,
        "version": found.pair.served if found else None,
        "shadow": found.pair.candidate if found else None,
        "active": active is not None,
        "share": active.share if active else None,
        **compared,
    }
