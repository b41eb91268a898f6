"""Networks of "Modeling Task Relationships in Multi-task Learning with Multi-gate MoE".

Ma et al., KDD 2018. Every row goes through all experts, a gate per task weights their outputs, and
a tower per task maps its mixture to the task's output (paper, §4):

    x -> experts f_i(x) ----------------------.
    x -> gates   g^k(x) = softmax(W^k x) ------+-> mixture f^k(x) = sum_i g^k(x)_i f_i(x)
                                                      -> tower y_k = h^k(f^k(x))

    MMoE           a gate per task               Mixture
    OMoE           one gate for all tasks        Mixture
    CGC            a gate per task, over shared  Mixture
                   experts and the task's own
    Shared-Bottom  one expert, no gate (§3.1)    SharedBottom
    single task    an expert per task, no gate   SingleTask

CGC is the single-level model of Tang et al., "Progressive Layered Extraction", RecSys 2020, §4.1.

Axes: B rows, D encoded width, E experts, H expert width, T tasks, K outputs of a task, V experts
that a gate sees. Parameters
are drawn here. Training computes the same sums by model/network/fast.py on the same parameters,
and the exported graph by model/artifact/fused.py.
"""

import itertools
import math
from collections.abc import Sequence
from typing import Literal, NamedTuple

import torch
from torch import Tensor, nn
from torch.nn import functional as F

Architecture = Literal["mmoe", "omoe", "cgc", "shared_bottom", "single_task"]


class Output(NamedTuple):
    """Raw outputs and gate weights for B rows.

    Attributes:
        outputs: one tensor per task: (B,) for a single output, (B, K) for K class logits. Raw: a
            binary task's logit, a regression task's standardised value.
        gate_weights: (B, T, E), rows sum to 1; None for a network without gates.
    """

    outputs: tuple[Tensor, ...]
    gate_weights: Tensor | None


def init_uniform(parameter: Tensor, fan_in: int, gain: float) -> None:
    """Fill with U(-b, b) of standard deviation gain / sqrt(fan_in), every number on its own."""
    bound = gain * math.sqrt(3.0 / fan_in)
    nn.init.uniform_(parameter, -bound, bound)


class StackedLinear(nn.Module):
    """E linear layers side by side.

    Attributes:
        weight: (E, H, D).
        bias: (E, H).
    """

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
        return (x @ weight.t() + bias).view(-1, stack, hidden)


class Experts(nn.Module):
    """Experts f_1 ... f_E (paper, §4): ReLU MLPs of one shape, apart by their initial weights."""

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


class GateDropout(nn.Module):
    """Dropout of experts at the gates.

    In training each expert is left out of a row's softmax with probability `p`, and never all of
    them; in evaluation none is.
    """

    def __init__(self, p: float = 0.0) -> None:
        super().__init__()
        self.p = p

    def extra_repr(self) -> str:
        """Show the probability."""
        return f"p={self.p}"

    def forward(self, gate_logits: Tensor) -> Tensor:
        """Map gate logits (B, gates, E) to the same with -inf for the experts left out."""
        if self.p == 0.0 or not self.training:
            return gate_logits
        draw = torch.rand_like(gate_logits)
        keep = (draw >= self.p) | (draw == draw.amax(-1, keepdim=True))
        return gate_logits.masked_fill(~keep, -math.inf)


