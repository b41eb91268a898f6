"""The networks of Ma et al., KDD 2018, "Modeling Task Relationships in Multi-task Learning with Multi-gate MoE".

Features go through experts, gates mix the experts' outputs for each task, and a tower answers for each task:

    x -> experts f_i(x) ---------------.
    x -> gates   g^k(x) = softmax(W x)  -> mixture f^k(x) = sum_i g^k(x)_i f_i(x) -> tower h^k -> y_k

Axes: B rows, D encoded width, E experts, H expert width, T tasks, K outputs of a task.
"""

import itertools
import math
from collections.abc import Sequence
from typing import Literal, NamedTuple

import torch
from torch import Tensor, nn
from torch.nn import functional as F

Architecture = Literal["mmoe", "omoe", "shared_bottom", "single_task"]


class Output(NamedTuple):
    """Hold what a network says about B rows.

    Attributes:
        outputs: one tensor per task: (B,) for a single output, (B, K) for K class logits. Raw: a binary task's logit, a
            regression task's standardised value.
        gate_weights: (B, T, E), rows sum to 1; None for a network without gates.
    """

    outputs: tuple[Tensor, ...]
    gate_weights: Tensor | None


def init_uniform(parameter: Tensor, fan_in: int, gain: float) -> None:
    """Fill with U(-b, b) of standard deviation gain / sqrt(fan_in); every expert draws its own values."""
    bound = gain * math.sqrt(3.0 / fan_in)
    nn.init.uniform_(parameter, -bound, bound)


def linear_by_row(x: Tensor, weight: Tensor, bias: Tensor | None) -> Tensor:
    """Map (B, D) to (B, H) by weight (H, D) as F.linear does, but with the numbers of all rows beside each other.

    In training the next operations work on many rows at a time, and small products take a quarter of the time.
    """
    by_column = weight @ x.t()  # (H, B)
    return (by_column if bias is None else by_column + bias.unsqueeze(-1)).t()


class StackedLinear(nn.Module):
    """Apply E linear layers at once; weight is (E, H, D), bias (E, H)."""

    def __init__(self, stack: int, width: int, hidden: int) -> None:
        super().__init__()
        drawn = torch.empty(stack, width, hidden)
        init_uniform(drawn, width, math.sqrt(2.0))  # He et al. 2015, for ReLU
        self.weight = nn.Parameter(drawn.transpose(1, 2).contiguous())
        self.bias = nn.Parameter(torch.zeros(stack, hidden))

    def forward(self, x: Tensor) -> Tensor:
        """Map one input for all, (B, D), or one input for each, (B, E, D), to (B, E, H)."""
        stack, hidden, width = self.weight.shape
        if x.dim() == 3:
            return torch.matmul(x.transpose(0, 1), self.weight.transpose(1, 2)).transpose(0, 1) + self.bias
        weight, bias = self.weight.reshape(stack * hidden, width), self.bias.reshape(-1)  # one wide product is faster
        wide = linear_by_row(x, weight, bias) if self.training else x @ weight.t() + bias  # (B, E*H)
        return wide.view(-1, stack, hidden)


class Experts(nn.Module):
    """Compute E identical ReLU MLPs f_i together (paper, §4); they differ by their initial weights alone."""

    def __init__(self, experts: int, width: int, hidden: Sequence[int], dropout: float = 0.0) -> None:
        super().__init__()
        sizes = [width, *hidden]
        self.layers = nn.ModuleList(StackedLinear(experts, a, b) for a, b in itertools.pairwise(sizes))
        self.dropout = nn.Dropout(dropout)

    def forward(self, x: Tensor) -> Tensor:
        """Map (B, D), or (B, E, D) with one input for each expert, to (B, E, H)."""
        for layer in self.layers:
            x = self.dropout(torch.relu(layer(x)))  # (B, E, H)
        return x


