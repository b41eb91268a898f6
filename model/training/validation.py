"""Validation: losses and metrics of the validation rows, and the choice of the best weights."""

import math
from typing import NamedTuple

import torch
from torch import Tensor

from model.errors import TrainError
from model.mmoe import Output
from model.network.inputs import BATCH_ROWS
from model.network.model import Model, predictions_of
from model.training.batches import Batches
from model.training.losses import TaskLosses
from model.training.metrics import HIGHER_IS_BETTER, evaluate
from model.training.progress import EpochRecord
from model.training.state import RunContext, RunState


class Measured(NamedTuple):
    """Raw outputs of every task, (B,) or (B, K), and the mean loss of each task, (T,)."""

    outputs: tuple[Tensor, ...]
    per_task: Tensor


def validate(run: RunState, context: RunContext, train_loss: float) -> EpochRecord:
    """Measure the model on the validation rows.

    Raises:
        TrainError: if training has diverged.
    """
    model, tasks = run.model, run.model.tasks
    measured = measure(model, run.losses, context.validation)
    validation_loss = run.losses.total(measured.per_task).item()
    if not math.isfinite(train_loss + validation_loss):
        if context.checkpoint is not None:
            context.checkpoint.unlink(missing_ok=True)  # it leads here again, and fits no setting that would not
        raise TrainError(
            f"training has diverged: in epoch {run.epoch + 1} the loss is {train_loss} on training rows and "
            f"{validation_loss} on validation rows; lower train.learning_rate ({context.config.learning_rate:g})"
        )
    predictions = predictions_of(Output(measured.outputs, None), tasks)
    return EpochRecord(
        epoch=run.epoch + 1,
        train_loss=train_loss,
        validation_loss=validation_loss,
        task_losses={task.name: loss for task, loss in zip(tasks, measured.per_task.tolist(), strict=True)},
        metrics=evaluate(predictions, context.dataset.validation, tasks),
        learning_rate=run.optimizer.param_groups[0]["lr"],
        rows_per_s=len(context.dataset.train) / max(run.epoch_seconds, 1e-9),
    )


@torch.inference_mode()
def measure(model: Model, losses: TaskLosses, rows: Batches, answered_rows: int = BATCH_ROWS) -> Measured:
    """Answer all rows in batches and without dropout, and compute each task's mean loss over them.

    Only the tasks' outputs, float32, are there of all rows. The loss is one sum where the labels
    are there at once, else the mean of the batches' losses by their labelled rows.
    """
    training = model.training
    model.eval()
    parts: list[tuple[Tensor, ...]] = []
    summed = counted = torch.zeros(len(model.tasks), dtype=torch.float64, device=rows.device)
    for batch in rows.slices(answered_rows):
        parts.append(model(batch.inputs).outputs)
        if rows.targets is None:
            totals = batch.targets.totals()
            summed = summed + losses.per_task(parts[-1], batch.targets) * totals
            counted = counted + totals
    model.train(training)
    outputs = tuple(torch.cat(of_task) for of_task in zip(*parts, strict=True))
    if rows.targets is not None:
        return Measured(outputs, losses.per_task(outputs, rows.targets))
    return Measured(outputs, (summed / counted.clamp(min=1e-12)).float())


def monitored(record: EpochRecord, context: RunContext) -> float:
    """Read what is monitored, turned so that higher is better.

    Raises:
        TrainError: if the validation rows do not define the metric.
    """
    if context.config.monitor == "loss":
        return -record.validation_loss
    task, _, metric = context.config.monitor.rpartition(".")
    if metric not in record.metrics.get(task, {}):
        known = ", ".join(f"{name}.{m}" for name, found in record.metrics.items() for m in found)
        raise TrainError(
            f"train.monitor is '{context.config.monitor}', which the validation rows do not define (expected loss or "
            f"one of {known}); set another monitor or give validation more rows"
        )
    value = record.metrics[task][metric]
    return value if HIGHER_IS_BETTER[metric] else -value
