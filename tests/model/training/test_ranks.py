"""Two ranks end with the weights of one process at the same global batch."""

import subprocess
import sys
from pathlib import Path
from threading import Thread
from typing import Any

import pytest
import torch
import torch.distributed as dist

from model.training.ranks import PeerError, Ranks
from tests.support.ranked import CASES, trained

ROOT = Path(__file__).parents[3]
TORCHRUN = [sys.executable, "-m", "torch.distributed.run", "--standalone", "--nproc-per-node", "2"]


@pytest.fixture(scope="module")
def together(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Let two ranks train all cases; returns the folder of their weights."""
    folder = tmp_path_factory.mktemp("ranks")
    command = [*TORCHRUN, "-m", "tests.support.ranked", str(folder)]
    run = subprocess.run(command, cwd=ROOT, timeout=300, capture_output=True, text=True)
    assert run.returncode == 0, run.stderr
    return folder


@pytest.mark.parametrize("case", CASES)
def test_two_ranks_end_as_one_process(together: Path, tmp_path: Path, case: str) -> None:
    states: list[dict[str, Any]] = [torch.load(together / f"{case} {rank}.pt") for rank in (0, 1)]
    alone = trained(case, tmp_path, Ranks()).state_dict()
    for name, expected in alone.items():
        assert torch.equal(states[0][name], states[1][name])
        torch.testing.assert_close(states[0][name], expected, rtol=1e-3, atol=1e-4)


def test_no_thread_of_a_group_outlives_it(together: Path) -> None:
    """A thread that lets go of a tensor while Python ends would abort the process."""
    assert [(together / f"left {rank}").read_text() for rank in (0, 1)] == ["None, 0 threads"] * 2


@pytest.mark.parametrize(("rows", "world"), [(64, 1), (64, 3), (1, 2), (7, 4)])
def test_parts_of_a_batch_are_all_of_it(rows: int, world: int) -> None:
    parts = [list(range(rows))[Ranks(rank, world).part(rows)] for rank in range(world)]
    assert [row for part in parts for row in part] == list(range(rows))
    assert max(map(len, parts)) - min(map(len, parts)) <= 1


def test_ranks_read_in_turn_and_one_tells_of_an_error() -> None:
    """Four ranks are on two machines: rank 0 reads first, and one of a machine before others."""
    store = dist.HashStore()  # type: ignore[attr-defined]
    ranks = [Ranks(rank, 4, local, store) for rank, local in ((0, 0), (1, 1), (2, 0), (3, 1))]
    order: list[int] = []

    def read(rank: Ranks) -> None:
        rank.in_turn(lambda: order.append(rank.rank))

    threads = [Thread(target=read, args=(rank,)) for rank in reversed(ranks)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join(timeout=30)
    assert sorted(order) == [0, 1, 2, 3]
    assert order[0] == 0
    assert order.index(2) < order.index(3)
    assert [rank.speaks() for rank in reversed(ranks)] == [True, False, False, False]
    with pytest.raises(PeerError, match="another of the 4 processes"):
        ranks[1].hear("never told")
