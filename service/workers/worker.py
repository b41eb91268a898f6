"""Worker process: load the models, answer until a signal, finish the requests in flight."""

import asyncio
import contextlib
import logging
import os
import signal
import socket
from collections import deque
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any

import uvicorn

from service.engine import Engine
from service.http.app import Applications, create_apps
from service.http.journal import Journal
from service.logs.log import log_event
from service.monitoring.telemetry import Telemetry
from service.run_directory import RunDirectory
from service.settings import Settings
from service.versions.barrier import Barrier
from service.versions.checker import CheckLimits
from service.versions.desired_state import DesiredStateStore
from service.versions.proven import ProvenFiles
from service.versions.reconciler import Reconciler
from service.versions.shadows import Shadows
from service.versions.store_status import StoreStatusFile
from service.workers.announcement import announce
from service.workers.heartbeat import Heartbeat
from service.workers.identity import WorkerIdentity
from service.workers.launcher import LOOK_S
from service.workers.listening import Acceptor, make_listeners, uvicorn_config
from service.workers.process import GO, GO_AND_ANNOUNCE, WorkerPipes
from service.workers.shutdown import GracefulShutdown, Listener
from service.workers.sockets import Ports, bind_all, listen
from service.workers.tuning import allow_connections, on_signal, settle_memory

if TYPE_CHECKING:
    from service.grpc.server import GrpcServer

HANDLED = (signal.SIGTERM, signal.SIGINT, signal.SIGHUP)

log = logging.getLogger("service")


def run_alone(settings: Settings, directory: RunDirectory) -> None:
    """Serve as the only process: bind, load, serve until SIGTERM or SIGINT.

    Raises:
        SettingsError: the port or the run directory cannot be had.
        ArtifactError: the directory of models cannot be read.
    """
    ports = bind_all(settings)

    def begin() -> bool:
        listen(settings, ports.http)
        return True

    serve(settings, ports, begin, WorkerIdentity(0, 1, directory, None))


def run_launched(settings: Settings, arguments: Sequence[str]) -> None:
    """Serve as one of several: load, tell the launcher, serve at its word, end when it is gone.

    Args:
        settings: of the service.
        arguments: what the launcher passed on.

    Raises:
        ServiceError: as `run_alone`.
    """
    place, workers, loaded, go, *sockets = map(int, (*arguments[:2], *arguments[3:]))
    pipes, directory = WorkerPipes(loaded, go, tuple(sockets)), RunDirectory(Path(arguments[2]), workers)
    bound = [socket.socket(fileno=descriptor) for descriptor in pipes.sockets]
    ports = Ports(bound, None) if settings.grpc_port is None else Ports(bound[:-1], bound[-1])

    def begin() -> bool:
        os.write(pipes.loaded, GO)
        os.close(pipes.loaded)
        answer = os.read(pipes.go, 1)
        if not answer:
            raise SystemExit(1)
        return answer == GO_AND_ANNOUNCE

    serve(settings, ports, begin, WorkerIdentity(place, workers, directory, pipes.go))


def serve(settings: Settings, ports: Ports, begin: Callable[[], bool], identity: WorkerIdentity) -> None:
    """Load the models and serve them until SIGTERM or SIGINT.

    Return when the requests in flight have ended.

    SIGHUP has it look at the files of models and keys again.

    Args:
        settings: of the service.
        ports: where to serve.
        begin: called when the models are loaded; returns when all of it listens, and tells whether
            to announce it.
        identity: of which it is one.
    """
    log_event(log, logging.INFO, "starting", "Loading the models in %s", settings.models)
    limits = CheckLimits(settings.model_memory_bytes, settings.check_timeout_s)
    with contextlib.closing(ProvenFiles(identity.directory.path, settings.max_batch_rows, limits)) as proven:
        _load_and_serve(settings, ports, begin, identity, proven)


