"""gRPC's own health service: Check, and Watch, whose callers hear of a change within a second."""

import asyncio
import contextlib
from collections.abc import AsyncIterator
from typing import Any

import grpc

from service.engine import Engine
from service.errors import NotReady
from service.grpc.calls import parsed
from service.grpc.messages import MESSAGES, NOT_SERVING, SERVICE, SERVICE_UNKNOWN, SERVING
from service.monitoring.telemetry import Telemetry
from service.system.quoting import quote

LOOK_S = 1.0
MOST_WATCHERS = 100
"""Callers of Watch that a worker serves at a time."""


class Health:
    """Health of the process: as a whole under "", and of the inference service by its name.

    Args:
        engine: whose readiness it is.
        telemetry: counts what was answered.

    Attributes:
        closing: ends all watching once it is set.
    """

    def __init__(self, engine: Engine, telemetry: Telemetry | None) -> None:
        self._engine, self._telemetry = engine, telemetry
        self.closing = asyncio.Event()
        self._watchers = 0

    async def check(self, body: Any, context: Any) -> bytes:
        """Answer a HealthCheckRequest once."""
        status = self._status(await _service(body, context))
        self._count(404 if status == SERVICE_UNKNOWN else 200)
        if status == SERVICE_UNKNOWN:
            await context.abort(grpc.StatusCode.NOT_FOUND, f"Services here are {quote(SERVICE)} and the empty name.")
        return _response(status)

    async def watch(self, body: Any, context: Any) -> AsyncIterator[bytes]:
        """Answer a HealthCheckRequest at once and at every change."""
        service = await _service(body, context)
        if self._watchers >= MOST_WATCHERS:
            self._count(429)
            await context.abort(grpc.StatusCode.RESOURCE_EXHAUSTED, f"{MOST_WATCHERS} callers watch already.")
        self._count(200)
        self._watchers += 1
        try:
            told, ends = 0, False
            while not ends:
                ends = self.closing.is_set()
                if told != (status := self._status(service)):
                    told = status
                    yield _response(told)
                with contextlib.suppress(TimeoutError):
                    await asyncio.wait_for(self.closing.wait(), LOOK_S)
        finally:
            self._watchers -= 1

    def _count(self, status: int) -> None:
        if self._telemetry is not None:
            self._telemetry.request("health", status)

    def _status(self, service: str) -> int:
        if service not in ("", SERVICE):
            return SERVICE_UNKNOWN
        try:
            self._engine.check_ready()
        except NotReady:
            return NOT_SERVING
        return SERVING


async def _service(body: Any, context: Any) -> str:
    try:
        service: str = parsed(MESSAGES["HealthCheckRequest"], body).service
    except Exception as error:
        refusal = str(error)
    else:
        return service
    await context.abort(grpc.StatusCode.INVALID_ARGUMENT, refusal)
    raise AssertionError("abort always raises")


def _response(status: int) -> bytes:
    written: bytes = MESSAGES["HealthCheckResponse"](status=status).SerializeToString()
    return written
