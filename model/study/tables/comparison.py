"""Comparison of the four architectures on a real table.

Equal budgets, a tuned grid, many seeds, and LightGBM.

A seed decides a run's initial weights and order of rows and, where the table is split at random,
the split: what is said of all seeds then holds for other rows of the table too, not for one test
set alone.
"""

import hashlib
import json
import os
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import asdict, dataclass, replace
from functools import partial
from pathlib import Path

import torch

from model.config.defaults import settle
from model.config.run import Config, config_text
from model.data.table import read_dataset
from model.mmoe import Architecture, count_parameters
from model.network.model import build_model, predict
from model.schema import Dataset, Task
from model.study.processes import Advance, run_in_processes
from model.study.tables import trees
from model.training.metrics import evaluate
from model.training.progress import Watcher
from model.training.train import fit
from tables.config import TableData

ARCHITECTURES: tuple[Architecture, ...] = ("single_task", "shared_bottom", "omoe", "mmoe")
RATE_FACTORS = (0.5, 1.0, 2.0)
"""The grid: the learning rate that the table chooses times these."""
DROPOUTS = (0.0, 0.1, 0.2)
TUNING_SEEDS = (1000, 1001)
"""Of the runs that choose; none of those that are judged has one of them."""

LAYOUT = 2
"""Version of the results; a new one makes kept runs of equal configurations run anew."""

Metrics = Mapping[str, Mapping[str, float]]


@dataclass(frozen=True)
class Variant:
    """Run of a network; `hidden` is the width of each expert, or of the network."""

    architecture: Architecture
    hidden: int
    learning_rate: float
    dropout: float
    seed: int


@dataclass(frozen=True)
class Trees:
    """Run of LightGBM; the seed decides the split."""

    seed: int


@dataclass(frozen=True)
class Outcome:
    """Result of a run.

    Attributes:
        validation_loss: of a network: the lowest of its epochs, whose weights were kept.
        metrics: of the test rows, by task and metric.
        parameters: of a network: trained numbers, embeddings included.
    """

    validation_loss: float
    metrics: Metrics
    parameters: int
    seconds: float


@dataclass(frozen=True)
class Comparison:
    """Results on a table.

    Attributes:
        name: of the configuration.
        tasks: of the table, the main one first.
        rows: in training, validation and test.
        notes: on the table, for example how it was split, and on what it chose.
        splits: how many there were: one for each seed, or one for all.
        chosen: by architecture, the variant with the lowest mean validation loss (its seed is of
            no meaning).
        outcomes: by architecture, one per seed.
        yardstick: of LightGBM, one outcome per split; empty if it cannot be used here.
        yardstick_missing: why not.
    """

    name: str
    tasks: tuple[Task, ...]
    rows: tuple[int, int, int]
    notes: tuple[str, ...]
    splits: int
    chosen: Mapping[Architecture, Variant]
    outcomes: Mapping[Architecture, Sequence[Outcome]]
    yardstick: Sequence[Outcome]
    yardstick_missing: str


class TableRunner:
    """Runner of variants on one table; results are kept on disk.

    Args:
        config: of the table; its model is the MMoE that sets the budget. What it leaves open, the
            table chooses.
        directory: where finished runs are kept.
        workers: processes, each on one core.
        advance: is told how many runs have just been done.
    """

    def __init__(self, config: Config, directory: Path, workers: int, advance: Advance) -> None:
        self._config = config
        self._directory = directory
        self._workers = workers
        self._advance = advance

    def compare(self, seeds: int) -> Comparison:
        """Choose on validation rows, then run every architecture with `seeds` seeds."""
        dataset = read_dataset(self._config)
        self._config, chosen_by_table = settle(self._config, dataset)
        widths = equal_budgets(dataset, self._config)
        grids = {a: _grid(a, widths[a], self._config.train.learning_rate) for a in ARCHITECTURES}
        self._run([variant for grid in grids.values() for tried in grid for variant in tried], dataset.digest)
        chosen = {a: self._choose(grid, dataset.digest) for a, grid in grids.items()}
        judged = {a: [replace(chosen[a], seed=seed) for seed in range(seeds)] for a in ARCHITECTURES}
        beside = [Trees(seed) for seed in range(splits_of(self._config, seeds))] if not trees.why_missing() else []
        self._run([*(variant for variants in judged.values() for variant in variants), *beside], dataset.digest)
        return Comparison(
            name=self._config.name,
            tasks=dataset.tasks,
            rows=(len(dataset.train), len(dataset.validation), len(dataset.test)),
            notes=(*dataset.notes, *chosen_by_table),
            splits=splits_of(self._config, seeds),
            chosen=chosen,
            outcomes={a: self._run(variants, dataset.digest) for a, variants in judged.items()},
            yardstick=self._run(beside, dataset.digest),
            yardstick_missing=trees.why_missing(),
        )

    def _choose(self, grid: Sequence[Sequence[Variant]], digest: str) -> Variant:
        """Return a variant whose validation loss is lowest, as the mean of the tuning seeds."""
        losses = [sum(outcome.validation_loss for outcome in self._run(seeds, digest)) for seeds in grid]
        return grid[losses.index(min(losses))][0]

    def _run(self, jobs: Sequence[Variant | Trees], digest: str) -> list[Outcome]:
        paths = {job: self._path(job, digest) for job in jobs}
        missing = [(job, path) for job, path in paths.items() if not path.exists()]
        missing.sort(key=lambda pair: pair[0].seed)  # a process reads each split once
        run_in_processes(partial(run_jobs, self._config), missing, self._workers, self._advance)
        return [Outcome(**json.loads(path.read_text())) for path in paths.values()]

    def _path(self, job: Variant | Trees, digest: str) -> Path:
        described = f"{LAYOUT}{config_text(configured(self._config, job))}{digest}"
        described += trees.version() if isinstance(job, Trees) else torch.__version__
        kind = "lightgbm" if isinstance(job, Trees) else job.architecture
        name = f"{self._config.name}-{kind}-{hashlib.sha256(described.encode()).hexdigest()[:16]}.json"
        return self._directory / name


