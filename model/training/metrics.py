"""Metrics per kind of task, by scikit-learn's definitions, over the labelled rows.

Sums are taken block by block in float64; beside the answers, a binary task takes 8 bytes a row,
for the order of the answers.
"""

from collections.abc import Iterator, Sequence
from dataclasses import dataclass, replace

import numpy as np
from numpy.typing import NDArray

from metrics.blocks import Numbers, Times, blocks
from metrics.decisions import Decisions
from metrics.intervals import losses
from metrics.ranking import areas, grouped_auc
from metrics.reliability import calibration_error
from model.network.model import Predictions
from model.schema import Rows, Task
from model.training.judged import judged, labelled_rows, outputs_of, weights_of

CHUNK_ROWS = 1 << 20
"""Rows whose labels are copied at a time."""

HIGHER_IS_BETTER = {
    "auc": True,
    "gauc": True,
    "pr_auc": True,
    "accuracy": True,
    "macro_f1": True,
    "r2": True,
    "log_loss": False,
    "ece": False,
    "rmse": False,
    "mae": False,
}
"""Every metric and its direction."""


def evaluate(predictions: Predictions, rows: Rows, tasks: Sequence[Task]) -> dict[str, dict[str, float]]:
    """Compute each task's metrics over the rows that have its label.

    A metric that these rows do not define (AUC with one class, R² of a constant, anything without
    a label) is absent, so that no NaN reaches a report. Each row counts by its weight, and a
    negative one of a task whose negatives were sampled as often as those that it stands for.

    Returns:
        Metrics by name, by task; and by conditional output, over the rows in which the task before
        came true.
    """
    return {name: _measure(predictions.tasks[name], rows, tasks, t, given) for name, t, given in outputs_of(tasks)}


@dataclass(frozen=True)
class Baseline:
    """Trivial model of a task, the same answer for every row, and its metrics.

    Attributes:
        constant: mean of the training labels, share of positive ones, or the share of each class
            (K), by the rows' weights.
        metrics: over the test rows, by name, as those of the model.
    """

    constant: float | list[float]
    metrics: dict[str, float]

    def describe(self, task: Task) -> str:
        """Describe the constant answer in a few words."""
        if isinstance(self.constant, float):
            return f"always the {'mean' if task.kind == 'regression' else 'base rate'}, {self.constant:.6g}"
        most = int(np.argmax(self.constant))
        return f"always the classes' shares, most '{task.classes[most]}' with {self.constant[most]:.1%}"


def baselines(train: Rows, test: Rows, tasks: Sequence[Task]) -> dict[str, Baseline]:
    """Measure the best constant answers that the training rows give, by task.

    A task without labels there is absent; the conditional outputs of funnel tasks are there too.
    """
    found = {}
    for name, t, given in outputs_of(tasks):
        constant = best_constant(train, tasks, t, given)
        if constant is None:
            continue
        found[name] = Baseline(constant, _measure_constant(constant, test, tasks, t, given))
    return found


def best_constant(
    train: Rows, tasks: Sequence[Task], column: int, given: bool = False, chunk: int = CHUNK_ROWS
) -> float | list[float] | None:
    """Compute the mean of a task's labels, or the share of each class; None without a label.

    Args:
        train: in memory or mapped from files.
        tasks: all of them.
        column: the task's.
        given: whether only rows count in which the task before came true.
        chunk: rows that are copied at a time.
    """
    task = tasks[column]
    if task.kind == "multiclass":
        masses = _class_masses(train, tasks, column, given, chunk)
        return (masses / masses.sum()).tolist() if masses.any() else None
    summed = counted = 0.0
    for known, times in _labels(train, tasks, column, given, chunk):
        counted += float(times.sum())
        summed += float(times @ known)
    return summed / counted if counted else None


def _labels(
    rows: Rows, tasks: Sequence[Task], column: int, given: bool, chunk: int = CHUNK_ROWS
) -> Iterator[tuple[NDArray[np.float64], NDArray[np.float64]]]:
    """Read a task's labels, some rows at a time, and how often each counts."""
    for begin in range(0, len(rows), chunk):
        part = slice(begin, begin + chunk)
        weights = None if rows.weights is None else rows.weights[part]
        some = replace(rows, labels=rows.labels[part], weights=weights)
        labelled = labelled_rows(some, tasks, column, given)
        known = some.labels[labelled, column].astype(np.float64)
        times = weights_of(some, tasks, column, labelled)
        yield known, np.ones(len(known)) if times is None else times.astype(np.float64)


