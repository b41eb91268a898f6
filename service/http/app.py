"""The application: the hot path in front, FastAPI behind it for everything else, errors in one shape.

    HotPath (:predict, v2 infer) -> Counted (metrics) -> FastAPI (models, gates, v2, health, docs, metrics, page)

The one table error -> status is in errors.py beside this file.
"""

import asyncio
import contextlib
from collections.abc import AsyncIterator, Callable, Coroutine, Mapping, Sequence
from typing import Any, NamedTuple

from fastapi import APIRouter, Depends, FastAPI, Request, Response
from fastapi.exceptions import RequestValidationError
from starlette.exceptions import HTTPException
from starlette.routing import Route

from service.engine import Engine
from service.errors import MalformedRequest, ServiceError
from service.http.body import Disconnected, Message, Receive, Scope, Send
from service.http.endpoint import Endpoints
from service.http.errors import Response as Problem
from service.http.errors import find, plain_problem
from service.http.errors import write as write_error
from service.http.gates import gates_router
from service.http.guard import Guard
from service.http.metrics import Counted, metrics_router
from service.http.models import health_router, models_router
from service.http.openapi import document
from service.http.predict import AsgiApp, HotPath
from service.http.repository import repository_router
from service.http.traffic import traffic_router
from service.http.v2 import SERVER, v2_health_router, v2_router
from service.http.versions import shadow_router, versions_router
from service.http.watch import Watch, Watched, Watching
from service.http.web import web_router
from service.keys import Keys
from service.reload import Keeper
from service.telemetry import Telemetry

DESCRIPTION = (
    "Predictions of a multi-task mixture of experts with, for every row, each task's gate weights over the experts."
)

_OF_STARLETTE = ("Not Found", "Method Not Allowed")


class Apps(NamedTuple):
    """Hold what one process serves.

    Attributes:
        main: the ASGI application.
        operation: that of the second port, with probes, metrics and admin calls; None where there is one port.
        rescan: looks at the files of models and keys again.
    """

    main: AsgiApp
    operation: AsgiApp | None
    rescan: Callable[[], Coroutine[Any, Any, None]]


def create_app(engine: Engine, telemetry: Telemetry | None = None, watch: Watch | None = None) -> AsgiApp:
    """Build the ASGI application of one process; see `create_apps`."""
    return create_apps(engine, telemetry, watch).main


def create_apps(
    engine: Engine, telemetry: Telemetry | None = None, watch: Watch | None = None, keeper: Keeper | None = None
) -> Apps:
    """Build what one process serves.

    Args:
        engine: whose models are loaded.
        telemetry: notes requests and answers for live traffic and metrics; without it there are no such figures.
        watch: keeps the logs of requests; one of worker 0 by default.
        keeper: of the engine's models, where it is one of several workers.

    Raises:
        SettingsError: the file of keys is wrong.
    """
    endpoints, watch = Endpoints(engine), watch or Watch(engine.settings)
    keys = Keys.of(engine.settings.keys_file)
    guard = Guard(keys, engine.settings.local_admin)

    def tick() -> None:
        if telemetry is not None:
            telemetry.tick(engine.batcher.queued_rows, engine.loaded())

    keeper = keeper or Keeper(engine)
    keeper.after = tick
    probes = [health_router(engine), v2_health_router(engine)]
    asking = [models_router(engine), gates_router(engine, endpoints), v2_router(engine, endpoints)]
    admin = [repository_router(engine, keeper, guard), versions_router(engine, keeper, guard)]
    admin.append(shadow_router(engine, guard))
    figures = [metrics_router(telemetry)]
    asking.append(traffic_router(engine, telemetry))
    if telemetry is not None:
        telemetry.refused, telemetry.shadows = engine.refused, engine.shadow_figures

    def build(app: FastAPI, open_to_all: list[APIRouter], guarded: list[APIRouter]) -> AsgiApp:
        for router in open_to_all:
            app.include_router(router)
        for router in guarded:
            app.include_router(router, dependencies=[Depends(guard.predict)], responses={401: {}})
        every = [*app.router.routes, *(route for router in (*open_to_all, *guarded) for route in router.routes)]
        routes = [route for route in every if isinstance(route, Route)]
        _handle_errors(app, routes, telemetry, watch)
        behind: AsgiApp = _HeadLikeGet(app, routes)
        if telemetry is not None:
            behind = Counted(behind, engine, telemetry)
        return Watched(behind, engine, watch)

    app = FastAPI(
        title=SERVER,
        description=DESCRIPTION,
        lifespan=_lifespan(engine, keeper, telemetry, keys, watch),
        redirect_slashes=False,
        openapi_url=None,  # nor has it a page of its own, which would come from a CDN: see web.py
    )
    _describe(app, engine, guard)
    operation = None
    if engine.settings.operation_port is None:
        behind = build(app, [*probes, web_router(), *figures], [*asking, *admin])
    else:
        behind = build(app, [*probes, web_router()], asking)
        operation = build(FastAPI(redirect_slashes=False, openapi_url=None), [*probes, *figures], admin)

    async def rescan() -> None:
        if keys is not None:
            await asyncio.to_thread(keys.reload)
        await keeper.rescan()

    return Apps(HotPath(behind, engine, endpoints, watch, guard, telemetry), operation, rescan)


