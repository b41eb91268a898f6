"""Exchange: one call of the hot path, run where its last byte was parsed, written in one piece."""

import asyncio
import logging
from collections.abc import Coroutine
from typing import Any, Protocol

from service.errors import ServiceError
from service.http.hot.head_cache import Head
from service.http.hot.predict import HotPath
from service.http.hot.replies import Reply
from service.logs.log import log_event


class Connection(Protocol):
    """Connection that an exchange is on."""

    transport: asyncio.Transport
    peer: str
    leaving: bool

    def head(self, status: int, headers: list[tuple[bytes, bytes]], keep_alive: bool) -> bytes:
        """Return the first lines of an answer."""

    def on_response_complete(self) -> None:
        """Go on after an answer."""


SMALL_BODY_BYTES = 16 << 10
"""Bodies up to this are not worth counting: a connection costs as much."""


class Exchange:
    """One call, in the place of uvicorn's request cycle and with its attributes.

    Attributes:
        head: of the request.
        call: what is answered: the head's call, or that of the version chosen for it.
        parts: of its body, as they came.
        keep_alive: cleared by uvicorn when it shuts down.
        began: when a refused body began to come, on the loop's clock.
        refusal: of a large body, known from its head; what comes of the body is dropped, and it is
            answered then.
        disconnected: set by uvicorn when the connection is lost.
        message_event: uvicorn sets it then; nobody waits for it.
    """

    __slots__ = ("_held", "_hot", "_protocol", "_responding", "began", "call", "disconnected", "head", "keep_alive",
                 "parts", "refusal", "response_complete")  # fmt: skip

    def __init__(self, protocol: Connection, head: Head, hot: HotPath) -> None:
        self._protocol, self.head, self._hot = protocol, head, hot
        self.parts: list[bytes] = []
        self.keep_alive = head.keep_alive and not protocol.leaving
        self.response_complete = self.disconnected = False
        self.refusal: ServiceError | None = None
        self.began = 0.0
        self._held = 0
        if head.length > SMALL_BODY_BYTES:
            self._admit()

    @property
    def message_event(self) -> asyncio.Event:
        """Return an event that nobody waits for."""
        return asyncio.Event()

    def keep(self, part: bytes) -> None:
        """Keep a part of the body, unless the call is refused."""
        if self.refusal is None:
            self.parts.append(part)

    def release(self) -> None:
        """Count the body as held no longer."""
        if self._held:
            self._hot.release(self._held)
            self._held = 0

    def body(self) -> bytes:
        """Hand over what has come of the body.

        A call that waits to be refused does not keep it.
        """
        parts, self.parts = self.parts, []
        return parts[0] if len(parts) == 1 else b"".join(parts)

    def start(self, body: bytes) -> None:
        """Run the call until it waits, or to its end."""
        self.call = call = self._hot.choose(self.head.call) if self._hot.splits else self.head.call
        if self.refusal is None:
            responding = self._hot.respond(call, self._protocol.peer, body)
        else:
            responding = self._hot.respond_with(self.refusal, call)
        self._responding: Coroutine[Any, Any, Reply] = responding
        self._step(None)

    def _admit(self) -> None:
        try:
            self._hot.admit(self.head, self._protocol.peer)
        except ServiceError as error:
            self.refusal, self.began = error, asyncio.get_running_loop().time()
        else:
            self._held = self.head.length

    def _step(self, _: object) -> None:
        """Continue the call as a task would; it waits for nothing but futures."""
        try:
            future: asyncio.Future[Any] = self._responding.send(None)
        except StopIteration as done:
            self._write(done.value)
        except Exception as error:
            self.release()
            log_event(logging.getLogger("service.http"), logging.ERROR, "call_failed", "A call failed", exc_info=error)
            self._protocol.transport.close()
        else:
            future.add_done_callback(self._step)

    def _write(self, answer: Reply) -> None:
        protocol = self._protocol
        transport = protocol.transport
        self.response_complete = True
        if not self.disconnected and not transport.is_closing():
            transport.write(protocol.head(answer[0], answer[1], self.keep_alive) + answer[2])
            if not self.keep_alive:
                transport.close()
            protocol.on_response_complete()
        if self._held:
            self.release()
        self._hot.note(self.call, answer)
