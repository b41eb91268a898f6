"""Listeners of a worker: they accept connections, on which uvicorn then speaks."""

import asyncio
import math
import socket
from collections.abc import Callable, Sequence
from typing import Any

import uvicorn

from service.http.app import Applications
from service.http.hot.protocol import EagerProtocol
from service.http.types import AsgiApp
from service.settings import Settings
from service.workers.connections import Acceptor, ConnectionBalancer
from service.workers.identity import WorkerIdentity

BACKLOG = 2048
"""Connections that may wait to be accepted."""


def uvicorn_config(settings: Settings, app: AsgiApp) -> uvicorn.Config:
    """Return how uvicorn is to serve an app: fast, silent, and with this service's protocol."""
    return uvicorn.Config(
        app, loop="uvloop", http=EagerProtocol, ws="none", interface="asgi3", lifespan="on", backlog=BACKLOG,
        access_log=False, log_config=None, log_level=_uvicorn_level(settings.log_level), proxy_headers=False,
        server_header=False, timeout_keep_alive=settings.keep_alive_s,
        timeout_graceful_shutdown=math.ceil(settings.drain_timeout_s),
    )  # fmt: skip


def make_listeners(
    server: uvicorn.Server,
    settings: Settings,
    apps: Applications,
    bound: Sequence[socket.socket],
    identity: WorkerIdentity,
    opening: set[asyncio.Future[Any]],
) -> list[ConnectionBalancer | Acceptor]:
    """Return what lets connections in, one per port.

    Only those for predictions are shared with other workers.
    """
    listeners: list[ConnectionBalancer | Acceptor] = [_balancer(server, bound[0], identity, opening)]
    if apps.operation is not None:
        config = uvicorn_config(settings, apps.operation)
        config.load()
        listeners.append(Acceptor(bound[1], _opener(server, config, opening)))
    return listeners


def _balancer(
    server: uvicorn.Server, bound: socket.socket, identity: WorkerIdentity, opening: set[asyncio.Future[Any]]
) -> ConnectionBalancer:
    """Make what accepts and deals out connections; uvicorn speaks on those served here.

    uvloop accepts one connection a turn, so that in a flood of requests, which makes for long
    turns, new connections and with them the probes would wait for seconds; `ConnectionBalancer`
    accepts all that wait.
    """

    def held() -> int:
        return len(server.server_state.connections) + len(opening)

    open_here = _opener(server, server.config, opening)
    return ConnectionBalancer(bound, identity.directory, identity.place, identity.workers, open_here, held)


def _opener(
    server: uvicorn.Server, config: uvicorn.Config, opening: set[asyncio.Future[Any]]
) -> Callable[[socket.socket], None]:
    """Return what lets uvicorn speak on a connection.

    `opening` holds those that are not with it yet.
    """

    def protocol() -> asyncio.Protocol:
        return EagerProtocol(config=config, server_state=server.server_state, app_state=server.lifespan.state)

    def open_here(connection: socket.socket) -> None:
        coming = asyncio.ensure_future(asyncio.get_running_loop().connect_accepted_socket(protocol, connection))
        opening.add(coming)
        coming.add_done_callback(opening.discard)

    return open_here


def _uvicorn_level(level: str) -> str:
    """Keep uvicorn's own chatter out of the log unless asked for everything."""
    return "debug" if level == "debug" else "warning" if level in ("info", "warning") else level
