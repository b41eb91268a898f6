"""A wall clock that jumps moves nothing.

Windows, deadlines, rates, connections and the end go by the monotonic one.
"""

import ast
from collections.abc import Callable
from functools import partial
from pathlib import Path

import httpx
import pytest

from tests.support.load import Load, Question, play
from tests.support.metrics import awaited, metric, settled
from tests.support.server import ROOT, running

pytestmark = pytest.mark.alone

JUMPING = """
import itertools, time
real, jumps = time.time, itertools.cycle((0.0, 86400.0, -86400.0, 3.0, -1e9))
time.time = lambda: real() + next(jumps)
time.time_ns = lambda: int(time.time() * 1e9)
"""
"""Code that Python runs at the start of every process.

Each reading of the wall clock is off by another time.
"""

STAMPS = {
    "service/monitoring/report.py": "when a window begins and ends, for people",
    "service/http/journal.py": "the time of a line of the log",
    "service/inference/model.py": "when a model was loaded, for people",
    "service/logs/predictions.py": "the time of a row of the log",
    "service/logs/labels.py": "the time of a row of the log",
    "service/logs/rotated_files.py": "how old files are that outlive the process, where MMOE_LOG_DAYS is set",
    "service/logs/requests.py": "the time of a line of the log",
    "service/workers/mirror.py": "since when a store of models is out of reach, for people and Prometheus",
    "service/monitoring/counters.py": "when a process started and a model was loaded, as Prometheus wants it",
}


def readings(path: Path) -> list[str]:
    """Find where a module reads the wall clock, under whatever name."""
    tree = ast.parse(path.read_text())
    names = {
        "time.time",
        "time.time_ns",
        "datetime.now",
        "datetime.utcnow",
        "datetime.today",
        "date.today",
        "time.localtime",
    }
    found = [ast.unparse(node) for node in ast.walk(tree) if isinstance(node, ast.Attribute)]
    imported = [
        f"time.{alias.name}"
        for node in ast.walk(tree)
        if isinstance(node, ast.ImportFrom) and node.module == "time"
        for alias in node.names
    ]
    return [name for name in found + imported if any(name == one or name.endswith(f".{one}") for one in names)]


def test_the_wall_clock_is_read_for_stamps_alone() -> None:
    files = sorted((ROOT / "service").rglob("*.py"))
    assert files
    reading = {str(path.relative_to(ROOT)) for path in files if readings(path)}
    assert reading == set(STAMPS), "measure with engine.clock or time.monotonic; a stamp is listed here with its reason"


def rows_of(url: str, window: str) -> int:
    """Read the rows of a window of the gates."""
    rows: int = httpx.get(f"{url}/v1/gates", params={"window": window}).json()["rows"]
    return rows


def test_nothing_expires_and_nothing_waits(
    models: Path, questions: Callable[..., list[Question]], at_start: Callable[[str], None]
) -> None:
    at_start(JUMPING)
    asked = questions()
    for question in asked:
        question.request = question.request.replace(b"\r\n\r\n", b"\r\nx-request-timeout-ms: 30000\r\n\r\n", 1)
    with running(models, workers="2", drain_delay_s="0.5", default_model="hand") as service:

        async def scenario() -> Load:
            async with Load(service.url, asked, 8) as load:
                await load.answers(1000)
            return load

        load = play(scenario())
        assert set(load.statuses) == {200}
        assert (load.broken, load.unreached, load.wrong) == (0, 0, []), "no deadline passed, no connection timed out"
        assert settled(service.url, "mmoe_rows_total", at_least=load.rows) == load.rows
        for window in ("1m", "5m", "1h"):
            assert awaited(partial(rows_of, service.url, window), load.rows) == load.rows
        assert metric(service.url, "mmoe_workers") == 2
        assert service.end() == 0
