"""HTTP protocol for uvicorn that answers the hot path's calls as they come off the wire.

uvicorn makes a scope of a dozen entries, an event and a task for every request; that costs more
than a prediction. Here a call of the hot path is a coroutine that is started where its last byte
was parsed and that runs until it waits for its part of a run. HotPath is a pure ASGI callable too,
and behind any other server it works as well. Whatever is not plain (chunked or compressed bodies,
pipelining, `Expect`, HTTP/1.0, other paths) goes to uvicorn.

    parser -> Exchange: body complete -> HotPath.respond ... batcher's future ... -> one write

A client's requests mostly have the same head, but for the length. A request that comes whole, with
a head that was parsed before, byte for byte, need not be parsed again: its body is what is behind
the head.
"""

from typing import Any

from service.errors import MalformedRequest
from service.http.body import CONTENT_ENCODING, CONTENT_LENGTH, HOST, REQUEST_ID, TRANSFER_ENCODING, whole_number
from service.http.canaries import CANARY_KEY
from service.http.correlation import TRACEPARENT
from service.http.hot.exchange import Exchange
from service.http.hot.head_cache import (
    HEAD_TOO_LARGE,
    MAX_HEAD_BYTES,
    MAX_HEADERS,
    Call,
    Head,
    RefusedHead,
    check_head,
    size_of,
    target_host,
)
from service.http.hot.predict import HotPath
from service.http.hot.slices import SlicedProtocol
from service.http.types import Headers

_UNIQUE = frozenset({REQUEST_ID, TRACEPARENT, CANARY_KEY})
"""Headers that differ from request to request: such heads are not worth keeping."""

MAX_FRAMING_BYTES = 8 << 10
"""Most that may come around a chunked body between two pieces: ignored trailers and extensions."""

_TRAILERS = MalformedRequest(
    f"the chunked body has over {MAX_FRAMING_BYTES} bytes of trailers or extensions", "the body alone"
)
_BLANK = MalformedRequest(f"over {MAX_HEAD_BYTES} bytes of blank lines came", "a request")
_TUNNEL = MalformedRequest("the request asks for a tunnel (CONNECT)", "another method: this is not a proxy")


