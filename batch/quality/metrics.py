"""Metrics of joined rows with 95 % intervals, each by its own standard error.

Values are scikit-learn's. Intervals: AUC by DeLong et al. (Biometrics 1988), PR-AUC on the logit
scale (Boyd et al., ECML 2013), means by the normal law, RMSE by the delta method, calibration
error by the normal law of each bin's excess.
"""

from collections.abc import Callable
from typing import NamedTuple

import numpy as np
from numpy.typing import NDArray
from sklearn import metrics as sk

Z = 1.959963984540054
"""Standard deviations on either side of a 95 % interval."""
BINS = 15
"""Bins of the calibration error, of as many rows each."""
_DRAWS = 1000
_SMALLEST = float(np.finfo(np.float64).eps)

Floats = NDArray[np.float64]


class Estimate(NamedTuple):
    """Value of a metric and its 95 % interval; both ends None where one is not known."""

    value: float
    low: float | None
    high: float | None


class Bin(NamedTuple):
    """Rows of like probability: the mean that was predicted, and the share observed."""

    rows: int
    predicted: float
    observed: float


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
    return _MEASURES[kind](predicted, truth)


def _regression(predicted: Floats, truth: Floats) -> dict[str, Estimate]:
    squares = (predicted - truth) ** 2
    mean = _mean(squares)
    root = float(np.sqrt(mean.value))
    half = 0.0 if mean.high is None or not root else (mean.high - mean.value) / (2 * root)
    found = {
        "rmse": Estimate(root, max(root - half, 0.0), root + half) if mean.high is not None else _point(root),
        "mae": _mean(np.abs(predicted - truth)),
    }
    if len(truth) > 1 and np.ptp(truth) > 0:
        found["r2"] = _point(float(sk.r2_score(truth, predicted)))
    return found


def _binary(predicted: Floats, truth: Floats) -> dict[str, Estimate]:
    classes = truth.astype(np.int64)
    losses = np.where(classes == 1, -np.log(_sound(predicted)), -np.log(_sound(1 - predicted)))
    found = {"log_loss": _mean(losses), "ece": _calibration_error(predicted, truth)}
    found["accuracy"] = _mean(((predicted >= 0.5) == (classes == 1)).astype(np.float64))
    if 0 < classes.sum() < len(classes):
        precision = float(sk.average_precision_score(classes, predicted))
        found |= {"auc": _auc(predicted, classes), "pr_auc": _on_logits(precision, int(classes.sum()))}
    return found


def _multiclass(predicted: Floats, truth: Floats) -> dict[str, Estimate]:
    classes = truth.astype(np.int64)
    shares = predicted / predicted.sum(axis=1, keepdims=True)
    losses = -np.log(_sound(shares[np.arange(len(classes)), classes]))
    found = {"log_loss": _mean(losses)}
    found["accuracy"] = _mean((shares.argmax(axis=1) == classes).astype(np.float64))
    if len(np.unique(classes)) == shares.shape[1]:
        each = [sk.roc_auc_score(classes == k, shares[:, k]) for k in range(shares.shape[1])]
        found["auc"] = _point(float(np.mean(each)))
    return found


_MEASURES: dict[str, Callable[[Floats, Floats], dict[str, Estimate]]] = {
    "regression": _regression,
    "binary": _binary,
    "multiclass": _multiclass,
}


def base_log_loss(kind: str, truth: Floats) -> float | None:
    """Compute the log-loss of always saying these rows' own shares; None for a regression."""
    if kind == "regression" or not len(truth):
        return None
    _, counts = np.unique(truth, return_counts=True)
    shares = counts / counts.sum()
    return float(-(shares * np.log(shares)).sum())


def reliability(predicted: Floats, truth: Floats) -> list[Bin]:
    """Divide rows of a binary task into bins of like probability, of as many rows each."""
    rows, sums, observed, _ = _binned(predicted, truth)
    return [Bin(int(n), float(p / n), float(o / n)) for n, p, o in zip(rows, sums, observed, strict=True) if n]


def right(kind: str, predicted: Floats, truth: Floats) -> NDArray[np.bool_]:
    """Tell which answers are right: the likelier class, or nearer than the median error, (B,)."""
    if kind == "regression":
        errors = np.abs(predicted - truth)
        nearer: NDArray[np.bool_] = errors <= np.median(errors)
        return nearer
    decided = predicted >= 0.5 if kind == "binary" else predicted.argmax(axis=1)
    equal: NDArray[np.bool_] = decided == truth
    return equal


def _point(value: float) -> Estimate:
    return Estimate(value, None, None)


def _sound(probabilities: Floats) -> Floats:
    clipped: Floats = np.clip(probabilities, _SMALLEST, 1 - _SMALLEST)
    return clipped


def _mean(values: Floats) -> Estimate:
    mean = float(values.mean())
    if len(values) < 2:
        return _point(mean)
    half = Z * float(values.std(ddof=1)) / float(np.sqrt(len(values)))
    return Estimate(mean, mean - half, mean + half)


def _auc(predicted: Floats, classes: NDArray[np.int64]) -> Estimate:
    """Estimate the AUC and its variance from the placements of each class among the other."""
    positive, negative = predicted[classes == 1], predicted[classes == 0]
    of_positive, of_negative = _placements(positive, negative), 1 - _placements(negative, positive)
    value = float(of_positive.mean())
    if len(positive) < 2 or len(negative) < 2:
        return _point(value)
    variance = of_positive.var(ddof=1) / len(positive) + of_negative.var(ddof=1) / len(negative)
    half = Z * float(np.sqrt(variance))
    return Estimate(value, max(value - half, 0.0), min(value + half, 1.0))


def _placements(values: Floats, others: Floats) -> Floats:
    """Compute the share of `others` below each value, those that equal it by halves."""
    ordered = np.sort(others)
    below, upto = np.searchsorted(ordered, values, "left"), np.searchsorted(ordered, values, "right")
    return np.asarray((below + upto) / (2 * len(others)), np.float64)


def _on_logits(share: float, rows: int) -> Estimate:
    if not 0 < share < 1:
        return _point(share)
    logit, half = np.log(share / (1 - share)), Z / np.sqrt(rows * share * (1 - share))
    low, high = (1 / (1 + np.exp(-(logit + side * half))) for side in (-1, 1))
    return Estimate(share, float(low), float(high))


def _calibration_error(predicted: Floats, truth: Floats) -> Estimate:
    rows, sums, observed, squares = _binned(predicted, truth)
    excess = sums - observed
    value = float(np.abs(excess).sum() / rows.sum())
    spread = np.sqrt(np.maximum(squares - excess**2 / np.maximum(rows, 1), 0.0))
    draws = np.random.default_rng(0).normal(excess, spread, (_DRAWS, len(rows)))
    half = Z * float((np.abs(draws).sum(axis=1) / rows.sum()).std())
    return Estimate(value, max(value - half, 0.0), min(value + half, 1.0))


def _binned(predicted: Floats, truth: Floats) -> tuple[Floats, Floats, Floats, Floats]:
    """Sum rows, predictions, labels and squared differences in each bin, (BINS,)."""
    order = np.argsort(predicted, kind="stable")
    bins = np.arange(len(order)) * BINS // len(order)
    p, y = predicted[order], truth[order]
    counts, sums, observed, squares = (
        np.bincount(bins, weights, BINS).astype(np.float64) for weights in (np.ones(len(p)), p, y, (p - y) ** 2)
    )
    return counts, sums, observed, squares
