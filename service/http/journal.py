"""Journal of answered requests: their lines in the log, the prediction log and traces.

With nothing switched on, a success costs the hot path one look at an attribute.
"""

import logging
import sys
import time
from collections.abc import Callable
from typing import NamedTuple

from service.errors import TooManyWrongKeys
from service.http.body import REQUEST_ID
from service.http.correlation import TRACEPARENT, TRACESTATE, CorrelationIds, RequestIdSource, request_id
from service.http.errors import error_status
from service.http.types import Headers
from service.inference.answer import RunSlice
from service.inference.features import Batch
from service.inference.model import Model
from service.logs.labels import LabelLog
from service.logs.log import is_json, log_event
from service.logs.prediction_lines import ModelVersion
from service.logs.predictions import PredictionLog
from service.logs.requests import RequestEntry, RequestLog
from service.logs.spans import Stage, TracedRequest
from service.logs.throttle import FixedWindowLimiter, Throttle
from service.logs.trace_context import read_trace
from service.logs.traces import Tracer
from service.settings import Settings

ERRORS_PER_S = 100
"""Lines of errors that a worker writes in a second; the rest are counted. Refusals (429) are only
counted."""
TRACEBACKS_PER_S = 10

log = logging.getLogger("service.http")


class RequestRecord(NamedTuple):
    """Request record: an answered request, as logs and traces need it.

    Attributes:
        route: under which metrics count it.
        error: what it was refused with; None for a success, and where HTTP itself refused it.
        model: that was asked; None where it is not loaded.
        arrived: when the request came, on the engine's clock.
        total_s: time from then to the end of the answer.
        parse_s: time from the body to arrays.
        render_s: time from the results to bytes.
        parsed: when parsing had ended, on the engine's clock.
        batch: the rows of a prediction.
        part: its answer.
    """

    ids: CorrelationIds
    method: str
    path: str
    route: str
    status: int
    error: BaseException | None
    model: Model | None
    arrived: float
    total_s: float
    parse_s: float = 0.0
    render_s: float = 0.0
    parsed: float = 0.0
    batch: Batch | None = None
    part: RunSlice | None = None


