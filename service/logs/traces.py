"""Spans of requests for OpenTelemetry: a server span, with parse, queue, run and render inside.

The event loop puts figures into a bounded queue; a thread makes spans of them and sends them off.
OpenTelemetry is an extra (`.[otel]`) that is imported there and nowhere else. Where to and how is
said by its own variables: OTEL_EXPORTER_OTLP_ENDPOINT and its like, OTEL_SERVICE_NAME,
OTEL_RESOURCE_ATTRIBUTES, OTEL_TRACES_SAMPLER.
"""

import importlib.util
import logging
import os
import re
import socket
from collections.abc import Callable, Mapping, Sequence
from typing import TYPE_CHECKING, Any, NamedTuple

from service.errors import SettingsError
from service.logs.background import Background
from service.logs.log import log_event
from service.logs.trace_context import Sampler, TraceContext, new_span_id
from service.settings import Settings

if TYPE_CHECKING:
    from opentelemetry.sdk.trace import ReadableSpan
    from opentelemetry.sdk.trace.export import SpanExporter

ENDPOINTS = ("OTEL_EXPORTER_OTLP_TRACES_ENDPOINT", "OTEL_EXPORTER_OTLP_ENDPOINT")
INSTALL = "pip install -c constraints.txt -e '.[otel]'"
ROOM_REQUESTS = 5_000
GATHER_S = 1.0
_REQUESTS_AT_ONCE = 100
_SAMPLER, _SAMPLER_SHARE = "OTEL_TRACES_SAMPLER", "OTEL_TRACES_SAMPLER_ARG"
_MODEL, _VERSION = re.compile(r"^(/v[12](?:/repository)?/models/)[^/:]+"), re.compile(r"/versions/[0-9]+")
_NO_API = ("page", "docs", "other")
_METHODS = ("GET", "POST", "PUT", "DELETE", "PATCH", "HEAD", "OPTIONS")

log = logging.getLogger("service.traces")


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


def wants_traces(settings: Settings, environ: Mapping[str, str]) -> bool:
    """Tell whether traces are to be recorded.

    MMOE_TRACES says so, or leaves it to OpenTelemetry's own variables.

    Raises:
        SettingsError: they are, and OpenTelemetry is not installed; or its sampler is unknown.
    """
    cause, came = "MMOE_TRACES", str(settings.traces)
    if settings.traces == "auto":
        if environ.get("OTEL_SDK_DISABLED", "").lower() == "true" or environ.get("OTEL_TRACES_EXPORTER") == "none":
            return False
        cause = next((name for name in ENDPOINTS if environ.get(name)), "")
        came = environ.get(cause, "off")
    if came == "off":
        return False
    if not _installed():
        raise SettingsError(cause, came, f"OpenTelemetry to be installed: {INSTALL}, or MMOE_TRACES=off")
    read_sampler(environ)
    return True


def read_sampler(environ: Mapping[str, str]) -> Sampler:
    """Read OpenTelemetry's variables for the share of traces to record.

    Raises:
        SettingsError: another sampler than OpenTelemetry's own six, or a share that is none.
    """
    name = environ.get(_SAMPLER) or "parentbased_always_on"
    kind = name.removeprefix("parentbased_")
    shares = {"always_on": "1", "always_off": "0", "traceidratio": environ.get(_SAMPLER_SHARE) or "1"}
    if kind not in shares:
        raise SettingsError(_SAMPLER, name, "always_on, always_off or traceidratio, each also behind parentbased_")
    try:
        share = float(shares[kind])
    except ValueError:
        share = -1.0
    if not 0 <= share <= 1:
        raise SettingsError(_SAMPLER_SHARE, shares[kind], "a number from 0 to 1")
    return Sampler(kind != name, share)


