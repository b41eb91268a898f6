"""Calls of an admin that change which versions are loaded and served, and the repository's index.

What is pinned and canaried stands in the model's serving file, for all replicas and restarts;
loading and unloading hold in all workers until the service restarts.
"""

from typing import Annotated, Any, TypeVar

from fastapi import APIRouter, Depends, Request, Response

from service.engine import Engine
from service.errors import MalformedRequest
from service.http.admission import Admission
from service.http.codecs.json_size import FEW_VALUES
from service.http.codecs.render import JsonAnswer
from service.http.codecs.rows import as_integer, load_object
from service.http.guard import Guard
from service.http.openapi.answers import Asked, CanaryAsked, Pinned, VersionShare
from service.http.openapi.bodies import CanaryRequest, IndexRequest, LoadRequest, PinRequest, UnloadRequest
from service.http.openapi.protocol import IndexEntry, RepositoryIndex
from service.http.openapi.typed import answers, asks
from service.http.types import PathName
from service.system.quoting import quote
from service.versions.commands import VersionCommands
from service.versions.states import ModelState

_LOADED_FROM_DISK = "no parameters: a model is loaded from its directory, as it is there; publish what is to be served"
Answer = TypeVar("Answer", bound=Asked)

_UNLOADED_ALONE = 'no parameters but "unload_dependents", which are none'
_EXPECTED = '{"version": 3}, or {"version": null} to serve the highest again'
_CANARY_EXPECTED = '{"version": 3, "share": 0.05}, or {"version": null} to end it'


def versions_router(engine: Engine, commands: VersionCommands, guard: Guard, admission: Admission) -> APIRouter:
    """Make the calls that change which version is served."""
    router = APIRouter(tags=["models"], dependencies=[Depends(guard.admin)])

    @router.post(
        "/v1/models/{name}:rollback",
        summary="Serve the version before",
        responses=answers(Pinned, 401, 403, 404, 409),
    )
    async def rollback(name: PathName, by: Annotated[str, Depends(guard.admin)]) -> Response:
        """Pin the version before the one that is served; of a canary, the served one.

        An admin call.

        While a canary answers some requests, it ends, and the served version answers all of them
        again. Otherwise that is the version that was served when this one was pinned, else the
        next lower one that can be served. It stays pinned, whatever is published or restarted,
        until `:pin` says otherwise.
        """
        version = await commands.rollback(name, f"{by} (:rollback)")
        return JsonAnswer(with_note(engine, Pinned(model=name, version=version, pinned=True)))

    @router.post(
        "/v1/models/{name}:pin",
        summary="Serve a certain version, or the highest again",
        openapi_extra=asks(PinRequest),
        responses=answers(Pinned, 400, 401, 403, 404, 408, 409, 413, 415, 503),
    )
    async def pin(name: PathName, request: Request, by: Annotated[str, Depends(guard.admin)]) -> Response:
        """Pin a version, or none: then the highest is served, and a canary ends.

        An admin call. It stays pinned, whatever is published or restarted.
        """
        document = await read_object(admission, request, _EXPECTED)
        version = read_version(document, {"version"}, _EXPECTED)
        await commands.pin(name, version, f"{by} (:pin)")
        answer = Pinned(model=name, version=engine.get(name).version, pinned=version is not None)
        return JsonAnswer(with_note(engine, answer))

    @router.post(
        "/v1/models/{name}:canary",
        summary="Let a version answer a share of the requests",
        openapi_extra=asks(CanaryRequest),
        responses=answers(CanaryAsked, 400, 401, 403, 404, 408, 409, 413, 415, 503),
    )
    async def canary(name: PathName, request: Request, by: Annotated[str, Depends(guard.admin)]) -> Response:
        """Let a version answer a share of the predictions that name no version.

        An admin call.

        A request goes by a hash of its header `X-Canary-Key`, or else of its request id, and so
        meets one version on all workers and replicas, also when the share grows. What is served is
        pinned meanwhile, and stays so when `{"version": null}` ends it.
        """
        document = await read_object(admission, request, _CANARY_EXPECTED)
        version = read_version(document, {"version", "share"}, _CANARY_EXPECTED)
        share = read_share(document.get("share")) if version is not None else 0.0
        await commands.canary(name, version, share, f"{by} (:canary)")
        asked = VersionShare(version=version, share=share) if version is not None else None
        return JsonAnswer(with_note(engine, CanaryAsked(model=name, version=engine.get(name).version, canary=asked)))

    return router


def with_note(engine: Engine, answer: Answer) -> Answer:
    """Add to an answer that its change could not be written, if so."""
    unsaved = engine.catalogue.chosen(answer["model"]).unsaved
    if unsaved is not None:
        answer["note"] = f"{unsaved}: this is lost when the service restarts"
    return answer


