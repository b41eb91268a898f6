"""Answer the hot path's calls as they come off the wire: an HTTP protocol for uvicorn, which does all the rest.

uvicorn makes a scope of a dozen entries, an event and a task for every request; that costs more than a prediction. Here
a call of the hot path is a coroutine that is started where its last byte was parsed and that runs until it waits for
its part of a run. HotPath is a pure ASGI callable too, and behind any other server it works as well. Whatever is not
plain (chunked or compressed bodies, pipelining, `Expect`, HTTP/1.0, other paths) goes to uvicorn.

    parser -> Exchange: body complete -> HotPath.respond ... batcher's future ... -> one write

A client's requests mostly have the same head, but for the length. A request that comes whole, with a head that was
parsed before, byte for byte, need not be parsed again: its body is what is behind the head.
"""

import asyncio
from typing import Any

import httptools
from uvicorn.protocols.http.httptools_impl import STATUS_LINE, HttpToolsProtocol

from service.errors import HeadTooLarge, MalformedRequest, ServiceError, SlowClient
from service.http.body import CONTENT_ENCODING, CONTENT_LENGTH, REQUEST_ID
from service.http.exchange import Exchange
from service.http.heads import Call, Head
from service.http.predict import HotPath
from service.http.watch import TRACEPARENT

_UNIQUE = frozenset({REQUEST_ID, TRACEPARENT})
"""Headers that differ from request to request: such heads are not worth keeping."""

SLOW_BODY_S = 1.0
"""A body that takes longer than this is left to uvicorn, where reading it has a deadline."""

LEAVE_S = 0.5
"""How long an idle connection outlives the start of a shutdown: a request may be on its way to it."""

MAX_HEAD_BYTES, MAX_HEADERS = 64 << 10, 100

LEAST_TAKEN_BYTES = 64 << 10
"""How much of an answer a client must take within its time."""


class RefusedHead(Exception):
    """A request's head that is not taken; its argument is the error to answer."""


_PATIENCE_S = 10.0  # in front of another application
_PATH_SHOWN = 200
_HEAD_TOO_LARGE = HeadTooLarge(MAX_HEAD_BYTES, MAX_HEADERS)
_NO_UPGRADE = MalformedRequest("the request asks for another protocol", "HTTP/1.1, without asking for an upgrade")


