"""Under plain load nothing grows: memory, descriptors, processes.

And nothing is left behind at the end.
"""

import time
from collections.abc import Callable
from pathlib import Path

import pytest

from tests.support.effort import Effort
from tests.support.load import Load, Question, play
from tests.support.processes import alive, children, descriptors, resident_mb, state
from tests.support.server import running

pytestmark = pytest.mark.alone


@pytest.mark.parametrize("workers", [1, 2])
def test_nothing_grows_and_nothing_stays(
    models: Path, questions: Callable[..., list[Question]], tmp_path: Path, effort: Effort, workers: int,
    measured: Callable[[str], None],
) -> None:  # fmt: skip
    run_dir = tmp_path / "run"
    with running(models, workers=str(workers), run_dir=str(run_dir)) as service:
        pid = service.process.pid
        team = children(pid) if workers > 1 else [pid]
        assert len(team) == workers

        async def scenario() -> None:
            async with Load(service.url, questions() + questions(rows=64), connections=32) as load:
                await load.answers(4000)
                before = [(resident_mb(worker), descriptors(worker)) for worker in team]
                started, answered = time.monotonic(), load.answered
                while time.monotonic() - started < effort.steady_s / 2:
                    await load.answers(500)
                rate = (load.answered - answered) / (time.monotonic() - started)
                after = [(resident_mb(worker), descriptors(worker)) for worker in team]
            assert set(load.statuses) == {200}
            assert (load.broken, load.unreached, load.wrong) == (0, 0, [])
            measured(f"{rate:.0f} requests/s, MB and descriptors of each worker {before} -> {after}")
            for (memory, files), (memory_after, files_after) in zip(before, after, strict=True):
                assert memory_after < memory + 8
                assert files_after == files

        play(scenario())
        assert children(pid) == (team if workers > 1 else [])
        assert "Z" not in map(state, team)
        assert service.end() == 0
    assert not any(map(alive, [pid, *team]))
    assert list(run_dir.iterdir()) == []