def _lifespan(
    engine: Engine, keeper: Keeper, telemetry: Telemetry | None, keys: Keys | None, watch: Watch
) -> Callable[[FastAPI], Any]:
    @contextlib.asynccontextmanager
    async def lifespan(app: FastAPI) -> AsyncIterator[None]:
        """Keep models, telemetry and keys up to date while the service runs, and end the engine's threads after it."""
        keeping = [asyncio.create_task(keeper.keep_following())]
        if telemetry is not None:
            ticking = telemetry.keep_ticking(lambda: engine.batcher.queued_rows, engine.loaded)
            keeping.append(asyncio.create_task(ticking))
        if keys is not None:
            keeping.append(asyncio.create_task(keys.keep_following()))
        yield
        for task in keeping:
            task.cancel()
            with contextlib.suppress(asyncio.CancelledError):
                await task
        if telemetry is not None:
            telemetry.close()
        engine.close()
        watch.close()

    return lifespan


def _handle_errors(app: FastAPI, routes: Sequence[Route], telemetry: Telemetry | None, watch: Watch) -> None:
    """Answer every error in the shape of its protocol."""

    def known(request: Request) -> bytes:
        watching: Watching = request.scope["watching"]
        return watching.identity.request_id or b""

    def write(request: Request, error: Exception) -> Problem:
        path, watching = request.scope["path"], request.scope["watching"]
        watching.error = error
        if telemetry is not None:
            telemetry.rejected(find(error).code)
        if not isinstance(error, ServiceError):
            watch.failed(watching.identity, path, error)
        return write_error(error, path, known(request))

    async def of_the_tree(request: Request, error: Exception) -> Response:
        return _response(write(request, error))

    async def of_parameters(request: Request, error: Exception) -> Response:
        assert isinstance(error, RequestValidationError)
        if _names_a_call(request.scope.get("path_params", {})):
            return await of_http(request, HTTPException(404))
        first = error.errors()[0]
        came = f"the parameter {str(first['loc'][-1])!r} is {str(first.get('input'))[:100]!r}"
        expected = first["msg"].removeprefix("Input should be ").partition(", unable")[0]
        return _response(write(request, MalformedRequest(came, expected)))

    async def of_http(request: Request, error: Exception) -> Response:
        assert isinstance(error, HTTPException)
        path, detail = request.scope["path"], str(error.detail)
        status = error.status_code
        methods = _methods(routes, path) if status in (404, 405) and detail in _OF_STARLETTE else []
        if status in (404, 405) and detail in _OF_STARLETTE:
            status = 405 if methods and request.method not in methods else 404
            detail = f"There is nothing at {path[:200]!r}; GET /docs lists what there is."
        if status == 405:
            detail = f"{request.method} is not possible at {path[:200]!r}; GET /docs shows what is."
        headers = [(b"allow", ", ".join(methods).encode())] if status == 405 else []
        return _response(plain_problem(status, detail, path, known(request), headers))

    async def of_the_client(request: Request, error: Exception) -> Response:
        return Response(status_code=400)  # nobody is there to read it

    app.add_exception_handler(ServiceError, of_the_tree)
    app.add_exception_handler(RequestValidationError, of_parameters)
    app.add_exception_handler(HTTPException, of_http)
    app.add_exception_handler(Disconnected, of_the_client)
    app.add_exception_handler(Exception, of_the_tree)


def _describe(app: FastAPI, engine: Engine, guard: Guard) -> None:
    """Let /openapi.json name the features of whatever is loaded when it is asked, to those who may know them."""

    @app.get("/openapi.json", include_in_schema=False)
    async def openapi(request: Request) -> dict[str, Any]:
        """Describe the calls."""
        return document(app, engine, guard.keys is not None, guard.knows(dict(request.scope["headers"])))


def _response(answer: Problem) -> Response:
    response = Response(answer.body, answer.status)
    response.raw_headers[:] = answer.headers
    return response


def _methods(routes: Sequence[Route], path: str) -> list[str]:
    """List the methods of all routes at a path."""
    found: set[str] = set()
    for route in routes:
        match = route.path_regex.match(path)
        if match is not None and not _names_a_call(match.groupdict()):
            found |= route.methods or set()
    return sorted(found | {"HEAD"} if "GET" in found else found)


def _names_a_call(parameters: Mapping[str, object]) -> bool:
    """Tell whether a colon was taken for a part of a name: `hand:predict` is no model but a call."""
    return any(":" in str(value) for key, value in parameters.items() if key != "path")


class _HeadLikeGet:
    """Answer HEAD wherever GET is answered, with the same head and no body."""

    def __init__(self, app: AsgiApp, routes: Sequence[Route]) -> None:
        self._app, self._routes = app, routes

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        if scope["type"] != "http" or scope["method"] != "HEAD" or "GET" not in _methods(self._routes, scope["path"]):
            await self._app(scope, receive, send)
            return

        async def without_body(message: Message) -> None:
            await send({**message, "body": b""} if message["type"] == "http.response.body" else message)

        await self._app({**scope, "method": "GET"}, receive, without_body)
