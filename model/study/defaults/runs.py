"""Runs of the study: a network by default and two kinds of trees by default, on the same rows."""

import hashlib
import json
import os
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any

import numpy as np
import torch
from numpy.typing import NDArray

from model.config import defaults
from model.config.defaults import settle
from model.config.run import Config, config_text
from model.data.table import read_dataset
from model.network.model import Predictions, build_model, predict
from model.schema import Dataset, Rows, Task
from model.study.defaults.tables import StudyTable
from model.study.processes import Advance, run_in_processes
from model.training.metrics import evaluate
from model.training.progress import Watcher
from model.training.train import fit

NETWORK, LIGHTGBM, HIST = "network", "LightGBM", "HistGradientBoosting"
LAYOUT = 1
"""Version of the results; a new one makes kept runs of equal configurations run anew."""

MOST_CATEGORIES = 255
"""Codes that HistGradientBoosting takes for categories; a column of more it reads as numbers."""

MAIN_METRIC = {"binary": "auc", "regression": "rmse", "multiclass": "auc"}


@dataclass(frozen=True)
class Run:
    """Results on one split.

    Attributes:
        kinds: of each task by name.
        rows: in training, validation and test.
        chosen: the note on what the table has chosen.
        seconds: of the network's training.
        kept_step: step whose weights were kept, and how many there were to be.
        values: the main metric on the test rows, by model and task.
    """

    kinds: Mapping[str, str]
    rows: tuple[int, int, int]
    chosen: str
    seconds: float
    kept_step: tuple[int, int]
    values: Mapping[str, Mapping[str, float]]


def run_table(table: StudyTable, splits: int, work: Path, workers: int, advance: Advance) -> list[Run]:
    """Run what is not on disk yet; returns a run for each split."""
    work.mkdir(parents=True, exist_ok=True)
    jobs = [(table.configured(split, work), _path(table, split, work)) for split in range(splits)]
    missing = [(config, path) for config, path in jobs if not path.exists()]
    advance(len(jobs) - len(missing))
    run_in_processes(_run_jobs, missing, workers, advance)
    return [_read(path) for _, path in jobs]


def _path(table: StudyTable, split: int, work: Path) -> Path:
    config = table.configured(split, work)
    settled = f"{LAYOUT}{config_text(config)}{Path(defaults.__file__).read_text()}{torch.__version__}"
    return work / f"defaults-{table.name}-{split}-{hashlib.sha256(settled.encode()).hexdigest()[:12]}.json"


def _read(path: Path) -> Run:
    told = json.loads(path.read_text(encoding="utf-8"))
    return Run(**told | {"rows": tuple(told["rows"]), "kept_step": tuple(told["kept_step"])})


def _run_jobs(jobs: Iterator[tuple[Config, Path]], advance: Advance) -> None:
    for config, path in jobs:
        beside = path.with_suffix(f".{os.getpid()}.partial")
        beside.write_text(json.dumps(asdict(run_split(config))), encoding="utf-8")
        os.replace(beside, path)
        advance(1)


def run_split(config: Config) -> Run:
    """Train all three on one split, and measure them on its test rows."""
    dataset = read_dataset(config)
    settled, chosen = settle(config, dataset)
    model = build_model(dataset.features, dataset.tasks, settled.model, settled.train.seed)
    history = fit(model, dataset, settled.train, watcher=Watcher())
    answers: dict[str, Predictions] = {NETWORK: predict(model, dataset.test)}
    answers |= {name: Predictions(_trees(dataset, make), None) for name, make in TREES.items()}
    steps = -(-len(dataset.train) // settled.train.batch_size)
    values = {}
    for name, answer in answers.items():
        found = evaluate(answer, dataset.test, dataset.tasks)
        values[name] = {task.name: found[task.name][MAIN_METRIC[task.kind]] for task in dataset.tasks}
    return Run(
        kinds={task.name: task.kind for task in dataset.tasks},
        rows=(len(dataset.train), len(dataset.validation), len(dataset.test)),
        chosen=" ".join(chosen),
        seconds=history.seconds,
        kept_step=(history.best_epoch * steps, settled.train.epochs * steps),
        values=values,
    )


def _lightgbm(task: Task, categories: Sequence[int], x: NDArray[np.float64], y: NDArray[np.float64]) -> Any:
    import lightgbm

    kind = lightgbm.LGBMRegressor if task.kind == "regression" else lightgbm.LGBMClassifier
    return kind(n_jobs=1, verbose=-1).fit(x, y, categorical_feature=list(categories) or "auto")


def _hist(task: Task, categories: Sequence[int], x: NDArray[np.float64], y: NDArray[np.float64]) -> Any:
    from sklearn.ensemble import HistGradientBoostingClassifier, HistGradientBoostingRegressor

    few = [column for column in categories if x[:, column].max() < MOST_CATEGORIES]
    kind = HistGradientBoostingRegressor if task.kind == "regression" else HistGradientBoostingClassifier
    return kind(categorical_features=few or None, random_state=0).fit(x, y)


TREES: dict[str, Callable[..., Any]] = {LIGHTGBM: _lightgbm, HIST: _hist}


def _trees(dataset: Dataset, make: Callable[..., Any]) -> dict[str, NDArray[np.float32]]:
    """Fit a model for each task on training and validation rows, and answer the test rows.

    By default trees choose nothing by validation rows, so they learn from these too.
    """
    parts = (dataset.train, dataset.validation)
    x, labels = np.concatenate([_columns(part) for part in parts]), np.concatenate([part.labels for part in parts])
    numbers = dataset.train.numeric.shape[1]
    categories = range(numbers, x.shape[1])
    asked, answers = _columns(dataset.test), {}
    for t, task in enumerate(dataset.tasks):
        labelled = ~np.isnan(labels[:, t])
        fitted = make(task, categories, x[labelled], labels[labelled, t])
        found = fitted.predict(asked) if task.kind == "regression" else fitted.predict_proba(asked)
        answers[task.name] = np.asarray(found[:, 1] if task.kind == "binary" else found, np.float32)
    return answers


def _columns(rows: Rows) -> NDArray[np.float64]:
    return np.concatenate([rows.numeric, rows.codes], axis=1, dtype=np.float64)