class Gate(nn.Module):
    """Gates g^k(x) = softmax(W^k x / temperature), linear and without bias (paper, §4).

    Attributes:
        weight: (gates, V, D); `gates` is T for a gate per task (MMoE, CGC), or 1 for a gate that
            all tasks share (OMoE); V is E where every gate sees all experts.
        place: int64 (T * E,), where each gate's V logits, and one of -inf behind them, stand among
            the experts; None where every gate sees all experts.
    """

    place: Tensor | None

    def __init__(
        self,
        gates: int,
        tasks: int,
        width: int,
        experts: int,
        temperature: float = 1.0,
        dropout: float = 0.0,
        own_experts: int = 0,
    ) -> None:
        super().__init__()
        self.weight = nn.Parameter(torch.empty(gates, experts + own_experts, width))
        self.tasks = tasks
        self.temperature = temperature
        self.dropout = GateDropout(dropout)
        self.register_buffer("place", _place(tasks, experts, own_experts) if own_experts else None, persistent=False)
        init_uniform(self.weight, width, math.sqrt(1.0 / 3.0))

    def extra_repr(self) -> str:
        """Show the sizes and options."""
        gates, experts, width = self.weight.shape
        return f"{gates=}, {experts=}, {width=}, temperature={self.temperature}"

    def visible(self) -> Tensor:
        """Return which experts each task's gate sees, bool (T, E)."""
        seen = torch.ones(self.tasks, self.weight.shape[1], dtype=torch.bool, device=self.weight.device)
        return self.spread(seen.unsqueeze(0), False)[0]

    def matrix(self) -> Tensor:
        """Return (T, E, D) with gate_logits[b, t, e] = sum_d matrix[t, e, d] x[b, d].

        0 for an expert that the task's gate does not see.
        """
        weight = (self.weight / self.temperature).expand(self.tasks, -1, -1)
        return self.spread(weight.permute(2, 0, 1), 0.0).permute(1, 2, 0)

    def spread(self, values: Tensor, blank: float) -> Tensor:
        """Place (B, T, V) among all experts, (B, T, E), and `blank` where a gate sees none."""
        if self.place is None:
            return values
        placed = F.pad(values, (0, 1), value=blank).flatten(1).index_select(1, self.place)
        return placed.view(len(values), self.tasks, -1)

    def forward(self, x: Tensor, expert_mask: Tensor | None = None) -> Tensor:
        """Map (B, D) to gate weights (B, T, E).

        An expert whose mask is 0 gets no weight, and the others share it in their proportions; the
        mask broadcasts against (B, T, E). A row whose mask is all 0 gets NaN.
        """
        gates, experts, width = self.weight.shape
        weight = self.weight.reshape(gates * experts, width) / self.temperature
        gate_logits = self.dropout((x @ weight.t()).view(-1, gates, experts))  # (B, T or 1, V)
        gate_logits = self.spread(gate_logits.expand(-1, self.tasks, -1), -math.inf)  # (B, T, E)
        if expert_mask is not None:
            gate_logits = gate_logits + expert_mask.log()
        return F.softmax(gate_logits, dim=-1)


def _place(tasks: int, shared: int, own: int) -> Tensor:
    """Lay out the experts of CGC: the shared ones, then each task's own."""
    seen = shared + own
    place = torch.full((tasks, shared + tasks * own), seen)
    for task in range(tasks):
        place[task, :shared] = torch.arange(shared)
        place[task, shared + task * own : shared + (task + 1) * own] = torch.arange(shared, seen)
    return (place + (seen + 1) * torch.arange(tasks).unsqueeze(1)).flatten()


class Tower(nn.Module):
    """Tower h^k of one task: a ReLU MLP with K linear outputs."""

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
            mixture = self.dropout(torch.relu(layer(mixture)))
        output: Tensor = self.last(mixture)  # (B, K)
        return output.squeeze(-1) if self.last.out_features == 1 else output


class Mixture(nn.Module):
    """MMoE or CGC (a gate per task), OMoE (one): y_k = h^k(sum_i g^k(x)_i f_i(x)) (paper, §4)."""

    def __init__(self, experts: Experts, gate: Gate, towers: Sequence[Tower]) -> None:
        super().__init__()
        self.experts = experts
        self.gate = gate
        self.towers = nn.ModuleList(towers)

    def gate_matrix(self) -> Tensor:
        """Return (T, E, D), the linear map from x to gate logits, temperature included."""
        return self.gate.matrix()

    def forward(self, x: Tensor, expert_mask: Tensor | None = None) -> Output:
        """Map (B, D) to every task's output; `expert_mask` is that of `Gate.forward`."""
        experts = self.experts(x)  # (B, E, H)
        gate_weights = self.gate(x, expert_mask)  # (B, T, E)
        mixtures = torch.matmul(gate_weights, experts).unbind(1)  # T of (B, H)
        return Output(tuple(tower(m) for tower, m in zip(self.towers, mixtures, strict=True)), gate_weights)


