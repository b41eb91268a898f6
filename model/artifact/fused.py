"""Fused layout of a mixture for the artifact's graph: mmoe.py's sums in fewer, wider steps.

In a run of one row each step of a graph costs as much as its arithmetic, so the towers of all
tasks become one: their layers stand on the diagonal of one matrix, and the last one gives
regression values in the label's units.
"""

import copy
import dataclasses
from collections.abc import Sequence

import torch
from torch import Tensor, nn

from model.artifact.serving_module import ServingModule
from model.mmoe import Mixture, Output, StackedLinear, Tower
from model.schema import Task

LARGEST_LAYER = 1 << 14
"""Numbers of a joined layer.

With many wide towers the zeros beside the diagonal would cost more than they save.
"""

LARGEST_FOLDED_MEAN = 1e4
"""Mean of labels, in their standard deviations, up to which it is added to the last bias.

That costs at most a thousandth of a deviation. A larger mean is added last, as torch does."""


class FusedMixture(nn.Module):
    """Twin of a `Mixture` whose regression outputs are in the label's units."""

    def __init__(self, network: Mixture, tasks: Sequence[Task]) -> None:
        super().__init__()
        self.network = network
        layers = _tower_layers(network)
        outputs = [layer.out_features for layer in layers[-1]]
        joined = [_joined(same) for same in layers]
        self.outputs, self.layers, last = outputs, nn.ModuleList(joined), joined[-1]
        with torch.no_grad():
            start = 0
            for task, columns in zip(tasks, outputs, strict=True):
                rows = slice(start, start + columns)
                start += columns
                if task.kind == "regression":
                    last.weight[rows] *= task.std
                    last.bias[rows] = last.bias[rows] * task.std + (0.0 if _keeps_mean(task) else task.mean)

    def forward(self, x: Tensor, expert_mask: Tensor | None = None) -> Output:
        """Answer for B encoded rows (B, D), as `Mixture.forward` does."""
        first, *others = [layer for layer in self.network.experts.layers if isinstance(layer, StackedLinear)]
        stack, hidden, width = first.weight.shape
        wide = x @ first.weight.reshape(stack * hidden, width).t() + first.bias.reshape(-1)
        experts = torch.relu(wide).view(-1, stack, hidden)  # (B, E, H)
        for further in others:
            experts = torch.relu(further(experts))
        gate_weights = self.network.gate(x, expert_mask)  # (B, T, E)
        joined = torch.matmul(gate_weights, experts).flatten(1)  # (B, T * H)
        for layer in self.layers[:-1]:
            joined = torch.relu(layer(joined))
        columns = self.layers[-1](joined).split(self.outputs, dim=1)  # (B, K) of each task
        return Output(tuple(c.squeeze(-1) if c.shape[1] == 1 else c for c in columns), gate_weights)


def fuse(module: ServingModule) -> ServingModule:
    """Return a module with the same outputs in fewer steps.

    Returns the same module where fusing gains nothing.
    """
    network = module.model.network
    if not isinstance(network, Mixture):
        return module
    for same in _tower_layers(network):
        if sum(layer.in_features for layer in same) * sum(layer.out_features for layer in same) > LARGEST_LAYER:
            return module
    encoder = module.model.encoder  # shared: its table may be large, and nothing here changes it
    fused = copy.deepcopy(module, {id(encoder): encoder})
    fused.model.network = FusedMixture(network, module.tasks).eval()
    fused.tasks = tuple(
        dataclasses.replace(task, mean=task.mean if _keeps_mean(task) else 0.0, std=1.0) for task in module.tasks
    )
    return fused


def _keeps_mean(task: Task) -> bool:
    """Check whether the mean of a task's labels has to be added last.

    Held by a bias, a mean this large would be rounded by a visible share of the labels' deviation.
    """
    return abs(task.mean) > LARGEST_FOLDED_MEAN * task.std


def _tower_layers(network: Mixture) -> list[list[nn.Linear]]:
    """List the layers of all towers, those of the same depth together."""
    towers = [tower for tower in network.towers if isinstance(tower, Tower)]
    by_tower = [[layer for layer in (*tower.hidden, tower.last) if isinstance(layer, nn.Linear)] for tower in towers]
    return [list(same) for same in zip(*by_tower, strict=True)]


def _joined(layers: Sequence[nn.Linear]) -> nn.Linear:
    """Join layers into one block-diagonal layer."""
    weight: Tensor = torch.block_diag(*[layer.weight.detach() for layer in layers])  # type: ignore[no-untyped-call]
    joined = nn.Linear(weight.shape[1], weight.shape[0], device=weight.device, dtype=weight.dtype)
    with torch.no_grad():
        joined.weight.copy_(weight)
        joined.bias.copy_(torch.cat([layer.bias for layer in layers]))
    return joined.requires_grad_(False)
