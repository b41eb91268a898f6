"""Towers that give many rows one answer, since none of their units is active for these."""

import numpy as np
import torch
from numpy.typing import NDArray
from torch import nn

from model.mmoe import Tower
from model.network.inputs import batches_of
from model.network.model import Model, Predictions, raw_outputs
from model.schema import Dataset, Rows, Task

PILE = 0.05
"""Share of the labelled test rows, or of those of one class, that is too much for one answer."""

Mask = NDArray[np.bool_]


def on_towers(model: Model, dataset: Dataset, test: Predictions) -> list[str]:
    """Warn of towers whose last layer gives its bias alone to many test rows.

    It reads what a ReLU has left, numbers from 0: where all of them are 0 the output is the bias,
    and where all weights have one sign as well, no output lies beyond it.
    """
    said = []
    for t, (task, idle) in enumerate(zip(dataset.tasks, _idle(model, dataset.test), strict=True)):
        labels = dataset.test.labels[:, t]
        if _is_pile(task, idle, labels):
            said.append(_sentence(task, idle, labels, test, _last(model, t).weight.detach()))
    return said


def _idle(model: Model, rows: Rows) -> list[Mask]:
    """Mark the rows whose output is the bias alone, (R,) of each task."""
    biases = [_last(model, t).bias for t in range(len(model.tasks))]
    found: list[list[Mask]] = [[] for _ in biases]
    for inputs in batches_of(rows):
        for held, raw, bias in zip(found, raw_outputs(model, [inputs]).outputs, biases, strict=True):
            held.append((raw.reshape(len(raw), -1) == bias).all(dim=1).cpu().numpy())
    return [np.concatenate(held) for held in found]


def _last(model: Model, task: int) -> nn.Linear:
    """Return the last layer of a task's tower."""
    towers = model.network.towers
    assert isinstance(towers, nn.ModuleList)
    tower = towers[task]
    assert isinstance(tower, Tower)
    return tower.last


def _is_pile(task: Task, idle: Mask, labels: NDArray[np.float64]) -> bool:
    known = ~np.isnan(labels)
    parts = [known, *(labels == number for number in range(len(task.classes)))]
    return any(bool((idle & part).sum() > PILE * part.sum()) for part in parts)


def _sentence(task: Task, idle: Mask, labels: NDArray[np.float64], test: Predictions, weight: torch.Tensor) -> str:
    known = ~np.isnan(labels)
    answer = test.tasks[task.conditional or task.name][int(np.argmax(idle & known))]
    written = ", ".join(f"{value:.4g}" for value in np.atleast_1d(answer))
    positive = ""
    if task.kind == "binary":
        positive = (
            f", {int((idle & (labels == 1.0)).sum()):,} of {int((labels == 1.0).sum()):,} positive ones among them,"
        )
    return (
        f"Task '{task.name}': {int((idle & known).sum()):,} of {int(known.sum()):,} test rows{positive} have one and "
        f"the same answer, {written}, since no unit of its tower is active for them{_bound(task, weight)}. Train with "
        "another train.seed, a lower train.learning_rate or a wider model.tower_hidden."
    )


def _bound(task: Task, weight: torch.Tensor) -> str:
    """Say which side the last layer cannot reach: one output, and all its weights of one sign."""
    sides = {"lower": bool((weight >= 0.0).all()), "higher": bool((weight <= 0.0).all())}
    side = next((side for side, holds in sides.items() if holds), None)
    if side is None or len(weight) > 1:
        return ""
    sign = "positive" if side == "lower" else "negative"
    what = "value" if task.kind == "regression" else "probability"
    return f"; all weights of its last layer are {sign}, so that no row can have a {side} {what}"