class SharedBottom(nn.Module):
    """Shared-Bottom y_k = h^k(f(x)): one network for all towers (Caruana 1997; paper, §3.1)."""

    def __init__(self, bottom: Experts, towers: Sequence[Tower]) -> None:
        super().__init__()
        self.bottom = bottom
        self.towers = nn.ModuleList(towers)

    def forward(self, x: Tensor, expert_mask: Tensor | None = None) -> Output:
        """Map (B, D) to every task's output; without gates `expert_mask` changes nothing."""
        shared = self.bottom(x)[:, 0]  # (B, H)
        return Output(tuple(tower(shared) for tower in self.towers), None)


class SingleTask(nn.Module):
    """Single-task baseline y_k = h^k(f_k(x)): a network per task, nothing shared."""

    def __init__(self, networks: Experts, towers: Sequence[Tower]) -> None:
        super().__init__()
        self.networks = networks
        self.towers = nn.ModuleList(towers)

    def forward(self, x: Tensor, expert_mask: Tensor | None = None) -> Output:
        """Map (B, D), or (B, T, D) with an encoding for each task, to every task's output.

        Without gates `expert_mask` changes nothing.
        """
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
    own_experts: int = 0,
) -> nn.Module:
    """Build a network on x (B, width) with one tower per entry of `task_outputs`.

    Args:
        architecture: `expert_hidden` sizes each of the `experts` (mmoe, omoe, cgc), the one shared
            network (shared_bottom) or each task's own network (single_task).
        width: D.
        task_outputs: K of every task; 1 for regression and binary tasks.
        experts: E, for cgc the shared ones alone; not in use without gates.
        expert_hidden: hidden layer sizes in order, the last is H.
        tower_hidden: hidden layer sizes of every tower, may be empty.
        gate_temperature: divides the gate logits; above 0.
        gate_dropout: probability to leave an expert out of a row's gate in training, in [0, 1).
        dropout: probability to zero a hidden unit of an expert or tower in training, in [0, 1).
        own_experts: of each task, behind the shared ones on axis E in order of the tasks (cgc).
    """
    tasks = len(task_outputs)
    own = own_experts if architecture == "cgc" else 0
    stack = {"shared_bottom": 1, "single_task": tasks}.get(architecture, experts + tasks * own)
    towers = [Tower(expert_hidden[-1], tower_hidden, outputs, dropout) for outputs in task_outputs]
    shared = Experts(stack, width, expert_hidden, dropout)
    if architecture == "shared_bottom":
        return SharedBottom(shared, towers)
    if architecture == "single_task":
        return SingleTask(shared, towers)
    gates = 1 if architecture == "omoe" else tasks
    return Mixture(shared, Gate(gates, tasks, width, experts, gate_temperature, gate_dropout, own), towers)


def count_parameters(module: nn.Module, biases: bool = True) -> int:
    """Count parameters; without `biases` only those that multiply an input, as papers do."""
    return sum(p.numel() for name, p in module.named_parameters() if biases or not name.endswith("bias"))


def matching_shared_bottom(width: int, tasks: int, experts: int, expert_hidden: int, tower_hidden: int) -> int:
    """Return the width S at which a one-layer Shared-Bottom weighs as much as an MMoE.

    Gates are not counted. Weights of experts and first tower layers, D·E·H + T·H·U with U =
    `tower_hidden`, equal D·S + T·S·U at the width S (paper, §3.3: 113 for 8 experts of 16).
    """
    budget = width * experts * expert_hidden + tasks * expert_hidden * tower_hidden
    return round(budget / (width + tasks * tower_hidden))
