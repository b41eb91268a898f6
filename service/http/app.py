"""Application: the hot path in front, FastAPI behind it for everything else.

    HotPath (:predict, v2 infer) -> RequestMiddleware -> FastAPI (all other routes)

Errors are answered by error_handlers.py; the one table error -> status is in errors.py.
"""

import asyncio
import contextlib
import functools
from collections.abc import AsyncIterator, Awaitable, Callable, Coroutine
from typing import Any, NamedTuple

from fastapi import APIRouter, Depends, FastAPI, Request, Response
from starlette.routing import Route

from service.engine import Engine
from service.http.admission import Admission
from service.http.codecs.endpoint import Endpoints
from service.http.codecs.render import JsonAnswer
from service.http.codecs.v2_metadata import SERVER
from service.http.error_handlers import ErrorHandlers
from service.http.front import Front
from service.http.guard import Guard, peer_of
from service.http.hosts import Hosts
from service.http.hot.predict import HotPath
from service.http.journal import Journal
from service.http.middleware import RequestMiddleware
from service.http.openapi.document import document
from service.http.openapi.typed import answer_schemas
from service.http.routes.admin import repository_router, versions_router
from service.http.routes.drift import drift_router
from service.http.routes.fleet import fleet_router
from service.http.routes.gates import gates_router
from service.http.routes.labels import labels_router
from service.http.routes.metrics import metrics_router
from service.http.routes.models import health_router, models_router
from service.http.routes.page import web_router
from service.http.routes.quality import quality_router
from service.http.routes.shadow import shadow_router
from service.http.routes.traffic import traffic_router
from service.http.routes.triton import triton_router
from service.http.routes.v2 import v2_health_router, v2_router
from service.http.types import AsgiApp
from service.keys import Keys
from service.monitoring.quality_metrics import QualityMetrics
from service.monitoring.telemetry import Telemetry
from service.versions.commands import VersionCommands
from service.versions.reconciler import Reconciler

DESCRIPTION = (
    "Predictions of a multi-task mixture of experts with, for every row, each task's gate weights over the experts."
)


class Applications(NamedTuple):
    """Applications that one process serves.

    Attributes:
        main: the ASGI application.
        operation: that of the second port, with probes, metrics and admin calls; None where there
            is one port.
        rescan: looks at the files of models and keys again.
        shared: what another transport of the process shares with them.
    """

    main: AsgiApp
    operation: AsgiApp | None
    rescan: Callable[[], Coroutine[Any, Any, None]]
    shared: "Shared"


def create_app(engine: Engine, telemetry: Telemetry | None = None, journal: Journal | None = None) -> AsgiApp:
    """Build the ASGI application of one process; see `create_apps`."""
    return create_apps(engine, telemetry, journal).main


def create_apps(
    engine: Engine,
    telemetry: Telemetry | None = None,
    journal: Journal | None = None,
    reconciler: Reconciler | None = None,
) -> Applications:
    """Build what one process serves.

    Args:
        engine: whose models are loaded.
        telemetry: notes requests and answers for live traffic and metrics; without it there are no
            such figures.
        journal: keeps the logs of requests; one of worker 0 by default.
        reconciler: of the engine's models, where it is one of several workers.

    Raises:
        SettingsError: the file of keys is wrong.
    """
    keys = Keys.of(engine.settings.keys_file)
    guard, endpoints = Guard(keys, engine.settings.local_admin), Endpoints(engine)
    shared = Shared(
        engine,
        telemetry,
        journal or Journal(engine.settings),
        reconciler or Reconciler(engine.catalogue),
        keys,
        guard,
        endpoints,
        Admission(engine.settings),
        [],
    )
    _connect_telemetry(shared)
    app, routers = _application(shared), _routers(shared)
    if engine.settings.operation_port is None:
        open_to_all = [*routers.probes, routers.page, routers.figures]
        behind, operation = _assemble(app, shared, open_to_all, [*routers.asking, *routers.admin]), None
    else:
        behind = _assemble(app, shared, [*routers.probes, routers.page], routers.asking)
        second = FastAPI(redirect_slashes=False, openapi_url=None)
        operation = _operation(_assemble(second, shared, [*routers.probes, routers.figures], routers.admin), shared)
    front = HotPath(behind, engine, endpoints, shared.admission, shared.journal, guard, telemetry)
    return Applications(front, operation, functools.partial(_rescan, shared), shared)


class Shared(NamedTuple):
    """Parts that all transports of one process share.

    Attributes:
        endings: of other transports, which the end waits for before it closes these parts.
    """

    engine: Engine
    telemetry: Telemetry | None
    journal: Journal
    reconciler: Reconciler
    keys: Keys | None
    guard: Guard
    endpoints: Endpoints
    admission: Admission
    endings: list[Callable[[], Awaitable[None]]]


