"""Ensemble: many independent runs of one architecture at once, stacked by torch.func.

A run keeps its own data, weights and optimiser state, so its result is the same alone or among
others, up to rounding: only the arithmetic is shared. (Over a thousand steps training makes a last
bit's difference a visible one.)
Axes: R runs, B rows, D features, T regression tasks, E experts.
"""

import copy
from collections.abc import Callable, Sequence
from typing import Any

import torch
from torch import Tensor, nn
from torch.func import functional_call, grad_and_value, stack_module_state, vmap
from torch.fx import GraphModule

from model.data.synthetic import SineTasks
from model.mmoe import Output
from model.network.fast import fast

State = dict[str, Any]

WORTH_TRACING = 30
"""The step on batches of one shape that is recorded; that takes as long as a hundred steps."""


class Ensemble:
    """R networks of equal shape as stacked parameters (R, ...), with one Adam for all.

    Adam works on each number by itself, so that R runs in one optimiser are R runs in R
    optimisers.

    Args:
        networks: R networks built alike, each with its own initial weights; their forward takes
            (B, D).
        learning_rate: of Adam, for every run.
        device: where to train.
    """

    def __init__(self, networks: Sequence[nn.Module], learning_rate: float, device: str = "cpu") -> None:
        stacked, _ = stack_module_state(list(networks))
        self.parameters = {
            name: value.detach().to(device).contiguous().requires_grad_() for name, value in stacked.items()
        }
        self.runs = len(networks)
        self._skeleton = fast(copy.deepcopy(networks[0]).to("meta"))
        self._optimiser = torch.optim.Adam(list(self.parameters.values()), lr=learning_rate, fused=True)
        self._losses = vmap(self._loss)
        self._weights = vmap(self._gates)
        self._gradients = vmap(grad_and_value(self._loss))
        self._traced: GraphModule | None = None
        self._shape, self._steps = torch.Size(), 0

    def step(self, x: Tensor, y: Tensor) -> Tensor:
        """Take one step of every run on its own batch; return the losses (R,) before the step.

        Args:
            x: (R, B, D).
            y: (R, B, T).
        """
        parameters = {name: value.detach() for name, value in self.parameters.items()}
        if x.shape != self._shape:
            self._shape, self._steps, self._traced = x.shape, 0, None
        self._steps += 1
        if self._steps == WORTH_TRACING:
            self._traced = flat_graph(self._gradients, parameters, x, y)
        losses: Tensor
        gradients, losses = (self._traced or self._gradients)(parameters, x, y)  # losses (R,)
        for name, value in self.parameters.items():
            value.grad = gradients[name]
        self._optimiser.step()
        return losses

    @torch.no_grad()
    def losses(self, x: Tensor, y: Tensor) -> Tensor:
        """Return each run's mean squared error over rows and tasks, (R,)."""
        losses: Tensor = self._losses(self.parameters, x, y)
        return losses

    @torch.no_grad()
    def gate_weights(self, x: Tensor) -> Tensor:
        """Return every run's gate weights, (R, B, T, E)."""
        weights: Tensor = self._weights(self.parameters, x)
        return weights

    def state(self) -> State:
        """Return what `load_state` needs to go on."""
        return {
            "parameters": {k: v.detach() for k, v in self.parameters.items()},
            "optimiser": self._optimiser.state_dict(),
        }

    def load_state(self, state: State) -> None:
        """Go on from a state of an ensemble built alike."""
        for name, value in self.parameters.items():
            value.data.copy_(state["parameters"][name])
        self._optimiser.load_state_dict(state["optimiser"])

    def _forward(self, parameters: dict[str, Tensor], x: Tensor) -> Output:
        output: Output = functional_call(self._skeleton, parameters, (x,))
        return output

    def _gates(self, parameters: dict[str, Tensor], x: Tensor) -> Tensor:
        weights = self._forward(parameters, x).gate_weights
        if weights is None:
            raise ValueError("these networks have no gates; ask an OMoE or an MMoE")
        return weights

    def _loss(self, parameters: dict[str, Tensor], x: Tensor, y: Tensor) -> Tensor:
        outputs = torch.stack(self._forward(parameters, x).outputs, dim=-1)  # (B, T)
        return (outputs - y).square().mean()


def flat_graph(function: Callable[..., Any], *arguments: Any) -> GraphModule:
    """Record what a function does to tensors of these shapes.

    Repeating it costs neither autograd's nor vmap's work.

    For small networks that work takes as long as the arithmetic. Views that change nothing are
    left out.
    """
    from torch.fx.experimental.proxy_tensor import make_fx  # a second to import, which short trainings spare

    traced = make_fx(lambda *told: function(*told))(*arguments)  # it takes a method's self for an argument
    views = (torch.ops.aten.view.default, torch.ops.aten._unsafe_view.default, torch.ops.aten.expand.default)
    for node in list(traced.graph.nodes):
        if node.target in views and node.meta["val"].shape == node.args[0].meta["val"].shape:
            node.replace_all_uses_with(node.args[0])
            traced.graph.erase_node(node)
    traced.graph.eliminate_dead_code()
    traced.recompile()
    return traced


class SineStream:
    """Endless rows for R runs, each from its own generator.

    The seed of a run decides all its numbers.

    Labels are scaled to unit variance, by one number for all runs, since the generator leaves the
    scale of the loss open.

    Args:
        tasks: the pair of tasks; every run draws its own weight vectors w1 and w2.
        seeds: one per run.
        device: where the rows are wanted.
    """

    def __init__(self, tasks: SineTasks, seeds: Sequence[int], device: str = "cpu") -> None:
        self._tasks = tasks
        self._generators = [torch.Generator(device).manual_seed(seed) for seed in seeds]
        self._device = device
        self.weights = torch.stack([tasks.weights(g) for g in self._generators])  # (R, 2, D)
        self._scale = label_std(tasks)

    def rows(self, count: int) -> tuple[Tensor, Tensor]:
        """Draw the next `count` rows of every run: x (R, B, D) and scaled labels y (R, B, 2)."""
        runs, tasks, dims = self.weights.shape
        x = torch.empty(runs, count, dims, device=self._device)
        noise = torch.empty(runs, count, tasks, device=self._device)
        for generator, x_of_run, noise_of_run in zip(self._generators, x.unbind(), noise.unbind(), strict=True):
            x_of_run.normal_(generator=generator)
            noise_of_run.normal_(generator=generator)
        clean = self._tasks.signal(x @ self.weights.transpose(-1, -2))  # (R, B, 2)
        return x, (clean + self._tasks.noise_variance**0.5 * noise) / self._scale

    def state(self) -> list[Tensor]:
        """Return the generators' states."""
        return [generator.get_state() for generator in self._generators]

    def load_state(self, state: list[Tensor]) -> None:
        """Go on from a state of a stream built alike."""
        for generator, saved in zip(self._generators, state, strict=True):
            generator.set_state(saved)


def label_std(tasks: SineTasks) -> float:
    """Return the standard deviation of a label, noise included.

    w·x is N(0, c²) for any w of length c.
    """
    z = torch.linspace(-8.0, 8.0, 20_001, dtype=torch.float64)  # standard deviations; a hundred points a sine's period
    share = torch.softmax(-(z**2) / 2, dim=0)
    signal = tasks.signal(tasks.scale * z)
    mean = (share * signal).sum()
    return float(((share * (signal - mean) ** 2).sum() + tasks.noise_variance).sqrt())
