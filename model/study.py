"""The paper's synthetic experiments (Ma et al., KDD 2018, §3.3 and §5.1) on top of `model/ensemble.py`.

A cell is one architecture at one task cosine and learning rate, trained over many independent runs. Runs are trained a
block at a time and every finished block is kept on disk, so that an interrupted study goes on where it was.
"""

import hashlib
import os
from collections.abc import Callable, Iterator, Sequence
from dataclasses import asdict, dataclass, field, replace
from pathlib import Path

import numpy as np
import torch
from numpy.typing import NDArray

from model.ensemble import Ensemble, SineStream
from model.mmoe import Architecture, build, matching_shared_bottom
from model.synthetic import SineTasks

Floats = NDArray[np.float64]

EXPERTS, EXPERT_HIDDEN, TOWER_HIDDEN, DIMS = 8, 16, 8, 100
"""The paper's sizes; Shared-Bottom's width follows from them (113)."""

COSINES = (0.5, 0.9, 1.0)
LEARNING_RATES = (1e-4, 1e-3, 1e-2)
COMPARED: tuple[Architecture, ...] = ("shared_bottom", "omoe", "mmoe")


@dataclass(frozen=True)
class Recipe:
    """Fix what the paper leaves open; the defaults are the choice that `docs/study.md` argues for.

    Attributes:
        steps: of Adam, each on `batch` fresh rows.
        points: how often on the way the test loss is taken, evenly spread over the steps, the last at the end.
        test_rows: fresh rows of each run for its test loss.
        scale, alpha_step, beta_step, sines: of the generator, as in `model/synthetic.py`.
    """

    steps: int = 800
    batch: int = 128
    points: int = 20
    test_rows: int = 1000
    scale: float = 0.3
    alpha_step: float = 2.0
    beta_step: float = 0.0
    sines: int = 14

    def tasks(self, cosine: float) -> SineTasks:
        """Return the pair of tasks of this recipe at a cosine."""
        terms = range(1, self.sines + 1)
        return SineTasks(
            dims=DIMS,
            cosine=cosine,
            scale=self.scale,
            alpha=tuple(self.alpha_step * i for i in terms),
            beta=tuple(self.beta_step * i for i in terms),
        )


@dataclass(frozen=True)
class Cell:
    """Name one architecture at one cosine and learning rate; `hidden` is its expert or bottom width."""

    architecture: Architecture
    cosine: float
    learning_rate: float
    runs: int
    recipe: Recipe = field(default_factory=Recipe)
    hidden: int = EXPERT_HIDDEN

    @property
    def run_steps(self) -> int:
        """Count the training steps of all its runs."""
        return self.runs * self.recipe.steps


@dataclass(frozen=True)
class Curves:
    """Hold what a cell's runs did.

    Attributes:
        steps: (P,) after how many steps the loss was taken.
        losses: (R, P) test loss: mean squared error over both tasks, labels of unit variance.
        similarity: (R,) between the two tasks' gates at the end, mean over test rows of 1 - Jensen-Shannon divergence
            in base 2; NaN for a network without gates.
    """

    steps: NDArray[np.int64]
    losses: Floats
    similarity: Floats

    @property
    def final(self) -> Floats:
        """Return the loss of every run at the end, (R,)."""
        return self.losses[:, -1]

    @property
    def lowest(self) -> Floats:
        """Return the lowest loss of every run, (R,): what the paper's Fig. 5 counts."""
        lowest: Floats = self.losses.min(axis=1)
        return lowest


def compared_cell(architecture: Architecture, cosine: float, learning_rate: float, runs: int, recipe: Recipe) -> Cell:
    """Return a cell at the paper's sizes: Shared-Bottom gets as many weights as the experts have."""
    budget = matching_shared_bottom(DIMS, 2, EXPERTS, EXPERT_HIDDEN, TOWER_HIDDEN)
    hidden = budget if architecture == "shared_bottom" else EXPERT_HIDDEN
    return Cell(architecture, cosine, learning_rate, runs, recipe, hidden)


