"""Progress of a training run: a record per epoch, and a bar with one line per epoch."""

import math
import sys
import time
from dataclasses import dataclass, field
from typing import TextIO

from torch import Tensor
from tqdm import tqdm

from model.schema import Origin

SHOWN = ("auc", "r2", "rmse", "accuracy")
"""Metrics worth a place on a line; of each task, the first two that it has."""

MOST_LINES = 40


@dataclass(frozen=True)
class EpochRecord:
    """Figures of an epoch.

    Attributes:
        epoch: from 1.
        train_loss: mean over the epoch's batches, tasks summed with their given weights.
        validation_loss: the same sum over the validation rows, after the epoch.
        task_losses: the validation loss of each task by name, unweighted.
        metrics: of the validation rows, by task and metric.
        learning_rate: at the end of the epoch.
        rows_per_s: training rows a second, validation not counted.
    """

    epoch: int
    train_loss: float
    validation_loss: float
    task_losses: dict[str, float]
    metrics: dict[str, dict[str, float]]
    learning_rate: float
    rows_per_s: float


@dataclass(frozen=True)
class History:
    """Course of a run.

    Attributes:
        epochs: in order.
        best_epoch: the one whose weights were kept, from 1; 0 for those of `origin`.
        monitor: what chose it.
        stopped_early: whether patience ended the run before its last epoch.
        device: "cpu" or "cuda".
        seconds: of training and validation, interruptions not counted.
        origin: the version that the run went on from, if it did.
    """

    epochs: list[EpochRecord] = field(default_factory=list)
    best_epoch: int = 0
    monitor: str = "loss"
    stopped_early: bool = False
    device: str = "cpu"
    seconds: float = 0.0
    origin: Origin | None = None


class Watcher:
    """Callbacks of a run; these do nothing."""

    def start(self, record: EpochRecord) -> None:
        """Handle the validation of the version that the run goes on from, its epoch 0."""

    def step(self, epoch: int, rows: int, loss_sum: Tensor) -> None:
        """Handle a finished step.

        `rows` of this epoch are done; `loss_sum` is their summed loss, perhaps still being
        computed.
        """

    def epoch(self, record: EpochRecord, best: bool) -> None:
        """Handle a finished epoch; `best` if it is the best so far."""


class ProgressBar(Watcher):
    """Bar on a terminal, and lines on epochs wherever the output goes.

    One for each, or of more than MOST_LINES every so many.
    """

    def __init__(self, epochs: int, rows: int, out: TextIO | None = None) -> None:
        self._out = sys.stderr if out is None else out
        self._epochs, self._rows = epochs, rows
        self._bar: tqdm | None = None
        self._next = 0.0

    def step(self, epoch: int, rows: int, loss_sum: Tensor) -> None:
        """Move the bar, at most ten times a second; without a terminal there is none."""
        if not self._out.isatty() or time.monotonic() < self._next:
            return
        self._next = time.monotonic() + 0.1
        if self._bar is None:
            name = f"epoch {epoch}/{self._epochs}"
            self._bar = tqdm(total=self._rows, desc=name, unit=" rows", unit_scale=True, leave=False, file=self._out)
        self._bar.set_postfix_str(f"loss {loss_sum.item() / rows:.4f}", refresh=False)
        self._bar.update(rows - self._bar.n)

    def start(self, record: EpochRecord) -> None:
        """Print what the version's weights are worth on the validation rows."""
        print("  ".join(["as published", *_judged(record)]), file=self._out, flush=True)

    def epoch(self, record: EpochRecord, best: bool) -> None:
        """Replace the bar by the epoch's line, if it has one."""
        if self._bar is not None:
            self._bar.close()
            self._bar = None
        if record.epoch % math.ceil(self._epochs / MOST_LINES) and record.epoch != self._epochs:
            return
        print(describe(record, self._epochs, best), file=self._out, flush=True)


def describe(record: EpochRecord, epochs: int, best: bool) -> str:
    """Format an epoch as a line: speed, losses, and up to two metrics of each task."""
    parts = [
        f"epoch {record.epoch:>{len(str(epochs))}}/{epochs}",
        f"{record.rows_per_s:,.0f} rows/s",
        f"loss {record.train_loss:.4f}",
        *_judged(record),
    ]
    return "  ".join(parts) + ("  *" if best else "")


def _judged(record: EpochRecord) -> list[str]:
    parts = [f"validation {record.validation_loss:.4f}"]
    for task, metrics in record.metrics.items():
        shown = [name for name in SHOWN if name in metrics][:2]
        parts += [" ".join([task, *(f"{name} {metrics[name]:.4f}" for name in shown)])] if shown else []
    return parts