def _class_masses(
    rows: Rows, tasks: Sequence[Task], column: int, given: bool, chunk: int = CHUNK_ROWS
) -> NDArray[np.float64]:
    """Count the rows of each class, (K,)."""
    masses = np.zeros(len(tasks[column].classes))
    for known, times in _labels(rows, tasks, column, given, chunk):
        masses += np.bincount(known.astype(np.int64), times, len(masses))
    return masses


def _measure(
    predicted: NDArray[np.floating], rows: Rows, tasks: Sequence[Task], column: int, given: bool
) -> dict[str, float]:
    answer, truth, times, chosen = judged(predicted, rows, tasks, column, given)
    task = tasks[column]
    if not len(truth):
        return {}
    if task.kind == "regression":
        return _regression(answer, truth, times)
    if task.kind == "multiclass":
        return _multiclass(answer, truth, times)
    gauc = None if rows.groups is None else grouped_auc(answer, truth, times, rows.groups[chosen])
    return _binary(answer, truth, times) | ({} if gauc is None else {"gauc": gauc})


def _measure_constant(
    constant: float | list[float], rows: Rows, tasks: Sequence[Task], column: int, given: bool
) -> dict[str, float]:
    """Measure one answer to all rows: that to a row of each class that counts as often as all."""
    if tasks[column].kind == "regression":
        return _measure(np.broadcast_to(np.asarray(constant, np.float64), len(rows)), rows, tasks, column, given)
    masses = _class_masses(rows, tasks, column, given)
    classes = np.flatnonzero(masses)
    if not len(classes):
        return {}
    answers = np.broadcast_to(np.asarray(constant), (len(classes), *np.shape(constant)))
    if tasks[column].kind == "multiclass":
        return _multiclass(answers, classes, masses[classes])
    found = _binary(answers, classes, masses[classes])
    if rows.groups is not None:
        everywhere = judged(np.broadcast_to(np.float32(0.0), len(rows)), rows, tasks, column, given)
        gauc = grouped_auc(everywhere.answer, everywhere.truth, everywhere.times, rows.groups[everywhere.chosen])
        found |= {} if gauc is None else {"gauc": gauc}
    return found


def _regression(answer: Numbers, truth: Numbers, times: Times) -> dict[str, float]:
    mass = summed = squares = distances = apart = 0.0
    for block in blocks(answer, truth, times):
        error = block.answer - block.truth
        mass, summed = mass + float(block.times.sum()), summed + float(block.times @ block.truth)
        squares += float(block.times @ error**2)
        distances += float(block.times @ np.abs(error))
    found = {"rmse": float(np.sqrt(squares / mass)), "mae": distances / mass}
    if len(truth) > 1 and np.ptp(truth) > 0.0:
        for block in blocks(answer, truth, times):
            apart += float(block.times @ (block.truth - summed / mass) ** 2)
        found["r2"] = 1.0 - squares / apart
    return found


def _binary(answer: Numbers, truth: Numbers, times: Times) -> dict[str, float]:
    order, decisions, mass, lost = np.argsort(answer), Decisions(2), 0.0, 0.0
    for block in blocks(answer, truth, times):
        mass += float(block.times.sum())
        lost += float(block.times @ losses("binary", block.answer, block.truth))
        decisions.add((block.answer >= 0.5).astype(np.int64), block.truth.astype(np.int64), block.times)
    found = {"log_loss": lost / mass, "ece": calibration_error(answer, truth, times, order), **decisions.metrics()}
    if 0 < np.count_nonzero(truth) < len(truth):
        area = areas(answer, truth, times, order)
        found = {"auc": area.roc, "pr_auc": area.precision, **found}
    return found


def _multiclass(answer: Numbers, truth: Numbers, times: Times) -> dict[str, float]:
    decisions, mass, lost = Decisions(answer.shape[1]), 0.0, 0.0
    for block in blocks(answer, truth, times):
        shares = block.answer / block.answer.sum(axis=1, keepdims=True)  # float32 rows miss 1
        mass += float(block.times.sum())
        lost += float(block.times @ losses("multiclass", shares, block.truth))
        decisions.add(block.answer.argmax(axis=1), block.truth.astype(np.int64), block.times)
    found = {"log_loss": lost / mass, **decisions.metrics()}
    if len(np.unique(truth)) == answer.shape[1]:
        sums = answer.sum(axis=1, dtype=np.float64)
        each = [areas(answer[:, k] / sums, truth == k, times).roc for k in range(answer.shape[1])]
        found = {"auc": float(np.mean(each)), **found}
    return found
