"""Errors on the wire: the table error -> status.

An error is written as problem+json (RFC 9457), or as {"error"} under /v2.
"""

import http
import math
from typing import Any, NamedTuple, cast

import orjson

from service import errors
from service.http.openapi import answers, protocol
from service.http.types import Headers, RawHeaders
from service.system.quoting import cut

MOST_BYTES = 7 << 10
"""Of the body of an answer to an error, so that none exceeds 8 KiB with its head, whatever it
quotes and in whatever script."""

_MOST_INSTANCE, _MOST_MESSAGE = 200, 400
PROBLEM_JSON, JSON = b"application/problem+json", b"application/json"


class ErrorStatus(NamedTuple):
    """HTTP status and code of an error, as callers see it.

    Attributes:
        status: of HTTP.
        v2_status: under /v2, whose clients expect 400 for any bad body.
        code: a name for programs, which never changes; also the reason under which metrics count
            it.
    """

    status: int
    v2_status: int
    code: str


STATUSES: dict[type[errors.ServiceError], ErrorStatus] = {
    errors.MalformedRequest: ErrorStatus(400, 400, "malformed"),
    errors.InvalidFeatures: ErrorStatus(422, 400, "invalid_features"),
    errors.RequestTooLarge: ErrorStatus(413, 413, "too_large"),
    errors.HeadTooLarge: ErrorStatus(431, 431, "head_too_large"),
    errors.SlowClient: ErrorStatus(408, 408, "slow_client"),
    errors.UnsupportedMediaType: ErrorStatus(415, 415, "media_type"),
    errors.UnsupportedTransferCoding: ErrorStatus(501, 501, "transfer_coding"),
    errors.HostNotAllowed: ErrorStatus(421, 421, "host_not_allowed"),
    errors.ModelNotFound: ErrorStatus(404, 404, "model_not_found"),
    errors.GatesUnavailable: ErrorStatus(409, 409, "gates_unavailable"),
    errors.VersionConflict: ErrorStatus(409, 409, "version_conflict"),
    errors.Unauthorised: ErrorStatus(401, 401, "unauthorised"),
    errors.TooManyWrongKeys: ErrorStatus(429, 429, "wrong_keys"),
    errors.Forbidden: ErrorStatus(403, 403, "forbidden"),
    errors.Overloaded: ErrorStatus(429, 429, "overloaded"),
    errors.NotReady: ErrorStatus(503, 503, "not_ready"),
    errors.RunDirectoryGone: ErrorStatus(503, 503, "run_directory_gone"),
    errors.DeadlineExceeded: ErrorStatus(504, 504, "deadline"),
    errors.ArtifactError: ErrorStatus(409, 409, "artifact"),  # met when a load is asked for
    errors.SettingsError: ErrorStatus(500, 500, "settings"),  # met at the start, before there is any HTTP
}

INTERNAL = ErrorStatus(500, 500, "internal")
INTERNAL_SENTENCE = "Something went wrong in the service, not in the request. The log has the details."


class RawResponse(NamedTuple):
    """Response ready to send: status, headers in order, body."""

    status: int
    headers: RawHeaders
    body: bytes


def error_status(error: BaseException) -> ErrorStatus:
    """Return how an error looks outside; what is not of the tree is an internal one."""
    for kind in type(error).__mro__:
        if kind in STATUSES:
            return STATUSES[kind]
    return INTERNAL


def wants_json(headers: Headers) -> bool:
    """Tell whether a caller takes plain JSON and nothing else; KServe's client reads no other."""
    return headers.get(b"accept") == JSON


