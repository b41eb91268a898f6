"""Runner of a study's cells: in blocks of runs, on every core, finished blocks on disk.

A study that was interrupted goes on where it was, and a block that is on disk is never run again.
"""

import hashlib
import os
from collections.abc import Iterator, Sequence
from dataclasses import dataclass, replace
from functools import partial
from pathlib import Path

import numpy as np
import torch

from model.study.processes import Advance, run_in_processes
from model.study.synthetic.cells import Cell, Curves, join, train_runs

LAYOUT = 1
"""Version of the results; a new one makes kept blocks of equal cells run anew."""


@dataclass(frozen=True)
class Block:
    """Runs of a cell that are trained together, and the file of their results."""

    cell: Cell
    seeds: range
    path: Path

    @property
    def run_steps(self) -> int:
        """Count the training steps of all its runs."""
        return len(self.seeds) * self.cell.recipe.steps


class CellRunner:
    """Runner of cells, block by block; results are kept on disk.

    Args:
        directory: where finished blocks are kept.
        device: "cpu" or "cuda".
        block: runs trained together: enough to share the work of each operation, few enough to
            stay in the caches.
        workers: processes on the CPU, each on one core; with a GPU, or 1, everything runs in this
            process.
        advance: is told how many run-steps have been done since it was last told.
    """

    def __init__(
        self,
        directory: Path,
        device: str = "cpu",
        block: int = 25,
        workers: int = 1,
        advance: Advance = lambda _: None,
    ) -> None:
        self._directory = directory
        self._device = device
        self._block = block
        self._workers = workers if device == "cpu" else 1
        self._advance = advance

    def run(self, cells: Sequence[Cell]) -> list[Curves]:
        """Return the curves of every cell, in order."""
        run_in_processes(partial(_run_blocks, self._device), self._missing(cells), self._workers, self._advance)
        return [join([_load(block.path) for block in self._blocks(cell)]) for cell in cells]

    def todo(self, cells: Sequence[Cell]) -> int:
        """Count the run-steps of these cells that are not on disk yet."""
        return sum(block.run_steps for block in self._missing(cells))

    def _missing(self, cells: Sequence[Cell]) -> list[Block]:
        found = {block.path: block for cell in cells for block in self._blocks(cell) if not block.path.exists()}
        # the longest first, so that cores end together
        return sorted(found.values(), key=lambda block: -block.run_steps)

    def _blocks(self, cell: Cell) -> Iterator[Block]:
        end = cell.first_run + cell.runs
        for start in range(cell.first_run, end, self._block):
            seeds = range(start, min(start + self._block, end))
            yield Block(cell, seeds, self._directory / _file_name(cell, seeds, self._device))


def _file_name(cell: Cell, seeds: range, device: str) -> str:
    """Derive a block's file name from all that decides its result.

    The number of other runs in its cell does not.
    """
    described = repr((LAYOUT, replace(cell, runs=0, first_run=0), device, torch.__version__))
    digest = hashlib.sha256(described.encode()).hexdigest()[:12]
    return f"{cell.architecture}-p{cell.cosine:g}-lr{cell.learning_rate:g}-{digest}-{seeds.start}-{seeds.stop}.npz"


def _run_blocks(device: str, blocks: Iterator[Block], advance: Advance) -> None:
    for block in blocks:
        _save(block.path, train_runs(block.cell, block.seeds, device, advance))


def _save(path: Path, curves: Curves) -> None:
    """Write whole or not at all."""
    path.parent.mkdir(parents=True, exist_ok=True)
    partial = path.with_suffix(f".{os.getpid()}.partial")
    with partial.open("wb") as file:
        np.savez(file, steps=curves.steps, losses=curves.losses, similarity=curves.similarity, seconds=curves.seconds)
    os.replace(partial, path)


def _load(path: Path) -> Curves:
    with np.load(path) as kept:
        return Curves(kept["steps"], kept["losses"], kept["similarity"], float(kept["seconds"]))
