"""Metrics per kind of task, by scikit-learn's definitions, over the labelled rows."""

from collections.abc import Sequence
from dataclasses import dataclass, replace

import numpy as np
from numpy.typing import NDArray
from sklearn import metrics as sk

from metrics.ranking import grouped_auc
from metrics.reliability import calibration_error
from model.network.model import Predictions
from model.schema import Rows, Task
from model.training.judged import Times, judged, labelled_rows, outputs_of, weights_of

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
    return {
        name: _measure(tasks[t], predictions.tasks[name], rows, tasks, t, given) for name, t, given in outputs_of(tasks)
    }


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
        everywhere = np.broadcast_to(np.asarray(constant), (len(test), *np.shape(constant)))
        found[name] = Baseline(constant, _measure(tasks[t], everywhere, test, tasks, t, given))
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
    classes = len(task.classes) if task.kind == "multiclass" else 1
    summed, counted = np.zeros(classes), 0.0
    for begin in range(0, len(train), chunk):
        part = slice(begin, begin + chunk)
        rows = replace(train, labels=train.labels[part], weights=None if train.weights is None else train.weights[part])
        labelled = labelled_rows(rows, tasks, column, given)
        known, times = rows.labels[labelled, column].astype(np.float64), weights_of(rows, tasks, column, labelled)
        counted += len(known) if times is None else float(times.sum())
        if task.kind == "multiclass":
            summed += np.bincount(known.astype(np.int64), times, classes)
        else:
            summed += known.sum() if times is None else (known * times).sum()
    if counted == 0.0:
        return None
    return (summed / counted).tolist() if task.kind == "multiclass" else float(summed[0] / counted)


def _measure(
    task: Task,
    predicted: NDArray[np.floating],
    rows: Rows,
    tasks: Sequence[Task],
    column: int,
    given: bool = False,
) -> dict[str, float]:
    answer, truth, times, chosen = judged(predicted, rows, tasks, column, given)
    if not len(truth):
        return {}
    if task.kind == "regression":
        return _regression(answer, truth, times)
    classes = truth.astype(np.int64)
    if task.kind == "multiclass":
        return {name: float(value) for name, value in _multiclass(answer, classes, times).items()}
    found = _binary(answer, classes, times)
    gauc = None if rows.groups is None else grouped_auc(answer, classes, times, rows.groups[chosen])
    return {name: float(value) for name, value in found.items()} | ({} if gauc is None else {"gauc": gauc})


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
    found |= {"ece": calibration_error(answer, classes, times), **_decisions(decided, classes, times)}
    if 0 < classes.sum() < len(classes):
        auc = sk.roc_auc_score(classes, answer, sample_weight=times)
        found = {"auc": auc, "pr_auc": sk.average_precision_score(classes, answer, sample_weight=times), **found}
    return found


def _multiclass(answer: NDArray[np.float64], classes: NDArray[np.int64], times: Times) -> dict[str, float]:
    shares = answer / answer.sum(axis=1, keepdims=True)  # float32 rows miss 1 by more than scikit-learn allows
    found = {"log_loss": sk.log_loss(classes, shares, labels=np.arange(answer.shape[1]), sample_weight=times)}
    found |= _decisions(answer.argmax(axis=1), classes, times)
    if len(np.unique(classes)) == answer.shape[1]:
        each = [sk.roc_auc_score(classes == k, shares[:, k], sample_weight=times) for k in range(answer.shape[1])]
        found = {"auc": float(np.mean(each)), **found}
    return found


def _decisions(decided: NDArray[np.int64], classes: NDArray[np.int64], times: Times) -> dict[str, float]:
    return {
        "accuracy": sk.accuracy_score(classes, decided, sample_weight=times),
        "macro_f1": sk.f1_score(classes, decided, average="macro", zero_division=0.0, sample_weight=times),
    }
