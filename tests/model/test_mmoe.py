from typing import Any

import numpy as np
import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from torch import Tensor, nn

from model.mmoe import (
    Architecture,
    Gate,
    Mixture,
    Output,
    StackedLinear,
    build,
    count_parameters,
    matching_shared_bottom,
)

ARCHITECTURES: tuple[Architecture, ...] = ("mmoe", "omoe", "cgc", "shared_bottom", "single_task")
GATED: tuple[Architecture, ...] = ("mmoe", "omoe", "cgc")


def network(architecture: Architecture = "mmoe", seed: int = 0, **options: Any) -> nn.Module:
    torch.manual_seed(seed)
    built = build(architecture, 5, (1, 3), experts=4, expert_hidden=(6, 7), tower_hidden=(3,), **options)
    return built.eval()


def gate_weights(output: Output) -> Tensor:
    assert output.gate_weights is not None
    return output.gate_weights


@pytest.mark.parametrize("architecture", ARCHITECTURES)
@pytest.mark.parametrize("rows", [1, 2, 7])
def test_every_axis_is_kept(architecture: Architecture, rows: int) -> None:
    output = network(architecture)(torch.randn(rows, 5))
    assert [tuple(o.shape) for o in output.outputs] == [(rows,), (rows, 3)]
    if architecture in GATED:
        assert output.gate_weights.shape == (rows, 2, 4)
    else:
        assert output.gate_weights is None


def test_mmoe_is_the_paper_s_formula_written_out() -> None:
    torch.manual_seed(1)
    model = build("mmoe", 3, (1, 1), experts=2, expert_hidden=(4,), tower_hidden=(2,)).double().eval()
    x = torch.randn(6, 3, dtype=torch.float64)
    output = model(x)
    assert isinstance(model, Mixture)
    layer = model.experts.layers[0]
    for row in range(6):
        experts = [torch.relu(layer.weight[e] @ x[row] + layer.bias[e]) for e in range(2)]  # type: ignore[index]
        for task, tower in enumerate(model.towers):
            weights = torch.softmax(model.gate.weight[task] @ x[row], dim=0)
            mixture = weights[0] * experts[0] + weights[1] * experts[1]
            torch.testing.assert_close(output.gate_weights[row, task], weights)
            torch.testing.assert_close(output.outputs[task][row], tower(mixture[None])[0])


@pytest.mark.parametrize("architecture", ARCHITECTURES)
def test_experts_and_answers_differ_after_initialisation(architecture: Architecture) -> None:
    model = network(architecture)
    for name, parameter in model.named_parameters():
        if name.endswith("weight") and parameter.dim() == 3:
            flat = parameter.detach().flatten(1)
            assert torch.pdist(flat).min() > 0.1 if len(flat) > 1 else flat.std() > 0.1
    answers = model(torch.randn(50, 5)).outputs[0]
    assert answers.std() > 0.01


@pytest.mark.parametrize("architecture", ARCHITECTURES)
def test_hidden_layers_keep_the_size_of_their_input(architecture: Architecture) -> None:
    torch.manual_seed(0)
    model = build(architecture, 64, (1,), experts=4, expert_hidden=(64,) * 6, tower_hidden=(64,) * 4)
    assert 0.1 < model(torch.randn(500, 64)).outputs[0].std() < 10.0


@pytest.mark.parametrize("architecture", ARCHITECTURES)
def test_small_table_is_learned_by_heart(architecture: Architecture) -> None:
    torch.manual_seed(0)
    model = build(architecture, 5, (1, 1), experts=4, expert_hidden=(32,), tower_hidden=(8,))
    x, y = torch.randn(24, 5), torch.randn(24, 2)
    optimizer = torch.optim.Adam(model.parameters(), lr=1e-2)
    for _ in range(600):
        optimizer.zero_grad()
        loss = (torch.stack(model(x).outputs, dim=1) - y).square().mean()
        loss.backward()  # type: ignore[no-untyped-call]
        optimizer.step()
    assert loss.item() < 0.01


@settings(max_examples=25, deadline=None)
@given(seed=st.integers(0, 1000), size=st.sampled_from([1e-3, 1.0, 100.0]), architecture=st.sampled_from(GATED))
def test_gate_weights_sum_to_one(seed: int, size: float, architecture: Architecture) -> None:
    weights = gate_weights(network(architecture, seed)(torch.randn(9, 5) * size))
    assert (weights >= 0.0).all()
    torch.testing.assert_close(weights.sum(-1), torch.ones(9, 2))


@settings(max_examples=25, deadline=None)
@given(seed=st.integers(0, 1000), architecture=st.sampled_from(ARCHITECTURES), row=st.integers(0, 6))
def test_a_row_s_answer_does_not_depend_on_its_batch_mates(seed: int, architecture: Architecture, row: int) -> None:
    model, x = network(architecture, seed).double(), torch.randn(7, 5, dtype=torch.float64)
    together, alone = model(x), model(x[row : row + 1])
    for a, b in zip(together.outputs, alone.outputs, strict=True):
        torch.testing.assert_close(a[row], b[0])
    if architecture in GATED:
        torch.testing.assert_close(together.gate_weights[row], alone.gate_weights[0])