class EagerProtocol(HttpToolsProtocol):
    """Speak HTTP/1.1 on one connection; eager where the application is a HotPath, else as uvicorn does.

    Unlike uvicorn it bounds the head of a request, in bytes, headers and time, and speaks no other protocol: a request
    that asks for an upgrade is answered as if it did not, and the connection ends. The parser drops the body of such a
    request, so one that brings a body is refused (400). From a client that does not take its answers nothing more is
    read, and after a while it is cut off.
    """

    def __init__(self, *args: Any, **kwargs: Any) -> None:
        super().__init__(*args, **kwargs)
        self.hot = self.app if isinstance(self.app, HotPath) else None
        self._patience_s = self.hot.settings.client_timeout_s if self.hot else _PATIENCE_S
        self.leaving = False
        self._slow: asyncio.TimerHandle | None = None
        self._leave: asyncio.TimerHandle | None = None
        self._defaults: object = None
        self._default_head = b""
        self.ws_protocol_class = None
        self._answered = 0.0
        self._in_head, self._head_bytes, self._came = True, 0, 0
        self._between, self._ended = True, 0
        self._slow_head: asyncio.TimerHandle | None = None
        self._stuck: asyncio.TimerHandle | None = None
        self._in_body = False

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        """Begin to wait for the first request."""
        super().connection_made(transport)  # type: ignore[arg-type]
        self.transport.set_write_buffer_limits(0)  # so that the first byte that is not taken pauses writing
        self._slow_head = self.loop.call_later(self._patience_s, self._give_up_head)

    def data_received(self, data: bytes) -> None:
        """Parse what came, or find that it need not be parsed."""
        self._came = len(data)
        first = b""
        if self._between and self.hot is not None and self._is_idle():
            first = data[: data.find(b"\r\n\r\n") + 4]
            known = self.hot.heads.get(first)
            if known is not None and known.length + len(first) == len(data):
                self._answer_known(known, data[len(first) :])
                return
        self._ended = 0
        try:
            self.parser.feed_data(data)
        except httptools.HttpParserUpgrade:
            return
        except httptools.HttpParserError as error:
            cause = error.__context__
            self._refuse(cause.args[0] if isinstance(cause, RefusedHead) else _no_http(error))
            return
        exchange: object = self.cycle
        if self._ended == 1 and self._between and isinstance(exchange, Exchange):
            self._learn(first, exchange)
        if self._in_head:
            self._head_bytes += len(data)
            if self._head_bytes > MAX_HEAD_BYTES:
                self._refuse(_HEAD_TOO_LARGE)
            elif self._slow_head is None:
                self._slow_head = self.loop.call_later(self._patience_s, self._give_up_head)
        elif self._in_body and self._slow is None:
            self._slow = self.loop.call_later(min(SLOW_BODY_S, self._patience_s), self._hand_over)

    def on_message_begin(self) -> None:
        """Note the start of a request; the scope is made when it is known to be needed."""
        self.url, self.headers, self.expect_100_continue = b"", [], False
        self._in_head, self._between = True, False

    def on_headers_complete(self) -> None:
        """Open an exchange if this is a plain call of the hot path; else let uvicorn begin."""
        self._end_head()
        if len(self.headers) > MAX_HEADERS or self._head_bytes + self._came > MAX_HEAD_BYTES:
            self._check_head()
        self._head_bytes = 0
        if self.parser.should_upgrade() and self.parser.get_method() == b"POST":
            raise RefusedHead(_NO_UPGRADE)
        head = self._plain_call() if self._is_idle() else None
        if head is None:
            self._begin()
        else:
            assert self.hot is not None
            self.cycle = Exchange(self, head, self.hot)  # type: ignore[assignment]
            self._in_body = True

    def on_body(self, body: bytes) -> None:
        """Keep a part of the body."""
        exchange: object = self.cycle
        if not isinstance(exchange, Exchange):
            super().on_body(body)
            return
        exchange.keep(body)

    def on_message_complete(self) -> None:
        """Start the call; it answers at once, or when its run is done."""
        self._between, self._ended = True, self._ended + 1
        exchange: object = self.cycle
        if not isinstance(exchange, Exchange):
            super().on_message_complete()
            return
        if not self._in_body:  # it was refused before its end
            return
        self._in_body = False
        self._be_patient()
        exchange.start(exchange.body())

    def on_response_complete(self) -> None:
        """Go on after an answer. One timer looks after an idle connection, however many answers it has had."""
        if self.pipeline:
            super().on_response_complete()
            if self.flow.write_paused:
                self.flow.pause_reading()
            return
        self.server_state.total_requests += 1
        if self.flow.read_paused and not self.flow.write_paused:
            self.flow.resume_reading()
        self._answered = self.loop.time()
        if self.timeout_keep_alive_task is None and not self.transport.is_closing():
            self.timeout_keep_alive_task = self.loop.call_later(self.timeout_keep_alive, self._close_if_silent)

    def connection_lost(self, exc: Exception | None) -> None:
        """Forget the connection; a call in flight ends by itself and is not answered."""
        self._be_patient()
        self._unset_keepalive_if_required()
        if self._leave is not None:
            self._leave.cancel()
        if self._slow_head is not None:
            self._slow_head.cancel()
        if self._stuck is not None:
            self._stuck.cancel()
        exchange: object = self.cycle
        if self._in_body and isinstance(exchange, Exchange):
            exchange.release()
        super().connection_lost(exc)

    def pause_writing(self) -> None:
        """Read nothing more from a client that does not take what was written, and look after a while if it has."""
        super().pause_writing()
        if not self.transport.is_closing():
            self.flow.pause_reading()
        if self._stuck is None:
            self._watch()

    def resume_writing(self) -> None:
        """Read on: all was taken."""
        super().resume_writing()
        if self._stuck is not None:
            self._stuck.cancel()
            self._stuck = None
        if not self.pipeline and not self.transport.is_closing():
            self.flow.resume_reading()

    def shutdown(self) -> None:
        """Close the connection with its next answer, or after a while without a request."""
        self.leaving = True
        if self._is_idle():
            self._leave = self.loop.call_later(LEAVE_S, self._close_if_idle)
        else:
            self.cycle.keep_alive = False

    def head(self, status: int, headers: list[tuple[bytes, bytes]], keep_alive: bool) -> bytes:
        """Return the first lines of an answer, with uvicorn's own headers, such as the date."""
        if self._defaults is not self.server_state.default_headers:  # a new list every second
            self._defaults = self.server_state.default_headers
            self._default_head = b"".join([b"%b: %b\r\n" % header for header in self.server_state.default_headers])
        own = b"".join([b"%b: %b\r\n" % header for header in headers])
        close = b"" if keep_alive else b"connection: close\r\n"
        return b"".join((STATUS_LINE[status], self._default_head, own, close, b"\r\n"))

    def _answer_known(self, head: Head, body: bytes) -> None:
        """Answer a request that came whole and whose head was parsed before."""
        if self._in_head:
            self._end_head()
        assert self.hot is not None
        exchange = Exchange(self, head, self.hot)
        self.cycle = exchange  # type: ignore[assignment]
        exchange.start(body)

    def _learn(self, first: bytes, exchange: Exchange) -> None:
        """Keep the head of a request that was plain, alone in what came, and complete."""
        assert self.hot is not None
        head = exchange.head
        if head.length + len(first) == self._came and head.call.headers.keys().isdisjoint(_UNIQUE):
            self.hot.heads.learn(first, head)

    def _plain_call(self) -> Head | None:
        """Return the head of a request that may be answered without uvicorn's care; None for others."""
        if self.hot is None or self.parser.get_method() != b"POST" or b"%" in self.url or b"?" in self.url:
            return None
        path = self.url.decode("latin-1")
        route = self.hot.route(path)
        if route is None:
            return None
        if self.expect_100_continue or self.parser.get_http_version() != "1.1" or self.parser.should_upgrade():
            return None
        headers = dict(self.headers)
        if CONTENT_ENCODING in headers or CONTENT_LENGTH not in headers:
            return None
        length = int(headers[CONTENT_LENGTH])
        if length > self.hot.settings.max_body_bytes:
            return None
        return Head(Call(route, "POST", path, headers), length, self.parser.should_keep_alive())

    def _end_head(self) -> None:
        """Note that a head has come."""
        self._in_head = False
        if self._slow_head is not None:
            self._slow_head.cancel()
            self._slow_head = None

    def _begin(self) -> None:
        """Let uvicorn begin with the request whose headers have come."""
        url, headers, expect = self.url, self.headers, self.expect_100_continue
        super().on_message_begin()
        self.url, self.expect_100_continue = url, expect
        self.headers.extend(headers)
        super().on_headers_complete()
        if self.leaving or self.parser.should_upgrade():  # after an upgrade nothing more could be parsed
            self.cycle.keep_alive = False

    def _check_head(self) -> None:
        size = len(self.url) + sum([len(name) + len(value) + 4 for name, value in self.headers])
        if len(self.headers) > MAX_HEADERS or size > MAX_HEAD_BYTES:
            raise RefusedHead(_HEAD_TOO_LARGE)

    def _refuse(self, error: ServiceError) -> None:
        """Answer what did not become a request, and end the connection; while another is answered, only end it."""
        if self._is_idle() and not self.transport.is_closing() and self.hot is not None:
            path = (self.url or b"").partition(b"?")[0][:_PATH_SHOWN].decode("latin-1")
            status, headers, body = self.hot.refuse(error, path)
            headers = [header for header in headers if header[0] != b"connection"]
            self.transport.write(self.head(status, headers, keep_alive=False) + body)
        self.transport.close()

    def _give_up_head(self) -> None:
        self._slow_head = None
        if not self._is_idle():  # an earlier request is still being answered
            self._slow_head = self.loop.call_later(self._patience_s, self._give_up_head)
        elif self._head_bytes:
            self._refuse(SlowClient("head", self._patience_s))
        else:
            self.transport.close()

    def _watch(self) -> None:
        left = self.transport.get_write_buffer_size()
        self._stuck = self.loop.call_later(self._patience_s, self._cut_if_stuck, left)

    def _cut_if_stuck(self, before: int) -> None:
        """Cut a client off that has taken next to nothing of what is written since the last look."""
        if before - self.transport.get_write_buffer_size() < LEAST_TAKEN_BYTES:
            self.transport.abort()
        else:
            self._watch()

    def _hand_over(self) -> None:
        """Give a request whose body is slow to come to uvicorn, with what there is of it."""
        exchange: object = self.cycle
        assert isinstance(exchange, Exchange)
        self._slow, self._in_body = None, False
        if exchange.refusal is not None:  # the rest of the body is not waited for
            exchange.keep_alive = False
            exchange.start(b"")
            return
        exchange.release()
        exchange.response_complete = True
        self._begin()
        if exchange.parts:
            super().on_body(b"".join(exchange.parts))

    def _is_idle(self) -> bool:
        return self.cycle is None or self.cycle.response_complete

    def _close_if_silent(self) -> None:
        """Close a connection that has been idle for its time; look again later at any other."""
        self.timeout_keep_alive_task = None
        silent_s = self.loop.time() - self._answered
        if self._is_idle() and self._slow_head is None and silent_s >= self.timeout_keep_alive:
            self.transport.close()
        elif not self.transport.is_closing():
            again_s = max(self.timeout_keep_alive - silent_s, 1.0)
            self.timeout_keep_alive_task = self.loop.call_later(again_s, self._close_if_silent)

    def _close_if_idle(self) -> None:
        if self._is_idle():
            self.transport.close()

    def _be_patient(self) -> None:
        if self._slow is not None:
            self._slow.cancel()
            self._slow = None


def _no_http(error: httptools.HttpParserError) -> MalformedRequest:
    return MalformedRequest(f"the bytes received are no HTTP/1.1 request ({error})", "a valid head, then the body")
