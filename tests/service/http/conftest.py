"""Real servers on free ports: `python -m service` in a process of its own, up when it says so, ended by SIGTERM."""

import json
import os
import queue
import re
import signal
import subprocess
import sys
import threading
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import httpx
import pytest

ROOT = Path(__file__).parents[3]
START_TIMEOUT_S, END_TIMEOUT_S = 60, 30


class Service:
    """Hold a running service."""

    def __init__(self, models: Path, settings: dict[str, str]) -> None:
        quiet = {key: value for key, value in os.environ.items() if not key.startswith("MMOE_")}
        environment = quiet | {"MMOE_MODELS": str(models), "MMOE_PORT": "0", "PYTHONUNBUFFERED": "1"} | settings
        self.process = subprocess.Popen(
            [sys.executable, "-m", "service"], cwd=ROOT, env=environment, stderr=subprocess.PIPE, text=True
        )
        self.lines: list[str] = []
        self._queue: queue.Queue[str | None] = queue.Queue()
        self._reader = threading.Thread(target=self._read)
        self._reader.start()
        self.url = ""

    def _read(self) -> None:
        assert self.process.stderr
        for line in self.process.stderr:
            self._queue.put(line)
        self._queue.put(None)

    def wait_for(self, pattern: str) -> "re.Match[str]":
        """Read the log up to a line that matches."""
        while True:
            line = self._queue.get(timeout=START_TIMEOUT_S)
            assert line is not None, f"the service ended before it said {pattern!r}:\n{''.join(self.lines)}"
            self.lines.append(line)
            if found := re.search(pattern, line):
                return found

    def end(self, number: signal.Signals = signal.SIGTERM) -> int:
        """Signal the process, wait until it ends, return its status; kill it if it does not."""
        if self.process.poll() is None:
            self.process.send_signal(number)
        try:
            return self.process.wait(END_TIMEOUT_S)
        except subprocess.TimeoutExpired:
            self.process.kill()
            self.process.wait()
            raise
        finally:
            self._reader.join()
            assert self.process.stderr
            self.process.stderr.close()


Start = Callable[..., Any]


@contextmanager
def running(models: Path, **settings: str) -> Iterator[Service]:
    service = Service(models, {f"MMOE_{key.upper()}": value for key, value in settings.items()})
    try:
        service.url = service.wait_for(r"Serving .* on (http://\S+)")[1]
        yield service
    finally:
        service.end()


@pytest.fixture(scope="session")
def start_service() -> Start:
    """Give a context manager that runs a service: `with start_service(models, max_rows="5") as service`."""
    return running


@pytest.fixture(scope="session")
def models(tmp_path_factory: pytest.TempPathFactory, hand_model: Callable[..., Path]) -> Path:
    """Write the models that the shared service serves: `hand` (versions 1 and 2), `wide`, `plain`."""
    root = tmp_path_factory.mktemp("models")
    hand_model(root, "hand", 1)
    hand_model(root, "hand", 2, seed=5)
    hand_model(root, "wide", 1, kind="wide", tasks=("price", "sold"))
    hand_model(root, "plain", 1, kind="plain")
    return root


@pytest.fixture(scope="session")
def service(models: Path) -> Iterator[Service]:
    """Run one service for all tests that only ask: strict limits, `hand` by default."""
    limits = {"max_rows": "50", "max_body_bytes": "100000", "max_inflated_bytes": "200000"}
    with running(models, default_model="hand", loaded_versions="2", **limits) as started:
        yield started


@pytest.fixture(scope="session")
def client(service: Service) -> Iterator[httpx.Client]:
    with httpx.Client(base_url=service.url, timeout=30) as made:
        yield made


@dataclass(frozen=True)
class Oracle:
    """Answer for the hand-made model `hand`, version 2, in float64."""

    weights: Any

    def answer(self, rows: list[dict[str, Any]]) -> dict[str, Any]:
        import numpy as np

        numeric = np.array([[row.get(name) for name in self.weights.names] for row in rows], np.float64)
        texts = np.array([[row.get(name) or "" for name in self.weights.vocabularies] for row in rows], object)
        answers: dict[str, Any] = self.weights.answer(numeric, texts)
        return answers


@pytest.fixture(scope="session")
def oracle(hand_weights: Callable[..., Any]) -> Oracle:
    """Give the closed form of `hand`, version 2."""
    return Oracle(hand_weights(seed=5))


ROWS: list[dict[str, Any]] = [
    {"age": 9.5, "height": 12, "balance": -3.25, "colour": "red", "city": "Oslo"},
    {"age": None, "height": 7.75, "colour": "never seen", "city": ""},
    {"balance": 10.125, "colour": None},
]


@pytest.fixture
def rows() -> list[dict[str, Any]]:
    """Give rows of `hand` with missing, null, unknown and left-out values."""
    return json.loads(json.dumps(ROWS))  # type: ignore[no-any-return]
