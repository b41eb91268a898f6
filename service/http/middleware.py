"""Middleware behind the hot path.

Request ids, metrics, the journal, HEAD wherever there is GET.
"""

from collections.abc import Sequence

from starlette.routing import Route

from service.engine import Engine
from service.http.correlation import CorrelationIds
from service.http.journal import Journal, RequestRecord
from service.http.paths import methods_at, model_of, route_of
from service.http.types import AsgiApp, Message, RawHeaders, Receive, Scope, Send
from service.monitoring.telemetry import Telemetry

CLIENT_LEFT = 499
"""Counted where a connection ended before its answer began."""


class RequestContext:
    """State of one request while it is answered, in its scope under "request_context".

    Attributes:
        ids: sent back with the answer; an error handler adds a request id where none came.
        error: that was answered, if one was.
    """

    __slots__ = ("error", "ids")

    def __init__(self, ids: CorrelationIds) -> None:
        self.ids = ids
        self.error: BaseException | None = None


class RequestMiddleware:
    """One pass over each request: its ids go out with the answer.

    When it ends it is counted and put on record.

    HEAD is answered as GET is, without the body. Times are not part of the metrics: they would
    blur the predictions'.

    Args:
        app: the application behind, whose error handlers find a `RequestContext` in the scope.
        routes: all of the application's.
        engine: of the process; its clock measures, its models are those that are counted.
        journal: told of errors, and of successes where it wants them.
        telemetry: counts requests; None where no metrics are kept.
    """

    def __init__(
        self, app: AsgiApp, routes: Sequence[Route], engine: Engine, journal: Journal, telemetry: Telemetry | None
    ) -> None:
        self._app, self._routes = app, routes
        self._engine, self._journal, self._telemetry = engine, journal, telemetry

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        """Serve one ASGI connection."""
        if scope["type"] != "http":
            await self._app(scope, receive, send)
            return
        arrived, method, status = self._engine.clock(), scope["method"], CLIENT_LEFT
        context = RequestContext(self._journal.identify(dict(scope["headers"]), make=False))
        echoed = context.ids.headers()
        head = method == "HEAD" and "GET" in methods_at(self._routes, scope["path"])

        async def forward(message: Message) -> None:
            nonlocal status
            if message["type"] == "http.response.start":
                status = message["status"]
                if echoed:
                    message = _with_headers(message, echoed)
            elif head and message["type"] == "http.response.body":
                message = {**message, "body": b""}
            await send(message)

        try:
            inner = {**scope, "method": "GET" if head else method, "request_context": context}
            await self._app(inner, receive, forward)
        except Exception:
            if context.error is None or status == CLIENT_LEFT:
                raise
            # It is logged and answered; the framework passes it on for the server to log.
        finally:
            self._record(method, scope["path"], status, context, arrived)

    def _record(self, method: str, path: str, status: int, context: RequestContext, arrived: float) -> None:
        recorded = status >= 400 or self._journal.everything
        if self._telemetry is None and not recorded:
            return
        route, model = route_of(method, path), model_of(self._engine, path)
        if self._telemetry is not None:
            self._telemetry.request(route, status, model)
        if recorded:
            ids, total_s = self._journal.with_request_id(context.ids), self._engine.clock() - arrived
            record = RequestRecord(ids, method, path, route, status, context.error, model, arrived, total_s)
            self._journal.answered(record)


def _with_headers(start: Message, added: RawHeaders) -> Message:
    """Add headers to the start of an answer, but for those that it has."""
    own = list(start.get("headers", []))
    names = {name for name, _ in own}
    return {**start, "headers": own + [header for header in added if header[0] not in names]}
