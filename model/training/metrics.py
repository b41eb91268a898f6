"""Metrics per kind of task, by scikit-learn's definitions, over the labelled rows."""

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray
from sklearn import metrics as sk

from model.network.model import Predictions
from model.schema import Rows, Task

Times = NDArray[np.float64] | None
"""(B,), how often each labelled row counts; None for once each."""

HIGHER_IS_BETTER = {
    "auc": True,
    "accuracy": True,
    "macro_f1": True,
    "r2": True,
    "log_loss": False,
    "rmse": False,
    "mae": False,
}
"""Every metric and its direction."""


def evaluate(predictions: Predictions, rows: Rows, tasks: Sequence[Task]) -> dict[str, dict[str, float]]:
    """Compute each task's metrics over the rows that have its label.

    A metric that these rows do not define (AUC with one class, R² of a constant, anything without
    a label) is absent, so that no NaN reaches a report. Each row counts by its weight.
    """
    return {task.name: _measure(task, predictions.tasks[task.name], rows, t) for t, task in enumerate(tasks)}


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

    A task without labels there is absent.
    """
    found = {}
    for t, task in enumerate(tasks):
        labels = train.labels[:, t]
        labelled = ~np.isnan(labels)
        known, times = labels[labelled], _weights(train, labelled)
        if not known.size:
            continue
        constant: float | list[float] = float(np.average(known, weights=times))
        if task.kind == "multiclass":
            counts = np.bincount(known.astype(np.int64), times, len(task.classes))
            constant = (counts / counts.sum()).tolist()
        everywhere = np.broadcast_to(np.asarray(constant), (len(test), *np.shape(constant)))
        found[task.name] = Baseline(constant, _measure(task, everywhere, test, t))
    return found


def _weights(rows: Rows, chosen: NDArray[np.bool_]) -> Times:
    return None if rows.weights is None else rows.weights[chosen].astype(np.float64)


def _measure(task: Task, predicted: NDArray[np.floating], rows: Rows, column: int) -> dict[str, float]:
    labels = rows.labels[:, column]
    labelled = ~np.isnan(labels)
    answer, truth, times = predicted[labelled].astype(np.float64), labels[labelled], _weights(rows, labelled)
    if not len(truth):
        return {}
    if task.kind == "regression":
        return _regression(answer, truth, times)
    classes = truth.astype(np.int64)
    found = (_binary if task.kind == "binary" else _multiclass)(answer, classes, times)
    return {name: float(value) for name, value in found.items()}


def _regression(answer: NDArray[np.float64], truth: NDArray[np.float64], times: Times) -> dict[str, float]:
    found = {
        "rmse": float(sk.root_mean_squared_error(truth, answer, sample_weight=times)),
        "mae": float(sk.mean_absolute_error(truth, answer, sample_weight=times)),
    }
    if len(truth) > 1 and np.ptp(truth) > 0.0:
        found["r2"] = float(sk.r2_score(truth, answer, sample_weight=times))
    return found


def _binary(answer: NDArray[np.float64], classes: NDArray[np.int64], times: Times) -> dict[str, float]:
    decided = (answer >= 0.5).astype(np.int64)
    found = {"log_loss": sk.log_loss(classes, answer, labels=[0, 1], sample_weight=times)}
    found |= _decisions(decided, classes, times)
    if 0 < classes.sum() < len(classes):
        found = {"auc": sk.roc_auc_score(classes, answer, sample_weight=times), **found}
    return found


def _multiclass(answer: NDArray[np.float64], classes: NDArray[np.int64], times: Times) -> dict[str, float]:
    shares = answer / answer.sum(axis=1, keepdims=True)  # float32 rows miss 1 by more than scikit-learn allows
    found = {"log_loss": sk.log_loss(classes, shares, labels=np.arange(answer.shape[1]), sample_weight=times)}
    return found | _decisions(answer.argmax(axis=1), classes, times)


def _decisions(decided: NDArray[np.int64], classes: NDArray[np.int64], times: Times) -> dict[str, float]:
    return {
        "accuracy": sk.accuracy_score(classes, decided, sample_weight=times),
        "macro_f1": sk.f1_score(classes, decided, average="macro", zero_division=0.0, sample_weight=times),
    }