def _grid(architecture: Architecture, width: int, rate: float) -> list[list[Variant]]:
    """List what is tried, each with every tuning seed."""
    return [
        [Variant(architecture, width, rate * factor, dropout, seed) for seed in TUNING_SEEDS]
        for factor in RATE_FACTORS
        for dropout in DROPOUTS
    ]


def runs_of(config: Config, seeds: int) -> int:
    """Count the runs of a comparison."""
    networks = len(ARCHITECTURES) * (len(RATE_FACTORS) * len(DROPOUTS) * len(TUNING_SEEDS) + seeds)
    return networks + (0 if trees.why_missing() else splits_of(config, seeds))


def splits_of(config: Config, seeds: int) -> int:
    """Count the splits of a table: one for each seed if rows are split at random, else one."""
    return seeds if isinstance(config.data, TableData) and config.data.split.kind == "random" else 1


def run_jobs(config: Config, jobs: Iterator[tuple[Variant | Trees, Path]], advance: Advance) -> None:
    """Run the jobs of one process; a table is read anew only when its split changes."""
    dataset, data = None, None
    for job, path in jobs:
        told = configured(config, job)
        if dataset is None or told.data != data:
            dataset, data = read_dataset(told), told.data
        outcome = Outcome(0.0, trees.measure(dataset), 0, 0.0) if isinstance(job, Trees) else run_variant(told, dataset)
        path.parent.mkdir(parents=True, exist_ok=True)
        partial_path = path.with_suffix(f".{os.getpid()}.partial")
        partial_path.write_text(json.dumps(asdict(outcome)))
        os.replace(partial_path, path)
        advance(1)


def run_variant(config: Config, dataset: Dataset) -> Outcome:
    """Train once and measure on the test rows."""
    model = build_model(dataset.features, dataset.tasks, config.model, config.train.seed)
    history = fit(model, dataset, config.train, watcher=Watcher())
    metrics = evaluate(predict(model, dataset.test), dataset.test, dataset.tasks)
    lowest = min(record.validation_loss for record in history.epochs)
    return Outcome(lowest, metrics, count_parameters(model), history.seconds)


def configured(config: Config, job: Variant | Trees) -> Config:
    """Return the configuration of a run: its split and, for a network, its shape.

    The width is that of an expert's last layer.
    """
    data = config.data
    if isinstance(data, TableData) and data.split.kind == "random":
        split = data.split.model_copy(update={"seed": data.split.seed + job.seed})
        data = data.model_copy(update={"split": split})
    if isinstance(job, Trees):
        return config.model_copy(update={"data": data})
    hidden = (*config.model.expert_hidden[:-1], job.hidden)
    model = {"architecture": job.architecture, "expert_hidden": hidden, "dropout": job.dropout}
    train = {"learning_rate": job.learning_rate, "seed": job.seed, "device": "cpu"}
    changed = {"model": config.model.model_copy(update=model), "train": config.train.model_copy(update=train)}
    return config.model_copy(update={"data": data, **changed})


def equal_budgets(dataset: Dataset, config: Config) -> dict[Architecture, int]:
    """Find each architecture's width nearest to the MMoE's parameters, embeddings included."""

    def parameters(architecture: Architecture, hidden: int) -> int:
        shaped = configured(config, Variant(architecture, hidden, 1.0, 0.0, 0)).model
        return count_parameters(build_model(dataset.features, dataset.tasks, shaped, seed=0))

    own = config.model.expert_hidden[-1]
    budget = parameters("mmoe", own)
    widths: dict[Architecture, int] = {"mmoe": own}
    for architecture in ARCHITECTURES[:-1]:
        low, high = 1, 2
        while parameters(architecture, high) < budget:
            low, high = high, 2 * high
        while high - low > 1:
            middle = (low + high) // 2
            low, high = (middle, high) if parameters(architecture, middle) < budget else (low, middle)
        widths[architecture] = min((low, high), key=lambda hidden: abs(parameters(architecture, hidden) - budget))
    return widths
