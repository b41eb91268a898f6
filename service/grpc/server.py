"""gRPC server of a worker: grpc.aio on the worker's own loop, with its engine and batcher.

The workers of an instance bind the same port (SO_REUSEPORT), and the system shares connections out
among them; a call stays with the worker of its connection.
"""

import asyncio
import functools
import socket
from collections.abc import Callable
from typing import Any

import grpc
import grpc.aio

from service.errors import SettingsError
from service.grpc.calls import Calls
from service.grpc.health import Health
from service.grpc.messages import HEALTH, SERVICE
from service.grpc.methods import methods
from service.grpc.tls import credentials_of
from service.http.app import Shared
from service.settings import Settings

_MOST_STREAMS = 1000
"""Calls of one connection at a time."""
_MORE_CALLS = 1000
"""Calls of a worker at a time beyond those that its queue has room for.

gRPC refuses others itself.
"""
_PINGS_MS = 10_000
"""Least time between two pings of a client that has no call under way."""


class GrpcServer:
    """Server on one port, a listener like those of HTTP.

    Args:
        shared: with HTTP.
        bound: a socket that keeps the port for the workers, and does not listen.
        workers: how many serve on it.
    """

    def __init__(self, shared: Shared, bound: socket.socket, workers: int) -> None:
        self._shared, self._settings = shared, shared.engine.settings
        self._bound, self._workers = bound, workers
        self._server: Any = None
        self._health: Health | None = None
        self._stopping: asyncio.Future[None] | None = None
        shared.endings.append(self.end)

    async def start(self) -> None:
        """Listen.

        Raises:
            SettingsError: the port is taken, or the certificate cannot be used.
        """
        credentials, address = credentials_of(self._settings), _address(self._bound)
        self._server = grpc.aio.server(
            options=_options(self._settings, self._workers),
            maximum_concurrent_rpcs=self._settings.max_queue_rows + _MORE_CALLS,
        )
        self._health = Health(self._shared.engine, self._shared.telemetry)
        self._server.add_generic_rpc_handlers((_Handlers(Calls(self._shared), self._shared, self._health),))
        try:
            if credentials is None:
                self._server.add_insecure_port(address)
            else:
                self._server.add_secure_port(address, credentials)
            await self._server.start()
        except RuntimeError as error:
            raise SettingsError("MMOE_GRPC_PORT", address, f"a free port and a usable certificate ({error})") from None

    def close(self) -> None:
        """Take no more connections and calls; finish those in flight within the drain timeout."""
        if self._stopping is None and self._server is not None and self._health is not None:
            self._health.closing.set()
            self._stopping = asyncio.ensure_future(self._server.stop(self._settings.drain_timeout_s))

    async def end(self, force: bool = False) -> None:
        """Wait until it has ended.

        Args:
            force: whether to cut off what is in flight.
        """
        self.close()
        if force and self._server is not None:
            await self._server.stop(0)
        if self._stopping is not None:
            await self._stopping


class _Handlers(grpc.GenericRpcHandler):  # type: ignore[misc]
    """Finds what answers a call by its path; bytes in, bytes out."""

    def __init__(self, calls: Calls, shared: Shared, health: Health) -> None:
        self._calls = calls
        self._known = {
            f"/{SERVICE}/{name}": self._stream(functools.partial(self._answer, f"/{SERVICE}/{name}", method))
            for name, method in methods(shared).items()
        }
        self._known[f"/{HEALTH}.Health/Check"] = grpc.unary_unary_rpc_method_handler(health.check)
        self._known[f"/{HEALTH}.Health/Watch"] = grpc.unary_stream_rpc_method_handler(health.watch)

    def service(self, details: Any) -> Any:
        """Return the handler of a call."""
        return self._known.get(details.method) or self._stream(functools.partial(self._refuse, details.method))

    async def _answer(self, path: str, method: Any, _: Any, context: Any) -> bytes:
        return await self._calls.answer(path, method, context)

    async def _refuse(self, path: str, _: Any, context: Any) -> bytes:
        return await self._calls.refuse_unknown(path, context)

    def _stream(self, answer: Callable[..., Any]) -> Any:
        return grpc.stream_unary_rpc_method_handler(answer)


def _options(settings: Settings, workers: int) -> list[tuple[str, int]]:
    return [
        ("grpc.max_receive_message_length", settings.max_body_bytes),
        ("grpc.max_send_message_length", -1),
        ("grpc.so_reuseport", int(workers > 1)),
        ("grpc.max_concurrent_streams", _MOST_STREAMS),
        ("grpc.max_connection_idle_ms", settings.keep_alive_s * 1000),
        ("grpc.server_handshake_timeout_ms", int(settings.client_timeout_s * 1000)),
        ("grpc.http2.min_ping_interval_without_data_ms", _PINGS_MS),
        ("grpc.keepalive_permit_without_calls", 1),
    ]


def _address(bound: socket.socket) -> str:
    host, port = bound.getsockname()[:2]
    return f"[{host}]:{port}" if ":" in host else f"{host}:{port}"