class Gate(nn.Module):
    """Weigh the experts: softmax(W x / temperature), linear and without bias (paper, §4).

    `gates` is T for one gate per task (MMoE) or 1 for a gate that all tasks share (OMoE). In training, gate dropout
    leaves each expert out of a row's softmax with the given probability, and never all of them.
    """

    def __init__(
        self, gates: int, tasks: int, width: int, experts: int, temperature: float = 1.0, dropout: float = 0.0
    ) -> None:
        super().__init__()
        self.weight = nn.Parameter(torch.empty(gates, experts, width))
        self.tasks = tasks
        self.temperature = temperature
        self.dropout = dropout
        init_uniform(self.weight, width, math.sqrt(1.0 / 3.0))

    def extra_repr(self) -> str:
        """Show the sizes and options."""
        gates, experts, width = self.weight.shape
        return f"{gates=}, {experts=}, {width=}, temperature={self.temperature}, dropout={self.dropout}"

    def matrix(self) -> Tensor:
        """Give (T, E, D) such that gate_logits[b, t, e] = sum_d matrix[t, e, d] x[b, d]."""
        return (self.weight / self.temperature).expand(self.tasks, -1, -1)

    def forward(self, x: Tensor, expert_mask: Tensor | None = None) -> Tensor:
        """Map (B, D) to gate weights (B, T, E).

        An expert whose mask is 0 gets no weight and the others share it in their proportions; the mask broadcasts
        against (B, T, E). A row whose mask is all 0 has no answer.
        """
        gates, experts, width = self.weight.shape
        weight = self.weight.reshape(gates * experts, width) / self.temperature
        wide = linear_by_row(x, weight, None) if self.training else x @ weight.t()
        gate_logits = wide.view(-1, gates, experts)  # (B, T or 1, E)
        if self.training and self.dropout > 0.0:
            draw = torch.rand_like(gate_logits)
            keep = (draw >= self.dropout) | (draw == draw.amax(-1, keepdim=True))
            gate_logits = gate_logits.masked_fill(~keep, -math.inf)
        gate_logits = gate_logits.expand(-1, self.tasks, -1)  # (B, T, E)
        if expert_mask is not None:
            gate_logits = gate_logits + expert_mask.log()
        if self.training:  # the same softmax; torch's kernel for a short last axis takes six times as long
            return F.softmax(gate_logits.permute(1, 2, 0), dim=1).permute(2, 0, 1)
        return F.softmax(gate_logits, dim=-1)


class Tower(nn.Module):
    """Answer for one task: a ReLU MLP h^k with K linear outputs."""

    def __init__(self, width: int, hidden: Sequence[int], outputs: int, dropout: float = 0.0) -> None:
        super().__init__()
        sizes = [width, *hidden]
        hidden_layers = [nn.Linear(a, b) for a, b in itertools.pairwise(sizes)]
        self.hidden = nn.ModuleList(hidden_layers)
        self.last = nn.Linear(sizes[-1], outputs)
        self.dropout = nn.Dropout(dropout)
        for layer in [*hidden_layers, self.last]:
            init_uniform(layer.weight, layer.in_features, 1.0 if layer is self.last else math.sqrt(2.0))
            nn.init.zeros_(layer.bias)

    def forward(self, mixture: Tensor) -> Tensor:
        """Map (B, H) to (B,), or to (B, K) for K > 1; a batch of one row keeps its axis."""
        for layer in self.hidden:
            mixture = self.dropout(torch.relu(self._apply_layer(layer, mixture)))
        output = self._apply_layer(self.last, mixture)  # (B, K)
        return output.squeeze(-1) if self.last.out_features == 1 else output

    def _apply_layer(self, layer: nn.Module, x: Tensor) -> Tensor:
        assert isinstance(layer, nn.Linear)
        return linear_by_row(x, layer.weight, layer.bias) if self.training else layer(x)


class Mixture(nn.Module):
    """Mix experts by gates: OMoE when all tasks share one gate, MMoE with one gate per task (paper, §4)."""

    def __init__(self, experts: Experts, gate: Gate, towers: Sequence[Tower]) -> None:
        super().__init__()
        self.experts = experts
        self.gate = gate
        self.towers = nn.ModuleList(towers)

    def gate_matrix(self) -> Tensor:
        """Give (T, E, D): the linear map from an encoded row to its gate logits, temperature included."""
        return self.gate.matrix()

    def forward(self, x: Tensor, expert_mask: Tensor | None = None) -> Output:
        """Answer for B encoded rows; `expert_mask` broadcasts against (B, T, E), 0 leaves an expert out."""
        experts = self.experts(x)  # (B, E, H)
        gate_weights = self.gate(x, expert_mask)  # (B, T, E)
        if self.training:  # the same sums; their gradient takes half the time of a product of many small matrices
            weighted = gate_weights.permute(1, 2, 0).unsqueeze(2) * experts.permute(1, 2, 0)  # (T, E, H, B)
            mixtures = [mixture.t() for mixture in weighted.sum(1).unbind()]  # T of (B, H)
        else:
            mixtures = list(torch.matmul(gate_weights, experts).unbind(1))
        return Output(tuple(tower(m) for tower, m in zip(self.towers, mixtures, strict=True)), gate_weights)


