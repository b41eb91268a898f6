"""One call of the hot path on a connection of eager.py: run where its last byte was parsed, written in one piece."""

import asyncio
import logging
from collections.abc import Coroutine
from typing import TYPE_CHECKING, Any

from service.http.body import Message, Scope
from service.http.predict import HotPath
from service.logs import log_event

if TYPE_CHECKING:
    from service.http.eager import EagerProtocol


class Exchange:
    """Hold one call; stands where uvicorn keeps a request's cycle, and has what uvicorn looks for there.

    Attributes:
        parts: of the body, as far as it has come.
        keep_alive: cleared by uvicorn when it shuts down.
        disconnected: set by uvicorn when the connection is lost.
        message_event: uvicorn sets it then; nobody waits for it.
    """

    __slots__ = ("_call", "_protocol", "_scope", "_start", "disconnected", "keep_alive", "parts", "response_complete")

    def __init__(self, protocol: "EagerProtocol", scope: Scope) -> None:
        self._protocol, self._scope = protocol, scope
        self.parts: list[bytes] = []
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
