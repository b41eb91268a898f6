"""Graceful shutdown of a worker: report not ready, stop accepting, finish requests in flight."""

import asyncio
import logging
import signal
from collections.abc import Collection, Sequence
from typing import Any, Protocol

import uvicorn

from service.engine import Engine
from service.logs.log import log_event
from service.workers.tuning import on_signal

log = logging.getLogger("service")


class Listener(Protocol):
    """Source of new connections."""

    def close(self) -> None:
        """Accept no more."""


class GracefulShutdown:
    """Graceful shutdown at a signal, or when the launcher is gone.

    Args:
        server: ends when the last request is answered, or its time is over.
        engine: not ready from the first signal on.
        listeners: of the ports, to close after the delay.
        lifeline: a pipe whose other end the launcher holds; None without a launcher.
        opening: connections that are accepted and that the server does not know yet; each leaves
            when it does. The server tells those that it knows to end, once, and so is not told to
            exit before it knows all.
    """

    def __init__(
        self,
        server: uvicorn.Server,
        engine: Engine,
        listeners: Sequence[Listener],
        lifeline: int | None,
        opening: Collection[asyncio.Future[Any]] = (),
    ) -> None:
        self._server, self._engine, self._listeners, self._lifeline = server, engine, listeners, lifeline
        self._opening = opening

    def install_signal_handlers(self) -> None:
        """Begin at a signal, on the running loop.

        SIGINT comes from a terminal, where no balancer needs a delay.
        """
        delay_s = self._engine.settings.drain_delay_s
        on_signal(signal.SIGTERM, self.begin, delay_s)
        on_signal(signal.SIGINT, self.begin, 0.0)
        if self._lifeline is not None:
            asyncio.get_running_loop().add_reader(self._lifeline, self._orphaned, self._lifeline, delay_s)

    def begin(self, delay_s: float) -> None:
        """Report not ready, and stop accepting after a delay; asked a second time, end at once.

        Args:
            delay_s: seconds from now to when the listeners close.
        """
        if self._engine.draining:
            self._server.should_exit = self._server.force_exit = self._lifeline is None  # a launcher would kill
            return
        self._engine.draining = True
        sentence = "Draining: not ready from now on, closing in %g s"
        log_event(log, logging.INFO, "draining", sentence, delay_s, closing_in_s=delay_s)
        asyncio.get_running_loop().call_later(delay_s, self._close)

    def _close(self) -> None:
        for listener in self._listeners:
            listener.close()
        self._exit_when_all_are_known(None)

    def _exit_when_all_are_known(self, _: object) -> None:
        for connection in self._opening:
            connection.add_done_callback(self._exit_when_all_are_known)
            return
        self._server.should_exit = True

    def _orphaned(self, lifeline: int, delay_s: float) -> None:
        asyncio.get_running_loop().remove_reader(lifeline)
        self.begin(delay_s)
