"""Fast training layout of the networks of model/mmoe.py: the same sums, rows along the last axis.

In training most operations work on many rows at a time, and with the rows along the last axis
small products, the softmax over a few experts and the mixture's gradient take a quarter to a half
of the time. The layers are those of the network itself, so parameters, their names and the order
in which dropout draws are the same.
"""

import math
from collections.abc import Sequence

from torch import Tensor, nn, relu
from torch.nn import functional as F

from model.mmoe import Experts, Gate, Mixture, Output, SharedBottom, SingleTask, StackedLinear, Tower


class FastMixture(nn.Module):
    """Twin of `Mixture` on its layers."""

    def __init__(self, network: Mixture) -> None:
        super().__init__()
        self.experts, self.gate, self.towers = network.experts, network.gate, network.towers

    def forward(self, x: Tensor, expert_mask: Tensor | None = None) -> Output:
        """Map (B, D) to what `Mixture.forward` gives."""
        experts = expert_outputs(self.experts, x)  # (B, E, H)
        weights = gate_weights(self.gate, x, expert_mask)  # (B, T, E)
        weighted = weights.permute(1, 2, 0).unsqueeze(2) * experts.permute(1, 2, 0)  # (T, E, H, B)
        return Output(tower_outputs(self.towers, [m.t() for m in weighted.sum(1).unbind()]), weights)


class FastSharedBottom(nn.Module):
    """Twin of `SharedBottom` on its layers."""

    def __init__(self, network: SharedBottom) -> None:
        super().__init__()
        self.bottom, self.towers = network.bottom, network.towers

    def forward(self, x: Tensor, expert_mask: Tensor | None = None) -> Output:
        """Map (B, D) to what `SharedBottom.forward` gives."""
        shared = expert_outputs(self.bottom, x)[:, 0]  # (B, H)
        return Output(tower_outputs(self.towers, [shared] * len(self.towers)), None)


class FastSingleTask(nn.Module):
    """Twin of `SingleTask` on its layers."""

    def __init__(self, network: SingleTask) -> None:
        super().__init__()
        self.networks, self.towers = network.networks, network.towers

    def forward(self, x: Tensor, expert_mask: Tensor | None = None) -> Output:
        """Map (B, D) or (B, T, D) to what `SingleTask.forward` gives."""
        own = expert_outputs(self.networks, x)  # (B, T, H)
        return Output(tower_outputs(self.towers, [own[:, t] for t in range(len(self.towers))]), None)


def fast(network: nn.Module) -> nn.Module:
    """Return the twin of a network of model/mmoe.py; training one trains the other."""
    match network:
        case Mixture():
            return FastMixture(network)
        case SharedBottom():
            return FastSharedBottom(network)
        case SingleTask():
            return FastSingleTask(network)
    raise TypeError(f"{type(network).__name__} has no training layout; expected a network that model.mmoe.build made")


def linear(x: Tensor, weight: Tensor, bias: Tensor | None) -> Tensor:
    """Map (B, D) to (B, H) by weight (H, D) as F.linear does."""
    by_column = weight @ x.t()  # (H, B)
    return (by_column if bias is None else by_column + bias.unsqueeze(-1)).t()


def expert_outputs(experts: Experts, x: Tensor) -> Tensor:
    """Map (B, D) or (B, E, D) to (B, E, H) as `Experts.forward` does."""
    for layer in experts.layers:
        assert isinstance(layer, StackedLinear)
        x = experts.dropout(relu(layer(x) if x.dim() == 3 else _stacked(layer, x)))  # (B, E, H)
    return x


def gate_weights(gate: Gate, x: Tensor, expert_mask: Tensor | None = None) -> Tensor:
    """Map (B, D) to (B, T, E) as `Gate.forward` does."""
    gates, experts, width = gate.weight.shape
    weight = gate.weight.reshape(gates * experts, width) / gate.temperature
    gate_logits: Tensor = gate.dropout(linear(x, weight, None).view(-1, gates, experts))  # (B, T or 1, V)
    gate_logits = gate.spread(gate_logits.expand(-1, gate.tasks, -1), -math.inf)  # (B, T, E)
    if expert_mask is not None:
        gate_logits = gate_logits + expert_mask.log()
    # torch's kernel for a short last axis takes six times as long
    return F.softmax(gate_logits.permute(1, 2, 0), dim=1).permute(2, 0, 1)


def tower_outputs(towers: nn.ModuleList, mixtures: Sequence[Tensor]) -> tuple[Tensor, ...]:
    """Map each task's (B, H) to (B,) or (B, K) as `Tower.forward` does."""
    return tuple(_tower(tower, mixture) for tower, mixture in zip(towers, mixtures, strict=True))


def _stacked(layer: StackedLinear, x: Tensor) -> Tensor:
    stack, hidden, width = layer.weight.shape
    wide = linear(x, layer.weight.reshape(stack * hidden, width), layer.bias.reshape(-1))  # (B, E * H)
    return wide.view(-1, stack, hidden)


def _tower(tower: nn.Module, x: Tensor) -> Tensor:
    assert isinstance(tower, Tower)
    for layer in tower.hidden:
        assert isinstance(layer, nn.Linear)
        x = tower.dropout(relu(linear(x, layer.weight, layer.bias)))
    output = linear(x, tower.last.weight, tower.last.bias)  # (B, K)
    return output.squeeze(-1) if tower.last.out_features == 1 else output