class SharedBottom(nn.Module):
    """Share one network f between all tasks' towers (Caruana 1997; paper, §3.1): one expert and no gate."""

    def __init__(self, bottom: Experts, towers: Sequence[Tower]) -> None:
        super().__init__()
        self.bottom = bottom
        self.towers = nn.ModuleList(towers)

    def forward(self, x: Tensor, expert_mask: Tensor | None = None) -> Output:
        """Answer for B encoded rows; there is no gate, so `expert_mask` has nothing to act on."""
        shared = self.bottom(x)[:, 0]  # (B, H)
        return Output(tuple(tower(shared) for tower in self.towers), None)


class SingleTask(nn.Module):
    """Give each task a network of its own: the baseline that shares nothing."""

    def __init__(self, networks: Experts, towers: Sequence[Tower]) -> None:
        super().__init__()
        self.networks = networks
        self.towers = nn.ModuleList(towers)

    def forward(self, x: Tensor, expert_mask: Tensor | None = None) -> Output:
        """Answer for rows (B, D), or (B, T, D) when each task has an encoding of its own; no gate to mask."""
        own = self.networks(x)  # (B, T, H)
        return Output(tuple(tower(own[:, t]) for t, tower in enumerate(self.towers)), None)


def build(
    architecture: Architecture,
    width: int,
    task_outputs: Sequence[int],
    experts: int = 8,
    expert_hidden: Sequence[int] = (16,),
    tower_hidden: Sequence[int] = (8,),
    gate_temperature: float = 1.0,
    gate_dropout: float = 0.0,
    dropout: float = 0.0,
) -> nn.Module:
    """Build a network on x (B, width) with one tower per entry of `task_outputs`.

    Args:
        architecture: `expert_hidden` sizes each of the `experts` (mmoe, omoe), the one shared network (shared_bottom)
            or each task's own network (single_task).
        width: D.
        task_outputs: K of every task; 1 for regression and binary tasks.
        experts: E; not in use without gates.
        expert_hidden: hidden layer sizes in order, the last is H.
        tower_hidden: hidden layer sizes of every tower, may be empty.
        gate_temperature: divides the gate logits; above 0.
        gate_dropout: probability to leave an expert out of a row's gate in training, in [0, 1).
        dropout: probability to zero a hidden unit of an expert or tower in training, in [0, 1).
    """
    tasks = len(task_outputs)
    stack = {"mmoe": experts, "omoe": experts, "shared_bottom": 1, "single_task": tasks}[architecture]
    towers = [Tower(expert_hidden[-1], tower_hidden, outputs, dropout) for outputs in task_outputs]
    shared = Experts(stack, width, expert_hidden, dropout)
    if architecture == "shared_bottom":
        return SharedBottom(shared, towers)
    if architecture == "single_task":
        return SingleTask(shared, towers)
    gates = 1 if architecture == "omoe" else tasks
    return Mixture(shared, Gate(gates, tasks, width, experts, gate_temperature, gate_dropout), towers)


def count_parameters(module: nn.Module, biases: bool = True) -> int:
    """Count trained numbers; without `biases` only those that multiply an input, as papers count."""
    return sum(p.numel() for name, p in module.named_parameters() if biases or not name.endswith("bias"))


def matching_shared_bottom(width: int, tasks: int, experts: int, expert_hidden: int, tower_hidden: int) -> int:
    """Size a one-layer Shared-Bottom to the weights of an MMoE without its gates (paper, §3.3: 113 for 8 x 16).

    Weights of experts and first tower layers, D·E·H + T·H·U, are to equal D·S + T·S·U for the answer S.
    """
    budget = width * experts * expert_hidden + tasks * expert_hidden * tower_hidden
    return round(budget / (width + tasks * tower_hidden))