class Tracer:
    """Record requests. Its methods are for the event loop.

    Args:
        sampler: which traces to record.
        exporter: makes what the spans are sent with; called on the thread.
        count: told how many requests were lost, by a name of `gauges.RECORDS`; from either
            thread.
        worker: place of this worker.

    Attributes:
        begin: see `Sampler.begin`.
    """

    def __init__(
        self,
        sampler: Sampler,
        exporter: "Callable[[], SpanExporter]",
        count: Callable[[str, int], object],
        worker: int = 0,
    ) -> None:
        self.begin, self._count = sampler.begin, count
        self._sender = _Sender(exporter, count, worker)
        self._thread: Background[TracedRequest] = Background("trace export", self._sender.send, ROOM_REQUESTS, GATHER_S)

    @classmethod
    def of(cls, settings: Settings, count: Callable[[str, int], object], worker: int) -> "Tracer | None":
        """Make one as settings and environment say; None where no traces are wanted.

        Raises as `wants_traces`.
        """
        if not wants_traces(settings, os.environ):
            return None
        return cls(read_sampler(os.environ), _otlp, count, worker)

    def record(self, request: TracedRequest) -> None:
        """Send off a request's spans, soon."""
        if not self._thread.put(request):
            self._count("trace_requests_dropped_queue", 1)

    def close(self) -> None:
        """Send what waits, for a moment."""
        self._thread.close()


class _Sender:
    """Make spans and send them; for one thread."""

    def __init__(
        self, exporter: "Callable[[], SpanExporter]", count: Callable[[str, int], object], worker: int
    ) -> None:
        self._make, self._count, self._worker = exporter, count, worker
        self._exporter: SpanExporter | None = None
        self._lost = 0

    def send(self, requests: Sequence[TracedRequest]) -> None:
        """Send the spans of requests; those that cannot be sent are lost and counted."""
        from opentelemetry.sdk.trace.export import SpanExportResult

        if self._exporter is None:
            self._exporter, self._spans = self._make(), _Spans(self._worker)
        for start in range(0, len(requests), _REQUESTS_AT_ONCE):
            some = requests[start : start + _REQUESTS_AT_ONCE]
            sent = self._exporter.export([span for request in some for span in self._spans.of(request)])
            if sent is not SpanExportResult.SUCCESS:
                self._tell_lost(len(some))
            elif self._lost:
                sentence = "Traces are taken again; %d requests are lost"
                log_event(log, logging.WARNING, "traces_resumed", sentence, self._lost, requests=self._lost)
                self._lost = 0

    def _tell_lost(self, requests: int) -> None:
        self._count("trace_requests_dropped_export", requests)
        if not self._lost:
            sentence = "Traces cannot be sent to %s; until they can, they are dropped and counted"
            endpoint = next((os.environ[name] for name in ENDPOINTS if os.environ.get(name)), "the collector")
            log_event(log, logging.ERROR, "traces_failed", sentence, endpoint, endpoint=endpoint)
        self._lost += requests


class _Spans:
    """Make spans of the figures of requests."""

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


def _otlp() -> "SpanExporter":
    """Make the exporter to a collector, over HTTP; what goes wrong is told by `_Sender`, once."""
    from opentelemetry.exporter.otlp.proto.http.trace_exporter import OTLPSpanExporter

    logging.getLogger("opentelemetry").setLevel(logging.CRITICAL)
    return OTLPSpanExporter()


def _span_context(context: TraceContext, span_id: str, remote: bool) -> Any:
    from opentelemetry.trace import SpanContext, TraceFlags, TraceState

    state = TraceState.from_header([context.state]) if context.state else None
    return SpanContext(int(context.trace_id, 16), int(span_id, 16), remote, TraceFlags(context.flags), state)


def _name(request: TracedRequest) -> str:
    """Return the method, and the route without names and versions."""
    method = request.method if request.method in _METHODS else "HTTP"
    return f"{method} {_route(request)}" if request.route != "other" else method


def _route(request: TracedRequest) -> str:
    if request.route in _NO_API:
        return request.route
    return _VERSION.sub("/versions/{version}", _MODEL.sub(r"\1{name}", request.path))


def _attributes(request: TracedRequest) -> dict[str, str | int]:
    """Return the attributes by OpenTelemetry's names for HTTP, and our own behind `mmoe.`."""
    found: dict[str, str | int] = {
        "http.request.method": request.method if request.method in _METHODS else "_OTHER",
        "http.response.status_code": request.status,
        "url.path": request.path[:200],
        "url.scheme": "http",
        **request.attributes,
    }
    if request.route not in _NO_API:
        found["http.route"] = _route(request)
    if request.error is not None:
        found["error.type"] = request.error
    return found


def _installed() -> bool:
    try:
        return all(
            importlib.util.find_spec(name) is not None
            for name in ("opentelemetry.sdk.trace", "opentelemetry.exporter.otlp.proto.http")
        )
    except (ImportError, ValueError):
        return False
