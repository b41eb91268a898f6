"""Ten times as many clients as fit.

What is accepted keeps its throughput and its time, the others are told to wait.
"""

import re
import time
from collections.abc import Callable
from functools import partial
from pathlib import Path

import pytest

from tests.support.effort import Effort
from tests.support.load import Load, Question, get, play
from tests.support.metrics import awaited, metric, settled
from tests.support.processes import children, cpu_s, resident_mb
from tests.support.server import running

pytestmark = pytest.mark.alone

WARM = 300


class Burst:
    """Answers that a load got from the service in some seconds.

    Attributes:
        per_s: successes per second.
        per_cpu_s: successes per second of CPU time of the workers, whatever else keeps the machine
            busy.
        memory_mb: largest resident memory of a worker, at the start and at the end.
    """

    def __init__(self, per_s: float, per_cpu_s: float, memory_mb: tuple[float, float]) -> None:
        self.per_s, self.per_cpu_s, self.memory_mb = per_s, per_cpu_s, memory_mb


async def burst(load: Load, team: list[int], seconds: float) -> Burst:
    """Watch a load for some seconds, once it is warm."""
    await load.answers(WARM)
    spent, memory, answered, started = _cpu_s(team), _memory_mb(team), load.answered, time.monotonic()
    while time.monotonic() - started < seconds:
        await load.answers(50)
    answered = load.answered - answered
    used = max(_cpu_s(team) - spent, 0.01)
    return Burst(answered / (time.monotonic() - started), answered / used, (memory, _memory_mb(team)))


def _cpu_s(team: list[int]) -> float:
    return sum(map(cpu_s, team))


def _memory_mb(team: list[int]) -> float:
    return max(map(resident_mb, team))


def quantile(ordered: list[float], share: float) -> float:
    return ordered[min(int(share * len(ordered)), len(ordered) - 1)]


@pytest.mark.parametrize(("rows", "fit"), [(1, 64), (64, 16)])
@pytest.mark.parametrize("workers", [1, 2])
def test_a_flood_leaves_the_accepted_their_throughput(
    models: Path, questions: Callable[..., list[Question]], effort: Effort, measured: Callable[[str], None],
    workers: int, rows: int, fit: int,
) -> None:  # fmt: skip
    asked, queue_rows = questions(rows=rows), fit * rows
    limits = {"max_rows": str(queue_rows), "max_queue_rows": str(queue_rows)}
    with running(models, workers=str(workers), **limits) as service:
        team = children(service.process.pid) if workers > 1 else [service.process.pid]

        async def scenario() -> None:
            async with Load(service.url, asked, fit * workers) as load:
                full = await burst(load, team, min(effort.flood_s, 3))
            async with (
                Load(service.url, [get("/health/ready"), get("/health/live")], 2, per_s=50) as probes,
                Load(service.url, asked, 10 * fit * workers) as flood,
            ):
                flooded = await burst(flood, team, effort.flood_s)
            ended = time.monotonic()
            async with Load(service.url, asked, fit) as after:
                await after.answers(100)
                recovered_s = time.monotonic() - ended
            check_answers(flood, probes, after)
            bound_s = queue_rows * workers / (flooded.per_s * rows)
            took, probed = flood.took(), probes.took()
            measured(
                f"{full.per_s:.0f} requests/s when just full; flooded {flooded.per_s / full.per_s:.2f} of it, "
                f"{flooded.per_cpu_s / full.per_cpu_s:.2f} per CPU second, {flood.statuses[429]} refused; accepted p99 "
                f"{quantile(took, 0.99) / bound_s:.1f} times queue bound / rate ({1e3 * bound_s:.0f} ms); probes p50 "
                f"{1e3 * quantile(probed, 0.5):.0f}, slowest {1e3 * probed[-1]:.0f} ms; "
                f"memory {flooded.memory_mb[0]:.0f} then {flooded.memory_mb[1]:.0f} MB; "
                f"100 answers {recovered_s:.2f} s after the end"
            )
            assert flooded.per_cpu_s > 0.3 * full.per_cpu_s
            assert flooded.memory_mb[1] < flooded.memory_mb[0] + 16
            assert quantile(took, 0.99) < 8 * bound_s + 1
            assert quantile(probed, 0.5) < 1

        play(scenario())
        assert awaited(partial(metric, service.url, "mmoe_queue_rows"), 0.0) == 0


def check_answers(flood: Load, probes: Load, after: Load) -> None:
    """Every answer is a right one or a refusal that says when to return.

    Probes are always answered.
    """
    assert set(flood.statuses) == {200, 429}
    assert (flood.broken, flood.unreached, flood.wrong) == (0, 0, [])
    assert re.search(rb"\r\nretry-after: [1-9]\d*\r\n", flood.refused[429])
    assert set(probes.statuses) == {200}
    assert (probes.broken, probes.unreached) == (0, 0)
    assert set(after.statuses) == {200}, "nobody is refused once the flood is over"


def test_refusals_are_counted(models: Path, questions: Callable[..., list[Question]]) -> None:
    with running(models, workers="2", max_rows="8", max_queue_rows="8") as service:

        async def scenario() -> Load:
            async with Load(service.url, questions(), 200) as flood:
                await flood.answers(500)
                while not flood.statuses[429]:
                    await flood.answers(100)
            return flood

        flood = play(scenario())
        refused = flood.statuses[429]
        read = partial(settled, service.url)
        assert read("mmoe_rejected_requests_total", at_least=refused, reason="overloaded") == refused
        assert read("mmoe_requests_total", at_least=refused, status="429") == refused
        assert read("mmoe_requests_total", at_least=flood.answered, route="predict", status="200") == flood.answered
        assert read("mmoe_gate_rows_total", at_least=flood.rows) == flood.rows
