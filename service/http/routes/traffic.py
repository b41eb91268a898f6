"""`GET .../gates`: what the gates do over live traffic.

Thin: name the model, ask the telemetry, write JSON.
"""

import asyncio

from fastapi import APIRouter, HTTPException, Response

from service.engine import Engine
from service.errors import ModelNotFound
from service.http.codecs.render import JsonAnswer
from service.http.openapi.typed import answers
from service.http.routes.metrics import TELEMETRY_OFF
from service.http.types import KeptVersion, PathName, Window
from service.monitoring.report import DEFAULT_WINDOW, TrafficAnswer
from service.monitoring.telemetry import Telemetry


def traffic_router(engine: Engine, telemetry: Telemetry | None) -> APIRouter:
    """Make the routes over live traffic.

    They read shared memory in a thread, off the event loop.
    """
    router = APIRouter(tags=["gates"])

    @router.get(
        "/v1/gates",
        summary="The default model's gates over live traffic",
        responses=answers(TrafficAnswer, 400, 404, 409, 503),
    )
    async def of_default(window: Window = DEFAULT_WINDOW) -> Response:
        """Describe the rows that the default model predicted lately."""
        return await _report(engine, telemetry, None, None, window)

    @router.get(
        "/v1/models/{name}/gates",
        summary="Gates over live traffic",
        responses=answers(TrafficAnswer, 400, 404, 409, 503),
    )
    async def of_model(name: PathName, window: Window = DEFAULT_WINDOW) -> Response:
        """Describe the rows a model predicted lately, beside its baseline, over all workers."""
        return await _report(engine, telemetry, name, None, window)

    @router.get(
        "/v1/models/{name}/versions/{version}/gates",
        summary="Gates of a version over live traffic",
        responses=answers(TrafficAnswer, 400, 404, 409, 503),
    )
    async def of_version(name: PathName, version: KeptVersion, window: Window = DEFAULT_WINDOW) -> Response:
        """Describe the rows that one version predicted lately; it need not be loaded any more."""
        return await _report(engine, telemetry, name, version, window)

    return router


async def _report(
    engine: Engine, telemetry: Telemetry | None, name: str | None, version: int | None, window: str
) -> Response:
    if telemetry is None:
        raise HTTPException(404, TELEMETRY_OFF)
    try:
        model = engine.get(name, version)
        model.need_gates()
        name, version = model.name, model.version
    except ModelNotFound:
        if name is None or version is None:
            raise
    telemetry.publish()
    report = await asyncio.to_thread(telemetry.gate_report, name, version, window)
    report["summed"] = engine.settings.prometheus_url is not None
    return JsonAnswer(report)
