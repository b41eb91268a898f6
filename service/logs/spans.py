"""OpenTelemetry spans made of the figures of a request.

Names and attributes are those of OpenTelemetry's conventions for servers of HTTP and of RPC;
`mmoe.` begins those of this service.
"""

import os
import re
import socket
from collections.abc import Mapping, Sequence
from typing import TYPE_CHECKING, Any, NamedTuple

from service.logs.trace_context import TraceContext, new_span_id

if TYPE_CHECKING:
    from opentelemetry.sdk.trace import ReadableSpan

_MODEL, _VERSION = re.compile(r"^(/v[12](?:/repository)?/models/)[^/:]+"), re.compile(r"/versions/[0-9]+")
_RPC = re.compile(r"/([\w.]+[.]\w+)/(\w+)")
_NO_API = ("page", "docs", "other")
_METHODS = ("GET", "POST", "PUT", "DELETE", "PATCH", "HEAD", "OPTIONS")


class Stage(NamedTuple):
    """Beginning and end of a stage of a request, on the clock of its arrival."""

    name: str
    began: float
    ended: float


class TracedRequest(NamedTuple):
    """Figures of a request whose spans are recorded.

    Attributes:
        ended_ns: nanoseconds since 1970.
        arrived: on any monotonic clock, in seconds; the stages are on the same.
    """

    context: TraceContext
    method: str
    path: str
    route: str
    status: int
    error: str | None
    attributes: Mapping[str, str | int]
    ended_ns: int
    arrived: float
    total_s: float
    stages: Sequence[Stage]


class Spans:
    """Factory of the spans of requests, for one worker; for the thread that sends them."""

    def __init__(self, worker: int) -> None:
        from opentelemetry.sdk.resources import Resource
        from opentelemetry.sdk.util.instrumentation import InstrumentationScope

        own: dict[str, str | int] = {
            "service.instance.id": f"{socket.gethostname()}:{os.getpid()}",
            "process.pid": os.getpid(),
        }
        name = {} if os.environ.get("OTEL_SERVICE_NAME") else {"service.name": "mmoe-serve"}
        found = Resource.create(own | {"mmoe.worker": worker})
        if "service.name=" not in os.environ.get("OTEL_RESOURCE_ATTRIBUTES", ""):
            found = found.merge(Resource(name))
        self._shared: dict[str, Any] = {"resource": found, "instrumentation_scope": InstrumentationScope("mmoe-serve")}

    def of(self, request: TracedRequest) -> "list[ReadableSpan]":
        """Make the server's span of a request and those of its stages."""
        from opentelemetry.sdk.trace import ReadableSpan
        from opentelemetry.trace import SpanKind, Status, StatusCode

        context = request.context
        own = _span_context(context, context.span_id, remote=False)
        caller = _span_context(context, context.parent_id, remote=True) if context.parent_id else None
        began_ns = request.ended_ns - int(request.total_s * 1e9)
        server = ReadableSpan(
            _name(request), own, caller, attributes=_attributes(request), kind=SpanKind.SERVER,
            status=Status(StatusCode.ERROR if request.status >= 500 else StatusCode.UNSET),
            start_time=began_ns, end_time=request.ended_ns, **self._shared,
        )  # fmt: skip
        spans = [server]
        for stage in request.stages:
            began, ended = (began_ns + int((at - request.arrived) * 1e9) for at in (stage.began, stage.ended))
            inside = _span_context(context, new_span_id(), remote=False)
            spans.append(
                ReadableSpan(stage.name, inside, own, start_time=began, end_time=max(began, ended), **self._shared)
            )
        return spans


def _span_context(context: TraceContext, span_id: str, remote: bool) -> Any:
    from opentelemetry.trace import SpanContext, TraceFlags, TraceState

    state = TraceState.from_header([context.state]) if context.state else None
    return SpanContext(int(context.trace_id, 16), int(span_id, 16), remote, TraceFlags(context.flags), state)


def _name(request: TracedRequest) -> str:
    """Return the method, and the route without names and versions; of gRPC service and method."""
    if _rpc(request):
        return request.path[1:]
    method = request.method if request.method in _METHODS else "HTTP"
    return f"{method} {_route(request)}" if request.route != "other" else method


def _rpc(request: TracedRequest) -> "re.Match[str] | None":
    """Match service and method of a call over gRPC; None for a request over HTTP."""
    return None if request.route in _NO_API else _RPC.fullmatch(request.path)


def _route(request: TracedRequest) -> str:
    if request.route in _NO_API:
        return request.route
    return _VERSION.sub("/versions/{version}", _MODEL.sub(r"\1{name}", request.path))


def _attributes(request: TracedRequest) -> dict[str, str | int]:
    """Return the attributes by OpenTelemetry's names, and our own behind `mmoe.`."""
    found: dict[str, str | int] = {"http.response.status_code": request.status, **request.attributes}
    if rpc := _rpc(request):
        found |= {"rpc.system": "grpc", "rpc.service": rpc[1], "rpc.method": rpc[2]}
    else:
        method = request.method if request.method in _METHODS else "_OTHER"
        found |= {"http.request.method": method, "url.path": request.path[:200], "url.scheme": "http"}
        if request.route not in _NO_API:
            found["http.route"] = _route(request)
    if request.error is not None:
        found["error.type"] = request.error
    return found
