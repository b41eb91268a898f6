"""The OpenAPI document.

Every call with its answers and errors, and the calls that take rows once for every model.

The hot path is not a FastAPI route, so what /docs says of it is written here, anew for whatever is
loaded. The paths with {name} and {version} are always there; beside them stands each served model
with its own features.
"""

import contextlib
from typing import Any

from fastapi import FastAPI
from fastapi.openapi.utils import get_openapi

from service.engine import Engine
from service.errors import ServiceError
from service.http.openapi.schemas import (
    SCALAR,
    Schema,
    array,
    common_schemas,
    infer_example,
    model_schemas,
    obj,
    or_null,
    ref,
)
from service.http.types import NAME_PATTERN
from service.inference.model import Model

PROBLEM_JSON, JSON, OCTETS = "application/problem+json", "application/json", "application/octet-stream"

ERRORS = {
    "400": "Malformed: not JSON, not of this form, NaN, Infinity or a number beyond a double; a wrong header or option",
    "401": "A key is needed, or the one sent is not known (only where the service has keys)",
    "403": "This caller may not change the service",
    "404": "No such model or version, or nothing of it is loaded",
    "408": "The body was too slow to come",
    "409": "The model has no gates to inspect, or must not be served",
    "413": "The body or the number of rows is over the limit",
    "415": "An encoding not spoken here",
    "421": "The host that the request names is not the service's",
    "422": "Rows or features are wrong; `errors` says which",
    "429": "Too many rows are waiting, or too many wrong keys came; try again after Retry-After seconds",
    "500": "A fault of the service; the log has the details",
    "503": "Not ready, or draining",
    "504": "The time allowed ran out",
}

_ROWS_ERRORS = (400, 401, 404, 408, 413, 415, 422, 429, 503, 504)
_INFER_ERRORS = (400, 401, 404, 408, 413, 415, 429, 503, 504)

_HEADERS = [
    {
        "name": "X-Request-Timeout-Ms", "in": "header", "schema": {"type": "integer", "minimum": 1, "maximum": 3600000},
        "description": "Give up (504) when the rows have not begun to run after so many milliseconds.",
    },
    {
        "name": "X-Request-Id", "in": "header",
        "schema": {"type": "string", "minLength": 1, "maxLength": 128, "pattern": "^[!-~]+$"},
        "description": "Sent back with the answer.",
    },
    {
        "name": "X-Row-Key", "in": "header", "schema": {"type": "string", "minLength": 1, "maxLength": 256},
        "description": "The caller's own name of the request's only row, by which its labels may be reported.",
    },
    {
        "name": "X-Canary-Key", "in": "header", "schema": {"type": "string", "minLength": 1},
        "description": "Requests of one key meet one version while a canary answers a share of them, such as a user's.",
    },
]  # fmt: skip
_HEADER_LENGTH = {
    "name": "Inference-Header-Content-Length", "in": "header", "schema": {"type": "integer", "minimum": 0},
    "description": "How many bytes of the body are JSON; raw tensors follow. Left out, or 0 beside the content type "
    "application/json: all of them.",
}  # fmt: skip
_NAME = {
    "name": "name", "in": "path", "required": True, "schema": {"type": "string", "pattern": NAME_PATTERN},
    "description": "Name of the model.",
}  # fmt: skip
_VERSION = {
    "name": "version", "in": "path", "required": True, "schema": {"type": "integer", "minimum": 1},
    "description": "Version of the model.",
}  # fmt: skip

_INFER_REQUEST = obj(
    {
        "inputs": array(
            obj(
                {
                    "name": {"type": "string"},
                    "shape": array({"type": "integer", "minimum": 1}, minItems=1, maxItems=2),
                    "datatype": {"type": "string"},
                },
                {
                    "data": or_null(array({"anyOf": [SCALAR, array(SCALAR)]}, description="Flat or nested, in rows.")),
                    "parameters": {
                        "type": ["object", "null"],
                        "description": "`binary_data_size` for raw data; `content_type`.",
                    },
                },
            ),
            minItems=1,
        )
    },
    {
        "id": {"type": ["string", "null"]},
        "parameters": {"type": ["object", "null"], "description": "`binary_data_output`: all outputs as raw data."},
        "outputs": or_null(
            array(
                obj(
                    {"name": {"type": "string"}},
                    {"parameters": {"type": ["object", "null"], "description": "`binary_data`: as raw data."}},
                ),
                description="Left out: the tasks and the gate weights.",
            )
        ),
    },
)

_SECURITY: Schema = {
    "key": {"type": "http", "scheme": "bearer", "description": "An API key, as `Authorization: Bearer <key>`."},
    "key_header": {"type": "apiKey", "in": "header", "name": "X-API-Key", "description": "The same key."},
}
_TAGS = ("predictions", "gates", "models", "labels", "Open Inference Protocol v2")
"""Those that a reader comes for, first."""

_WITHOUT_MODELS = "\n\nModels and features are shown to callers with a key: give the dashboard one, then come back."


