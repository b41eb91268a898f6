"""Synthetic experiments of the paper (Ma et al., KDD 2018, §3.3 and §5.1), run as an ensemble.

A cell is one architecture at one task cosine and learning rate, trained over many independent
runs.
"""

import time
from collections.abc import Callable, Sequence
from dataclasses import dataclass, field

import numpy as np
import torch
from numpy.typing import NDArray

from model.data.synthetic import SineTasks
from model.mmoe import Architecture, build, matching_shared_bottom
from model.study.synthetic.ensemble import Ensemble, SineStream

Floats = NDArray[np.float64]

EXPERTS, EXPERT_HIDDEN, TOWER_HIDDEN, DIMS = 8, 16, 8, 100
"""The paper's sizes; Shared-Bottom's width follows from them (113)."""

COSINES = (0.5, 0.9, 1.0)
LEARNING_RATES = (1e-4, 1e-3, 1e-2)
COMPARED: tuple[Architecture, ...] = ("shared_bottom", "omoe", "mmoe")


@dataclass(frozen=True)
class Recipe:
    """Choices that the paper leaves open; docs/study.md argues for the defaults.

    Attributes:
        steps: of Adam, each on `batch` fresh rows.
        points: how often on the way the test loss is taken, evenly spread over the steps, the last
            at the end.
        test_rows: fresh rows of each run for its test loss.
        scale: c, length of the tasks' weight vectors.
        alpha, beta: frequencies and phases of the sine terms.
    """

    steps: int = 1500
    batch: int = 64
    points: int = 30
    test_rows: int = 1000
    scale: float = 0.3
    alpha: tuple[float, ...] = tuple(2.0 * i for i in range(1, 15))
    beta: tuple[float, ...] = (0.0,) * 14

    def tasks(self, cosine: float) -> SineTasks:
        """Return the pair of tasks of this recipe at a cosine."""
        return SineTasks(DIMS, cosine, self.scale, self.alpha, self.beta)


@dataclass(frozen=True)
class Cell:
    """One architecture at one cosine and learning rate.

    Attributes:
        runs: how many independent ones.
        hidden: width of each expert, or of the shared network.
        first_run: runs are numbered from here; a run's number is its seed.
    """

    architecture: Architecture
    cosine: float
    learning_rate: float
    runs: int
    recipe: Recipe = field(default_factory=Recipe)
    hidden: int = EXPERT_HIDDEN
    first_run: int = 0


@dataclass(frozen=True)
class Curves:
    """Losses and gates of a cell's runs over training.

    Attributes:
        steps: (P,) after how many steps the loss was taken.
        losses: (R, P) test loss: mean squared error over both tasks, labels of unit variance.
        similarity: (R,) between the two tasks' gates at the end, mean over test rows of 1 -
            Jensen-Shannon divergence in base 2, as the service reports it; NaN for a network
            without gates.
        seconds: of CPU time, or with the GPU.
    """

    steps: NDArray[np.int64]
    losses: Floats
    similarity: Floats
    seconds: float

    @property
    def final(self) -> Floats:
        """Return the loss of every run at the end, (R,)."""
        return self.losses[:, -1]

    @property
    def lowest(self) -> Floats:
        """Return the lowest loss of every run, (R,): what the paper's Fig. 5 counts."""
        lowest: Floats = self.losses.min(axis=1)
        return lowest


def join(blocks: Sequence[Curves]) -> Curves:
    """Concatenate the runs of several blocks of one cell, in order."""
    return Curves(
        blocks[0].steps,
        np.concatenate([block.losses for block in blocks]),
        np.concatenate([block.similarity for block in blocks]),
        sum(block.seconds for block in blocks),
    )


def compared_cell(
    architecture: Architecture, cosine: float, learning_rate: float, runs: int, recipe: Recipe, first_run: int = 0
) -> Cell:
    """Return a cell at the paper's sizes.

    Shared-Bottom gets as many weights as the experts have.
    """
    budget = matching_shared_bottom(DIMS, 2, EXPERTS, EXPERT_HIDDEN, TOWER_HIDDEN)
    hidden = budget if architecture == "shared_bottom" else EXPERT_HIDDEN
    return Cell(architecture, cosine, learning_rate, runs, recipe, hidden, first_run)


def train_runs(
    cell: Cell, seeds: Sequence[int], device: str = "cpu", advance: Callable[[int], object] = lambda _: None
) -> Curves:
    """Train some runs of a cell together and take their test losses on the way.

    A run's seed decides its data and its initial weights, whatever the cell, so that cells compare
    in pairs.

    Args:
        cell: its own count of runs does not matter here.
        seeds: one per run.
        device: "cpu" or "cuda".
        advance: is told how many run-steps have just been done.
    """
    clock = time.process_time if device == "cpu" else time.perf_counter  # a busy machine takes no more of the former
    began, recipe = clock(), cell.recipe
    ensemble = Ensemble([_network(cell, seed) for seed in seeds], cell.learning_rate, device)
    stream = SineStream(recipe.tasks(cell.cosine), seeds, device)
    test = stream.rows(recipe.test_rows)
    due = np.unique(np.linspace(0, recipe.steps, recipe.points + 1).astype(np.int64))[1:]
    losses = []
    for step in range(1, recipe.steps + 1):
        ensemble.step(*stream.rows(recipe.batch))
        advance(len(seeds))
        if step in due:
            losses.append(ensemble.losses(*test).cpu().numpy())
    similarity = _gate_similarity(cell, ensemble, test[0])
    return Curves(due, np.stack(losses, axis=1).astype(np.float64), similarity, clock() - began)


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


def label_pearson(recipe: Recipe, cosine: float, trials: int, rows: int, seed: int = 0) -> Floats:
    """Return the Pearson correlation of the two labels in each of many trials, (trials,).

    This is the paper's Fig. 2.

    A label sees x only through w·x, and for x ~ N(0, I) the two projections are normal with
    variance c² and correlation
    p: they are drawn directly, which is the same distribution and fifty times less work than
        drawing x.
    """
    generator = torch.Generator().manual_seed(seed)
    tasks, found = recipe.tasks(cosine), []
    for _ in range(trials):
        first, other = torch.randn(2, rows, generator=generator)
        projected = recipe.scale * torch.stack([first, cosine * first + (1.0 - cosine**2) ** 0.5 * other])
        noise = tasks.noise_variance**0.5 * torch.randn(2, rows, generator=generator)
        found.append(float(torch.corrcoef(tasks.signal(projected) + noise)[0, 1]))
    return np.array(found)
