"""A real service that all tests here ask, engines of a test's own, and the closed form of the
default model.
"""

import contextlib
import json
import threading
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import httpx
import pytest

from service.engine import Engine
from service.monitoring.telemetry import Telemetry
from service.run_directory import RunDirectory
from service.settings import Settings


@pytest.fixture(autouse=True)
def nothing_is_printed_later() -> Iterator[None]:
    """Check that no request log outlives its test.

    Its lines would come amid what pytest prints.
    """
    yield
    assert "request log" not in {thread.name for thread in threading.enumerate()}


@pytest.fixture(scope="session")
def service(models: Path, start_service: Callable[..., Any]) -> Iterator[Any]:
    """Run one service for all tests that only ask.

    Strict limits, `hand` by default, admin calls from here.
    """
    limits = {"max_rows": "50", "max_body_bytes": "100000", "max_inflated_bytes": "200000"}
    with start_service(models, default_model="hand", loaded_versions="2", local_admin="true", **limits) as started:
        yield started


@pytest.fixture(scope="session")
def client(service: Any) -> Iterator[httpx.Client]:
    with httpx.Client(base_url=service.url, timeout=30) as made:
        yield made


@pytest.fixture
def own_hand(tmp_path: Path, hand_model: Callable[..., Path]) -> Path:
    """Write version 1 of `hand` to a directory of the test's own.

    Return the directory of models, `tmp_path`.
    """
    hand_model(tmp_path, "hand", 1)
    return tmp_path


@pytest.fixture
def open_engine() -> Iterator[Callable[..., Engine]]:
    """Give a function that opens an engine, closed when the test ends.

    `open_engine(models, max_rows=50)`.
    """
    with contextlib.ExitStack() as stack:

        def open_one(models: Path, **settings: Any) -> Engine:
            engine = Engine(Settings(models=models, **{"log_requests": "off", **settings}))
            stack.callback(engine.close)
            engine.catalogue.scan()
            return engine

        yield open_one


@pytest.fixture
def engine(own_hand: Path, open_engine: Callable[..., Engine]) -> Engine:
    """Open an engine that serves `hand`, version 1, and takes bodies of at most 4 KiB."""
    return open_engine(own_hand, max_body_bytes=4096)


@pytest.fixture
def telemetry(tmp_path: Path) -> Iterator[Telemetry]:
    """Give the telemetry of an instance of one worker."""
    with RunDirectory.create(1, tmp_path / "memory") as directory:
        made = Telemetry(directory)
        yield made
        made.close()


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
