from typing import Any

import pytest
import torch
from torch import Tensor, nn

from model.mmoe import Architecture, Gate, GateDropout, Output, build
from model.network.fast import fast, gate_weights

ARCHITECTURES: tuple[Architecture, ...] = ("mmoe", "omoe", "cgc", "shared_bottom", "single_task")


def network(architecture: Architecture, seed: int = 0, **options: Any) -> nn.Module:
    torch.manual_seed(seed)
    sizes: dict[str, Any] = {"experts": 4, "expert_hidden": (6, 7), "tower_hidden": (3,), "own_experts": 2}
    return build(architecture, 5, (1, 3), **{**sizes, **options})


class FixedDropout(nn.Module):
    """Dropout whose mask depends on a number's place in its tensor, not on memory layout."""

    def __init__(self, p: float) -> None:
        super().__init__()
        self.p = p

    def forward(self, x: Tensor) -> Tensor:
        places = torch.arange(x.numel()).reshape(x.shape)
        return x * ((places * 7919) % 101 >= self.p * 101) / (1.0 - self.p)


def fix_dropouts(module: nn.Module) -> nn.Module:
    for child in list(module.modules()):
        for name, part in list(child.named_children()):
            if isinstance(part, nn.Dropout):
                setattr(child, name, FixedDropout(part.p))
    return module


def assert_same(a: Output, b: Output) -> None:
    for one, other in zip(a.outputs, b.outputs, strict=True):
        torch.testing.assert_close(one, other)
    if a.gate_weights is None:
        assert b.gate_weights is None
    else:
        torch.testing.assert_close(a.gate_weights, b.gate_weights)


@pytest.mark.parametrize("architecture", ARCHITECTURES)
@pytest.mark.parametrize("training", [False, True])
def test_the_twin_has_the_network_s_parameters_answers_and_gradients(
    architecture: Architecture, training: bool
) -> None:
    plain = fix_dropouts(network(architecture, dropout=0.4)).train(training)
    twin, x = fast(plain), torch.randn(9, 5)
    assert list(twin.state_dict()) == list(plain.state_dict())
    assert all(a is b for a, b in zip(plain.parameters(), twin.parameters(), strict=True))
    gradients = []
    for module in (plain, twin):
        output: Output = module(x)
        plain.zero_grad()
        torch.stack([o.square().sum() for o in output.outputs]).sum().backward()  # type: ignore[no-untyped-call]
        gradients.append([p.grad for p in plain.parameters()])
    assert_same(plain(x), twin(x))
    for a, b in zip(*gradients, strict=True):
        torch.testing.assert_close(a, b)


@pytest.mark.parametrize("architecture", ["mmoe", "omoe"])
def test_the_twin_masks_experts_as_the_network_does(architecture: Architecture) -> None:
    plain, x = network(architecture), torch.randn(9, 5)
    mask = torch.tensor([1.0, 0.0, 1.0, 1.0])
    assert_same(plain(x, mask), fast(plain)(x, mask))


def test_the_twin_takes_one_input_per_task() -> None:
    plain, x = network("single_task"), torch.randn(9, 2, 5)
    assert_same(plain(x), fast(plain)(x))


def test_gate_dropout_leaves_out_the_same_experts_of_a_seed() -> None:
    gate, x = Gate(2, 2, 5, 6, dropout=0.5), torch.randn(50, 5)

    def left_out(weights: Tensor) -> Tensor:
        return weights == 0.0

    class Recorder(GateDropout):
        """Gate dropout with one draw for both, in the order of the logits' axes."""

        def forward(self, gate_logits: Tensor) -> Tensor:
            torch.manual_seed(3)
            return super().forward(gate_logits.contiguous())

    gate.dropout = Recorder(0.5)
    plain, quick = gate(x), gate_weights(gate, x)
    assert left_out(plain).any()
    assert torch.equal(left_out(plain), left_out(quick))
    torch.testing.assert_close(plain, quick)


@pytest.mark.parametrize("architecture", ARCHITECTURES)
@pytest.mark.parametrize("training", [False, True])
def test_many_twins_can_be_stacked(architecture: Architecture, training: bool) -> None:
    networks = [fix_dropouts(network(architecture, seed, dropout=0.4)).train(training) for seed in range(3)]
    parameters, buffers = torch.func.stack_module_state(networks)
    skeleton, x = fast(networks[0]), torch.randn(3, 4, 5)

    def run(p: dict[str, Tensor], b: dict[str, Tensor], rows: Tensor) -> tuple[Tensor, ...]:
        outputs: tuple[Tensor, ...] = torch.func.functional_call(skeleton, (p, b), (rows,)).outputs
        return outputs

    stacked = torch.func.vmap(run)(parameters, buffers, x)
    for r, one in enumerate(networks):
        for together, alone in zip(stacked, one(x[r]).outputs, strict=True):
            torch.testing.assert_close(together[r], alone)


def test_what_has_no_twin_is_named() -> None:
    with pytest.raises(TypeError, match="Linear has no training layout; expected a network that"):
        fast(nn.Linear(2, 2))
