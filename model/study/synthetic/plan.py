"""Plan of a study, in two stages: learning rates and open parameters, then the figures."""

import time
from collections.abc import Mapping
from dataclasses import dataclass, replace
from typing import NamedTuple

import numpy as np

from model.mmoe import Architecture
from model.study.claims import Finding, Interval, findings, rank_correlation
from model.study.paper import END_LOSSES, LABEL_PEARSON
from model.study.synthetic.cells import (
    COMPARED,
    COSINES,
    LEARNING_RATES,
    Cell,
    Curves,
    Floats,
    Recipe,
    compared_cell,
    label_pearson,
)
from model.study.synthetic.runner import CellRunner
from model.training.train import cpu_threads

Rates = Mapping[Architecture, float]

TUNING_FIRST_RUN = 100_000
"""Runs that choose are others than those that are judged."""


@dataclass(frozen=True)
class Size:
    """Size of a study.

    Attributes:
        runs: per cell of Figs. 3, 4 and 5 and of the gates' similarity.
        tuning_runs: per learning rate.
        choice_runs: per cell of the table of open parameters.
        choice_cosines: of that table.
        trials: of Fig. 2.
        trial_rows: of each trial.
    """

    runs: int = 200
    tuning_runs: int = 20
    choice_runs: int = 20
    choice_cosines: tuple[float, ...] = (0.5, 1.0)
    trials: int = 100
    trial_rows: int = 10_000


QUICK = Size(runs=20, tuning_runs=8, choice_runs=4, choice_cosines=(0.5,))
GATE_COSINES = (0.0, 0.25, 0.5, 0.75, 0.9, 1.0)
FIG3_COSINES = (0.5, 0.7, 0.9, 1.0)
FIG3_HIDDEN, FIG3_LEARNING_RATE, FIG3_STEPS = 16, 1e-3, 4
"""The paper's width; Adam's default rate, a tenth of the others', so four times the steps."""


@dataclass(frozen=True)
class Results:
    """Results of a study.

    Attributes:
        rates: by architecture, the rate of the paper's grid with the lowest loss.
        tuning: by architecture and rate, the mean loss that chose.
        cells: by architecture and cosine.
        gates: MMoE's runs by cosine.
        fig3: Shared-Bottom's runs by cosine, at the width of Fig. 3.
        pearson: by cosine, one value per trial.
        choices: by the words for a recipe, the recipe's fit to Fig. 2 and its mean losses.
        wall_s: of this call; short if much of it was on disk already.
        core_s: of all runs, whenever they were made, on one core or on the GPU.
    """

    size: Size
    recipe: Recipe
    rates: Rates
    tuning: Mapping[tuple[Architecture, float], float]
    cells: Mapping[tuple[Architecture, float], Curves]
    gates: Mapping[float, Curves]
    fig3: Mapping[float, Curves]
    pearson: Mapping[float, Floats]
    choices: Mapping[str, "Choice"]
    wall_s: float
    core_s: float

    def findings(self) -> list[Finding]:
        """Test the paper's claims on the runs."""
        final = {key: curves.final for key, curves in self.cells.items()}
        return findings(final, {key: curves.lowest for key, curves in self.cells.items()})

    def only(self, runs: range) -> "Results":
        """Keep some of the runs of the compared cells."""
        some = slice(runs.start, runs.stop)
        kept = {
            key: replace(curves, losses=curves.losses[some], similarity=curves.similarity[some])
            for key, curves in self.cells.items()
        }
        return replace(self, cells=kept)

    def gate_correlation(self) -> Interval:
        """Correlate MMoE's gate similarity with the cosine of the tasks, over all runs.

        Spearman's rank correlation: how well gates reveal the cosine.
        """
        similarity = np.stack([self.gates[cosine].similarity for cosine in sorted(self.gates)])
        return rank_correlation(np.array(sorted(self.gates)), similarity)


@dataclass(frozen=True)
class Choice:
    """Results of one choice of the open parameters.

    Attributes:
        pearson_error: root mean square distance to the paper's Fig. 2, p = 1 left out.
        losses: mean loss at the end by architecture and cosine.
        spread: by the same, the standard deviation of the runs' lowest losses.
    """

    pearson_error: float
    losses: Mapping[tuple[Architecture, float], float]
    spread: Mapping[tuple[Architecture, float], float]

    @property
    def loss_error(self) -> float:
        """Return the root mean square distance to the paper's Fig. 4 in these cells."""
        return root_mean_square([loss - END_LOSSES[key] for key, loss in self.losses.items()])


def root_mean_square(values: "list[float] | Floats") -> float:
    """Return the root of the mean of squares."""
    return float(np.sqrt(np.mean(np.square(values))))


class Alternative(NamedTuple):
    """Another choice of the open parameters; a learning rate is that of all models."""

    recipe: Recipe
    learning_rate: float | None = None


