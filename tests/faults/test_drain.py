"""SIGTERM under load.

All that was asked is answered, the door stays open for the time set, the status is 0.
"""

import asyncio
import signal
import time
from collections.abc import Callable
from pathlib import Path

import pytest

from tests.support.effort import Effort
from tests.support.load import Load, Question, get, play
from tests.support.processes import alive, children
from tests.support.server import Service, running

pytestmark = pytest.mark.alone

DELAY_S = 1.0


@pytest.mark.parametrize("workers", [1, 2])
def test_all_that_was_asked_is_answered(
    models: Path, questions: Callable[..., list[Question]], tmp_path: Path, effort: Effort, workers: int,
    measured: Callable[[str], None],
) -> None:  # fmt: skip
    run_dir = tmp_path / "run"
    for _ in range(effort.drains):
        settings = {"workers": str(workers), "drain_delay_s": str(DELAY_S), "run_dir": str(run_dir)}
        with running(models, **settings) as service:
            team = [service.process.pid, *children(service.process.pid)]
            load, ended_s = play(scenario(service, questions() + questions(rows=64)))
            measured(f"{load.answered} answered, {load.broken} broke; ended {ended_s:.2f} s after SIGTERM")
            assert set(load.statuses) == {200}
            assert (load.broken, load.wrong) == (0, [])
            assert service.end() == 0
        assert not any(map(alive, team))
        assert list(run_dir.iterdir()) == []


async def scenario(service: Service, questions: list[Question]) -> tuple[Load, float]:
    """End the service under load; return the load and how long the end took."""
    async with Load(service.url, questions, 32) as load:
        await load.answers(500)
        service.process.send_signal(signal.SIGTERM)
        signalled = time.monotonic()
        await asyncio.to_thread(service.wait_for, "Draining")
        knocks = 0
        while time.monotonic() - signalled < DELAY_S / 2:
            status = await knock(service.url)
            knocks += 1
            assert status in (200, 503)
        assert knocks
        assert status == 503, "not ready, and says so on new connections"
        await asyncio.to_thread(service.process.wait, 30)
        ended_s = time.monotonic() - signalled
    assert ended_s >= DELAY_S
    return load, ended_s


async def knock(url: str) -> int:
    """Ask the probe of readiness over a connection of its own; return the status."""
    async with asyncio.timeout(30), Load(url, [get("/health/ready")], 1) as load:
        while not load.statuses:
            await asyncio.sleep(0)
    return next(iter(load.statuses))
