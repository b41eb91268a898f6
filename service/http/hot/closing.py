"""End of a connection: by a refusal behind the answers that are owed, or by its client."""

from abc import abstractmethod
from typing import Any

from uvicorn.protocols.http.httptools_impl import STATUS_LINE, RequestResponseCycle

from service.errors import MalformedRequest, ServiceError, SlowClient
from service.http.front import Front
from service.http.hot.exchange import Exchange
from service.http.hot.timeouts import TimedProtocol

_PATH_SHOWN = 200
_BROKEN_OFF = MalformedRequest("the sending ended before the request did", "all of it, then the end of the sending")


class ClosingProtocol(TimedProtocol):
    """HTTP protocol with time limits that loses no answer when the connection ends.

    Attributes:
        front: the application, where it can refuse what did not become a request.
        in_head: whether a head is awaited or has begun to come.
        between: whether what comes next begins a request.
        in_body: whether the body of an exchange is coming.
        input_closed: whether nothing that comes is read any more.
        head_bytes: of the head that has begun, or of blank lines before it.
        rest: of what came, which waits to be parsed.
        ahead: the request that is to be answered before the newest.
    """

    def __init__(self, *args: Any, **kwargs: Any) -> None:
        super().__init__(*args, **kwargs)
        self.front = self.app if isinstance(self.app, Front) else None
        if self.front is not None:
            self.client_timeout_s = self.front.settings.client_timeout_s
        self.url = b""
        self.in_head = self.between = True
        self.in_body = self.input_closed = False
        self.ahead: Any = None
        self.head_bytes = 0
        self.rest = b""
        self._refusal: ServiceError | None = None
        self._defaults: object = None
        self._default_head = b""

    def eof_received(self) -> bool:  # type: ignore[override]
        """Keep the connection of a client that has stopped sending until it has its answers.

        One that has stopped in the middle of a request is told so.
        """
        if not self.input_closed and not self.between:
            self.refuse(_BROKEN_OFF)
        elif not self.input_closed:
            self._close_input()
        return not self.is_idle() and not self.transport.is_closing()

    @abstractmethod
    def continue_soon(self) -> None:
        """Parse what waits in another turn of the loop."""

    def head(self, status: int, headers: list[tuple[bytes, bytes]], keep_alive: bool) -> bytes:
        """Return the first lines of an answer, with uvicorn's own headers, such as the date."""
        if self._defaults is not self.server_state.default_headers:  # a new list every second
            self._defaults = self.server_state.default_headers
            self._default_head = b"".join([b"%b: %b\r\n" % header for header in self.server_state.default_headers])
        own = b"".join([b"%b: %b\r\n" % header for header in headers])
        close = b"" if keep_alive else b"connection: close\r\n"
        return b"".join((STATUS_LINE[status], self._default_head, own, close, b"\r\n"))

    def head_is_late(self) -> None:
        """Refuse what has come of a head; close a connection on which none has begun."""
        if self.head_bytes:
            self.refuse(SlowClient("head", self.client_timeout_s))
        else:
            self.transport.close()

    def on_response_complete(self) -> None:
        """Go on after an answer."""
        if self.pipeline:
            super().on_response_complete()
            if self.flow.write_paused:
                self.flow.pause_reading()
            if self.rest:
                self.continue_soon()
            return
        self.server_state.total_requests += 1
        if self.input_closed:
            self._end()
            return
        if self.rest:
            self.continue_soon()
        if self.flow.read_paused and not self.flow.write_paused:
            self.flow.resume_reading()
        self.answered = self.loop.time()
        if self.timeout_keep_alive_task is None:
            self.stay_open()

    def connection_lost(self, exc: Exception | None) -> None:
        """Forget the connection; a call in flight ends by itself and is not answered."""
        exchange: object = self.cycle
        if self.in_body and isinstance(exchange, Exchange):
            exchange.release()
        super().connection_lost(exc)

    def refuse(self, error: ServiceError) -> None:
        """Answer what did not become a request, behind the answers that are owed, and close."""
        self._refusal = error
        self._close_input()
        if self.is_idle():
            self._end()

    def _close_input(self) -> None:
        """Take in nothing more, and forget a request that has not come to its end."""
        unfinished = not self.between and not self.in_head
        self.input_closed, self.between, self.in_body = True, False, False
        self.flow.held = False
        self.flow.pause_reading()
        self.end_body()
        cycle: Exchange | RequestResponseCycle = self.cycle
        if not unfinished or cycle.response_complete:
            self._refusal = None if unfinished else self._refusal  # it has its answer
            return
        if isinstance(cycle, Exchange):
            cycle.release()
        else:
            if cycle.response_started:
                self.transport.close()
            cycle.disconnected = True
            cycle.message_event.set()
        cycle.response_complete = True
        if self.ahead is not None and not self.ahead.response_complete:
            self.pipeline.popleft()
            self.cycle = self.ahead

    def _end(self) -> None:
        """Send the refusal, if there is one, and end the connection."""
        error, self._refusal = self._refusal, None
        if error is None or self.transport.is_closing() or self.front is None:
            self.transport.close()
            return
        path = self.url.partition(b"?")[0][:_PATH_SHOWN].decode("latin-1")
        status, headers, body = self.front.refuse(error, path)
        headers = [header for header in headers if header[0] != b"connection"]
        self.transport.write(self.head(status, headers, keep_alive=False) + body)
        self.linger()
