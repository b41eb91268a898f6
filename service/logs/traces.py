"""Spans of requests for OpenTelemetry: a server span, with parse, queue, run and render inside.

The event loop puts figures into a bounded queue; a thread makes spans of them and sends them off.
OpenTelemetry is an extra (`.[otel]`) that is imported there and nowhere else. Where to and how is
said by its own variables: OTEL_EXPORTER_OTLP_ENDPOINT and its like, OTEL_SERVICE_NAME,
OTEL_RESOURCE_ATTRIBUTES, OTEL_TRACES_SAMPLER.

The SDK's tracer, sampler, propagator and BatchSpanProcessor would do the same for 73 us of the
event loop a traced request instead of 5.5, and 83 us of CPU instead of 30 (SDK 1.45, five spans,
in one process). They also drop spans without counting them and take an unknown sampler for the
default; and ids are read and passed on where the extra is not installed. So the SDK's span,
resource and exporter classes are used, on the thread.
"""

import importlib.util
import logging
import os
from collections.abc import Callable, Mapping, Sequence
from typing import TYPE_CHECKING

from service.errors import SettingsError
from service.logs.background import Background
from service.logs.log import log_event
from service.logs.spans import Spans, TracedRequest
from service.logs.trace_context import Sampler
from service.settings import Settings

if TYPE_CHECKING:
    from opentelemetry.sdk.trace.export import SpanExporter

ENDPOINTS = ("OTEL_EXPORTER_OTLP_TRACES_ENDPOINT", "OTEL_EXPORTER_OTLP_ENDPOINT")
INSTALL = "pip install -c constraints.txt -e '.[otel]'"
ROOM_REQUESTS = 5_000
GATHER_S = 1.0
_REQUESTS_AT_ONCE = 100
_SAMPLER, _SAMPLER_SHARE = "OTEL_TRACES_SAMPLER", "OTEL_TRACES_SAMPLER_ARG"

log = logging.getLogger("service.traces")


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
        SettingsError: not one of OpenTelemetry's own six samplers, or a share not from 0 to 1.
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
    """Tracer of requests. Its methods are for the event loop.

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
    """Sender of spans, which it makes; for one thread."""

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
            self._exporter, self._spans = self._make(), Spans(self._worker)
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


def _otlp() -> "SpanExporter":
    """Make the exporter to a collector, over HTTP; what goes wrong is told by `_Sender`, once."""
    from opentelemetry.exporter.otlp.proto.http.trace_exporter import OTLPSpanExporter

    logging.getLogger("opentelemetry").setLevel(logging.CRITICAL)
    return OTLPSpanExporter()


def _installed() -> bool:
    try:
        return all(
            importlib.util.find_spec(name) is not None
            for name in ("opentelemetry.sdk.trace", "opentelemetry.exporter.otlp.proto.http")
        )
    except (ImportError, ValueError):
        return False
