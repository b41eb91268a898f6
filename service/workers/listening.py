"""Listeners of a worker: they accept connections, on which uvicorn then speaks."""

import asyncio
import contextlib
import errno
import math
import socket
import sys
from collections.abc import Callable, Sequence
from typing import Any

import uvicorn

from service.http.app import Applications
from service.http.hot.protocol import HotPathProtocol
from service.http.types import AsgiApp
from service.settings import Settings
from service.workers.sockets import BACKLOG

_ACCEPTED_AT_ONCE = 128
_OUT_OF_MEANS = (errno.EMFILE, errno.ENFILE, errno.ENOBUFS, errno.ENOMEM)
_PAUSE_S = 0.1
_WAITING = slice(24, 28)
"""Place in Linux's `struct tcp_info` of the number of connections that wait to be accepted."""


class Acceptor:
    """Acceptor of all connections that wait at a socket, whenever there are any.

    uvloop itself accepts one a turn, so that in a flood of requests, which makes for long turns,
    new connections and with them the probes would wait for seconds.

    Args:
        listening: a socket that listens.
        workers: how many processes accept from it; each takes its share of what waits at a time.
        accepted: called with each connection.
    """

    def __init__(self, listening: socket.socket, workers: int, accepted: Callable[[socket.socket], object]) -> None:
        self._listening, self._workers, self._accepted = listening, workers, accepted
        self._resume: asyncio.TimerHandle | None = None

    def start(self) -> None:
        """Begin to accept, on the running loop."""
        self._listening.setblocking(False)
        asyncio.get_running_loop().add_reader(self._listening.fileno(), self._accept_share)

    def close(self) -> None:
        """Accept what waits, and no more."""
        self._accept(BACKLOG)
        if self._resume is not None:
            self._resume.cancel()
        asyncio.get_running_loop().remove_reader(self._listening.fileno())
        self._listening.close()

    def _accept_share(self) -> None:
        information = self._listening.getsockopt(socket.IPPROTO_TCP, socket.TCP_INFO, _WAITING.stop)
        waiting = int.from_bytes(information[_WAITING], sys.byteorder)
        self._accept(min(max(1, waiting // self._workers), _ACCEPTED_AT_ONCE))

    def _accept(self, at_most: int) -> None:
        for _ in range(at_most):
            try:
                connection, _ = self._listening.accept()
            except BlockingIOError:
                return
            except OSError as error:
                if error.errno in _OUT_OF_MEANS:
                    self._pause()
                return  # else the client has gone already
            connection.setblocking(False)
            with contextlib.suppress(OSError):
                connection.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
            self._accepted(connection)

    def _pause(self) -> None:
        """Let connections wait until others have ended.

        Asking again at once would take all the time there is.
        """
        loop = asyncio.get_running_loop()
        loop.remove_reader(self._listening.fileno())
        self._resume = loop.call_later(_PAUSE_S, lambda: loop.add_reader(self._listening.fileno(), self._accept_share))


def uvicorn_config(settings: Settings, app: AsgiApp) -> uvicorn.Config:
    """Return how uvicorn is to serve an app: fast, silent, and with this service's protocol."""
    return uvicorn.Config(
        app, loop="uvloop", http=HotPathProtocol, ws="none", interface="asgi3", lifespan="on", backlog=BACKLOG,
        access_log=False, log_config=None, log_level=_uvicorn_level(settings.log_level), proxy_headers=False,
        server_header=False, timeout_keep_alive=settings.keep_alive_s,
        timeout_graceful_shutdown=math.ceil(settings.drain_timeout_s),
    )  # fmt: skip


def make_listeners(
    server: uvicorn.Server,
    settings: Settings,
    apps: Applications,
    bound: Sequence[socket.socket],
    workers: int,
    opening: set[asyncio.Future[Any]],
) -> list[Acceptor]:
    """Return an acceptor for each port."""
    configs = [server.config]
    if apps.operation is not None:
        configs.append(uvicorn_config(settings, apps.operation))
        configs[1].load()
    openers = [_opener(server, config, opening) for config in configs]
    return [Acceptor(one, workers, opener) for one, opener in zip(bound, openers, strict=True)]


def _opener(
    server: uvicorn.Server, config: uvicorn.Config, opening: set[asyncio.Future[Any]]
) -> Callable[[socket.socket], None]:
    """Return what lets uvicorn speak on a connection.

    `opening` holds those that are not with it yet.
    """

    def protocol() -> asyncio.Protocol:
        return HotPathProtocol(config=config, server_state=server.server_state, app_state=server.lifespan.state)

    def open_here(connection: socket.socket) -> None:
        coming = asyncio.ensure_future(asyncio.get_running_loop().connect_accepted_socket(protocol, connection))
        opening.add(coming)
        coming.add_done_callback(opening.discard)

    return open_here


def _uvicorn_level(level: str) -> str:
    """Keep uvicorn's own chatter out of the log unless asked for everything."""
    return "debug" if level == "debug" else "warning" if level in ("info", "warning") else level
