"""What the hot path does itself, for all other requests: ids out with the answer, and the watch told how it ended."""

import re
from collections.abc import Mapping, Sequence

from starlette.routing import Route

from service.engine import Engine
from service.errors import ServiceError
from service.http.journal import CorrelationIds, Journal, RequestRecord
from service.http.types import AsgiApp, Message, Receive, Scope, Send
from service.inference.model import Model
from service.monitoring.telemetry import Telemetry

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


class Watching:
    """Hold what becomes known of a request while it is answered, in its scope under "watching"."""

    __slots__ = ("error", "identity")

    def __init__(self, identity: CorrelationIds) -> None:
        self.identity = identity
        self.error: BaseException | None = None


class Watched:
    """Journal the requests that an application answers, and send their ids back.

    Args:
        app: the application behind, whose handlers of errors find a `Watching` in the scope.
        engine: of the process.
        journal: is told.
    """

    def __init__(self, app: AsgiApp, engine: Engine, journal: Journal) -> None:
        self._app, self._engine, self._journal = app, engine, journal

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        """Serve one ASGI connection."""
        if scope["type"] != "http":
            await self._app(scope, receive, send)
            return
        arrived, headers, status = self._engine.clock(), dict(scope["headers"]), CLIENT_LEFT
        watching = Watching(self._journal.identify(headers))
        shown = watching.identity if self._journal.everything else self._journal.identify(headers, make=False)
        echoed = shown.headers()

        async def watch(message: Message) -> None:
            nonlocal status
            if message["type"] == "http.response.start":
                status = message["status"]
                own = list(message.get("headers", []))
                names = {name for name, _ in own}
                message = {**message, "headers": own + [header for header in echoed if header[0] not in names]}
            await send(message)

        try:
            await self._app({**scope, "watching": watching}, receive, watch)
        except Exception:
            if watching.error is None or status == CLIENT_LEFT:
                raise
            # It has been logged and answered; the framework only passes it on for the server to log.
        finally:
            if status >= 400 or self._journal.everything:
                self._tell(scope, watching, status, arrived)

    def _tell(self, scope: Scope, watching: Watching, status: int, arrived: float) -> None:
        method, path = scope["method"], scope["path"]
        total_s = self._engine.clock() - arrived
        route, model = route_of(method, path), model_of(self._engine, path)
        self._journal.answered(
            RequestRecord(watching.identity, method, path, route, status, watching.error, model, arrived, total_s)
        )


def methods_at(routes: Sequence[Route], path: str) -> list[str]:
    """List the methods of all routes at a path."""
    found: set[str] = set()
    for route in routes:
        match = route.path_regex.match(path)
        if match is not None and not names_a_call(match.groupdict()):
            found |= route.methods or set()
    return sorted(found | {"HEAD"} if "GET" in found else found)


def names_a_call(parameters: Mapping[str, object]) -> bool:
    """Tell whether a colon was taken for a part of a name: `hand:predict` is no model but a call."""
    return any(":" in str(value) for key, value in parameters.items() if key != "path")


class HeadLikeGet:
    """Answer HEAD wherever GET is answered, with the same head and no body.

    Args:
        app: the application behind.
        routes: all of its routes.
    """

    def __init__(self, app: AsgiApp, routes: Sequence[Route]) -> None:
        self._app, self._routes = app, routes

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        """Serve one ASGI connection."""
        if scope["type"] != "http" or scope["method"] != "HEAD" or "GET" not in methods_at(self._routes, scope["path"]):
            await self._app(scope, receive, send)
            return

        async def without_body(message: Message) -> None:
            await send({**message, "body": b""} if message["type"] == "http.response.body" else message)

        await self._app({**scope, "method": "GET"}, receive, without_body)
