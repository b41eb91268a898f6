"""Warnings that a person acts on: what is wrong with a trained model, and what to change."""

from collections.abc import Sequence
from dataclasses import replace

import numpy as np
from numpy.typing import NDArray

from metrics.blocks import blocks, spans
from metrics.intervals import FEW, Z, losses, mean_and_error
from model.evaluation.experts import on_experts
from model.evaluation.towers import on_towers
from model.network.model import Model, Predictions
from model.schema import Dataset, Task
from model.training.judged import Judged, judged, outputs_of
from model.training.metrics import baselines, best_constant
from model.training.progress import EpochRecord, History

LAST_STEPS = 0.25
"""Part of the training, by its learning rates, that a run has converged before."""

LATE_GAIN = 0.05
"""Share of a task's gain on its base rate that may yet come in that part; docs/judgement.md."""

FEW_EPOCHS = 4
"""Epochs below which a course is too short to be judged."""


def advise(model: Model, dataset: Dataset, history: History, test: Predictions) -> tuple[str, ...]:
    """Find what is wrong with a trained model; each sentence ends with what to do.

    Args:
        model: trained.
        dataset: it was trained on.
        history: of the training.
        test: its answers to the test rows.
    """
    return (
        *on_convergence(dataset, history),
        *on_gain(dataset, test),
        *on_towers(model, dataset, test),
        *on_experts(model, dataset),
    )


def on_convergence(dataset: Dataset, history: History) -> list[str]:
    """Warn of a run that ended while its tasks were still gaining.

    The last part of a run is that of LAST_STEPS of the summed learning rates: under a schedule
    that falls to zero, the last epochs are flat however far the weights still had to go.
    """
    epochs = history.epochs
    if history.stopped_early or len(epochs) < FEW_EPOCHS:
        return []
    middle = _before_last_steps(epochs)
    tasks = tuple(replace(task, negatives_kept=1.0) for task in dataset.tasks)  # as the loss counts them
    constant = baselines(dataset.train, dataset.validation, tasks)
    late = {}
    for task in tasks:
        if task.name not in constant:
            continue
        found, end = constant[task.name].metrics, epochs[-1].task_losses[task.name]
        start = (found["rmse"] / task.std) ** 2 if task.kind == "regression" else found["log_loss"]
        gain, last = start - end, epochs[middle].task_losses[task.name] - end
        if gain > 0.0 and last > LATE_GAIN * gain:
            late[task.name] = last / gain
    if not late:
        return []
    shares = " and ".join(f"{share:.0%} of what '{name}' gained on its base rate" for name, share in late.items())
    return [
        f"Training had not converged when it ended after {len(epochs)} epochs: {shares} came in the last quarter of "
        f"the training. Raise train.epochs (now {len(epochs)}) or train.learning_rate."
    ]


def _before_last_steps(epochs: Sequence[EpochRecord]) -> int:
    """Find the last epoch that ended before the last part of the learning rates' sum."""
    rates = np.array([record.learning_rate for record in epochs])
    mean = (np.concatenate([[rates.max()], rates[:-1]]) + rates) / 2.0  # each epoch's, about
    done = np.cumsum(mean) / mean.sum()
    return max(int(np.searchsorted(done, 1.0 - LAST_STEPS, side="right")) - 1, 0)


def on_gain(dataset: Dataset, test: Predictions) -> list[str]:
    """Warn of outputs that are not better than the constant answer, or cannot be told from it."""
    said = []
    for name, t, given in outputs_of(dataset.tasks):
        task, constant = dataset.tasks[t], best_constant(dataset.train, dataset.tasks, t, given)
        rows = judged(test.tasks[name], dataset.test, dataset.tasks, t, given)
        if constant is None or len(rows.truth) < FEW:
            continue
        gains, lost = _gains(task.kind, constant, rows)
        gain, error = mean_and_error(gains, rows.times)
        if gain - Z * error > 0.0:
            continue
        said.append(_not_better(task, name, lost, gain, error))
    return said


def _gains(kind: str, constant: float | list[float], rows: Judged) -> tuple[NDArray[np.float64], float]:
    """Compute how much less each row loses than by a constant answer, (B,), and the mean loss."""
    gains, lost, mass = np.empty(len(rows.truth)), 0.0, 0.0
    for span, block in zip(spans(len(gains)), blocks(rows.answer, rows.truth, rows.times), strict=True):
        now = losses(kind, block.answer, block.truth)
        trivial = losses(kind, np.broadcast_to(np.asarray(constant), block.answer.shape), block.truth)
        gains[span] = trivial - now
        lost, mass = lost + float(block.times @ now), mass + float(block.times.sum())
    return gains, lost / mass


def _not_better(task: Task, name: str, lost: float, gain: float, error: float) -> str:
    metric = "mean squared error" if task.kind == "regression" else "log-loss"
    how = "is not better than" if gain <= 0.0 else "cannot be told from"
    word = "mean" if task.kind == "regression" else "base rate"
    return (
        f"Task '{name}' {how} its {word}: its {metric} on test rows is {lost:.4g}, and that of the best constant "
        f"{lost + gain:.4g} (gain {gain:.2g} ± {Z * error:.2g}). See whether a feature says anything about it, then "
        "lower train.learning_rate, raise train.epochs, or give it a higher tasks.weight."
    )
