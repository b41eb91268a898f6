"""Loss of each expert: how much worse validation rows are answered without it."""

from collections.abc import Sequence

import numpy as np
import torch
from numpy.typing import NDArray

from metrics.intervals import losses
from model.artifact.serving_module import ServingModule
from model.mmoe import Output
from model.network.inputs import batches_of
from model.network.model import predictions_of
from model.schema import Rows, Task
from model.training.judged import judged

Answers = dict[str, NDArray[np.float32]]


@torch.inference_mode()
def without_experts(module: ServingModule, rows: Rows) -> dict[str, list[dict[str, float | None] | None]]:
    """Answer rows without one expert after the other, the gates renormalised over the rest.

    Args:
        module: the served network, with gates, on the CPU.
        rows: of the validation split, a sample.

    Returns:
        By task and expert `loss`, the rise of its log_loss or, for a regression, rmse, None
        without labels; and `moved`, the mean absolute change of its prediction (of probabilities
        of classes, half their sum). None for an expert that the gate does not see, or sees alone.
    """
    masks = [None, *(1.0 - torch.eye(module.experts))]
    outputs: list[list[Output]] = [[] for _ in masks]
    for inputs in batches_of(rows):
        x = module.model.encoder(inputs)  # (B, D)
        for of_mask, mask in zip(outputs, masks, strict=True):
            of_mask.append(Output(module.model.network(x, mask).outputs, None))
    whole, *without = (predictions_of(_joined(parts), module.tasks).tasks for parts in outputs)
    return {
        task.name: [
            _lost(module.tasks, t, rows, whole, answers) if sees and seen.sum() > 1 else None
            for sees, answers in zip(seen, without, strict=True)
        ]
        for t, (task, seen) in enumerate(zip(module.tasks, module.seen_experts(), strict=True))
    }


def _joined(parts: Sequence[Output]) -> Output:
    return Output(tuple(torch.cat(outputs) for outputs in zip(*(part.outputs for part in parts), strict=True)), None)


def _lost(
    tasks: Sequence[Task], t: int, rows: Rows, whole: Answers, without: Answers
) -> dict[str, float | None] | None:
    name = tasks[t].name
    apart = np.abs(without[name].astype(np.float64) - whole[name])
    moved = apart if apart.ndim == 1 else apart.sum(axis=1) / 2
    if not np.isfinite(moved).all():  # of a funnel, in which a task before sees the expert alone
        return None
    counted = rows.weights is not None and rows.weights.sum() > 0.0
    before, after = (_loss(tasks, t, rows, answers[name]) for answers in (whole, without))
    rise = None if before is None or after is None else _short(after - before)
    return {"loss": rise, "moved": _short(float(np.average(moved, weights=rows.weights if counted else None)))}


def _loss(tasks: Sequence[Task], t: int, rows: Rows, answer: NDArray[np.float32]) -> float | None:
    part = judged(answer, rows, tasks, t)
    if not len(part.truth) or (part.times is not None and not part.times.sum() > 0.0):
        return None
    loss = float(np.average(losses(tasks[t].kind, part.answer, part.truth), weights=part.times))
    return float(np.sqrt(loss)) if tasks[t].kind == "regression" else loss


def _short(value: float) -> float:
    return float(f"{value:.5g}")
