"""`:gates`: what the gates do with the rows sent, why, and what happens without each expert."""

import functools
from typing import Any

from fastapi import APIRouter, Request, Response

from service.engine import Engine
from service.errors import MalformedRequest
from service.http.admission import APART_BYTES, Admission, IncomingBody
from service.http.body import timeout_s
from service.http.codecs.endpoint import Endpoint, Endpoints
from service.http.codecs.render import JsonAnswer
from service.http.codecs.rows import EXPECTED, as_integer, load_object
from service.http.openapi.answers import InspectionAnswer
from service.http.types import Headers, PathName, PathVersion
from service.inference.features import Batch
from service.inference.inspection import InspectionOptions, inspect
from service.inference.lenient import Notes
from service.system.quoting import quote

OPTIONS = frozenset({"contributions", "ablation", "top_k", "predictions", "compared_with"})


def gates_router(engine: Engine, endpoints: Endpoints, admission: Admission) -> APIRouter:
    """Make the inspection calls; `schemas.py` documents them with the loaded model's features."""
    router = APIRouter(include_in_schema=False)

    @router.post("/v1/gates")
    async def of_default(request: Request) -> Response:
        """Inspect rows with the default model."""
        return await _inspect(engine, admission, endpoints.get(), request)

    @router.post("/v1/models/{name}:gates")
    async def of_model(request: Request, name: PathName) -> Response:
        """Inspect rows with a model."""
        return await _inspect(engine, admission, endpoints.get(name), request)

    @router.post("/v1/models/{name}/versions/{version}:gates")
    async def of_version(request: Request, name: PathName, version: PathVersion) -> Response:
        """Inspect rows with one version of a model."""
        return await _inspect(engine, admission, endpoints.get(name, version), request)

    return router


async def _inspect(engine: Engine, admission: Admission, endpoint: Endpoint, request: Request) -> Response:
    with admission.incoming(request.receive) as body:
        return await _inspected(engine, endpoint, dict(request.scope["headers"]), body)


async def _inspected(engine: Engine, endpoint: Endpoint, headers: Headers, incoming: IncomingBody) -> Response:
    arrived, model = engine.clock(), endpoint.model
    model.need_gates()
    engine.batcher.refuse_if_full()
    allowed_s = timeout_s(headers, engine.settings.request_timeout_s)
    body = await incoming.read_json(headers, endpoint.limits)
    read = functools.partial(_read, endpoint, body)
    options, batch, notes = read() if len(body) <= APART_BYTES else await incoming.apart(read)
    report = await inspect(model, batch, options, arrived, allowed_s)
    answer: InspectionAnswer = {"model": model.name, "version": model.version, **report}  # type: ignore[typeddict-item]
    response = JsonAnswer(dict(answer) | ({} if notes is None else notes.answer()))
    response.raw_headers.append(endpoint.version_header)
    return response


def _read(endpoint: Endpoint, body: bytes) -> tuple[InspectionOptions, Batch, Notes | None]:
    document = load_object(body, EXPECTED)
    options, (batch, notes) = _options(document), endpoint.parser.read(document, OPTIONS)
    if options.compared_with is not None and options.compared_with >= batch.rows:
        raise MalformedRequest(
            f'"compared_with" is {options.compared_with}', f"the place of a row, from 0 to {batch.rows - 1}"
        )
    return options, batch, notes


def _options(document: dict[str, Any]) -> InspectionOptions:
    flags = {
        key: False if document.get(key) is None else document[key]
        for key in ("contributions", "ablation", "predictions")
    }
    for key, value in flags.items():
        if type(value) is not bool:
            raise MalformedRequest(f'"{key}" is {quote(value)}', "true or false")
    top_k = as_integer(document.get("top_k"))
    if top_k is not None and (type(top_k) is not int or top_k < 1):
        raise MalformedRequest(f'"top_k" is {quote(top_k)}', "a whole number from 1")
    other = as_integer(document.get("compared_with"))
    if other is not None and (type(other) is not int or other < 0 or not flags["contributions"]):
        expected = 'the place of a row, from 0, beside "contributions": true'
        raise MalformedRequest(f'"compared_with" is {quote(other)}', expected)
    return InspectionOptions(**flags, top_k=top_k, compared_with=other)