class Journal:
    """Journal of one worker's answers.

    Request log, prediction log and traces. Its methods are for the event loop.

    Args:
        settings: what to keep.
        worker: place of this worker.
        count: told what becomes of records; see `worker_numbers.RECORDS`.
        clock: seconds, monotonic.

    Attributes:
        everything: whether successes are wanted too; `answered` is always told of errors.
        labels: the label log; None where none is kept.
    """

    def __init__(
        self,
        settings: Settings,
        worker: int = 0,
        count: Callable[[str, int], object] = lambda record, count: None,
        clock: Callable[[], float] = time.perf_counter,
    ) -> None:
        self._new_ids, self._count = RequestIdSource(), count
        self._predictions = PredictionLog(settings, count) if settings.prediction_log else None
        self.labels = LabelLog(settings, count) if settings.label_log else None
        self._lines = None
        if settings.log_requests != "off":
            as_json = is_json(settings.log_format, sys.stderr)
            self._lines = RequestLog(as_json, worker, 2, self._line_lost)
        self._all_lines = settings.log_requests == "all"
        self._tracer = Tracer.of(settings, count, worker)
        self.everything = self._all_lines or self._predictions is not None or self._tracer is not None
        self._errors = FixedWindowLimiter(ERRORS_PER_S, clock)
        self._tracebacks = FixedWindowLimiter(TRACEBACKS_PER_S, clock)
        self._refused = Throttle(_tell_refused)
        self._left_out = Throttle(_tell_left_out)

    def identify(self, headers: Headers, make: bool = True) -> CorrelationIds:
        """Read a request's ids.

        Args:
            headers: of the request.
            make: whether to make an id if none came that can be sent back.
        """
        known = request_id(headers) if REQUEST_ID in headers else None
        if known is None and (make or self.everything):
            known = self._new_ids.next()
        trace = read_trace(headers[TRACEPARENT], headers.get(TRACESTATE)) if TRACEPARENT in headers else None
        if self._tracer is not None and (begun := self._tracer.begin(trace)) is not None:
            return CorrelationIds(known, begun, traced=True)
        return CorrelationIds(known, trace)

    def with_request_id(self, ids: CorrelationIds) -> CorrelationIds:
        """Make a request id if none came: an error can then be quoted and found in the log."""
        return ids if ids.request_id is not None else ids._replace(request_id=self._new_ids.next())

    def wants(self, ids: CorrelationIds) -> bool:
        """Tell whether a success under these ids is to be noticed, if `everything` is wanted."""
        if self._all_lines or ids.traced:
            return True
        return self._predictions is not None and self._predictions.samples(ids.request_id or b"")

    def answered(self, record: RequestRecord) -> None:
        """Put an answer on record.

        To be called for every error and for successes that are wanted.
        """
        if self._predictions is not None and record.part is not None:
            self._record(self._predictions, record)
        if self._tracer is not None and record.ids.traced:
            self._tracer.record(_traced(record))
        if record.status == 429:
            if not isinstance(record.error, TooManyWrongKeys):  # whoever counts those tells of them
                self._refused.count()
        elif self._lines is not None and (self._all_lines or record.status >= 400):
            if record.status < 400 or self._errors.take():
                self._lines.put(_line(record))
            else:
                self._line_lost(1)

    def failed(self, ids: CorrelationIds, path: str, error: BaseException) -> None:
        """Log an error that is the service's own fault, with its traceback.

        Those beyond a few a second are counted.
        """
        if not self._tracebacks.take():
            self._left_out.count()
            return
        named = ids.request_id.decode() if ids.request_id else None
        log_event(
            log, logging.ERROR, "request_failed", "Request %s to %s failed", named, path[:200], exc_info=error,
            request_id=named, trace_id=ids.trace.trace_id if ids.trace else None, path=path[:200],
        )  # fmt: skip

    def close(self) -> None:
        """Write what is still to be written."""
        if self._predictions is not None:
            self._predictions.close()
        if self.labels is not None:
            self.labels.close()
        if self._tracer is not None:
            self._tracer.close()
        if self._lines is not None:
            self._lines.close()

    def _record(self, predictions: PredictionLog, record: RequestRecord) -> None:
        (request_id, trace, _), model = record.ids, record.model
        assert request_id is not None
        assert model is not None
        assert record.batch is not None
        assert record.part is not None
        of = ModelVersion(model.name, model.version, model.manifest)
        predictions.note(request_id, trace.trace_id if trace else "", of, record.batch, record.part)

    def _line_lost(self, lines: int) -> None:
        self._left_out.count()
        self._count("log_lines_dropped", lines)


def _line(record: RequestRecord) -> RequestEntry:
    (request_id, trace, _), model = record.ids, record.model
    return RequestEntry(
        time=time.time(),
        request_id=request_id.decode() if request_id else None,
        trace_id=trace.trace_id if trace else None,
        method=record.method,
        path=record.path,
        route=record.route,
        status=record.status,
        error=None if record.error is None else error_status(record.error).code,
        model=model.name if model else None,
        version=model.version if model else None,
        rows=record.batch.rows if record.batch is not None else None,
        duration_ms=record.total_s * 1e3,
    )


def _traced(record: RequestRecord) -> TracedRequest:
    """Take from an answer what its spans say, without holding on to its rows."""
    (request_id, trace, _), model, ended = record.ids, record.model, record.arrived + record.total_s
    assert trace is not None
    attributes: dict[str, str | int] = {"mmoe.request_id": request_id.decode()} if request_id else {}
    stages: list[Stage] = []
    if model is not None:
        attributes |= {"mmoe.model": model.name, "mmoe.version": model.version}
    if record.part is not None:
        attributes["mmoe.rows"] = len(record.part)
        began, ran = record.part.run.began, ended - record.render_s
        stages = [
            Stage("parse", record.parsed - record.parse_s, record.parsed),
            Stage("queue", record.parsed, began),
            Stage("run", began, ran),
            Stage("render", ran, ended),
        ]
    error = None if record.error is None else error_status(record.error).code
    return TracedRequest(
        trace, record.method, record.path, record.route, record.status, error, attributes, time.time_ns(),
        record.arrived, record.total_s, stages,
    )  # fmt: skip


def _tell_refused(count: int) -> None:
    log_event(log, logging.WARNING, "overloaded", "Refused for too much load (429): %d requests", count, requests=count)


def _tell_left_out(count: int) -> None:
    log_event(log, logging.WARNING, "lines_left_out", "Left out: %d lines of requests", count, lines=count)
