"""Answer the hot path's calls as they come off the wire: an HTTP protocol for uvicorn, which does all the rest.

uvicorn makes a scope of a dozen entries, an event and a task for every request; that costs more than a prediction. Here
a call of the hot path is a coroutine that is started where its last byte was parsed and that runs until it waits for
its part of a run. It is still the pure ASGI callable of predict.py, and behind any other server it works as well.
Whatever is not plain (chunked or compressed bodies, pipelining, `Expect`, HTTP/1.0, other paths) goes to uvicorn.

    parser -> Exchange: body complete -> HotPath(scope, receive, send) ... batcher's future ... -> one write
"""

import asyncio
import logging
from collections.abc import Coroutine
from typing import Any

import httptools
from uvicorn.protocols.http.httptools_impl import STATUS_LINE, HttpToolsProtocol

from service.http.body import CONTENT_ENCODING, CONTENT_LENGTH, Message, Scope
from service.http.predict import HotPath
from service.logs import log_event

SLOW_BODY_S = 1.0
"""A body that takes longer than this is left to uvicorn, where reading it has a deadline."""

LEAVE_S = 0.5
"""How long an idle connection outlives the start of a shutdown: a request may be on its way to it."""


HEAD_S = 10.0
"""How long a request's head may take to come, and how long a new connection may be silent."""

MAX_HEAD_BYTES, MAX_HEADERS = 64 << 10, 100


class RefusedHead(Exception):
    """A request's head that is not taken; its argument is the status to answer."""


class EagerProtocol(HttpToolsProtocol):
    """Speak HTTP/1.1 on one connection; eager where the application is a HotPath, else as uvicorn does.

    Unlike uvicorn it bounds the head of a request, in bytes, headers and time, and speaks no other protocol: a request
    that asks for an upgrade is answered as if it did not, and the connection ends. The parser drops the body of such a
    request, so one that brings a body is refused (400).
    """

    def __init__(self, *args: Any, **kwargs: Any) -> None:
        super().__init__(*args, **kwargs)
        self.hot = self.app if isinstance(self.app, HotPath) else None
        self.leaving = False
        self._slow: asyncio.TimerHandle | None = None
        self._leave: asyncio.TimerHandle | None = None
        self._defaults: object = None
        self._default_head = b""
        self.ws_protocol_class = None
        self._answered = 0.0
        self._in_head, self._head_bytes, self._came = True, 0, 0
        self._slow_head: asyncio.TimerHandle | None = None

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        """Begin to wait for the first request."""
        super().connection_made(transport)  # type: ignore[arg-type]
        self._slow_head = self.loop.call_later(HEAD_S, self._give_up_head)

    def data_received(self, data: bytes) -> None:
        """Parse what came."""
        self._came = len(data)
        try:
            self.parser.feed_data(data)
        except httptools.HttpParserUpgrade:
            return
        except httptools.HttpParserError as error:
            if isinstance(error.__context__, RefusedHead):
                self._refuse_head(error.__context__.args[0])
                return
            self.logger.info("Invalid HTTP request received.")
            self.send_400_response("Invalid HTTP request received.")
            return
        if self._in_head:
            self._head_bytes += len(data)
            if self._head_bytes > MAX_HEAD_BYTES:
                self._refuse_head(431)
            elif self._slow_head is None:
                self._slow_head = self.loop.call_later(HEAD_S, self._give_up_head)

    def on_message_begin(self) -> None:
        """Note the start of a request; the scope is made when it is known to be needed."""
        self.url, self.headers, self.expect_100_continue = b"", [], False
        self._in_head = True

    def on_headers_complete(self) -> None:
        """Open an exchange if this is a plain call of the hot path; else let uvicorn begin."""
        self._in_head = False
        if self._slow_head is not None:
            self._slow_head.cancel()
            self._slow_head = None
        if len(self.headers) > MAX_HEADERS or self._head_bytes + self._came > MAX_HEAD_BYTES:
            self._check_head()
        self._head_bytes = 0
        if self.parser.should_upgrade() and self.parser.get_method() == b"POST":
            raise RefusedHead(400)
        length = self._length_of_plain_call() if self._is_idle() else None
        if length is None:
            self._begin()
        else:
            scope = {"type": "http", "method": "POST", "path": self.url.decode(), "headers": self.headers}
            self.cycle = Exchange(self, scope, length)  # type: ignore[assignment]

    def on_body(self, body: bytes) -> None:
        """Keep a part of the body."""
        exchange: object = self.cycle
        if not isinstance(exchange, Exchange):
            super().on_body(body)
            return
        exchange.parts.append(body)
        exchange.missing -= len(body)
        if exchange.missing and self._slow is None:
            self._slow = self.loop.call_later(SLOW_BODY_S, self._hand_over)

    def on_message_complete(self) -> None:
        """Start the call; it answers at once, or when its run is done."""
        exchange: object = self.cycle
        if not isinstance(exchange, Exchange):
            super().on_message_complete()
            return
        self._be_patient()
        assert self.hot is not None
        exchange.start(self.hot)

    def on_response_complete(self) -> None:
        """Go on after an answer. One timer looks after an idle connection, however many answers it has had."""
        if self.pipeline:
            super().on_response_complete()
            return
        self.server_state.total_requests += 1
        if self.flow.read_paused:
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
        super().connection_lost(exc)

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

    def _length_of_plain_call(self) -> int | None:
        """Return the length of the body of a request that may be answered without uvicorn's care; None for others."""
        if self.hot is None or self.parser.get_method() != b"POST" or b"%" in self.url or b"?" in self.url:
            return None
        if not self.hot.takes(self.url):
            return None
        if self.expect_100_continue or self.parser.get_http_version() != "1.1" or self.parser.should_upgrade():
            return None
        names = dict(self.headers)
        if CONTENT_ENCODING in names or CONTENT_LENGTH not in names:
            return None
        length = int(names[CONTENT_LENGTH])
        return length if length <= self.hot.max_body_bytes else None

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
            raise RefusedHead(431)

    def _refuse_head(self, status: int) -> None:
        """Answer a head that is not taken, and end the connection; after another answer, only end it."""
        if self._is_idle() and not self.transport.is_closing():
            message = {
                400: b"No upgrade to another protocol is made here; send the request again without asking for one.",
                408: b"The head of the request took longer than %d s to come." % HEAD_S,
                431: b"The head of a request may have %d bytes and %d headers." % (MAX_HEAD_BYTES, MAX_HEADERS),
            }[status]
            kind = (b"content-type", b"text/plain; charset=utf-8")
            length = (b"content-length", b"%d" % len(message))
            self.transport.write(self.head(status, [kind, length], keep_alive=False) + message)
        self.transport.close()

    def _give_up_head(self) -> None:
        self._slow_head = None
        if not self._is_idle():  # an earlier request is still being answered
            self._slow_head = self.loop.call_later(HEAD_S, self._give_up_head)
        elif self._head_bytes:
            self._refuse_head(408)
        else:
            self.transport.close()

    def _hand_over(self) -> None:
        """Give a request whose body is slow to come to uvicorn, with what there is of it."""
        exchange: object = self.cycle
        assert isinstance(exchange, Exchange)
        self._slow = None
        exchange.response_complete = True
        self._begin()
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


