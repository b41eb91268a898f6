from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest

from model.errors import TrainError
from model.study.synthetic.cells import Cell, Recipe, compared_cell
from model.study.synthetic.runner import CellRunner

TINY = Recipe(steps=4, batch=8, points=2, test_rows=20)


class Stopped(Exception):
    """Stand-in for Ctrl-C."""


@pytest.fixture
def cells() -> list[Cell]:
    return [compared_cell(architecture, 0.5, 1e-2, 5, TINY) for architecture in ("shared_bottom", "mmoe")]


class Counter:
    """Counter of run-steps that may stop the study at some."""

    def __init__(self, stop_at: int | None = None) -> None:
        self.done = 0
        self._stop_at = stop_at

    def __call__(self, run_steps: int) -> None:
        self.done += run_steps
        if self._stop_at is not None and self.done >= self._stop_at:
            raise Stopped


def test_an_interrupted_study_goes_on_where_it_was(tmp_path: Path, cells: list[Cell]) -> None:
    whole = CellRunner(tmp_path / "whole", block=2).run(cells)
    halting = CellRunner(tmp_path / "halted", block=2, advance=Counter(stop_at=25))
    with pytest.raises(Stopped):
        halting.run(cells)
    kept = len(list((tmp_path / "halted").glob("*.npz")))
    assert 0 < kept < 6
    count = Counter()
    resumed = CellRunner(tmp_path / "halted", block=2, advance=count)
    left = resumed.todo(cells)
    for before, after in zip(whole, resumed.run(cells), strict=True):
        np.testing.assert_array_equal(before.losses, after.losses)
    assert count.done == left < 40
    assert resumed.todo(cells) == 0


def test_several_processes_find_what_one_finds(tmp_path: Path, cells: list[Cell]) -> None:
    alone = CellRunner(tmp_path / "alone", block=3).run(cells)
    count = Counter()
    together = CellRunner(tmp_path / "together", block=3, workers=2, advance=count).run(cells)
    for one, other in zip(alone, together, strict=True):
        np.testing.assert_allclose(one.losses, other.losses, rtol=1e-5)
    assert count.done == 2 * 5 * TINY.steps


def test_a_process_that_fails_is_reported(tmp_path: Path, cells: list[Cell]) -> None:
    (tmp_path / "work").write_text("a file where a directory should be")
    with pytest.raises(TrainError, match="ended with code 1"):
        CellRunner(tmp_path / "work", workers=2).run(cells)


def test_a_cell_that_serves_two_ends_is_run_once(tmp_path: Path, cells: list[Cell]) -> None:
    count = Counter()
    runner = CellRunner(tmp_path, advance=count)
    assert runner.todo([cells[0], cells[0]]) == 20
    runner.run([cells[0], cells[0]])
    assert count.done == 20


def test_more_runs_of_a_cell_keep_the_blocks_that_are_there(tmp_path: Path, cells: list[Cell]) -> None:
    few = CellRunner(tmp_path, block=5).run(cells[:1])[0]
    more = replace(cells[0], runs=10)
    runner = CellRunner(tmp_path, block=5)
    assert runner.todo([more]) == 5 * TINY.steps
    np.testing.assert_array_equal(runner.run([more])[0].losses[:5], few.losses)


@pytest.mark.parametrize(
    "change",
    [{"cosine": 0.9}, {"learning_rate": 1e-3}, {"hidden": 7}, {"recipe": replace(TINY, scale=0.4)}, {"first_run": 9}],
)
def test_another_cell_is_never_taken_for_one_on_disk(
    tmp_path: Path, cells: list[Cell], change: dict[str, object]
) -> None:
    runner = CellRunner(tmp_path)
    runner.run(cells[:1])
    assert runner.todo([replace(cells[0], **change)]) == 5 * TINY.steps  # type: ignore[arg-type]
