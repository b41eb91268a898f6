"""Front of a port: refuses what is not for this service and passes everything else on."""

from collections.abc import Callable
from typing import Protocol

from service.errors import HostNotAllowed, ServiceError
from service.http.body import HOST
from service.http.errors import RawResponse, error_status, write
from service.http.hosts import Hosts
from service.http.journal import Journal, RequestRecord
from service.http.types import AsgiApp, Receive, Scope, Send
from service.inference.model import Model
from service.settings import Settings


class MetricsSink(Protocol):
    """Sink of request metrics: counts answered requests and errors."""

    @property
    def note(self) -> Callable[[bytes], object]:
        """Note the event of a request.

        Its code, rows, and seconds of parsing, rendering and in total.
        """

    def code(self, route: str, status: int, model: Model | None) -> int:
        """Return the number under which such requests count."""

    def rejected(self, reason: str, /) -> None:
        """Note an error by its code."""

    def request(self, route: str, status: int, /) -> None:
        """Note a request by its route and status alone."""


class Front:
    """Gatekeeper that refuses requests to other hosts, and what did not become a request.

    Args:
        app: the application behind.
        settings: the limits that hold for all requests.
        hosts: that may be named.
        journal: told of what is refused.
        clock: seconds, that of the engine.
        metrics: told of it too.
    """

    def __init__(
        self,
        app: AsgiApp,
        settings: Settings,
        hosts: Hosts,
        journal: Journal,
        clock: Callable[[], float],
        metrics: MetricsSink | None = None,
    ) -> None:
        self._app, self.settings, self.hosts = app, settings, hosts
        self._journal, self._clock, self._metrics = journal, clock, metrics

    def refuse(self, error: ServiceError, path: str, method: str = "") -> RawResponse:
        """Count what is refused before it is looked at, and write the answer.

        `path` is as far as it came.
        """
        ids = self._journal.identify({})
        answer = write(error, path, ids.request_id or b"")
        self._journal.answered(
            RequestRecord(ids, method, path, "other", answer.status, error, None, arrived=self._clock(), total_s=0.0)
        )
        if self._metrics is not None:
            self._metrics.rejected(error_status(error).code)
            self._metrics.request("other", answer.status)
        return answer

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        """Serve one ASGI connection."""
        if scope["type"] == "http":
            host = next((value for name, value in scope["headers"] if name == HOST), None)
            if host is not None and not self.hosts.allows(host):  # HTTP/1.0 may leave it out, no browser does
                answer = self.refuse(HostNotAllowed(host), scope["path"], scope["method"])
                await send({"type": "http.response.start", "status": answer.status, "headers": answer.headers})
                await send({"type": "http.response.body", "body": answer.body})
                return
        await self.serve(scope, receive, send)

    async def serve(self, scope: Scope, receive: Receive, send: Send) -> None:
        """Serve a connection whose host is allowed."""
        await self._app(scope, receive, send)