@pytest.mark.parametrize("architecture", ARCHITECTURES)
def test_training_computes_what_serving_computes(architecture: Architecture) -> None:
    model, x = network(architecture), torch.randn(8, 5)
    answers, learning = model(x), model.train()(x)
    for a, b in zip(answers.outputs, learning.outputs, strict=True):
        torch.testing.assert_close(a, b)
    if architecture in GATED:
        torch.testing.assert_close(answers.gate_weights, learning.gate_weights)


@pytest.mark.parametrize("architecture", GATED)
def test_masking_an_expert_equals_removing_it(architecture: Architecture) -> None:
    model, x = network(architecture), torch.randn(8, 5)
    masked = model(x, torch.tensor([1.0, 0.0, 1.0, 1.0]))
    smaller = build(architecture, 5, (1, 3), experts=3, expert_hidden=(6, 7), tower_hidden=(3,)).eval()
    left = torch.tensor([0, 2, 3])
    state = model.state_dict()
    for name, value in state.items():
        if name.startswith("experts."):
            state[name] = value[left]
        elif name == "gate.weight":
            state[name] = value[:, left]
    smaller.load_state_dict(state)
    removed = smaller(x)
    assert (masked.gate_weights[..., 1] == 0.0).all()
    torch.testing.assert_close(masked.gate_weights[..., left], removed.gate_weights)
    for a, b in zip(masked.outputs, removed.outputs, strict=True):
        torch.testing.assert_close(a, b)


def test_a_mask_of_ones_changes_nothing_and_a_row_may_have_its_own() -> None:
    model, x = network(), torch.randn(4, 5)
    plain = gate_weights(model(x))
    torch.testing.assert_close(gate_weights(model(x, torch.ones(4))), plain)
    per_row = torch.ones(4, 1, 4)
    per_row[2, 0, 1] = 0.0
    mixed = gate_weights(model(x, per_row))
    torch.testing.assert_close(mixed[[0, 1, 3]], plain[[0, 1, 3]])
    assert (mixed[2, :, 1] == 0.0).all()


def test_omoe_gives_every_task_the_same_gate_and_mmoe_does_not() -> None:
    x = torch.randn(8, 5)
    shared, own = gate_weights(network("omoe")(x)), gate_weights(network("mmoe")(x))
    assert torch.equal(shared[:, 0], shared[:, 1])
    assert not torch.allclose(own[:, 0], own[:, 1])


@pytest.mark.parametrize("architecture", GATED)
@pytest.mark.parametrize("temperature", [0.5, 1.0, 3.0])
def test_gate_matrix_gives_the_logits(architecture: Architecture, temperature: float) -> None:
    model, x = network(architecture, gate_temperature=temperature), torch.randn(8, 5)
    assert isinstance(model, Mixture)
    logits = torch.einsum("ted,bd->bte", model.gate_matrix(), x)
    torch.testing.assert_close(logits.softmax(-1), model(x).gate_weights)


def test_higher_temperature_spreads_the_weights() -> None:
    x = torch.randn(50, 5)
    tops = [gate_weights(network(gate_temperature=t)(x)).amax(-1).mean() for t in (0.2, 1.0, 5.0)]
    assert tops[0] > tops[1] > tops[2]


@settings(max_examples=20, deadline=None)
@given(seed=st.integers(0, 1000), dropout=st.sampled_from([0.1, 0.5, 0.99]), experts=st.integers(1, 6))
def test_gate_dropout_leaves_experts_out_but_never_all(seed: int, dropout: float, experts: int) -> None:
    torch.manual_seed(seed)
    gate, x = Gate(2, 2, 5, experts, dropout=dropout), torch.randn(200, 5)
    plain = gate.eval()(x)
    dropped = gate.train()(x)
    torch.testing.assert_close(dropped.sum(-1), torch.ones(200, 2))
    kept = dropped > 0.0
    share = plain * kept
    torch.testing.assert_close(dropped, share / share.sum(-1, keepdim=True))
    if experts > 1:
        assert not kept.all()


def test_gate_dropout_and_dropout_rest_outside_training() -> None:
    model, x = network(gate_dropout=0.5, dropout=0.5), torch.randn(8, 5)
    assert torch.equal(gate_weights(model(x)), gate_weights(model(x)))
    assert torch.equal(model(x).outputs[0], model(x).outputs[0])


def test_single_task_networks_share_nothing() -> None:
    model, x = network("single_task").train(), torch.randn(8, 5)
    model(x).outputs[0].sum().backward()
    for name, parameter in model.named_parameters():
        if name.startswith("networks."):
            assert parameter.grad is not None
            assert parameter.grad[0].abs().sum() > 0.0
            assert (parameter.grad[1] == 0.0).all()


def test_single_task_takes_one_input_per_task() -> None:
    model, x = network("single_task"), torch.randn(8, 2, 5)
    own = model(x).outputs
    for task in range(2):
        torch.testing.assert_close(own[task], model(x[:, task]).outputs[task])