class HotPathProtocol(SlicedProtocol):
    """HTTP/1.1 on one connection.

    Calls of a HotPath are answered at once, all else as uvicorn does it.

    Unlike uvicorn it bounds the head of a request, in bytes, headers and time, and what comes
    around a chunked body. It speaks no other protocol: a wish to upgrade is ignored. What is not
    HTTP is refused behind the answers that are owed, and a client that has only stopped sending
    gets all of its answers.
    """

    def __init__(self, *args: Any, **kwargs: Any) -> None:
        super().__init__(*args, **kwargs)
        self.hot = self.app if isinstance(self.app, HotPath) else None
        self.ws_protocol_class = None
        self.headers = []
        self._around = self._trailers = 0

    def data_received(self, data: bytes) -> None:
        """Parse what came, or find that it need not be parsed."""
        self._came = len(data)
        first = b""
        if self.between and self.hot is not None and self.is_idle():
            first = data[: data.find(b"\r\n\r\n") + 4]
            known = self.hot.head_cache.get(first)
            if known is not None and known.length + len(first) == len(data):
                self._answer_known(known, data[len(first) :])
                return
        if not self.input_closed:
            self._feed(self.rest + data if self.rest else data, first)

    def _check_progress(self, first: bytes) -> None:
        """Keep a head that is worth it, and bound what has not come to its end."""
        exchange: object = self.cycle
        if self._ended == 1 and self.between and isinstance(exchange, Exchange):
            self._learn(first, exchange)
        if self.in_head or (self.between and not self._ended):
            self._bound_head()
        elif self.in_body:
            self.await_body()
        elif not isinstance(exchange, Exchange):
            self._around += self._came
            if self._around > MAX_FRAMING_BYTES:
                self.refuse(_TRAILERS)

    def on_message_begin(self) -> None:
        """Note the start of a request; the scope is made when it is known to be needed."""
        self.url, self.headers, self.expect_100_continue = b"", [], False
        self.in_head, self.between = True, False

    def on_header(self, name: bytes, value: bytes) -> None:
        """Keep a header; behind the body it is a trailer, which is ignored."""
        if self.in_head:
            name = name.lower()
            if name == b"expect" and value.lower() == b"100-continue":
                self.expect_100_continue = True
            self.headers.append((name, value))
            return
        self._trailers += len(name) + len(value) + 4
        if self._trailers > MAX_FRAMING_BYTES:
            raise RefusedHead(_TRAILERS)

    def on_headers_complete(self) -> None:
        """Open an exchange if this is a plain call of the hot path; else let uvicorn begin."""
        if self.parser.should_upgrade():
            if self.parser.get_method() == b"CONNECT":
                raise RefusedHead(_TUNNEL)
            return
        self._work += 8
        headers = dict(self.headers)
        allowed = HOST in headers and self.front is not None and self.front.hosts.allows(headers[HOST])
        unusual = not allowed or len(headers) != len(self.headers) or TRANSFER_ENCODING in headers
        if unusual or self.head_bytes + self._came > MAX_HEAD_BYTES or len(headers) > MAX_HEADERS:
            check_head(self.url, self.headers, self.parser.get_http_version())
        head = self._plain_call(headers) if allowed and self.is_idle() else None
        if head is None:
            self._begin()
        else:
            assert self.hot is not None
            self.cycle = Exchange(self, head, self.hot)  # type: ignore[assignment]
            self.in_body = True
        self.end_head()
        self.in_head, self.head_bytes = False, 0
        self._around, self._trailers = -self._came, 0  # what else came with the head is not counted

    def on_body(self, body: bytes) -> None:
        """Keep a part of the body."""
        exchange: object = self.cycle
        if not isinstance(exchange, Exchange):
            self._work += 1
            self._around = -self._came  # which is counted when all that came is parsed
            super().on_body(body)
            return
        exchange.keep(body)

    def on_message_complete(self) -> None:
        """Start the call; it answers at once, or when its run is done."""
        if self.in_head:  # it is parsed again, without the upgrade
            return
        self.between, self._ended = True, self._ended + 1
        exchange: object = self.cycle
        if not isinstance(exchange, Exchange):
            super().on_message_complete()
            return
        if not self.in_body:  # it was refused before its end
            return
        self.in_body = False
        self.end_body()
        exchange.start(exchange.body())

    def body_is_slow(self) -> None:
        """Give a request whose body is slow to come to uvicorn, with what there is of it."""
        exchange: object = self.cycle
        assert isinstance(exchange, Exchange)
        if exchange.refusal is not None and self.loop.time() - exchange.began < self.client_timeout_s:
            self.await_body()  # to close on a client that still sends might cost it the answer
            return
        self.in_body = False
        if exchange.refusal is not None:
            exchange.keep_alive = False
            exchange.start(b"")
            return
        exchange.release()
        exchange.response_complete = True
        self._begin()
        parts, exchange.parts = exchange.parts, []  # else they would be held beside what is joined of them
        if parts:
            super().on_body(b"".join(parts))

    def _answer_known(self, head: Head, body: bytes) -> None:
        """Answer a request that came whole and whose head was parsed before."""
        if self.in_head:
            self.in_head = False
            self.end_head()
        assert self.hot is not None
        exchange = Exchange(self, head, self.hot)
        self.cycle = exchange  # type: ignore[assignment]
        exchange.start(body)

    def _learn(self, first: bytes, exchange: Exchange) -> None:
        """Keep the head of a request that was plain, alone in what came, and complete."""
        assert self.hot is not None
        head = exchange.head
        if head.length + len(first) == self._came and head.call.headers.keys().isdisjoint(_UNIQUE):
            self.hot.head_cache.learn(first, head)

    def _plain_call(self, headers: Headers) -> Head | None:
        """Return the head of a request that may be answered without uvicorn's care.

        None for others.
        """
        if self.hot is None or self.parser.get_method() != b"POST" or b"%" in self.url or b"?" in self.url:
            return None
        path = self.url.decode("latin-1")
        route = self.hot.route(path)
        if route is None or self.expect_100_continue or self.parser.get_http_version() != "1.1":
            return None
        if CONTENT_ENCODING in headers or CONTENT_LENGTH not in headers:
            return None
        length = whole_number(headers[CONTENT_LENGTH])
        if length is None or length > self.hot.settings.max_body_bytes:
            return None
        return Head(Call(route, "POST", path, headers), length, self.parser.should_keep_alive())

    def _begin(self) -> None:
        """Let uvicorn begin with the request whose headers have come."""
        url, headers, expect = self.url, self.headers, self.expect_100_continue
        if not url.startswith((b"/", b"*")):
            headers = [header for header in headers if header[0] != HOST] + [(HOST, target_host(url))]
        self.ahead = None if self.is_idle() else self.cycle
        super().on_message_begin()
        self.url, self.expect_100_continue = url, expect
        self.headers.extend(headers)
        super().on_headers_complete()
        if self.leaving:
            self.cycle.keep_alive = False

    def _bound_head(self) -> None:
        """Bound a head that has begun, or the blank lines before it."""
        if self._ended == 0:
            self.head_bytes += self._came
        else:
            self.head_bytes = size_of(self.url, self.headers) if self.in_head else 0
        if self.head_bytes > MAX_HEAD_BYTES:
            self.refuse(_BLANK if self.between else HEAD_TOO_LARGE)
        elif self.in_head:
            self.await_head()
