"""Announcement of a service in its log: where it listens, what it serves, that it is ready."""

import asyncio
import logging
import shlex
import socket

import orjson

from service.engine import Engine
from service.errors import NotReady
from service.http.openapi.schemas import example_rows
from service.inference.model import Model
from service.logs.log import log_event
from service.workers.sockets import Ports, bound_to_all, local_address, url

LOOK_S = 0.1
"""Seconds between two looks whether the service is ready."""

_FEATURES_SHOWN = 3

log = logging.getLogger("service")


async def announce(engine: Engine, ports: Ports) -> None:
    """Log where the service listens, what it serves, when it is ready, and a call that works.

    Args:
        engine: of the process that speaks for all.
        ports: bound.
    """
    main = ports.http[0]
    for operation in ports.http[1:]:
        log_event(
            log, logging.INFO, "operation", "Probes, metrics and admin calls are on %s%s",
            url(operation), _reach(operation), url=url(operation), bound=local_address(operation),
        )  # fmt: skip
    if ports.grpc is not None:
        sentence, place = "gRPC (Open Inference Protocol) is on %s", local_address(ports.grpc)
        log_event(log, logging.INFO, "grpc", sentence, place, bound=place)
    if (reason := _reason_against(engine)) is not None:
        _log_served(engine, "listening", main)
        log_event(log, logging.WARNING, "not_ready", "%s", reason)
        while _reason_against(engine) is not None:
            await asyncio.sleep(LOOK_S)
    _log_served(engine, "ready", main)
    ready = [state.name for state in engine.models() if state.ready]
    name = engine.settings.default_model if engine.settings.default_model in ready else ready[0]
    call = example_call(engine.get(name), url(main), engine.settings.keys_file is not None)
    log_event(log, logging.INFO, "example", "Try: %s", call)


def _log_served(engine: Engine, event: str, main: socket.socket) -> None:
    served = [f"{state.name} {state.served}" for state in engine.models() if state.ready]
    log_event(
        log, logging.INFO, event, "Serving %s on %s (documentation: %s/docs)%s",
        ", ".join(served) or "no model yet", url(main), url(main), _reach(main),
        url=url(main), bound=local_address(main), models=served,
    )  # fmt: skip


def _reason_against(engine: Engine) -> str | None:
    """Return why the service is not ready; None if it is."""
    try:
        engine.check_ready()
    except NotReady as error:
        return str(error)
    return None


def _reach(bound: socket.socket) -> str:
    return f"; it listens on every address of this machine ({local_address(bound)})" if bound_to_all(bound) else ""


def example_call(model: Model, address: str, needs_key: bool) -> str:
    """Return a shell command that asks for a prediction, with a few features of a known row."""
    row = example_rows(model.manifest)[0]
    few = {name: value for name, value in row.items() if value is not None}
    if len(row) > 2 * _FEATURES_SHOWN:
        few = dict(list(few.items())[:_FEATURES_SHOWN])
    body = shlex.quote(orjson.dumps({"instances": [few]}).decode())
    key = ' -H "Authorization: Bearer $KEY"' if needs_key else ""
    return f"curl -s {address}/v1/models/{model.name}:predict{key} -H 'Content-Type: application/json' -d {body}"
