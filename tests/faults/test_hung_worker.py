"""A worker is stopped, as one that hangs: it is killed and replaced.

Who only starts, or was suspended, is not.
"""

import asyncio
import contextlib
import os
import signal
import time
from collections.abc import Callable, Iterator
from itertools import permutations
from pathlib import Path

import httpx
import pytest

from tests.support.effort import Effort
from tests.support.load import LONGEST_S, Load, Question, play
from tests.support.processes import alive, children, connections
from tests.support.server import Service, completed, running

pytestmark = pytest.mark.alone

TIMEOUT_S = 2.0


def test_it_is_replaced_and_new_connections_are_answered(
    models: Path, questions: Callable[..., list[Question]], effort: Effort, measured: Callable[[str], None]
) -> None:
    with running(models, workers="2", worker_timeout_s=str(TIMEOUT_S)) as service:

        async def scenario() -> None:
            took, probes = [], []
            async with Load(service.url, questions(), connections=8) as load:
                for stop in range(effort.kills):
                    await load.answers(500)
                    team = children(service.process.pid)
                    os.kill(team[stop % 2], signal.SIGSTOP)
                    stopped = time.monotonic()
                    await asyncio.to_thread(service.wait_for, rf"Worker {team[stop % 2]} has stood still for")
                    await asyncio.to_thread(service.wait_for, rf"Worker {team[stop % 2]} ended with status -9")
                    took.append(time.monotonic() - stopped)
                    probes += await probe_until_replaced(service, team)
                    await load.answers(500)
            measured(
                f"{load.answered} answered, {load.broken} broke; killed after {max(took):.1f} s with a bound of "
                f"{TIMEOUT_S:g} s; {len(probes)} probes after it, the slowest {1e3 * max(probes):.0f} ms"
            )
            assert set(load.statuses) == {200}
            assert load.wrong == []

        play(scenario())
        assert service.end() == 0


async def probe_until_replaced(service: Service, before: list[int]) -> list[float]:
    """Probe on new connections until both workers serve some.

    Return the seconds that each probe took.
    """
    took = []
    async with asyncio.timeout(LONGEST_S):
        while True:
            started = time.monotonic()
            async with httpx.AsyncClient() as client:
                answer = await client.get(f"{service.url}/health/ready")
                took.append(time.monotonic() - started)
                assert answer.status_code == 200
                team = [pid for pid in children(service.process.pid) if alive(pid)]
                if len(team) == 2 and team != before and all(connections(pid, service.port) for pid in team):
                    return took


def test_another_answers_all_that_comes_meanwhile(models: Path) -> None:
    with running(models, workers="2", worker_timeout_s="0") as service, contextlib.ExitStack() as stack:
        for still, living in permutations(children(service.process.pid)):
            with stopped(still):
                held = connections(still, service.port)
                clients = [
                    stack.enter_context(httpx.Client(base_url=service.url, timeout=LONGEST_S)) for _ in range(12)
                ]
                before = connections(living, service.port)
                assert {client.get("/health/live").status_code for client in clients} == {200}
                assert connections(still, service.port) == held
                assert connections(living, service.port) == before + len(clients)
        assert service.end() == 0


@pytest.mark.parametrize("whole", [True, False])
def test_nobody_is_killed_after_a_suspension(models: Path, whole: bool) -> None:
    with running(models, workers="2", worker_timeout_s="1.5") as service:
        team = children(service.process.pid)
        with stopped(service.process.pid, *(team if whole else [])):
            time.sleep(3)
        for _ in range(20):  # more than a look of the launcher takes
            assert httpx.get(f"{service.url}/health/live").status_code == 200
            time.sleep(0.1)
        assert children(service.process.pid) == team
        assert service.end() == 0
        assert not any("stood still" in line for line in service.lines)


@contextlib.contextmanager
def stopped(*pids: int) -> Iterator[None]:
    """Stop processes and let them go on."""
    for pid in pids:
        os.kill(pid, signal.SIGSTOP)
    try:
        yield
    finally:
        for pid in reversed(pids):
            os.kill(pid, signal.SIGCONT)


def test_a_start_takes_longer_than_a_beat(models: Path) -> None:
    with running(models, workers="2", worker_timeout_s="0.5") as service:
        assert service.end() == 0
    assert not any("stood still" in line for line in service.lines)


def test_a_worker_that_hangs_at_the_start_ends_it(models: Path, at_start: Callable[[str], None]) -> None:
    at_start("import signal, sys\nif '--worker' in sys.orig_argv:\n    signal.pause()")
    run = completed(models=str(models), port="0", workers="2", worker_timeout_s="0.1", worker_load_timeout_s="0.1")
    assert run.returncode == 1
    assert "has stood still for" in run.stderr
    assert "ended with status -9 before its models were loaded" in run.stderr
