"""One call of the hot path on a connection of eager.py: run where its last byte was parsed, written in one piece."""

import asyncio
import logging
from collections.abc import Coroutine
from typing import TYPE_CHECKING, Any

from service.http.heads import Head
from service.http.predict import Answer, HotPath
from service.logs import log_event

if TYPE_CHECKING:
    from service.http.eager import EagerProtocol


class Exchange:
    """Hold one call; stands where uvicorn keeps a request's cycle, and has what uvicorn looks for there.

    Attributes:
        head: of the request.
        parts: of its body, as they came.
        keep_alive: cleared by uvicorn when it shuts down.
        disconnected: set by uvicorn when the connection is lost.
        message_event: uvicorn sets it then; nobody waits for it.
    """

    __slots__ = ("_hot", "_protocol", "_responding", "disconnected", "head", "keep_alive", "parts",
                 "response_complete")  # fmt: skip

    def __init__(self, protocol: "EagerProtocol", head: Head) -> None:
        self._protocol, self.head = protocol, head
        self.parts: list[bytes] = []
        self.keep_alive = head.keep_alive and not protocol.leaving
        self.response_complete = self.disconnected = False

    @property
    def message_event(self) -> asyncio.Event:
        """Return an event that nobody waits for."""
        return asyncio.Event()

    def body(self) -> bytes:
        """Hand over what has come of the body; a call that waits to be refused does not keep it."""
        parts, self.parts = self.parts, []
        return parts[0] if len(parts) == 1 else b"".join(parts)

    def start(self, hot: HotPath, body: bytes) -> None:
        """Run the call until it waits, or to its end."""
        self._hot = hot
        self._responding: Coroutine[Any, Any, Answer] = hot.respond(self.head.call, body)
        self._step(None)

    def _step(self, _: object) -> None:
        """Go on with the call: what a task does, without the task. It waits for nothing but futures."""
        try:
            future: asyncio.Future[Any] = self._responding.send(None)
        except StopIteration as done:
            self._write(done.value)
        except Exception as error:
            log_event(logging.getLogger("service.http"), logging.ERROR, "call_failed", "A call failed", exc_info=error)
            self._protocol.transport.close()
        else:
            future.add_done_callback(self._step)

    def _write(self, answer: Answer) -> None:
        protocol = self._protocol
        transport = protocol.transport
        self.response_complete = True
        if not self.disconnected and not transport.is_closing():
            transport.write(protocol.head(answer[0], answer[1], self.keep_alive) + answer[2])
            if not self.keep_alive:
                transport.close()
            protocol.on_response_complete()
        self._hot.note(self.head.call, answer)
