"""`GET .../drift`, `.../segments` and `.../comparison`: what moved in live traffic, and where.

Thin: name the model, ask the telemetry, write JSON.
"""

import asyncio
from typing import Annotated

from fastapi import APIRouter, HTTPException, Query, Response

from service.engine import Engine
from service.errors import ModelNotFound
from service.http.codecs.render import JsonAnswer
from service.http.openapi.answers import Compared
from service.http.openapi.typed import answers
from service.http.routes.metrics import TELEMETRY_OFF
from service.http.types import KeptVersion, PathName, Window
from service.monitoring.drift_report import CELLS, DriftAnswer
from service.monitoring.report import DEFAULT_WINDOW
from service.monitoring.segment_report import SegmentsAnswer
from service.monitoring.shadow_report import shadow_report
from service.monitoring.telemetry import Telemetry
from service.versions.side_by_side import side_by_side

Cells = Annotated[
    str,
    Query(
        description="Whose shares of cells are listed: of all, or of what moved.",
        json_schema_extra={"enum": list(CELLS)},
    ),
]
Other = Annotated[int, Query(description="Version to compare it with.", ge=1)]
Feature = Annotated[str | None, Query(description="One that MMOE_SEGMENTS names; by default the first.")]
SEGMENTS_OFF = (
    "The traffic of this model is not told apart by features. Name some of its features in MMOE_SEGMENTS, as in "
    "census=education+sex; bags and ids are not taken, and the file needs a baseline (export it again)."
)


def drift_router(engine: Engine, telemetry: Telemetry | None) -> APIRouter:
    """Make the routes over what moved.

    They read shared memory in a thread, off the event loop.
    """
    router = APIRouter(tags=["gates"])

    @router.get(
        "/v1/models/{name}/drift",
        summary="Drift of features and predictions",
        responses=answers(DriftAnswer, 400, 404, 503),
    )
    async def drift_of_model(name: PathName, window: Window = DEFAULT_WINDOW, cells: Cells = CELLS[0]) -> Response:
        """Set the rows a model predicted lately beside its baseline, over all workers."""
        return await _drift(engine, telemetry, (name, None), window, cells)

    @router.get(
        "/v1/models/{name}/versions/{version}/drift",
        summary="Drift of a version's features and predictions",
        responses=answers(DriftAnswer, 400, 404, 503),
    )
    async def drift_of_version(
        name: PathName, version: KeptVersion, window: Window = DEFAULT_WINDOW, cells: Cells = CELLS[0]
    ) -> Response:
        """Set the rows that one version predicted lately beside its baseline."""
        return await _drift(engine, telemetry, (name, version), window, cells)

    @router.get(
        "/v1/models/{name}/segments",
        summary="Live traffic by the values of a feature",
        responses=answers(SegmentsAnswer, 400, 404, 503),
    )
    async def segments(name: PathName, feature: Feature = None, window: Window = DEFAULT_WINDOW) -> Response:
        """Tell the gates and predictions of the served version apart by a feature.

        One that MMOE_SEGMENTS names for the model.
        """
        if telemetry is None:
            raise HTTPException(404, TELEMETRY_OFF)
        version = engine.get(name).version
        telemetry.publish()
        report = await asyncio.to_thread(telemetry.segment_report, name, version, feature, window)
        if report is None:
            raise HTTPException(404, SEGMENTS_OFF)
        return JsonAnswer(report)

    @router.get(
        "/v1/models/{name}/versions/{version}/comparison",
        summary="Two versions on the same rows",
        responses=answers(Compared, 400, 404, 409, 503),
    )
    async def comparison(
        name: PathName, version: KeptVersion, other: Other, window: Window = DEFAULT_WINDOW
    ) -> Response:
        """Run some rows of the served version's traffic by two loaded versions, and compare.

        Predictions and gates, by matched experts, as a shadow version is compared.
        """
        return await _comparison(engine, telemetry, name, (version, other), window)

    return router


async def _comparison(
    engine: Engine, telemetry: Telemetry | None, name: str, versions: tuple[int, int], window: str
) -> Response:
    if telemetry is None:
        raise HTTPException(404, TELEMETRY_OFF)
    served, (one, other) = engine.get(name), (engine.get(name, version) for version in versions)
    telemetry.publish()
    rows = await asyncio.to_thread(telemetry.kept_rows, name, served.version, window)
    numbered = [(model.version, model.predictor) for model in (one, other, served)]
    found = await asyncio.to_thread(side_by_side, name, (numbered[0], numbered[1]), numbered[2], rows)
    answer: Compared = {
        "model": name,
        "version": one.version,
        "other": other.version,
        "window": window,
        **shadow_report(found),
    }
    return JsonAnswer(answer)


async def _drift(
    engine: Engine, telemetry: Telemetry | None, named: tuple[str, int | None], window: str, cells: str
) -> Response:
    (name, version), predictor = named, None
    if telemetry is None:
        raise HTTPException(404, TELEMETRY_OFF)
    try:
        model = engine.get(name, version)
        if model.manifest.baseline is None:
            raise HTTPException(
                404, f"The file of {name} {model.version} has no baseline of its rows. Export it again."
            )
        version, predictor = model.version, model.predictor
    except ModelNotFound:
        if version is None:
            raise
    telemetry.publish()
    report = await asyncio.to_thread(telemetry.drift_report, name, version, window, predictor, cells)
    return JsonAnswer(report)
