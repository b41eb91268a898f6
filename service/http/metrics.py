"""`/metrics`, and the count of what is not on the hot path."""

import asyncio
import re
from collections.abc import Awaitable, Callable

from fastapi import APIRouter, HTTPException, Request, Response

from service.engine import Engine
from service.errors import ServiceError
from service.http.answers import TEXT, answers
from service.http.body import Message, Receive, Scope, Send
from service.loaded_model import Model
from service.telemetry import Telemetry

AsgiApp = Callable[[Scope, Receive, Send], Awaitable[None]]

TELEMETRY_OFF = "Figures are not kept here; MMOE_TELEMETRY=true keeps them."
CLIENT_LEFT = 499
"""Counted where a connection ended before its answer began."""

_MODEL = r"/v1/models/[^/:]+(/versions/[^/:]+)?"
_ASKED = re.compile(
    r"/v[12]/models/(?P<name>[^/:]+)(/versions/(?P<version>[1-9][0-9]{0,17})(?=[/:]|$))?|/v1/(predict|gates)$"
)
_ROUTES = tuple(
    (method, re.compile(pattern), route)
    for method, pattern, route in (
        (None, rf"{_MODEL}:predict|/v1/predict", "predict"),
        ("POST", rf"{_MODEL}:gates|/v1/gates", "gates"),
        (None, rf"{_MODEL}/gates|/v1/gates", "traffic"),
        (None, rf"{_MODEL}/metadata", "metadata"),
        ("GET", r"/v1/models(/.*)?", "models"),
        (None, r"/v1/(models|admin)(/.*)?", "admin"),
        (None, r"/v2/models/.+/infer", "v2_infer"),
        (None, r"/v2/repository/.+", "admin"),
        (None, r"/v2/health/.+|/health/.+", "health"),
        (None, r"/v2(/.*)?", "v2"),
        (None, r"/metrics", "metrics"),
        (None, r"/docs(/.*)?|/redoc|/openapi\.json", "docs"),
        ("GET", r"/|/[^/]+\.(html|js|css|svg|ico)|/assets/.+", "page"),
    )
)


def route_of(method: str, path: str) -> str:
    """Return the name under which a request counts, one of `instruments.ROUTES`."""
    matches = (route for only, pattern, route in _ROUTES if only in (None, method) and pattern.fullmatch(path))
    return next(matches, "other")


def model_of(engine: Engine, path: str) -> Model | None:
    """Return the loaded model that a path asks; None if it asks none, or one that is not there."""
    found = _ASKED.match(path)
    if found is None:
        return None
    name, version = found["name"], found["version"]
    try:
        return engine.get(name, int(version) if version else None)
    except ServiceError:
        return None


class Counted:
    """Count the requests that an application answers. Their time is not measured: it would blur the predictions'.

    Args:
        app: the application behind.
        engine: of the process.
        telemetry: of the process.
    """

    def __init__(self, app: AsgiApp, engine: Engine, telemetry: Telemetry) -> None:
        self._app, self._engine, self._telemetry = app, engine, telemetry

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        """Serve one ASGI connection."""
        if scope["type"] != "http":
            await self._app(scope, receive, send)
            return
        status = CLIENT_LEFT

        async def watch(message: Message) -> None:
            nonlocal status
            if message["type"] == "http.response.start":
                status = message["status"]
            await send(message)

        try:
            await self._app(scope, receive, watch)
        finally:
            path = scope["path"]
            self._telemetry.request(route_of(scope["method"], path), status, model_of(self._engine, path))


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
        """Write the metrics in the text format of Prometheus, or as OpenMetrics where that is accepted."""
        if telemetry is None:
            raise HTTPException(404, TELEMETRY_OFF)
        telemetry.publish()
        accept = request.headers.get("accept", "")
        page, content_type = await asyncio.to_thread(telemetry.prometheus, accept)
        return Response(page, headers={"content-type": content_type})

    return router
