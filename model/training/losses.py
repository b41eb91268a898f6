"""Losses: one per task over its labelled rows, and their sum with fixed or learned weights."""

import math
from collections.abc import Sequence
from typing import Literal, NamedTuple

import numpy as np
import torch
from torch import Tensor, nn
from torch.nn import functional as F

from model.schema import Rows, Task, TaskKind, funnel

TaskWeighting = Literal["fixed", "uncertainty"]

TINY = float(torch.finfo(torch.float32).tiny)
"""Least divisor, in place of the weight of no row."""


class Targets(NamedTuple):
    """Labels as losses read them.

    Attributes:
        values: float32 (B, T), standardised for regression, 0 where there is no label.
        present: float32 (B, T), 1 where there is a label; None if that is everywhere.
        weights: float32 (B,), how often each row counts; None if every row counts once.
    """

    values: Tensor
    present: Tensor | None
    weights: Tensor | None = None

    def take(self, index: Tensor) -> "Targets":
        """Pick rows by number."""
        present = None if self.present is None else self.present.index_select(0, index)
        weights = None if self.weights is None else self.weights.index_select(0, index)
        return Targets(self.values.index_select(0, index), present, weights)

    def counts(self) -> Tensor | None:
        """Say how often each row counts for each task: float32 (B, T), or None for once."""
        if self.weights is None:
            return self.present
        times = self.weights.unsqueeze(-1)  # (B, 1)
        return times.expand_as(self.values) if self.present is None else times * self.present

    def totals(self) -> Tensor:
        """Sum up the weights of each task's labelled rows, float64 (T,).

        They are what its mean loss is a mean over.
        """
        counts = self.counts()
        if counts is None:
            return torch.full(self.values.shape[1:], len(self.values), dtype=torch.float64, device=self.values.device)
        return counts.sum(0, dtype=torch.float64)


def targets_of(rows: Rows, tasks: Sequence[Task], device: torch.device) -> Targets:
    """Standardise the labels of regression tasks and mark the missing ones.

    The arithmetic is float64, then rounded: float32 would step by 128 among labels such as seconds
    since 1970.
    """
    labels = torch.from_numpy(rows.labels.astype(np.float64))
    mean = torch.tensor([task.mean if task.kind == "regression" else 0.0 for task in tasks], dtype=torch.float64)
    std = torch.tensor([task.std if task.kind == "regression" else 1.0 for task in tasks], dtype=torch.float64)
    missing = labels.isnan()
    values = torch.where(missing, 0.0, (labels - mean) / std).float().to(device)
    weights = None if rows.weights is None else torch.tensor(rows.weights, device=device)
    return Targets(values, (~missing).float().to(device) if bool(missing.any()) else None, weights)


class TaskLosses(nn.Module):
    """Loss of every task: squared error of the standardised label, or cross-entropy.

    A funnel task's is that of the joint probability over all rows (Ma et al., SIGIR 2018, eq. 3).

    With `uncertainty` the weights are learned: exp(-s) L + s / 2 for a classification loss L and
    exp(-s) L / 2 + s / 2 for a squared error, s the task's log variance (Kendall et al., CVPR
    2018, eq. 7 and 10). The given weights then have no say, because s would only take them back. A
    batch without a task's labels leaves out both terms: the regulariser s / 2 alone would raise
    the weight exp(-s) with every such batch.
    """

    weight: Tensor
    factor: Tensor

    def __init__(self, tasks: Sequence[Task], weighting: TaskWeighting = "fixed") -> None:
        super().__init__()
        self.kinds: tuple[TaskKind, ...] = tuple(task.kind for task in tasks)
        self.funnels = {t: funnel(tasks, task) for t, task in enumerate(tasks) if task.after}
        self.register_buffer("weight", torch.tensor([task.weight for task in tasks]))
        halves = [0.5 if kind == "regression" else 1.0 for kind in self.kinds]
        self.register_buffer("factor", torch.tensor(halves))
        self.log_variance = nn.Parameter(torch.zeros(len(self.kinds))) if weighting == "uncertainty" else None

    def per_task(self, outputs: Sequence[Tensor], targets: Targets, totals: Tensor | None = None) -> Tensor:
        """Compute the mean loss of each task over its labelled rows by their weights, (T,).

        It is 0 for a task without any.

        Args:
            outputs: raw, of each task.
            targets: of the same rows.
            totals: (T,), for a part of a batch: `Targets.totals` of the whole one. The sums of all
                parts are the batch's means then.
        """
        counts = targets.counts()
        if counts is None and totals is None:
            return torch.stack([self._loss(t, outputs, targets, "mean") for t in range(len(self.kinds))])
        times = torch.ones_like(targets.values) if counts is None else counts  # (B, T)
        losses = []
        for t in range(len(self.kinds)):
            total = times[:, t].sum() if totals is None else totals[t]
            summed = (self._loss(t, outputs, targets, "none") * times[:, t]).sum()
            losses.append(summed / total.clamp(min=TINY).to(summed))
        return torch.stack(losses)

    def _loss(self, t: int, outputs: Sequence[Tensor], targets: Targets, reduction: str) -> Tensor:
        """Compute the loss of one task, of each row (B,) or their mean."""
        if chain := self.funnels.get(t):
            return joint_loss([outputs[place] for place in chain], targets.values[:, t], reduction)
        return _row_losses(self.kinds[t], outputs[t], targets.values[:, t], reduction)

    def total(self, per_task: Tensor) -> Tensor:
        """Sum with the given weights.

        This is monitored and shown, comparable between both kinds of weighting.
        """
        return (self.weight * per_task).sum()

    def objective(self, per_task: Tensor, targets: Targets, share: float = 1.0) -> Tensor:
        """Sum as training minimises it.

        Args:
            per_task: mean losses, or a part of them.
            targets: of the whole batch; they say which tasks it labels.
            share: of the batch's regulariser; those of all parts of a batch sum to 1.
        """
        if self.log_variance is None:
            return self.total(per_task)
        charged = self.factor * torch.exp(-self.log_variance) * per_task + 0.5 * share * self.log_variance  # (T,)
        return (charged if targets.present is None else charged * targets.present.amax(dim=0)).sum()


def _row_losses(kind: TaskKind, raw: Tensor, target: Tensor, reduction: str) -> Tensor:
    if kind == "regression":
        return F.mse_loss(raw, target, reduction=reduction)
    if kind == "binary":
        return F.binary_cross_entropy_with_logits(raw, target, reduction=reduction)
    return F.cross_entropy(raw, target.long(), reduction=reduction)


def joint_loss(logits: Sequence[Tensor], target: Tensor, reduction: str) -> Tensor:
    """Compute the cross-entropy of a product of probabilities, from their logits (B,).

    log p is a sum of log-sigmoids, and log(1 - p) = log(-expm1(log p)), which keeps its digits
    where p is near 1; where p is small, log1p(-exp(log p)) does (Maechler, "Accurately computing
    log(1 - exp(-|a|))", 2012).
    """
    log_p = torch.stack([F.logsigmoid(logit) for logit in logits]).sum(0).clamp(max=-TINY)
    near = log_p > -math.log(2.0)
    small, large = torch.where(near, -1.0, log_p), torch.where(near, log_p, -0.5)  # neither branch's gradient is NaN
    log_rest = torch.where(near, torch.log(-torch.expm1(large)), torch.log1p(-torch.exp(small)))
    loss = -(target * log_p + (1.0 - target) * log_rest)
    return loss.mean() if reduction == "mean" else loss
