"""Metrics with 95 % intervals: how far another draw of as many rows could move them."""

from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray
from scipy.special import expit, logit

from metrics.blocks import Doubles, Numbers, Times, blocks
from metrics.ranking import areas, auc_error
from metrics.reliability import wilson

FEW = 10
"""Rows, for AUC rows of either class, below which a metric has no interval."""

TINY = float(np.finfo(np.float32).tiny)
Z = 1.959964
"""Of the normal distribution, for 95 %."""


@dataclass(frozen=True)
class Estimate:
    """Metric with its 95 % interval, which is None where there are too few rows for one."""

    metric: str
    value: float
    interval: tuple[float, float] | None = None


def estimate(kind: str, answer: Numbers, truth: Numbers, times: Times = None) -> Estimate | None:
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
        return accuracy(np.asarray(answer.argmax(axis=1) == truth), times)
    return auc(answer, truth, times) if 0.0 < truth.sum() < len(truth) else None


def mean_and_error(values: Numbers, times: Times) -> tuple[float, float]:
    """Compute a weighted mean and its standard error.

    The error is that of a mean of rows that were drawn with their weights; NaN for one row.
    """
    count, mass, summed, squares = len(values), 0.0, 0.0, 0.0
    for value, _, weight in blocks(values, values, times):
        mass, summed = mass + float(weight.sum()), summed + float(weight @ value)
    mean = summed / mass
    if count < 2:
        return mean, float("nan")
    for value, _, weight in blocks(values, values, times):
        squares += float(np.square(weight * (value - mean)).sum())
    return mean, float(np.sqrt(squares) / mass * np.sqrt(count / (count - 1)))


def losses(kind: str, answer: Numbers, truth: Numbers) -> Doubles:
    """Compute the loss of each row, (B,): its squared error, or the log-loss of its class."""
    answer = np.asarray(answer, np.float64)
    if kind == "regression":
        return np.asarray((answer - truth) ** 2)
    if kind == "binary":
        of_truth = np.where(truth == 1.0, answer, 1.0 - answer)
    else:
        of_truth = answer[np.arange(len(truth)), np.asarray(truth, np.int64)]
    return np.asarray(-np.log(np.clip(of_truth, np.finfo(np.float64).eps, 1.0)))


def mean(metric: str, values: Doubles, times: Times = None) -> Estimate:
    """Measure the mean of what each row has, such as its loss."""
    value, error = mean_and_error(values, times)
    return Estimate(metric, value, (value - Z * error, value + Z * error) if len(values) >= FEW else None)


def rmse(answer: Numbers, truth: Numbers, times: Times = None) -> Estimate:
    """Measure the root of the mean squared error, by the interval of that mean."""
    found = mean("rmse", losses("regression", answer, truth), times)
    interval = found.interval and tuple(np.sqrt(np.maximum(found.interval, 0.0)).tolist())
    return Estimate("rmse", float(np.sqrt(found.value)), interval)


def accuracy(right: NDArray[np.bool_], times: Times = None) -> Estimate:
    """Measure the share of right answers, with Wilson's interval (1927) for the effective rows."""
    share, effective = float(np.average(right, weights=times)), float(len(right))
    if len(right) < FEW:
        return Estimate("accuracy", share)
    if times is not None:
        effective = float(times.sum(dtype=np.float64) ** 2 / np.square(times, dtype=np.float64).sum())
    down, up = wilson(np.array([share]), np.array([effective]))[:, 0].tolist()
    return Estimate("accuracy", share, (share - down, share + up))


def auc(answer: Numbers, truth: Numbers, times: Times = None) -> Estimate:
    """Measure AUC of rows of both classes.

    The interval is that of DeLong et al. (1988) on the scale of its logit; there is none for an
    AUC of 1, whose interval would be a point.
    """
    order = np.argsort(answer)
    found = areas(answer, truth, times, order)
    value, positive = found.roc, int(np.count_nonzero(truth == 1))
    if min(positive, len(truth) - positive) < FEW or not TINY < value < 1.0:
        return Estimate("auc", value)
    width = Z * auc_error(answer, truth, times, order, found) / (value * (1.0 - value))
    low, high = expit(logit(value) + width * np.array([-1.0, 1.0])).tolist()
    return Estimate("auc", value, (low, high))
