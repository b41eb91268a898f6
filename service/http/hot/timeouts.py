"""Time limits of one connection: heads, bodies, answers not taken, silence, its end."""

import asyncio
from abc import ABC, abstractmethod
from typing import Any

from uvicorn.protocols.http.flow_control import FlowControl
from uvicorn.protocols.http.httptools_impl import HttpToolsProtocol

DEFAULT_CLIENT_TIMEOUT_S = 10.0

SLOW_BODY_S = 1.0
"""A body that takes longer than this is left to uvicorn, where reading it has a deadline."""

LEAVE_S = 0.5
"""Seconds that an idle connection outlives the start of a shutdown: a request may be on its
way."""

LINGER_S = 2.0
"""Seconds to read on, and drop what comes, after the last answer of a connection that is ended
while a client sends: to close at once would reset it, and the answer might be lost on its way."""

LEAST_TAKEN_BYTES = 64 << 10
"""Least of an answer that a client must take within its time."""


class HeldFlow(FlowControl):
    """Flow control of uvicorn that does not read on while what was read waits to be parsed.

    Attributes:
        held: whether it does.
    """

    held = False

    def resume_reading(self) -> None:
        """Read on, unless held."""
        if not self.held:
            super().resume_reading()


class TimedProtocol(HttpToolsProtocol, ABC):
    """HTTP protocol of uvicorn with time limits.

    Attributes:
        client_timeout_s: how long to wait for a head, for a body, and for a client to take more of
            its answers.
        leaving: whether the server shuts down.
        answered: when the latest answer was given, on the loop's clock.
        peer: address of the client; empty where there is none.
    """

    client_timeout_s = DEFAULT_CLIENT_TIMEOUT_S

    def __init__(self, *args: Any, **kwargs: Any) -> None:
        super().__init__(*args, **kwargs)
        self.leaving, self.peer = False, ""
        self.answered = 0.0
        self._head_timer: asyncio.TimerHandle | None = None
        self._body_timer: asyncio.TimerHandle | None = None
        self._unread_timer: asyncio.TimerHandle | None = None
        self._end_timer: asyncio.TimerHandle | None = None

    def is_idle(self) -> bool:
        """Tell whether the client is owed no answer."""
        return self.cycle is None or self.cycle.response_complete

    @abstractmethod
    def head_is_late(self) -> None:
        """Give up a head that did not come in time."""

    @abstractmethod
    def body_is_slow(self) -> None:
        """Give a request whose body is slow to come to where reading it has a deadline."""

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        """Begin to wait for the first request."""
        super().connection_made(transport)  # type: ignore[arg-type]
        self.flow: HeldFlow = HeldFlow(self.transport)
        self.peer = self.client[0] if self.client is not None else ""
        self.transport.set_write_buffer_limits(0)  # so that the first byte that is not taken pauses writing
        self.await_head()

    def connection_lost(self, exc: Exception | None) -> None:
        """Forget the connection; a call in flight ends by itself and is not answered."""
        self.end_body()
        self.end_head()
        self._unset_keepalive_if_required()
        for timer in (self._unread_timer, self._end_timer):
            if timer is not None:
                timer.cancel()
        super().connection_lost(exc)

    def await_head(self) -> None:
        """Give the client its time for a head, from now on if it has not begun."""
        if self._head_timer is None:
            self._head_timer = self.loop.call_later(self.client_timeout_s, self._head_is_late)

    def end_head(self) -> None:
        """Note that a head has come."""
        if self._head_timer is not None:
            self._head_timer.cancel()
            self._head_timer = None

    def await_body(self) -> None:
        """Give the client a short time for a body that is answered without uvicorn."""
        if self._body_timer is None:
            self._body_timer = self.loop.call_later(min(SLOW_BODY_S, self.client_timeout_s), self._body_is_slow)

    def end_body(self) -> None:
        """Note that a body has come."""
        if self._body_timer is not None:
            self._body_timer.cancel()
            self._body_timer = None

    def stay_open(self) -> None:
        """Set the one timer of an idle connection, however many answers it has had."""
        if not self.transport.is_closing():
            self.timeout_keep_alive_task = self.loop.call_later(self.timeout_keep_alive, self._close_if_silent)

    def linger(self) -> None:
        """End the connection when the client has, or a little later."""
        self.end_head()
        if self.transport.is_closing():
            return
        if self._end_timer is not None:
            self._end_timer.cancel()
        self.transport.write_eof()
        if not self.flow.write_paused:
            self.flow.resume_reading()
        self._end_timer = self.loop.call_later(LINGER_S, self.transport.close)

    def pause_writing(self) -> None:
        """Read nothing more from a client until it takes what was written; look again later."""
        super().pause_writing()
        if not self.transport.is_closing():
            self.flow.pause_reading()
        if self._unread_timer is None:
            self._watch_reader()

    def resume_writing(self) -> None:
        """Read on: all was taken."""
        super().resume_writing()
        if self._unread_timer is not None:
            self._unread_timer.cancel()
            self._unread_timer = None
        if not self.pipeline and not self.transport.is_closing():
            self.flow.resume_reading()

    def shutdown(self) -> None:
        """Close the connection with its next answer, or after a while without a request."""
        self.leaving = True
        if not self.is_idle():
            self.cycle.keep_alive = False
        elif self._end_timer is None:
            self._end_timer = self.loop.call_later(LEAVE_S, self._close_if_idle)

    def _head_is_late(self) -> None:
        self._head_timer = None
        if self.is_idle():
            self.head_is_late()
        else:  # an earlier request is still being answered
            self.await_head()

    def _body_is_slow(self) -> None:
        self._body_timer = None
        self.body_is_slow()

    def _watch_reader(self) -> None:
        left = self.transport.get_write_buffer_size()
        self._unread_timer = self.loop.call_later(self.client_timeout_s, self._cut_off_if_unread, left)

    def _cut_off_if_unread(self, before: int) -> None:
        """Cut a client off that has taken next to nothing since the last look."""
        if before - self.transport.get_write_buffer_size() < LEAST_TAKEN_BYTES:
            self.transport.abort()
        else:
            self._watch_reader()

    def _close_if_silent(self) -> None:
        """Close a connection that has been idle for its time; look again later at any other."""
        self.timeout_keep_alive_task = None
        silent_s = self.loop.time() - self.answered
        if self.is_idle() and self._head_timer is None and silent_s >= self.timeout_keep_alive:
            self.transport.close()
        elif not self.transport.is_closing():
            again_s = max(self.timeout_keep_alive - silent_s, 1.0)
            self.timeout_keep_alive_task = self.loop.call_later(again_s, self._close_if_silent)

    def _close_if_idle(self) -> None:
        if self.is_idle():
            self.transport.close()
