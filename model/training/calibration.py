"""Calibration of binary tasks: a slope and an intercept of the logit, from validation rows."""

import math
from collections.abc import Sequence
from dataclasses import replace

import numpy as np
from numpy.typing import NDArray
from scipy.optimize import minimize
from scipy.special import expit

from model.network.inputs import batches_of
from model.network.model import Model, raw_outputs
from model.schema import Dataset, Task, funnel


def calibrate(model: Model, dataset: Dataset, wanted: Sequence[str]) -> Dataset:
    """Fit the calibration of tasks, and set it in the model.

    Of a funnel task the conditional logit is calibrated, on the rows in which the task before came
    true. Rows count by their weights, and sampled negatives as they are: ln `negatives_kept` is
    added behind the calibration.

    Args:
        model: trained.
        dataset: it was trained on.
        wanted: names of the tasks.

    Returns:
        The dataset with the tasks as calibrated; a note for each task that stays as it is, since
        its logit says nothing.
    """
    if not wanted:
        return dataset
    logits = raw_outputs(model, batches_of(dataset.validation)).outputs
    tasks, notes = list(dataset.tasks), []
    for t, task in enumerate(dataset.tasks):
        if task.name not in wanted:
            continue
        rows = dataset.validation
        chosen = ~np.isnan(rows.labels[:, t])
        if task.after:
            chosen &= rows.labels[:, funnel(dataset.tasks, task)[1]] == 1.0
        weights = None if rows.weights is None else rows.weights[chosen]
        fitted = platt(logits[t].cpu().numpy()[chosen], rows.labels[chosen, t], weights)
        if fitted is None:
            notes.append(uncalibrated(task))
            continue
        tasks[t] = replace(task, slope=fitted[0], intercept=fitted[1])
    model.tasks = tuple(tasks)
    return replace(dataset, tasks=tuple(tasks), notes=(*dataset.notes, *notes))


def uncalibrated(task: Task) -> str:
    """Warn that a task could not be calibrated."""
    return (
        f"Task '{task.name}' is not calibrated: on validation rows a higher logit does not go with more positive rows; "
        "see its AUC."
    )


def platt(
    logits: NDArray[np.floating], labels: NDArray[np.floating], weights: NDArray[np.number] | None = None
) -> tuple[float, float] | None:
    """Fit P(label) = sigmoid(slope logit + intercept) by maximum likelihood.

    On Platt's smoothed targets, (n+ + 1) / (n+ + 2) and 1 / (n- + 2), which keep
    the slope finite where the classes part (Platt, "Probabilistic outputs for support vector
    machines", 1999).

    Args:
        logits: (B,).
        labels: (B,), 0 or 1.
        weights: (B,), how often each row counts.

    Returns:
        Slope and intercept; None unless the slope is above 0.
    """
    z, y = logits.astype(np.float64), labels.astype(np.float64)
    w = np.ones(len(z)) if weights is None else weights.astype(np.float64)
    positive, negative = float(w @ y), float(w @ (1.0 - y))
    if not positive or not negative or np.ptp(z) == 0.0:
        return None
    target = np.where(y == 1.0, (positive + 1.0) / (positive + 2.0), 1.0 / (negative + 2.0))
    centre, scale = float(np.average(z, weights=w)), max(float(z.std()), 1e-12)
    x = np.stack([(z - centre) / scale, np.ones(len(z))], axis=1)  # (B, 2), well conditioned

    def loss(parameters: NDArray[np.float64]) -> tuple[float, NDArray[np.float64]]:
        logit = x @ parameters
        value = w @ (np.logaddexp(0.0, logit) - target * logit) / w.sum()
        return float(value), x.T @ (w * (expit(logit) - target)) / w.sum()

    start = np.array([scale, centre])  # the logit as it is
    found = minimize(loss, start, jac=True, method="BFGS", options={"gtol": 1e-9}).x
    slope, intercept = float(found[0] / scale), float(found[1] - found[0] * centre / scale)
    return (slope, intercept) if slope > 0.0 and math.isfinite(slope + intercept) else None