def _load_and_serve(
    settings: Settings,
    ports: Ports,
    begin: Callable[[], bool],
    identity: WorkerIdentity,
    proven: ProvenFiles,
) -> None:
    telemetry = Telemetry(identity.directory, settings.segments) if settings.telemetry else None
    store = DesiredStateStore(identity.directory.path)
    recorder_of = telemetry.recorder_of if telemetry else lambda *_: None
    sampler_of = telemetry.sampler_of if telemetry else lambda *_: None
    shadows = Shadows(identity.directory, identity.place)
    engine = Engine(settings, telemetry, recorder_of, store, shadows, sampler_of)
    heartbeat = Heartbeat(identity.directory, identity.place, identity.workers, settings.worker_load_timeout_s)
    catalogue = engine.catalogue
    catalogue.loading = heartbeat.loading
    if settings.models_store is not None:
        catalogue.store_status = StoreStatusFile(identity.directory.path)
    catalogue.open, catalogue.kept = proven.load_checked, proven.kept
    with heartbeat.from_a_thread():
        catalogue.scan()
        barrier = Barrier(identity.directory, identity.place, identity.workers) if identity.workers > 1 else None
        journal = Journal(settings, identity.place, telemetry.recorded if telemetry else lambda *_: None)
        apps = create_apps(engine, telemetry, journal, Reconciler(catalogue, barrier, proven))
        config = uvicorn_config(settings, apps.main)
        server = uvicorn.Server(config)
        # uvicorn would close its sockets at the first signal; here the service first serves on.
        server.capture_signals = contextlib.nullcontext  # type: ignore[method-assign, assignment]
        opening = set[asyncio.Future[Any]]()
        listeners = make_listeners(server, settings, apps, ports.http, identity.workers, opening)
        grpc = _grpc_server(apps, ports, identity.workers)
        settle_memory()
        allow_connections()
        announced = begin()  # whatever is needed of the run directory is there by now
    closing: list[Listener] = [*listeners, *([] if grpc is None else [grpc])]
    shutdown = GracefulShutdown(server, engine, closing, identity.lifeline, opening)
    with asyncio.Runner(loop_factory=config.get_loop_factory()) as runner:
        runner.get_loop().call_soon(heartbeat.start)
        runner.run(_serve(server, engine, apps, listeners, grpc, shutdown, ports if announced else None, identity))


async def _serve(
    server: uvicorn.Server,
    engine: Engine,
    apps: Applications,
    listeners: Sequence[Acceptor],
    grpc: "GrpcServer | None",
    shutdown: GracefulShutdown,
    announced: Ports | None,
    identity: WorkerIdentity,
) -> None:
    shutdown.install_signal_handlers()
    _rescan_at_sighup(apps)
    if grpc is not None:
        await grpc.start()
    tasks = [asyncio.ensure_future(announce(engine, announced))] if announced is not None else []
    if identity.lifeline is None:
        tasks.append(asyncio.ensure_future(_log_if_gone(identity.directory)))
    serving = asyncio.ensure_future(server.serve([]))
    await asyncio.sleep(0)  # now it has what a connection needs
    for listener in listeners:
        listener.start()
    await serving
    for task in tasks:
        task.cancel()
    if server.force_exit:  # uvicorn leaves it out then
        if grpc is not None:
            await grpc.end(force=True)
        await server.lifespan.shutdown()
    log_event(log, logging.INFO, "ended", "Ended")
    for number in HANDLED:  # it is ending: one more must not change its exit status
        signal.signal(number, signal.SIG_IGN)


def _grpc_server(apps: Applications, ports: Ports, workers: int) -> "GrpcServer | None":
    """Make the server of the gRPC port, whose library is loaded only where there is one."""
    if ports.grpc is None:
        return None
    from service.grpc.server import GrpcServer

    return GrpcServer(apps.shared, ports.grpc, workers)


async def _log_if_gone(directory: RunDirectory) -> None:
    """Log that the run directory has gone, if it does; with several workers the launcher does."""
    while not directory.gone:
        await asyncio.sleep(LOOK_S)
    log_event(log, logging.ERROR, "run_directory_gone", "%s", directory.gone_sentence)


def _rescan_at_sighup(apps: Applications) -> None:
    looking: deque[asyncio.Future[None]] = deque(maxlen=8)  # the loop itself holds tasks weakly

    def look_again() -> None:
        log_event(log, logging.INFO, "rescan", "SIGHUP: looking at the files of models and keys again")
        looking.append(asyncio.ensure_future(apps.rescan()))

    on_signal(signal.SIGHUP, look_again)
