"""Compare the four architectures on a real table: equal budgets, a tuned grid, many seeds, LightGBM."""

import hashlib
import json
import os
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import asdict, dataclass
from functools import partial
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from model.config import Config, config_text
from model.metrics import Predictions, evaluate
from model.mmoe import Architecture, count_parameters
from model.predict import build_model
from model.processes import Advance, run_in_processes
from model.progress import EpochRecord
from model.schema import Dataset, Rows, Task
from model.table import read_dataset
from model.train import fit, predict

ARCHITECTURES: tuple[Architecture, ...] = ("single_task", "shared_bottom", "omoe", "mmoe")
RATE_FACTORS = (0.5, 1.0, 2.0)
"""The grid: the configuration's learning rate times these."""
DROPOUTS = (0.0, 0.1, 0.2)
TUNING_SEEDS = (1000, 1001)
"""Of the runs that choose; none of those that are judged has one of them."""

Metrics = Mapping[str, Mapping[str, float]]


@dataclass(frozen=True)
class Variant:
    """Name a run on a table; `hidden` is the width of each expert, shared network or network of a task."""

    architecture: Architecture
    hidden: int
    learning_rate: float
    dropout: float
    seed: int


@dataclass(frozen=True)
class Outcome:
    """Hold what came of a run.

    Attributes:
        validation_loss: the lowest of its epochs, whose weights were kept.
        metrics: of the test rows, by task and metric.
        parameters: trained numbers, embeddings included.
    """

    validation_loss: float
    metrics: Metrics
    parameters: int
    seconds: float


@dataclass(frozen=True)
class Comparison:
    """Hold a table's results.

    Attributes:
        name: of the configuration.
        tasks: of the table, the main one first.
        rows: in training, validation and test.
        notes: on the table, for example how it was split.
        chosen: by architecture, the variant with the lowest mean validation loss (its seed is of no meaning).
        outcomes: by architecture, one per seed.
        yardstick: LightGBM's test metrics by task; empty if LightGBM is not installed.
    """

    name: str
    tasks: tuple[Task, ...]
    rows: tuple[int, int, int]
    notes: tuple[str, ...]
    chosen: Mapping[Architecture, Variant]
    outcomes: Mapping[Architecture, Sequence[Outcome]]
    yardstick: Metrics


@dataclass(frozen=True)
class Silent:
    """Follow a run without a word."""

    def step(self, epoch: int, rows: int, loss_sum: object) -> None:
        """Say nothing."""

    def epoch(self, record: EpochRecord, best: bool) -> None:
        """Say nothing."""