def document(app: FastAPI, engine: Engine, typed: dict[str, Schema], keys: bool = False, models: bool = True) -> Schema:
    """Write the document as of now.

    Args:
        app: whose routes are described.
        engine: whose models are.
        typed: schemas of the typed answers, by name.
        keys: whether calls need one.
        models: whether to name the models and their features.
    """
    written = get_openapi(title=app.title, version=app.version, description=app.description, routes=app.routes)
    schemas = written.setdefault("components", {}).setdefault("schemas", {})
    for unused in ("HTTPValidationError", "ValidationError"):
        schemas.pop(unused, None)
    schemas |= typed | common_schemas() | {"InferRequest": _INFER_REQUEST}
    for path, operation in _calls(engine if models else None, schemas).items():
        written["paths"].setdefault(path, {})["post"] = operation
    written["tags"] = [{"name": tag} for tag in _TAGS]
    for path, operations in written["paths"].items():
        for operation in operations.values():
            if keys and "401" not in operation["responses"]:
                operation["security"] = []
            elif keys:
                operation["responses"] |= {"429": {}}  # after too many wrong ones
            operation["responses"] = _responses(operation["responses"], path.startswith("/v2"))
    if keys:
        written["components"]["securitySchemes"] = _SECURITY
        written["security"] = [{scheme: []} for scheme in _SECURITY]
    if not models:
        written["info"]["description"] += _WITHOUT_MODELS
    return written


def _calls(engine: Engine | None, schemas: dict[str, Schema]) -> dict[str, Schema]:
    """Describe the calls that take rows, by path, and add what they refer to.

    With no engine, of no certain model.
    """
    calls: dict[str, Schema] = {}
    for version, more, which in (("", [], ""), ("/versions/{version}", [_VERSION], "_version")):
        whose = "of a version" if version else "of a model"
        calls |= _rows_calls("", f"/v1/models/{{name}}{version}:", whose, which, [_NAME, *more])
        path = f"/v2/models/{{name}}{version}/infer"
        calls[path] = _infer(f"Inference {whose}", f"infer{which}", [_NAME, *more], None)
    default = ""
    for model in [engine.get(state.name) for state in engine.models() if state.ready] if engine else []:
        name = model.name
        schemas.update(model_schemas(model))
        calls |= _rows_calls(f"{name}.", f"/v1/models/{name}:", f"of {name}", f"_{name}", [])
        calls[f"/v2/models/{name}/infer"] = _infer(f"Inference of {name}", f"infer_{name}", [], model)
    with contextlib.suppress(ServiceError):  # there may be no default model
        default = f"{engine.get().name}." if engine else ""
    return calls | _rows_calls(default, "/v1/", "of the default model", "_default", [])


def _rows_calls(of: str, base: str, whose: str, identity: str, parameters: list[Schema]) -> dict[str, Schema]:
    """Describe `:predict` and `:gates`; `of` is the prefix of the schemas of a model, or empty."""
    predict: Schema = {
        "operationId": f"predict{identity}",
        "summary": f"Predictions {whose}",
        "tags": ["predictions"],
        "parameters": [*parameters, *_HEADERS],
        "requestBody": _body(ref(f"{of}Request")),
        "responses": _answered("Every task's prediction and gate weights.", ref(f"{of}Answer"), _ROWS_ERRORS),
    }
    inspected = "Gate weights, normalised entropy and top expert of each row and task."
    inspect: Schema = {
        "operationId": f"gates{identity}",
        "summary": f"What the gates {whose} do",
        "tags": ["gates"],
        "parameters": [*parameters, *_HEADERS],
        "requestBody": _body(ref(f"{of}Inspection")),
        "responses": _answered(inspected, ref("InspectionAnswer"), (*_ROWS_ERRORS, 409)),
    }
    return {f"{base}predict": predict, f"{base}gates": inspect}


def _infer(summary: str, identity: str, parameters: list[Schema], model: Model | None) -> Schema:
    body = _body(ref("InferRequest"))
    if model is not None:
        body["content"][JSON]["example"] = infer_example(model.manifest)
    body["content"][OCTETS] = {"schema": {"type": "string", "format": "binary"}}
    responses = _answered("The outputs, as JSON or as raw tensors.", ref("InferAnswer"), _INFER_ERRORS)
    responses["200"]["content"][OCTETS] = {"schema": {"type": "string", "format": "binary"}}
    return {
        "operationId": identity,
        "summary": summary,
        "tags": ["Open Inference Protocol v2"],
        "parameters": [*parameters, *_HEADERS, _HEADER_LENGTH],
        "requestBody": body,
        "responses": responses,
    }


def _body(schema: Schema) -> Schema:
    return {"required": True, "content": {JSON: {"schema": schema}}}


def _answered(what: str, schema: Schema, errors: tuple[int, ...]) -> Schema:
    answer: Schema = {"description": what, "content": {JSON: {"schema": schema}}}
    return {"200": answer, **{str(status): {} for status in errors}}


def _responses(responses: Schema, v2: bool) -> Schema:
    """Finish a call's answers.

    The errors in the shape of their protocol, and nothing that FastAPI only supposes.
    """
    error = {JSON: {"schema": ref("Refusal")}} if v2 else {PROBLEM_JSON: {"schema": ref("Problem")}}
    finished: dict[str, Any] = {}
    for status, response in sorted((responses | {"421": {}, "500": {}}).items()):
        supposed = "HTTPValidationError" in str(response)
        if status in ERRORS and not supposed:
            finished[status] = {"description": ERRORS[status], "headers": _headers(status), "content": error}
        elif not supposed:
            contents = {kind: content for kind, content in response.pop("content", {}).items() if content["schema"]}
            finished[status] = response | ({"content": contents} if contents else {})
    return finished


def _headers(status: str) -> Schema:
    headers: Schema = {"X-Request-Id": {"required": True, "schema": {"type": "string"}}}
    if status in ("429", "503"):
        headers["Retry-After"] = {"required": True, "schema": {"type": "integer", "minimum": 1}}
    return headers