class _Routers(NamedTuple):
    """All routes, by who may call them and on which port.

    Attributes:
        probes: for all, on both ports.
        page: for all, on the main port.
        figures: for all, on the second port if there is one.
        asking: with a key that may predict, on the main port.
        admin: with such a key or, where they change something, one of an admin; on the second port
            if there is one.
    """

    probes: list[APIRouter]
    page: APIRouter
    figures: APIRouter
    asking: list[APIRouter]
    admin: list[APIRouter]


def _routers(shared: Shared) -> _Routers:
    engine, telemetry, journal, reconciler, _, guard, endpoints, admission, _ = shared
    commands = VersionCommands(reconciler)
    return _Routers(
        probes=[health_router(engine), v2_health_router(engine)],
        page=web_router(),
        figures=metrics_router(telemetry),
        asking=[
            models_router(engine),
            gates_router(engine, endpoints, admission),
            triton_router(engine, endpoints, telemetry),
            v2_router(engine, endpoints),
            traffic_router(engine, telemetry),
            drift_router(engine, telemetry),
            fleet_router(engine),
            quality_router(engine, engine.settings.quality),
            labels_router(engine, endpoints, admission, journal.labels),
        ],
        admin=[
            repository_router(engine, commands, guard, admission),
            versions_router(engine, commands, guard, admission),
            shadow_router(engine, commands, guard, admission),
        ],
    )


def _connect_telemetry(shared: Shared) -> None:
    """Connect the metrics to swaps, to the versions that are refused and to comparisons."""
    engine, telemetry = shared.engine, shared.telemetry
    if telemetry is not None:
        shared.reconciler.after = lambda: telemetry.tick(engine.batcher.queued_rows, engine.catalogue.loaded())
        directory = engine.settings.quality
        telemetry.quality = None if directory is None else QualityMetrics(directory)
        telemetry.refused, telemetry.shadows = engine.catalogue.refused, engine.catalogue.shadow_figures
        telemetry.serving = engine.catalogue.serving_figures
        if engine.catalogue.store_status is not None:
            telemetry.store = engine.catalogue.store_status.metrics


def _application(shared: Shared) -> FastAPI:
    """Make the main application, with its description and no other route yet."""
    app = FastAPI(
        title=SERVER,
        description=DESCRIPTION,
        lifespan=_lifespan(shared),
        redirect_slashes=False,
        openapi_url=None,  # nor has it a page of its own, which would come from a CDN: see page.py
    )
    _describe(app, shared.engine, shared.guard)
    return app


def _operation(behind: AsgiApp, shared: Shared) -> AsgiApp:
    settings = shared.engine.settings
    hosts = Hosts.of(settings, operation=True)
    return Front(behind, settings, hosts, shared.journal, shared.engine.clock, shared.telemetry)


def _assemble(app: FastAPI, shared: Shared, open_to_all: list[APIRouter], guarded: list[APIRouter]) -> AsgiApp:
    """Give an application its routes, and put in front of it what every request passes."""
    for router in open_to_all:
        app.include_router(router)
    for router in guarded:
        app.include_router(router, dependencies=[Depends(shared.guard.predict)], responses={401: {}})
    every = [*app.router.routes, *(route for router in (*open_to_all, *guarded) for route in router.routes)]
    routes = [route for route in every if isinstance(route, Route)]
    ErrorHandlers(routes, shared.telemetry, shared.journal).attach(app)
    return RequestMiddleware(app, routes, shared.engine, shared.journal, shared.telemetry)


async def _rescan(shared: Shared) -> None:
    if shared.keys is not None:
        await asyncio.to_thread(shared.keys.reload)
    await shared.reconciler.rescan()


def _lifespan(shared: Shared) -> Callable[[FastAPI], Any]:
    engine, telemetry, journal, reconciler, keys, *_ = shared

    @contextlib.asynccontextmanager
    async def lifespan(app: FastAPI) -> AsyncIterator[None]:
        """Keep models, telemetry and keys up to date; end all threads after it."""
        keeping = [asyncio.create_task(reconciler.keep_reconciling())]
        if telemetry is not None:
            ticking = telemetry.keep_ticking(lambda: engine.batcher.queued_rows, engine.catalogue.loaded)
            keeping.append(asyncio.create_task(ticking))
        if keys is not None:
            keeping.append(asyncio.create_task(keys.keep_reloading()))
        yield
        for ending in shared.endings:
            await ending()
        for task in keeping:
            task.cancel()
            with contextlib.suppress(asyncio.CancelledError):
                await task
        if telemetry is not None:
            telemetry.close()
        engine.close()
        journal.close()

    return lifespan


def _describe(app: FastAPI, engine: Engine, guard: Guard) -> None:
    """Add /openapi.json, which names the features of what is loaded to who may know them."""
    typed = functools.cache(answer_schemas)  # made when first asked for

    @app.get("/openapi.json", include_in_schema=False)
    async def openapi(request: Request) -> Response:
        """Describe the calls."""
        known = guard.knows(dict(request.scope["headers"]), peer_of(request.scope))
        schemas = await asyncio.to_thread(typed)
        return JsonAnswer(document(app, engine, schemas, guard.keys is not None, known))