def read_share(share: Any) -> float:
    """Take a share of requests or runs from a document.

    Raises:
        MalformedRequest: it is not a number from 0 to 1, or is 0.
    """
    if type(share) not in (int, float) or not 0 < share <= 1:
        raise MalformedRequest(f'"share" is {quote(share)}', "more than 0 and at most 1")
    return float(share)


async def read_object(admission: Admission, request: Request, expected: str, empty: bool = False) -> dict[str, Any]:
    """Read a body of a few values: a JSON object.

    Args:
        admission: of bodies.
        request: whose body it is.
        expected: an example of what it should be.
        empty: whether a request without a body counts as one with an empty object.

    Raises:
        MalformedRequest: it is not a JSON object; further errors as in `IncomingBody.read`.
    """
    with admission.incoming(request.receive) as incoming:
        body = await incoming.read_json(dict(request.scope["headers"]), FEW_VALUES)
    return {} if empty and not body else load_object(body, expected)


def refuse_parameters(document: dict[str, Any], known: dict[str, type], expected: str) -> None:
    """Refuse parameters that would be ignored, such as a configuration or files to load.

    Args:
        document: the request's body.
        known: parameters that it may have, of which null is absent, and their types.
        expected: what may be sent, for the sentence.

    Raises:
        MalformedRequest: it has another.
    """
    parameters = document.get("parameters")
    if parameters is None:
        return
    if type(parameters) is not dict:
        raise MalformedRequest(f'"parameters" is {quote(parameters)}', expected)
    for key, value in parameters.items():
        if value is not None and type(value) is not known.get(key):
            raise MalformedRequest(f"the parameter {quote(key)} is {quote(value)}", expected)


def read_version(document: dict[str, Any], keys: set[str], expected: str) -> int | None:
    """Take a version, or null, from a document.

    Args:
        document: as it came.
        keys: that it may have.
        expected: an example of what it should be.

    Raises:
        MalformedRequest: it has no version, one that is not a positive integer, or another key.
    """
    version = as_integer(document.get("version", "missing"))
    if document.keys() - keys or (version is not None and (type(version) is not int or version < 1)):
        raise MalformedRequest(f"the body is {quote(document)}", expected)
    return version


def repository_router(engine: Engine, commands: VersionCommands, guard: Guard, admission: Admission) -> APIRouter:
    """Make the routes of the model repository extension."""
    router = APIRouter(prefix="/v2/repository", tags=["Open Inference Protocol v2"])

    @router.post(
        "/index",
        summary="Repository index",
        openapi_extra=asks(IndexRequest, required=False),
        responses=answers(RepositoryIndex, 400, 408, 413, 415),
    )
    async def index(request: Request) -> Response:
        """List every version on disk and its state; `{"ready": true}` lists those that answer."""
        only_ready = (await read_object(admission, request, '{"ready": true}, or nothing', empty=True)).get("ready")
        if only_ready is not None and type(only_ready) is not bool:
            raise MalformedRequest(f'"ready" is {quote(only_ready)}', "true or false")
        entries = [entry for model in engine.models() for entry in index_entries(model)]
        return JsonAnswer([entry for entry in entries if entry["state"] == "READY" or not only_ready])

    @router.post(
        "/models/{name}/load",
        summary="Load a model",
        dependencies=[Depends(guard.admin)],
        openapi_extra=asks(LoadRequest, required=False),
        responses=answers(None, 400, 401, 403, 404, 408, 409, 413, 415),
    )
    async def load(name: PathName, request: Request) -> Response:
        """Look at the disk, load what is new, and this model even if it was unloaded.

        200 when the model answers, in all workers. An admin call.
        """
        refuse_parameters(await read_object(admission, request, _LOADED_FROM_DISK, empty=True), {}, _LOADED_FROM_DISK)
        await commands.load(name)
        return Response(status_code=200)

    @router.post(
        "/models/{name}/unload",
        summary="Unload a model",
        dependencies=[Depends(guard.admin)],
        openapi_extra=asks(UnloadRequest, required=False),
        responses=answers(None, 400, 401, 403, 404, 408, 409, 413, 415),
    )
    async def unload(name: PathName, request: Request) -> Response:
        """Let go of a model until it is loaded again or the service restarts.

        Requests in flight are answered.

        200 when it answers no more, in all workers. An admin call.
        """
        document = await read_object(admission, request, _UNLOADED_ALONE, empty=True)
        refuse_parameters(document, {"unload_dependents": bool}, _UNLOADED_ALONE)
        await commands.unload(name)
        return Response(status_code=200)

    return router


def index_entries(model: ModelState) -> list[IndexEntry]:
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