class Laboratory:
    """Run cells, block by block, and keep what they did.

    Args:
        directory: where finished blocks are kept; a block found there is not run again.
        device: "cpu" or "cuda".
        block: runs trained together: enough to fill the machine, few enough to stay in its caches.
        advance: is told how many run-steps have just been done.
    """

    def __init__(
        self, directory: Path, device: str = "cpu", block: int = 50, advance: Callable[[int], object] = lambda _: None
    ) -> None:
        self.directory = directory
        self.device = device
        self.block = block
        self.advance = advance

    def run(self, cell: Cell) -> Curves:
        """Return a cell's curves; run r is seeded by r alone, whatever the cell, so that cells compare in pairs."""
        blocks = [self._block(cell, seeds) for seeds in self._blocks(cell)]
        return Curves(
            blocks[0].steps,
            np.concatenate([b.losses for b in blocks]),
            np.concatenate([b.similarity for b in blocks]),
        )

    def todo(self, cells: Sequence[Cell]) -> int:
        """Count the run-steps of these cells that are not on disk yet."""
        return sum(
            len(seeds) * cell.recipe.steps
            for cell in cells
            for seeds in self._blocks(cell)
            if not self._path(cell, seeds).exists()
        )

    def _blocks(self, cell: Cell) -> Iterator[range]:
        for start in range(0, cell.runs, self.block):
            yield range(start, min(start + self.block, cell.runs))

    def _path(self, cell: Cell, seeds: range) -> Path:
        described = repr((sorted(asdict(replace(cell, runs=0)).items()), seeds.start, seeds.stop))
        digest = hashlib.sha256(described.encode()).hexdigest()[:12]
        return (
            self.directory / f"{cell.architecture}-p{cell.cosine}-lr{cell.learning_rate:g}-{seeds.start}-{digest}.npz"
        )

    def _block(self, cell: Cell, seeds: range) -> Curves:
        path = self._path(cell, seeds)
        if not path.exists():
            _save(path, train_runs(cell, seeds, self.device, self.advance))
        with np.load(path) as kept:
            return Curves(kept["steps"], kept["losses"], kept["similarity"])


def train_runs(cell: Cell, seeds: Sequence[int], device: str, advance: Callable[[int], object]) -> Curves:
    """Train one block of runs and take their test losses on the way."""
    recipe, tasks = cell.recipe, cell.recipe.tasks(cell.cosine)
    ensemble = Ensemble([_network(cell, seed) for seed in seeds], cell.learning_rate, device)
    stream = SineStream(tasks, seeds, device)
    test = stream.rows(recipe.test_rows)
    due = np.unique(np.linspace(0, recipe.steps, recipe.points + 1).astype(np.int64))[1:]
    losses = []
    for step in range(1, recipe.steps + 1):
        ensemble.step(*stream.rows(recipe.batch))
        advance(len(seeds))
        if step in due:
            losses.append(ensemble.losses(*test).cpu().numpy())
    return Curves(due, np.stack(losses, axis=1).astype(np.float64), _gate_similarity(cell, ensemble, test[0]))


def _network(cell: Cell, seed: int) -> torch.nn.Module:
    with torch.random.fork_rng(devices=[]):
        torch.manual_seed(1_000_003 + seed)  # apart from the seeds that draw the data
        return build(cell.architecture, DIMS, [1, 1], EXPERTS, [cell.hidden], [TOWER_HIDDEN])


def _gate_similarity(cell: Cell, ensemble: Ensemble, x: torch.Tensor) -> Floats:
    if cell.architecture not in ("mmoe", "omoe"):
        return np.full(ensemble.runs, np.nan)
    first, second = ensemble.gate_weights(x).double().unbind(dim=2)  # (R, B, E) each
    middle = (first + second) / 2
    apart = _entropy(middle) - (_entropy(first) + _entropy(second)) / 2  # (R, B), bits
    similarity: Floats = (1 - apart.mean(dim=1)).cpu().numpy()
    return similarity


def _entropy(weights: torch.Tensor) -> torch.Tensor:
    return -(weights * weights.clamp_min(1e-30).log2()).sum(-1)


def _save(path: Path, curves: Curves) -> None:
    """Write whole or not at all."""
    path.parent.mkdir(parents=True, exist_ok=True)
    partial = path.with_suffix(".partial.npz")
    np.savez(partial, steps=curves.steps, losses=curves.losses, similarity=curves.similarity)
    os.replace(partial, path)


def label_pearson(recipe: Recipe, cosine: float, trials: int, rows: int, seed: int = 0) -> Floats:
    """Return the Pearson correlation of the two labels in each of many trials, (trials,): the paper's Fig. 2."""
    found = []
    tasks = recipe.tasks(cosine)
    for trial in range(trials):
        generator = torch.Generator().manual_seed(seed * 100_003 + trial)
        _, y = tasks.rows(tasks.weights(generator), rows, generator)
        found.append(float(torch.corrcoef(y.T)[0, 1]))
    return np.array(found)
