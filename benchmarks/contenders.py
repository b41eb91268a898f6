"""Contenders: the servers compared, how each is started and where it takes each form of body."""

import sys
from collections.abc import Mapping
from dataclasses import dataclass

from benchmarks.artifacts import Artifact
from benchmarks.bodies import Format
from benchmarks.servers import Launch

SERVICE, FLOOR, BY_HAND, RAW = "service", "floor", "by hand", "raw onnxruntime"
OURS = frozenset({SERVICE, FLOOR, BY_HAND, RAW})


@dataclass(frozen=True)
class Contender:
    """One of the servers compared.

    Attributes:
        paths: where it takes each form; "{answer_bytes}" stands for the size of the service's
            answer to the same body.
        restless: it works while idle, so it is stopped (SIGSTOP) while others are measured.
    """

    name: str
    launch: Launch
    paths: Mapping[Format, str]
    restless: bool = False


def service(artifact: Artifact, workers: int = 1, telemetry: bool = True) -> Contender:
    """Start this service with its default settings on one model.

    Without telemetry only to see what that costs.
    """
    environment = {
        "MMOE_MODELS": str(artifact.home),
        "MMOE_HOST": "127.0.0.1",
        "MMOE_PORT": "{port}",
        "MMOE_WORKERS": str(workers),
        "MMOE_LOG_LEVEL": "warning",
        "MMOE_TELEMETRY": str(telemetry).lower(),
    }
    rows = f"/v1/models/{artifact.name}:predict"
    infer = f"/v2/models/{artifact.name}/infer"
    paths: dict[Format, str] = {"lists": rows, "named": rows, "v2": infer, "binary": infer}
    return Contender(SERVICE, Launch((sys.executable, "-m", "service"), "/health/ready", environment), paths)


def floor(artifact: Artifact) -> Contender:
    """Start the floor under uvicorn with the settings that the service uses."""
    lists = "json" if artifact.categorical else "numbers"
    kinds: dict[Format, str] = {"lists": lists, "named": "json", "v2": "json", "binary": "binary"}
    paths: dict[Format, str] = {form: f"/{kind}/{{answer_bytes}}" for form, kind in kinds.items()}
    return Contender(FLOOR, Launch(_uvicorn("benchmarks.floor:app"), "/json/2"), paths)


def by_hand(artifact: Artifact) -> Contender:
    """Start the FastAPI service that most would write.

    Its access log is off, so that printing does not slow it.
    """
    form: Format = "named" if artifact.categorical else "lists"
    environment = {"MODEL": str(artifact.plain)}
    return Contender(BY_HAND, Launch(_uvicorn("benchmarks.by_hand:app"), "/docs", environment), {form: "/predict"})


def _uvicorn(app: str) -> tuple[str, ...]:
    options = ("--port", "{port}", "--no-access-log", "--log-level", "warning", "--timeout-keep-alive", "75")
    return (sys.executable, "-m", "uvicorn", app, "--loop", "uvloop", "--http", "httptools", *options)
