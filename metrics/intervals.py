"""Metrics with 95 % intervals: how far another draw of as many rows could move them."""

from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray
from scipy.special import expit, logit

from metrics.ranking import placements
from metrics.reliability import wilson

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


def estimate(kind: str, answer: Doubles, truth: Doubles, times: Doubles | None = None) -> Estimate | None:
    """Measure an output by the metric that is plainest for its kind of task.

    RMSE of a regression, AUC of a binary task, accuracy of a multiclass one; None where the rows
    do not define it.

    Args:
        kind: of the task.
        answer: (B,) values or probabilities; of a multiclass task (B, K).
        truth: (B,) values, 0 and 1, or indices of classes.
        times: (B,), how often each row counts; None for once each.
    """
    if not len(truth):
        return None
    if kind == "regression":
        return rmse(answer, truth, times)
    if kind == "multiclass":
        return accuracy(answer.argmax(axis=1) == truth, times)
    return auc(answer, truth, times) if 0.0 < truth.sum() < len(truth) else None


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


def losses(kind: str, answer: Doubles, truth: Doubles) -> Doubles:
    """Compute the loss of each row, (B,): its squared error, or the log-loss of its class."""
    if kind == "regression":
        return np.asarray((answer - truth) ** 2)
    if kind == "binary":
        of_truth = np.where(truth == 1.0, answer, 1.0 - answer)
    else:
        of_truth = answer[np.arange(len(truth)), truth.astype(np.int64)]
    return np.asarray(-np.log(np.clip(of_truth, np.finfo(np.float64).eps, 1.0)))


def mean(metric: str, values: Doubles, times: Doubles | None = None) -> Estimate:
    """Measure the mean of what each row has, such as its loss."""
    value, error = mean_and_error(values, times)
    return Estimate(metric, value, (value - Z * error, value + Z * error) if len(values) >= FEW else None)


def rmse(answer: Doubles, truth: Doubles, times: Doubles | None = None) -> Estimate:
    """Measure the root of the mean squared error, by the interval of that mean."""
    found = mean("rmse", (answer - truth) ** 2, times)
    interval = found.interval and tuple(np.sqrt(np.maximum(found.interval, 0.0)).tolist())
    return Estimate("rmse", float(np.sqrt(found.value)), interval)


def accuracy(right: NDArray[np.bool_], times: Doubles | None = None) -> Estimate:
    """Measure the share of right answers, with Wilson's interval (1927) for the effective rows."""
    weights = np.ones(len(right)) if times is None else times
    share = float(np.average(right, weights=weights))
    if len(right) < FEW:
        return Estimate("accuracy", share)
    effective = weights.sum() ** 2 / (weights**2).sum()
    down, up = wilson(np.array([share]), np.array([effective]))[:, 0].tolist()
    return Estimate("accuracy", share, (share - down, share + up))


def auc(answer: Doubles, truth: Doubles, times: Doubles | None = None) -> Estimate:
    """Measure AUC of rows of both classes.

    The interval is that of DeLong et al. (1988) on the scale of its logit; there is none for an
    AUC of 1, whose interval would be a point.
    """
    positive = truth == 1.0
    counts = np.ones(len(truth)) if times is None else times
    placed = placements(answer, positive.astype(np.int64), counts, np.zeros(len(positive), np.int64))
    (value, one), (_, other) = (mean_and_error(placed[of], counts[of]) for of in (positive, ~positive))
    if min(int(positive.sum()), int((~positive).sum())) < FEW or not TINY < value < 1.0:
        return Estimate("auc", value)
    width = Z * np.hypot(one, other) / (value * (1.0 - value))
    low, high = expit(logit(value) + width * np.array([-1.0, 1.0])).tolist()
    return Estimate("auc", value, (low, high))
