"""`/metrics`, and the count of what is not on the hot path."""

import asyncio

from fastapi import APIRouter, HTTPException, Request, Response

from service.http.openapi.schemas import TEXT
from service.http.openapi.typed import answers
from service.monitoring.telemetry import Telemetry

TELEMETRY_OFF = "Figures are not kept here; MMOE_TELEMETRY=true keeps them."


def metrics_router(telemetry: Telemetry | None) -> APIRouter:
    """Make the route that Prometheus scrapes; it is rendered in a thread, off the event loop."""
    router = APIRouter()

    @router.get(
        "/metrics",
        summary="Metrics of all workers, for Prometheus",
        tags=["operation"],
        responses=answers(None, 404, **dict.fromkeys(("text__plain", "application__openmetrics-text"), TEXT)),
    )
    async def metrics(request: Request) -> Response:
        """Write the metrics as Prometheus' text, or as OpenMetrics where that is accepted."""
        if telemetry is None:
            raise HTTPException(404, TELEMETRY_OFF)
        telemetry.publish()
        accept = request.headers.get("accept", "")
        page, content_type = await asyncio.to_thread(telemetry.prometheus, accept)
        return Response(page, headers={"content-type": content_type})

    return router
