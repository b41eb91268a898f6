"""Output biases to start from: without any weight, each task answers its base rate or its mean."""

import math

import torch
from torch import nn

from model.mmoe import Tower
from model.network.model import Model
from model.schema import Rows
from model.training.metrics import best_constant

RAREST = 1e-7
"""Share that a class without rows is given."""


@torch.no_grad()
def start_biases(model: Model, train: Rows) -> None:
    """Set the towers' last biases to log-odds or log-shares of the training labels.

    A standardised label has the mean 0, at which the bias of a regression task already is. A
    funnel task's tower answers the conditional, and with sampled negatives a tower answers for the
    table as it is. A bias that is not 0 belongs to a model that has been trained, and stays.
    """
    towers = model.network.towers
    assert isinstance(towers, nn.ModuleList)
    for t, (task, tower) in enumerate(zip(model.tasks, towers, strict=True)):
        assert isinstance(tower, Tower)
        rate = None if task.kind == "regression" else best_constant(train, model.tasks, t, given=bool(task.after))
        if rate is None or tower.last.bias.any():
            continue
        if isinstance(rate, list):
            tower.last.bias.copy_(torch.tensor(rate, dtype=torch.float64).clamp(min=RAREST).log())
            continue
        kept = min(max(rate, RAREST), 1.0 - RAREST)
        tower.last.bias.fill_(math.log(kept / (1.0 - kept)) - math.log(task.negatives_kept))