def test_networks_have_the_paper_s_sizes() -> None:
    """8 experts of 16 on 100 inputs weigh 13,056 with the towers' hidden layers.

    113 shared units come nearest.
    """
    mixture = build("mmoe", 100, (1, 1), experts=8, expert_hidden=(16,), tower_hidden=(8,))
    assert isinstance(mixture, Mixture)
    last = 2 * 8
    gates = 2 * 8 * 100
    assert count_parameters(mixture, biases=False) - gates - last == 13_056
    assert count_parameters(mixture.gate) == gates
    width = matching_shared_bottom(100, 2, 8, 16, 8)
    assert width == 113
    bottom = build("shared_bottom", 100, (1, 1), expert_hidden=(width,), tower_hidden=(8,))
    assert abs(count_parameters(bottom, biases=False) - last - 13_056) <= (100 + 2 * 8) / 2
    assert count_parameters(bottom) - count_parameters(bottom, biases=False) == 113 + 2 * (8 + 1)


@pytest.mark.parametrize("architecture", ARCHITECTURES)
@pytest.mark.parametrize("training", [False, True])
def test_many_runs_can_be_stacked(architecture: Architecture, training: bool) -> None:
    models = [network(architecture, seed).train(training) for seed in range(3)]
    parameters, buffers = torch.func.stack_module_state(models)
    x = torch.randn(3, 4, 5)

    def run(p: dict[str, Tensor], b: dict[str, Tensor], rows: Tensor) -> tuple[Tensor, ...]:
        outputs: tuple[Tensor, ...] = torch.func.functional_call(models[0], (p, b), (rows,)).outputs
        return outputs

    stacked = torch.func.vmap(run)(parameters, buffers, x)
    for r, model in enumerate(models):
        for together, alone in zip(stacked, model(x[r]).outputs, strict=True):
            torch.testing.assert_close(together[r], alone)


def cgc(tasks: int = 3, experts: int = 2, own_experts: int = 2, seed: int = 0) -> Mixture:
    torch.manual_seed(seed)
    built = build("cgc", 5, (1,) * tasks, experts, (4,), (3,), own_experts=own_experts).double().eval()
    assert isinstance(built, Mixture)
    return built


def test_cgc_is_its_paper_s_formula_in_numpy() -> None:
    model = cgc()
    x = torch.randn(6, 5, dtype=torch.float64)
    output = model(x)
    (layer,) = model.experts.layers
    assert isinstance(layer, StackedLinear)
    weight, bias = layer.weight.detach().numpy(), layer.bias.detach().numpy()
    experts = np.maximum(np.einsum("bd,ehd->beh", x.numpy(), weight) + bias, 0.0)  # (B, 2 + 3 * 2, H)
    for task, tower in enumerate(model.towers):
        seen = [0, 1, 2 + 2 * task, 3 + 2 * task]  # the shared ones, then the task's own
        logits = x.numpy() @ model.gate.weight[task].detach().numpy().T
        expected = np.exp(logits) / np.exp(logits).sum(axis=1, keepdims=True)
        weights = gate_weights(output)[:, task].detach().numpy()
        np.testing.assert_allclose(weights[:, seen], expected)
        assert (np.delete(weights, seen, axis=1) == 0.0).all()
        mixture = np.einsum("bv,bvh->bh", expected, experts[:, seen])
        np.testing.assert_allclose(output.outputs[task].detach(), tower(torch.from_numpy(mixture)).detach())


def test_cgc_without_own_experts_is_mmoe_bit_for_bit() -> None:
    x = torch.randn(8, 5, dtype=torch.float64)
    torch.manual_seed(0)
    mmoe = build("mmoe", 5, (1, 1, 1), 2, (4,), (3,)).double().eval()
    ours, theirs = cgc(own_experts=0)(x), mmoe(x)
    assert all(map(torch.equal, ours.outputs, theirs.outputs))
    assert torch.equal(gate_weights(ours), gate_weights(theirs))


def test_cgc_s_gates_see_shared_experts_and_their_own() -> None:
    gate = cgc(tasks=2, experts=1, own_experts=2).gate
    assert gate.visible().tolist() == [[True, True, True, False, False], [True, False, False, True, True]]
    x = torch.randn(4, 5, dtype=torch.float64)
    logits = torch.einsum("ted,bd->bte", gate.matrix(), x)
    assert (logits[:, ~gate.visible()] == 0.0).all()
    shown = logits.masked_fill(~gate.visible(), -torch.inf)
    torch.testing.assert_close(torch.softmax(shown, dim=-1), gate(x))


def test_another_task_s_own_expert_can_be_left_out() -> None:
    model, x = cgc(tasks=2, experts=1, own_experts=1), torch.randn(4, 5, dtype=torch.float64)
    whole, without = model(x), model(x, torch.tensor([1.0, 1.0, 0.0], dtype=torch.float64))
    assert torch.equal(whole.outputs[0], without.outputs[0])
    assert not torch.equal(whole.outputs[1], without.outputs[1])
    torch.testing.assert_close(gate_weights(without)[:, 1], torch.tensor([[1.0, 0.0, 0.0]] * 4, dtype=torch.float64))
