"""Replies of the hot path, and how each is counted and put on record once it is sent."""

from collections.abc import Callable

from service.errors import ServiceError
from service.http.codecs.endpoint import Endpoint, Endpoints
from service.http.correlation import CorrelationIds
from service.http.front import MetricsSink
from service.http.hot.head_cache import Call
from service.http.hot.routing import Route
from service.http.journal import Journal, RequestRecord
from service.http.types import RawHeaders
from service.inference.answer import RunSlice
from service.inference.features import Batch
from service.inference.model import Model
from service.monitoring.instruments import NOT_MEASURED, event

Served = tuple[Endpoint, Batch, RunSlice, float, float, float]
"""Endpoint that gave an answer, its rows, its slice of a run, seconds of parsing and rendering,
and when parsing had ended."""

Reply = tuple[int, RawHeaders, bytes, float, CorrelationIds | None, Exception | None, Served | None]
"""An answer's status, headers and body; when its call arrived and who made it, where that was
looked at; what went wrong, or what it is of. Plain tuples, for there are two per request."""


class ReplyRecorder:
    """Recorder of replies: they are counted and put on record.

    Args:
        clock: seconds, that of the engine.
        endpoints: of the loaded models.
        journal: told of errors, and of successes that it wants.
        metrics: told of every reply; None where none are kept.
    """

    def __init__(
        self, clock: Callable[[], float], endpoints: Endpoints, journal: Journal, metrics: MetricsSink | None
    ) -> None:
        self._clock, self._endpoints, self._journal, self._metrics = clock, endpoints, journal, metrics
        self._note = None if metrics is None else metrics.note

    def note(self, call: Call, answer: Reply) -> None:
        """Tell those who note and those who watch of an answer that was just sent."""
        status, _, _, arrived, ids, failure, served = answer
        if self._note is not None:
            if served is None:
                code = self._code(call.route, status)
                self._note(event(code, 0, NOT_MEASURED, NOT_MEASURED, self._clock() - arrived))
            else:
                endpoint, batch, _, parse_s, render_s, _ = served
                code = endpoint.codes.get(call.route.counted_as) or self._code(call.route, status, endpoint)
                self._note(event(code, batch.rows, parse_s, render_s, self._clock() - arrived))
        if ids is not None and (served is None or (self._journal.everything and self._journal.wants(ids))):
            total_s = self._clock() - arrived
            seen = ids, call.method, call.path, call.route.counted_as, status, failure
            if served is None:
                self._journal.answered(RequestRecord(*seen, self._asked(call.route), arrived, total_s))
            else:
                endpoint, batch, part, parse_s, render_s, parsed = served
                times = arrived, total_s, parse_s, render_s, parsed
                self._journal.answered(RequestRecord(*seen, endpoint.model, *times, batch, part))

    def _code(self, route: Route, status: int, endpoint: Endpoint | None = None) -> int:
        """Find the number under which a request counts; that of successes is kept."""
        assert self._metrics is not None
        if endpoint is not None:
            code = endpoint.codes[route.counted_as] = self._metrics.code(route.counted_as, status, endpoint.model)
            return code
        return self._metrics.code(route.counted_as, status, self._asked(route))

    def _asked(self, route: Route) -> Model | None:
        """Return the loaded model that a request asked, if there is one."""
        try:
            return self._endpoints.get(route.name, route.version).model
        except ServiceError:
            return None