def open_choices(recipe: Recipe) -> dict[str, Alternative]:
    """List the recipes that the table of open parameters compares, the study's own first."""
    ten = tuple(float(i) for i in range(1, 11))
    alpha = recipe.alpha
    drawn = np.random.default_rng(0).normal(size=(2, 10))
    others = {
        "the study's: c = 0.3, alpha_i = 2i, beta = 0, m = 14": recipe,
        "c = 0.2": replace(recipe, scale=0.2),
        "c = 0.45": replace(recipe, scale=0.45),
        "m = 7": replace(recipe, alpha=alpha[:7], beta=recipe.beta[:7]),
        "m = 28": replace(recipe, alpha=tuple(2.0 * i for i in range(1, 29)), beta=(0.0,) * 28),
        "beta_i = i": replace(recipe, beta=tuple(float(i) for i in range(1, len(alpha) + 1))),
        "c = 0.85, alpha_i = i, beta_i = i, m = 10": replace(recipe, scale=0.85, alpha=ten, beta=ten),
        "c = 1, alpha_i = i, beta = 0, m = 10": replace(recipe, scale=1.0, alpha=ten, beta=(0.0,) * 10),
        "c = 1, alpha, beta ~ N(0, 1), m = 10 (PLE)": replace(
            recipe, scale=1.0, alpha=tuple(drawn[0].tolist()), beta=tuple(drawn[1].tolist())
        ),
        "twice the steps": replace(recipe, steps=recipe.steps * 2),
        "batches half as large": replace(recipe, batch=recipe.batch // 2),
        "batches twice as large": replace(recipe, batch=recipe.batch * 2),
    }
    slower = {
        f"learning rate 0.001, {FIG3_STEPS} times the steps": Alternative(
            replace(recipe, steps=FIG3_STEPS * recipe.steps), 1e-3
        )
    }
    return {words: Alternative(other) for words, other in others.items()} | slower


def tuning_cells(recipe: Recipe, size: Size) -> dict[tuple[Architecture, float], Cell]:
    """List the cells that choose the learning rates, at the hardest cosine of Fig. 4."""
    return {
        (architecture, rate): compared_cell(architecture, COSINES[0], rate, size.tuning_runs, recipe, TUNING_FIRST_RUN)
        for architecture in COMPARED
        for rate in LEARNING_RATES
    }


def main_cells(recipe: Recipe, size: Size, rates: Rates) -> dict[tuple[str, str, float], Cell]:
    """List all other cells by purpose, architecture and cosine.

    Some serve two ends and run once.
    """
    cells: dict[tuple[str, str, float], Cell] = {}
    for architecture in COMPARED:
        for cosine in COSINES:
            cells["fig4", architecture, cosine] = compared_cell(
                architecture, cosine, rates[architecture], size.runs, recipe
            )
    for cosine in GATE_COSINES:
        cells["gates", "mmoe", cosine] = compared_cell("mmoe", cosine, rates["mmoe"], size.runs, recipe)
    long = replace(recipe, steps=FIG3_STEPS * recipe.steps)
    for cosine in FIG3_COSINES:
        cells["fig3", "shared_bottom", cosine] = Cell(
            "shared_bottom", cosine, FIG3_LEARNING_RATE, size.runs, long, FIG3_HIDDEN
        )
    for words, other in open_choices(recipe).items():
        for architecture in COMPARED:
            for cosine in size.choice_cosines:
                rate = other.learning_rate or rates[architecture]
                cells[words, architecture, cosine] = compared_cell(
                    architecture, cosine, rate, size.choice_runs, other.recipe, TUNING_FIRST_RUN
                )
    return cells


def run_study(runner: CellRunner, recipe: Recipe, size: Size) -> Results:
    """Run everything that is not on disk yet, and put the results in order."""
    began = time.perf_counter()
    tuning = tuning_cells(recipe, size)
    tuned = dict(zip(tuning, runner.run(list(tuning.values())), strict=True))
    means = {key: float(curves.final.mean()) for key, curves in tuned.items()}
    rates = {architecture: _best_rate(means, architecture) for architecture in COMPARED}
    cells = main_cells(recipe, size, rates)
    done = dict(zip(cells, runner.run(list(cells.values())), strict=True))
    with cpu_threads(1):  # small operations: threads would only wait for each other
        pearson = {p: label_pearson(recipe, p, size.trials, size.trial_rows) for p in LABEL_PEARSON}
        choices = {words: _choice(words, other.recipe, done, size) for words, other in open_choices(recipe).items()}
    each_once = {cells[key]: curves.seconds for key, curves in done.items()}
    return Results(
        size=size,
        recipe=recipe,
        rates=rates,
        tuning=means,
        cells={(a, p): done["fig4", a, p] for a in COMPARED for p in COSINES},
        gates={p: done["gates", "mmoe", p] for p in GATE_COSINES},
        fig3={p: done["fig3", "shared_bottom", p] for p in FIG3_COSINES},
        pearson=pearson,
        choices=choices,
        wall_s=time.perf_counter() - began,
        core_s=sum(each_once.values()) + sum(curves.seconds for curves in tuned.values()),
    )


def planned_run_steps(runner: CellRunner, recipe: Recipe, size: Size) -> int:
    """Estimate the run-steps still to be done.

    What is on disk counts as done if it used the rate that is usual.
    """
    usual: Rates = dict.fromkeys(COMPARED, LEARNING_RATES[-1])
    cells = [*tuning_cells(recipe, size).values(), *main_cells(recipe, size, usual).values()]
    return runner.todo(cells)


def _best_rate(means: Mapping[tuple[Architecture, float], float], architecture: Architecture) -> float:
    return min(LEARNING_RATES, key=lambda rate: means[architecture, rate])


def _choice(words: str, recipe: Recipe, done: Mapping[tuple[str, str, float], Curves], size: Size) -> Choice:
    trials = max(1, size.trials // 20)
    errors = [
        float(label_pearson(recipe, p, trials, size.trial_rows).mean()) - r for p, r in LABEL_PEARSON.items() if p < 1
    ]
    keys = [(a, p) for a in COMPARED for p in size.choice_cosines]
    return Choice(
        root_mean_square(errors),
        {(a, p): float(done[words, a, p].final.mean()) for a, p in keys},
        {(a, p): float(done[words, a, p].lowest.std()) for a, p in keys},
    )
