"""What a service says when it has begun to serve."""

import logging
import shlex

import orjson

from service.engine import Engine
from service.errors import NotReady
from service.http.schemas import example_rows
from service.loaded_model import Model
from service.logs import log_event

_FEATURES_SHOWN = 3

log = logging.getLogger("service")


def announce(engine: Engine, address: str, operation: str | None = None) -> None:
    """Log what is served and where, and a call that works."""
    if operation is not None:
        log_event(log, logging.INFO, "operation", "Probes, metrics and admin calls are on %s", operation, url=operation)
    served = [f"{state.name} {state.served}" for state in engine.models() if state.ready]
    log_event(
        log, logging.INFO, "ready", "Serving %s on %s (documentation: %s/docs)",
        ", ".join(served) or "no model yet", address, address, url=address, models=served,
    )  # fmt: skip
    if served:
        try:
            engine.check_ready()
        except NotReady as error:
            log_event(log, logging.WARNING, "not_ready", "%s", error)
        ready = [state.name for state in engine.models() if state.ready]
        name = engine.settings.default_model if engine.settings.default_model in ready else ready[0]
        call = example_call(engine.get(name), address, engine.settings.keys_file is not None)
        log_event(log, logging.INFO, "example", "Try: %s", call)


def example_call(model: Model, address: str, needs_key: bool) -> str:
    """Return a shell line that asks the model for a prediction, with a few features of a known row."""
    row = example_rows(model.manifest)[0]
    few = {name: value for name, value in row.items() if value is not None}
    if len(row) > 2 * _FEATURES_SHOWN:
        few = dict(list(few.items())[:_FEATURES_SHOWN])
    body = shlex.quote(orjson.dumps({"instances": [few]}).decode())
    key = ' -H "Authorization: Bearer $KEY"' if needs_key else ""
    return f"curl -s {address}/v1/models/{model.name}:predict{key} -H 'Content-Type: application/json' -d {body}"
