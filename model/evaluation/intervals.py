"""Metrics with intervals: how far another draw of as many test rows could move them."""

from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray
from scipy.special import expit, logit

from model.reliability import wilson
from model.schema import Task
from model.training.judged import Judged
from model.training.ranking import placements

FEW = 10
"""Rows, for AUC rows of either class, below which a metric has no interval."""

TINY = float(np.finfo(np.float32).tiny)
Z = 1.959964
"""Of the normal distribution, for 95 %."""

Doubles = NDArray[np.float64]


@dataclass(frozen=True)
class Estimate:
    """Metric with its 95 % interval, which is None where there are too few rows for one."""

    metric: str
    value: float
    interval: tuple[float, float] | None = None


def estimate(task: Task, rows: Judged) -> Estimate | None:
    """Measure an output by the metric that is plainest for its kind of task.

    RMSE of a regression, AUC of a binary task, accuracy of a multiclass one; None where the rows
    do not define it.
    """
    if not len(rows.truth):
        return None
    if task.kind == "regression":
        return _rmse(rows)
    if task.kind == "multiclass":
        return _accuracy(rows)
    return _auc(rows) if 0.0 < rows.truth.sum() < len(rows.truth) else None


def mean_and_error(values: Doubles, times: Doubles | None) -> tuple[float, float]:
    """Compute a weighted mean and its standard error.

    The error is that of a mean of rows that were drawn with their weights; NaN for one row.
    """
    count = len(values)
    weights = np.ones(count) if times is None else times
    mean = float(np.average(values, weights=weights))
    if count < 2:
        return mean, float("nan")
    spread = np.sqrt((weights**2 * (values - mean) ** 2).sum()) / weights.sum()
    return mean, float(spread * np.sqrt(count / (count - 1)))


def losses(task: Task, rows: Judged) -> Doubles:
    """Compute the loss of each row, (B,): its squared error, or the log-loss of its class."""
    if task.kind == "regression":
        return np.asarray((rows.answer - rows.truth) ** 2)
    if task.kind == "binary":
        of_truth = np.where(rows.truth == 1.0, rows.answer, 1.0 - rows.answer)
    else:
        of_truth = rows.answer[np.arange(len(rows.truth)), rows.truth.astype(np.int64)]
    return np.asarray(-np.log(np.clip(of_truth, np.finfo(np.float64).eps, 1.0)))


def _rmse(rows: Judged) -> Estimate:
    mean, error = mean_and_error((rows.answer - rows.truth) ** 2, rows.times)
    if len(rows.truth) < FEW:
        return Estimate("rmse", float(np.sqrt(mean)))
    low, high = np.sqrt(np.maximum([mean - Z * error, mean + Z * error], 0.0)).tolist()
    return Estimate("rmse", float(np.sqrt(mean)), (low, high))


def _accuracy(rows: Judged) -> Estimate:
    """Measure the share of right answers, with Wilson's interval (1927) for the effective rows."""
    weights = np.ones(len(rows.truth)) if rows.times is None else rows.times
    share = float(np.average(rows.answer.argmax(axis=1) == rows.truth, weights=weights))
    if len(rows.truth) < FEW:
        return Estimate("accuracy", share)
    effective = weights.sum() ** 2 / (weights**2).sum()
    down, up = wilson(np.array([share]), np.array([effective]))[:, 0].tolist()
    return Estimate("accuracy", share, (share - down, share + up))


def _auc(rows: Judged) -> Estimate:
    """Measure AUC, with the interval of DeLong et al. (1988) on the scale of its logit.

    There is none for an AUC of 1, whose interval would be a point.
    """
    positive = rows.truth == 1.0
    times = np.ones(len(rows.truth)) if rows.times is None else rows.times
    placed = placements(rows.answer, positive.astype(np.int64), times, np.zeros(len(positive), np.int64))
    (auc, one), (_, other) = (mean_and_error(placed[of], times[of]) for of in (positive, ~positive))
    if min(int(positive.sum()), int((~positive).sum())) < FEW or not TINY < auc < 1.0:
        return Estimate("auc", auc)
    width = Z * np.hypot(one, other) / (auc * (1.0 - auc))
    low, high = expit(logit(auc) + width * np.array([-1.0, 1.0])).tolist()
    return Estimate("auc", auc, (low, high))