class TableLaboratory:
    """Run variants on one table, and keep what came of them.

    Args:
        config: of the table; its model is the MMoE that sets the budget.
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
        widths = equal_budgets(dataset, self._config)
        grids = {a: _grid(a, widths[a], self._config.train.learning_rate) for a in ARCHITECTURES}
        self._run([variant for grid in grids.values() for seeds in grid for variant in seeds], dataset.digest)
        chosen = {a: self._choose(grid, dataset.digest) for a, grid in grids.items()}
        judged = {a: [Variant(**{**asdict(chosen[a]), "seed": seed}) for seed in range(seeds)] for a in ARCHITECTURES}
        self._run([variant for variants in judged.values() for variant in variants], dataset.digest)
        return Comparison(
            name=self._config.name,
            tasks=dataset.tasks,
            rows=(len(dataset.train), len(dataset.validation), len(dataset.test)),
            notes=dataset.notes,
            chosen=chosen,
            outcomes={a: self._run(variants, dataset.digest) for a, variants in judged.items()},
            yardstick=yardstick(dataset, self._workers),
        )

    def _choose(self, grid: Sequence[Sequence[Variant]], digest: str) -> Variant:
        """Return a variant whose validation loss is lowest, as the mean of the tuning seeds."""
        losses = [sum(outcome.validation_loss for outcome in self._run(seeds, digest)) for seeds in grid]
        return grid[losses.index(min(losses))][0]

    def _run(self, variants: Sequence[Variant], digest: str) -> list[Outcome]:
        paths = {variant: self._path(variant, digest) for variant in variants}
        missing = [(variant, path) for variant, path in paths.items() if not path.exists()]
        run_in_processes(partial(run_variants, self._config), missing, self._workers, self._advance)
        return [Outcome(**json.loads(path.read_text())) for path in paths.values()]

    def _path(self, variant: Variant, digest: str) -> Path:
        described = f"{config_text(configured(self._config, variant))}{digest}"
        name = f"{self._config.name}-{variant.architecture}-{hashlib.sha256(described.encode()).hexdigest()[:16]}.json"
        return self._directory / name


def _grid(architecture: Architecture, width: int, rate: float) -> list[list[Variant]]:
    """List what is tried, each with every tuning seed."""
    return [
        [Variant(architecture, width, rate * factor, dropout, seed) for seed in TUNING_SEEDS]
        for factor in RATE_FACTORS
        for dropout in DROPOUTS
    ]


def runs_of(seeds: int) -> int:
    """Count the runs of a comparison."""
    return len(ARCHITECTURES) * (len(RATE_FACTORS) * len(DROPOUTS) * len(TUNING_SEEDS) + seeds)


def run_variants(config: Config, jobs: Iterator[tuple[Variant, Path]], advance: Advance) -> None:
    """Do the runs of one process; the table is read once."""
    dataset = read_dataset(config)
    for variant, path in jobs:
        outcome = run_variant(configured(config, variant), dataset)
        path.parent.mkdir(parents=True, exist_ok=True)
        partial_path = path.with_suffix(f".{os.getpid()}.partial")
        partial_path.write_text(json.dumps(asdict(outcome)))
        os.replace(partial_path, path)
        advance(1)


def run_variant(config: Config, dataset: Dataset) -> Outcome:
    """Train once and measure on the test rows."""
    model = build_model(dataset.features, dataset.tasks, config.model, config.train.seed)
    history = fit(model, dataset, config.train, watcher=Silent())
    metrics = evaluate(predict(model, dataset.test), dataset.test, dataset.tasks)
    lowest = min(record.validation_loss for record in history.epochs)
    return Outcome(lowest, metrics, count_parameters(model), history.seconds)


def configured(config: Config, variant: Variant) -> Config:
    """Return the configuration of a variant; the last layer of the experts gets its width."""
    hidden = (*config.model.expert_hidden[:-1], variant.hidden)
    model = {"architecture": variant.architecture, "expert_hidden": hidden, "dropout": variant.dropout}
    train = {"learning_rate": variant.learning_rate, "seed": variant.seed, "device": "cpu"}
    return config.model_copy(
        update={"model": config.model.model_copy(update=model), "train": config.train.model_copy(update=train)}
    )


def equal_budgets(dataset: Dataset, config: Config) -> dict[Architecture, int]:
    """Find for each architecture the width that brings its network nearest to the parameters of the MMoE."""

    def parameters(architecture: Architecture, hidden: int) -> int:
        shaped = configured(config, Variant(architecture, hidden, 1.0, 0.0, 0)).model
        return count_parameters(build_model(dataset.features, dataset.tasks, shaped, seed=0).network)

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


def yardstick(dataset: Dataset, threads: int) -> Metrics:
    """Train LightGBM for each task by itself, and measure it on the test rows; empty if it is not installed."""
    try:
        import lightgbm
    except (ImportError, OSError):  # the latter without the system's OpenMP
        return {}
    numbers = dataset.train.numeric.shape[1]
    categorical = list(range(numbers, numbers + dataset.train.codes.shape[1]))
    predicted: dict[str, NDArray[np.float32]] = {}
    for index, task in enumerate(dataset.tasks):
        parts = [_for_trees(rows, index) for rows in (dataset.train, dataset.validation)]
        train = lightgbm.Dataset(*parts[0], categorical_feature=categorical)
        objective = {"regression": "regression", "binary": "binary", "multiclass": "multiclass"}[task.kind]
        settings = {
            "objective": objective,
            "learning_rate": 0.05,
            "seed": 0,
            "deterministic": True,
            "num_threads": threads,
            "verbose": -1,
        }
        if task.kind == "multiclass":
            settings["num_class"] = len(task.classes)
        stop = lightgbm.early_stopping(50, verbose=False)
        valid = lightgbm.Dataset(*parts[1], reference=train)
        trees = lightgbm.train(settings, train, 2000, valid_sets=[valid], callbacks=[stop])
        predicted[task.name] = np.asarray(trees.predict(_columns(dataset.test)), dtype=np.float32)
    return evaluate(Predictions(predicted, None), dataset.test, dataset.tasks)


def _for_trees(rows: Rows, task: int) -> tuple[NDArray[np.float64], NDArray[np.float32]]:
    labels = rows.labels[:, task]
    labelled = ~np.isnan(labels)
    return _columns(rows)[labelled], labels[labelled]


def _columns(rows: Rows) -> NDArray[np.float64]:
    return np.concatenate([rows.numeric, rows.codes], axis=1, dtype=np.float64)