def problem_json(error: BaseException, path: str, request_id: bytes, plain: bool = False) -> RawResponse:
    """Write an error as problem+json.

    Args:
        error: any; the sentence of an error outside of the tree is not shown.
        path: of the request.
        request_id: goes into the body and the header, so that it can be quoted.
        plain: whether the content type is to be that of plain JSON.
    """
    status, _, code = error_status(error)
    detail = str(error) if code != INTERNAL.code else INTERNAL_SENTENCE
    body = _body(status, detail, path, code, request_id)
    if isinstance(error, errors.InvalidFeatures):
        body["errors"] = [_entry(problem) for problem in error.problems]
        if error.more:
            body["more_errors"] = error.more
    return _response(status, JSON if plain else PROBLEM_JSON, _bounded(body), error, request_id)


def v2_error(error: BaseException, request_id: bytes) -> RawResponse:
    """Write an error as the Open Inference Protocol wants it; its clients read nothing else."""
    _, status, code = error_status(error)
    sentence = str(error) if code != INTERNAL.code else INTERNAL_SENTENCE
    return _response(status, JSON, _bounded({"error": sentence}), error, request_id)


def write(error: BaseException, path: str, request_id: bytes, plain: bool = False) -> RawResponse:
    """Write an error in the shape of the protocol that a path belongs to."""
    return v2_error(error, request_id) if is_v2(path) else problem_json(error, path, request_id, plain)


def is_v2(path: str) -> bool:
    """Tell whether a path belongs to the Open Inference Protocol."""
    return path == "/v2" or path.startswith("/v2/")


def http_error(status: int, detail: str, path: str, request_id: bytes, headers: RawHeaders) -> RawResponse:
    """Write a refusal that comes from HTTP itself, such as 404 for a path or 405 for a method."""
    v2 = is_v2(path)
    code = http.HTTPStatus(status).phrase.lower().replace(" ", "_")
    body: answers.Problem | protocol.Refusal
    body = {"error": detail} if v2 else _body(status, detail, path, code, request_id)
    response = _response(status, JSON if v2 else PROBLEM_JSON, _bounded(body), None, request_id)
    return response._replace(headers=response.headers + headers)


def _body(status: int, detail: str, path: str, code: str, request_id: bytes) -> answers.Problem:
    return {
        "type": "about:blank",
        "title": http.HTTPStatus(status).phrase,
        "status": status,
        "detail": detail,
        "instance": cut(path, _MOST_INSTANCE),
        "code": code,
        "request_id": request_id.decode(),
        "error": detail,
        "errors": [],
    }


def _entry(problem: errors.ValueProblem) -> answers.ProblemEntry:
    feature = problem.feature if problem.feature is None else cut(problem.feature)
    return {"row": problem.row, "feature": feature, "message": cut(problem.message, _MOST_MESSAGE)}


def _bounded(answer: answers.Problem | protocol.Refusal) -> bytes:
    """Write a body in at most MOST_BYTES.

    Problems are counted rather than listed, and the sentence is cut, to fit.
    """
    content, body = orjson.dumps(answer), cast(dict[str, Any], answer)
    while len(content) > MOST_BYTES:
        if body.get("errors"):
            body["errors"].pop()
            body["more_errors"] = body.get("more_errors", 0) + 1
        else:
            shorter = cut(body["error"], len(body["error"]) // 2)
            body |= {sentence: shorter for sentence in ("error", "detail") if sentence in body}
        content = orjson.dumps(body)
    return content


def _response(
    status: int, content_type: bytes, body: bytes, error: BaseException | None, request_id: bytes
) -> RawResponse:
    headers = [
        (b"content-type", content_type),
        (b"content-length", b"%d" % len(body)),
        (b"x-request-id", request_id),
    ]
    if isinstance(error, errors.Overloaded | errors.TooManyWrongKeys):
        headers.append((b"retry-after", b"%d" % max(math.ceil(error.retry_after_s), 1)))
    if isinstance(error, errors.NotReady):
        headers.append((b"retry-after", b"1"))
    if isinstance(error, errors.SlowClient):
        headers.append((b"connection", b"close"))  # what may still come belongs to nothing
    if isinstance(error, errors.Unauthorised):
        headers.append((b"www-authenticate", b"Bearer"))
    return RawResponse(status, headers, body)
