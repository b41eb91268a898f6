"""A worker is killed under load.

Only what it was answering is lost, another takes its place, the figures go on.

Of the figures a killed worker takes with it what it had not published, a second's at most.
"""

import asyncio
import os
import signal
import time
from collections.abc import Callable
from pathlib import Path

import pytest

from tests.support.effort import Effort
from tests.support.load import LONGEST_S, Load, Question, play
from tests.support.metrics import metric, settled
from tests.support.processes import children, connections
from tests.support.server import Service, running

pytestmark = pytest.mark.alone

CONNECTIONS, MOST_ROWS = 16, 16
PUBLISHED_S = 2.0
"""Within this time a worker publishes what it has counted, on a busy machine too."""


def test_only_its_requests_are_lost(
    models: Path, questions: Callable[..., list[Question]], effort: Effort, measured: Callable[[str], None]
) -> None:
    with running(models, workers="2") as service:
        port = service.port

        async def scenario() -> None:
            took, unpublished = [], 0
            async with Load(service.url, questions() + questions(rows=MOST_ROWS), CONNECTIONS) as load:
                for kill in range(effort.kills):
                    rested = time.monotonic() + effort.between_kills_s
                    marks = [(time.monotonic(), load.rows)]
                    await load.answers(500)
                    while time.monotonic() < rested:
                        await load.answers(100)
                        marks.append((time.monotonic(), load.rows))
                    victim = children(service.process.pid)[kill % 2]
                    held = connections(victim, port)
                    older = [rows for at, rows in marks if at < time.monotonic() - PUBLISHED_S]
                    unpublished += load.rows - max(older, default=marks[0][1])
                    load.bereft.clear()
                    os.kill(victim, signal.SIGKILL)
                    took.append(await back(service, victim, port))
                    await load.answers(500)
                    assert len(load.bereft) <= held, "nobody else's"  # a client may meet the dying socket twice
            measured(f"{load.answered} answered, {load.broken} broke; back in {max(took):.2f} s at most")
            assert set(load.statuses) == {200}
            assert (load.unreached, load.wrong) == (0, [])
            check_figures(service.url, load, effort.kills, unpublished)

        play(scenario())
        before = settled(service.url, "mmoe_rows_total")
        more = play(ask(service.url, questions()))
        counted = settled(service.url, "mmoe_rows_total", at_least=before + more)
        assert counted == before + more, "counters go on from where they were"


async def ask(url: str, questions: list[Question]) -> int:
    """Ask a few hundred questions, return the rows that were answered."""
    async with Load(url, questions, 4) as load:
        await load.answers(200)
    return load.rows


def check_figures(url: str, load: Load, kills: int, unpublished: int) -> None:
    """Gate sums hold every row that was answered but for what was not published.

    What broke may count, nothing else.
    """
    counted = settled(url, "mmoe_gate_rows_total", at_least=load.rows - unpublished)
    assert load.rows - unpublished <= counted <= load.rows + MOST_ROWS * load.broken
    assert settled(url, "mmoe_rows_total") <= load.rows + MOST_ROWS * load.broken
    assert metric(url, "mmoe_worker_restarts_total") == kills
    while metric(url, "mmoe_workers") < 2:  # a gauge, up to a second old
        pass


async def back(service: Service, victim: int, port: int) -> float:
    """Wait until another worker serves in the victim's place; return the seconds it took."""
    killed = time.monotonic()
    async with asyncio.timeout(LONGEST_S):
        await asyncio.to_thread(service.wait_for, rf"Worker {victim} ended with status -9")
        while True:
            _, knock = await asyncio.open_connection("127.0.0.1", port)  # given to whoever takes it first
            team = [pid for pid in children(service.process.pid) if pid != victim]
            serving = len(team) == 2 and all(connections(pid, port) for pid in team)
            knock.close()
            await knock.wait_closed()
            if serving:
                return time.monotonic() - killed