class Exchange:
    """Hold one call; stands where uvicorn keeps a request's cycle, and has what uvicorn looks for there.

    Attributes:
        missing: bytes of the body that are still to come.
        keep_alive: cleared by uvicorn when it shuts down.
        disconnected: set by uvicorn when the connection is lost.
        message_event: uvicorn sets it then; nobody waits for it.
    """

    __slots__ = ("_call", "_protocol", "_scope", "_start", "disconnected", "keep_alive", "missing", "parts",
                 "response_complete")  # fmt: skip

    def __init__(self, protocol: EagerProtocol, scope: Scope, length: int) -> None:
        self._protocol, self._scope = protocol, scope
        self.parts: list[bytes] = []
        self.missing = length
        self.keep_alive = protocol.parser.should_keep_alive() and not protocol.leaving
        self.response_complete = self.disconnected = False
        self._start: Message = {}

    @property
    def message_event(self) -> asyncio.Event:
        """Return an event that nobody waits for."""
        return asyncio.Event()

    def start(self, hot: HotPath) -> None:
        """Run the call until it waits, or to its end."""
        self._call: Coroutine[Any, Any, None] = hot(self._scope, self._receive, self._send)
        self._step(None)
        self.parts = []  # read by now, or refused: nothing is waited for before; a refusal that waits does not keep it

    def _step(self, _: object) -> None:
        """Go on with the call: what a task does, without the task. It waits for nothing but futures."""
        try:
            future: asyncio.Future[Any] = self._call.send(None)
        except StopIteration:
            if not self.response_complete:  # the call had no answer
                self._protocol.transport.close()
        except Exception as error:
            log_event(logging.getLogger("service.http"), logging.ERROR, "call_failed", "A call failed", exc_info=error)
            self._protocol.transport.close()
        else:
            future.add_done_callback(self._step)

    async def _receive(self) -> Message:
        parts, self.parts = self.parts, []
        return {"type": "http.request", "body": parts[0] if len(parts) == 1 else b"".join(parts), "more_body": False}

    async def _send(self, message: Message) -> None:
        if message["type"] == "http.response.start":
            self._start = message
            return
        protocol = self._protocol
        self.response_complete = True
        if self.disconnected or protocol.transport.is_closing():
            return
        head = protocol.head(self._start["status"], self._start["headers"], self.keep_alive)
        protocol.transport.write(head + message["body"])
        if not self.keep_alive:
            protocol.transport.close()
        protocol.on_response_complete()
