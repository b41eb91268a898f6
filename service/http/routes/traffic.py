"""`GET .../gates` and `.../drift`: what the gates do over live traffic, and what moved.

Thin: name the model, ask the telemetry, write JSON.
"""

import asyncio
from typing import Annotated

from fastapi import APIRouter, HTTPException, Path, Query, Response

from service.engine import Engine
from service.errors import ModelNotFound
from service.http.codecs.render import JsonAnswer
from service.http.openapi.answers import answers
from service.http.routes.metrics import TELEMETRY_OFF
from service.http.types import PathName
from service.monitoring.drift_report import DriftAnswer
from service.monitoring.report import DEFAULT_WINDOW, TrafficAnswer
from service.monitoring.telemetry import Telemetry
from service.monitoring.windows import WINDOWS

Window = Annotated[str, Query(description="How far to look back from now.", json_schema_extra={"enum": list(WINDOWS)})]
PathVersion = Annotated[int, Path(description="Version; also one that was served before and is still kept.", ge=1)]


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
    async def of_version(name: PathName, version: PathVersion, window: Window = DEFAULT_WINDOW) -> Response:
        """Describe the rows that one version predicted lately; it need not be loaded any more."""
        return await _report(engine, telemetry, name, version, window)

    @router.get(
        "/v1/models/{name}/drift",
        summary="Drift of features and predictions",
        responses=answers(DriftAnswer, 400, 404, 503),
    )
    async def drift_of_model(name: PathName, window: Window = DEFAULT_WINDOW) -> Response:
        """Set the rows a model predicted lately beside its baseline, over all workers."""
        return await _drift(engine, telemetry, name, None, window)

    @router.get(
        "/v1/models/{name}/versions/{version}/drift",
        summary="Drift of a version's features and predictions",
        responses=answers(DriftAnswer, 400, 404, 503),
    )
    async def drift_of_version(name: PathName, version: PathVersion, window: Window = DEFAULT_WINDOW) -> Response:
        """Set the rows that one version predicted lately beside its baseline."""
        return await _drift(engine, telemetry, name, version, window)

    return router


async def _drift(engine: Engine, telemetry: Telemetry | None, name: str, version: int | None, window: str) -> Response:
    if telemetry is None:
        raise HTTPException(404, TELEMETRY_OFF)
    predictor = None
    try:
        model = engine.get(name, version)
        version, predictor = model.version, model.predictor
    except ModelNotFound:
        if version is None:
            raise
    telemetry.publish()
    report = await asyncio.to_thread(telemetry.drift_report, name, version, window, predictor)
    return JsonAnswer(report)


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
    return JsonAnswer(report)
