"""`GET .../gates/all`: live traffic of all instances, where a Prometheus knows it."""

from fastapi import APIRouter, HTTPException, Response

from service.engine import Engine
from service.http.codecs.render import JsonAnswer
from service.http.openapi.typed import answers
from service.http.types import PathName, Window
from service.monitoring.fleet import Fleet, FleetAnswer, PrometheusError
from service.monitoring.report import DEFAULT_WINDOW

FLEET_OFF = (
    "This service knows its own traffic alone. "
    "Set MMOE_PROMETHEUS_URL to a Prometheus that scrapes every instance, for their sum."
)


def fleet_router(engine: Engine) -> APIRouter:
    """Make the route; Prometheus is asked in a thread, off the event loop."""
    router = APIRouter(tags=["gates"])
    url = engine.settings.prometheus_url
    fleet = None if url is None else Fleet(url)

    @router.get(
        "/v1/models/{name}/gates/all",
        summary="Gates over live traffic of all instances",
        responses=answers(FleetAnswer, 400, 404, 409, 503),
    )
    async def of_all(name: PathName, window: Window = DEFAULT_WINDOW) -> Response:
        """Sum what the served version's gates did lately over all instances.

        As far as the Prometheus of MMOE_PROMETHEUS_URL has scraped them.
        """
        if fleet is None:
            raise HTTPException(404, FLEET_OFF)
        model = engine.get(name)
        model.need_gates()
        try:
            report = await fleet.report(model.name, model.version, model.manifest, window)
        except PrometheusError as error:
            detail = f"The Prometheus of MMOE_PROMETHEUS_URL cannot be asked ({error}). Its figures may come back."
            raise HTTPException(503, detail, {"Retry-After": "5"}) from None
        return JsonAnswer(report)

    return router
