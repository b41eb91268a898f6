"""Experts that do nothing: dead ones, and all but one where the gates have collapsed."""

from collections.abc import Sequence
from typing import Any

import numpy as np
import torch
from numpy.typing import NDArray

from model.mmoe import Experts, Mixture, SingleTask
from model.network.inputs import BATCH_ROWS, inputs_of
from model.network.model import Model, raw_outputs
from model.schema import Dataset, Rows

ROWS = 100_000
"""Test rows, from the first on, that show what experts do."""

DEAD_FAIR_SHARE = 0.05
"""Part of an equal share of weight below which, in every task, an expert is dead."""

COLLAPSED = 0.95
"""Mean weight of one expert, in every task, above which the gates have collapsed."""

REMEDY = "Train with model.gate_dropout = 0.1 or a lower train.learning_rate, or take fewer model.experts."


def on_experts(model: Model, dataset: Dataset) -> list[str]:
    """Warn of networks whose output never changes, and of experts that gates shun or use alone."""
    constant, weights = _watched(model, dataset.test)
    said = []
    if constant.any():
        said.append(
            f"{_names(model, constant)} the same output for every test row, so that nothing is learned there. Train "
            "with another train.seed or a lower train.learning_rate."
        )
    if weights is None or not isinstance(model.network, Mixture):
        return said
    seen = model.network.gate.visible().cpu().numpy()  # (T, E)
    choosing = seen.sum(axis=1) > 1
    if not choosing.any():
        return said
    top = weights[choosing].argmax(axis=1)
    if (top == top[0]).all() and (weights[choosing].max(axis=1) > COLLAPSED).all():
        return [
            *said,
            f"The gates of all tasks have collapsed: expert {top[0]} has over {COLLAPSED:.0%} of the weight. {REMEDY}",
        ]
    share = weights * seen.sum(axis=1, keepdims=True)  # of an equal share
    dead = (np.where(seen, share, 0.0) < DEAD_FAIR_SHARE).all(axis=0) & ~constant
    if dead.any():
        said.append(
            f"{_listed('Expert', np.flatnonzero(dead).tolist())} dead: no task's gate gives weight there. {REMEDY}"
        )
    return said


def _watched(model: Model, rows: Rows) -> tuple[NDArray[np.bool_], NDArray[np.float64] | None]:
    """Run rows and watch the experts.

    Returns:
        Which experts, or networks, gave one output to all rows, (E,); and the mean gate weights
        (T, E), None without gates.
    """
    ends: list[tuple[torch.Tensor, torch.Tensor]] = []

    def watch(module: torch.nn.Module, inputs: Any, output: torch.Tensor) -> None:
        ends.append((output.amin(dim=0), output.amax(dim=0)))  # (E, H)

    experts = next(module for module in model.network.modules() if isinstance(module, Experts))
    handle = experts.register_forward_hook(watch)
    count = min(len(rows), ROWS)
    batches = (inputs_of(rows, slice(begin, min(begin + BATCH_ROWS, count))) for begin in range(0, count, BATCH_ROWS))
    try:
        gates = raw_outputs(model, batches, gates=True).gate_weights
    finally:
        handle.remove()
    low, high = torch.stack([end[0] for end in ends]).amin(0), torch.stack([end[1] for end in ends]).amax(0)
    constant = (low == high).all(dim=-1).cpu().numpy()
    if gates is None:
        return constant, None
    times = None if rows.weights is None else rows.weights[:count]
    return constant, np.average(gates.double().cpu().numpy(), axis=0, weights=times)


def _names(model: Model, constant: NDArray[np.bool_]) -> str:
    places = np.flatnonzero(constant).tolist()
    if isinstance(model.network, Mixture):
        return _listed("Expert", places, ("gives", "give"))
    if isinstance(model.network, SingleTask):
        return _listed("The network of task", [f"'{model.tasks[place].name}'" for place in places], ("gives", "give"))
    return "The shared network gives"


def _listed(word: str, places: Sequence[object], verbs: tuple[str, str] = ("is", "are")) -> str:
    *most, last = map(str, places)
    several = f"{', '.join(most)} and {last}" if most else last
    plural = word.replace("Expert", "Experts").replace("network", "networks") if most else word
    return f"{plural} {several} {verbs[bool(most)]}"
