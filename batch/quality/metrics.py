"""Metrics of joined rows with 95 % intervals; values are scikit-learn's.

Intervals are those of `metrics.intervals`; PR-AUC has one on the scale of its logit (Boyd et al.,
ECML 2013), the calibration error one by the normal law of each bin's share.
"""

from collections.abc import Iterator

import numpy as np
from numpy.typing import NDArray
from scipy.special import expit, logit
from scipy.stats import rankdata
from sklearn import metrics as sk

from metrics.intervals import FEW, Estimate, Z, accuracy, auc, losses, mean, mean_and_error, rmse
from metrics.reliability import calibration_error, reliability

_DRAWS = 1000

Floats = NDArray[np.float64]


def measure(kind: str, predicted: Floats, truth: Floats) -> dict[str, Estimate]:
    """Measure the answers to some rows.

    Args:
        kind: of the task.
        predicted: (B,) values or probabilities; of a multiclass task (B, K).
        truth: (B,) values, 0 and 1, or indices of classes.

    Returns:
        Estimates by name; those that these rows do not define are absent.
    """
    if not len(truth):
        return {}
    found = {"regression": _regression, "binary": _binary, "multiclass": _multiclass}[kind](predicted, truth)
    return {estimate.metric: estimate for estimate in found}


def _regression(predicted: Floats, truth: Floats) -> Iterator[Estimate]:
    yield rmse(predicted, truth)
    yield mean("mae", np.abs(predicted - truth))
    if len(truth) > 1 and np.ptp(truth) > 0:
        yield _r2(predicted, truth)


def _binary(predicted: Floats, truth: Floats) -> Iterator[Estimate]:
    yield mean("log_loss", losses("binary", predicted, truth))
    yield _calibration_error(predicted, truth)
    yield accuracy(right("binary", predicted, truth))
    if 0 < truth.sum() < len(truth):
        yield auc(predicted, truth)
        yield _pr_auc(predicted, truth)


def _multiclass(predicted: Floats, truth: Floats) -> Iterator[Estimate]:
    shares = predicted / predicted.sum(axis=1, keepdims=True)
    yield mean("log_loss", losses("multiclass", shares, truth))
    yield accuracy(right("multiclass", shares, truth))
    if len(np.unique(truth)) == shares.shape[1]:
        yield _macro_auc(shares, truth)


def base_log_loss(kind: str, truth: Floats) -> float | None:
    """Compute the log-loss of always saying these rows' own shares; None for a regression."""
    if kind == "regression" or not len(truth):
        return None
    _, counts = np.unique(truth, return_counts=True)
    shares = counts / counts.sum()
    return float(-(shares * np.log(shares)).sum())


def right(kind: str, predicted: Floats, truth: Floats) -> NDArray[np.bool_]:
    """Tell which answers are right: the likelier class, or nearer than the median error, (B,)."""
    if kind == "regression":
        errors = np.abs(predicted - truth)
        nearer: NDArray[np.bool_] = errors <= np.median(errors)
        return nearer
    decided = predicted >= 0.5 if kind == "binary" else predicted.argmax(axis=1)
    equal: NDArray[np.bool_] = decided == truth
    return equal


def _r2(predicted: Floats, truth: Floats) -> Estimate:
    """Measure the share of variance explained, whose interval is that of a ratio of two means."""
    errors, spread = (truth - predicted) ** 2, (truth - truth.mean()) ** 2
    ratio = errors.mean() / spread.mean()
    _, error = mean_and_error((errors - ratio * spread) / spread.mean(), None)
    low, high = 1.0 - ratio - Z * error, 1.0 - ratio + Z * error
    return Estimate("r2", float(1.0 - ratio), (float(low), float(high)) if len(truth) >= FEW else None)


def _macro_auc(shares: Floats, truth: Floats) -> Estimate:
    """Measure the plain mean of the classes' AUC, one against the rest.

    The interval is that of `metrics.intervals.auc`, from what each row adds to the mean.
    """
    rows, classes = shares.shape
    added, values = np.zeros(rows), []
    for k in range(classes):
        of_class = truth == k
        placed = _placements(shares[:, k], of_class)
        values.append(placed[of_class].mean())
        added += (placed - values[-1]) / np.where(of_class, of_class.mean(), 1.0 - of_class.mean()) / classes
    value = float(np.mean(values))
    if np.unique(truth, return_counts=True)[1].min() < FEW or not 0.0 < value < 1.0:
        return Estimate("auc", value)
    width = Z * mean_and_error(added, None)[1] / (value * (1.0 - value))
    low, high = expit(logit(value) + width * np.array([-1.0, 1.0])).tolist()
    return Estimate("auc", value, (low, high))


def _placements(answer: Floats, positive: NDArray[np.bool_]) -> Floats:
    """Compute each row's share of the other class that stands on its right side, ties half, (B,).

    The mean over either class is the AUC (DeLong et al., Biometrics 1988).
    """
    placed: Floats = rankdata(answer)
    for of_class in (positive, ~positive):
        placed[of_class] = (placed[of_class] - rankdata(answer[of_class])) / (~of_class).sum()
    placed[~positive] = 1.0 - placed[~positive]
    return placed


def _pr_auc(predicted: Floats, truth: Floats) -> Estimate:
    share, positive = float(sk.average_precision_score(truth, predicted)), truth.sum()
    if positive < FEW or not 0 < share < 1:
        return Estimate("pr_auc", share)
    half = Z / np.sqrt(positive * share * (1 - share))
    low, high = expit(logit(share) + half * np.array([-1.0, 1.0])).tolist()
    return Estimate("pr_auc", share, (low, high))


def _calibration_error(predicted: Floats, truth: Floats) -> Estimate:
    value = calibration_error(predicted, truth, None)
    if len(truth) < FEW:
        return Estimate("ece", value)
    bins = reliability(predicted, truth)
    spread = np.sqrt(bins.share * (1 - bins.share) / bins.worth)
    draws = bins.mean - bins.share + spread * np.random.default_rng(0).normal(size=(_DRAWS, len(spread)))
    half = Z * float(np.average(np.abs(draws), axis=1, weights=bins.mass).std())
    return Estimate("ece", value, (max(value - half, 0.0), min(value + half, 1.0)))
