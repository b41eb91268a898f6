import pytest
import torch
from torch import nn

from model.data.synthetic import SineTasks
from model.mmoe import build
from model.study.synthetic.ensemble import Ensemble, SineStream, label_std

TASKS = SineTasks(dims=12)
SEEDS = (3, 4, 5)


def networks(seeds: tuple[int, ...], architecture: str = "mmoe") -> list[nn.Module]:
    built = []
    for seed in seeds:
        torch.manual_seed(seed)
        built.append(build(architecture, 12, [1, 1], experts=3, expert_hidden=[5], tower_hidden=[4]))  # type: ignore[arg-type]
    return built


def trained(seeds: tuple[int, ...], steps: int = 40, architecture: str = "mmoe") -> tuple[Ensemble, SineStream]:
    ensemble, stream = Ensemble(networks(seeds, architecture), 1e-2), SineStream(TASKS, seeds)
    for _ in range(steps):
        ensemble.step(*stream.rows(16))
    return ensemble, stream


@pytest.mark.parametrize("architecture", ["mmoe", "omoe", "shared_bottom", "single_task"])
def test_a_run_is_the_same_alone_or_among_others(architecture: str) -> None:
    together, _ = trained(SEEDS, architecture=architecture)
    for run, seed in enumerate(SEEDS):
        alone, _ = trained((seed,), architecture=architecture)
        for name, value in alone.parameters.items():
            torch.testing.assert_close(together.parameters[name][run], value[0], rtol=1e-4, atol=1e-5)


def test_a_run_is_what_a_plain_training_loop_gives() -> None:
    ensemble, _ = trained(SEEDS)
    network = networks((SEEDS[1],))[0]
    optimiser, stream = torch.optim.Adam(network.parameters(), lr=1e-2), SineStream(TASKS, (SEEDS[1],))
    for _ in range(40):
        x, y = stream.rows(16)
        optimiser.zero_grad()
        (torch.stack(network(x[0]).outputs, -1) - y[0]).square().mean().backward()  # type: ignore[no-untyped-call]
        optimiser.step()
    for name, value in network.named_parameters():
        torch.testing.assert_close(ensemble.parameters[name][1], value, rtol=1e-4, atol=1e-5)


def test_a_step_that_was_recorded_is_not_taken_for_batches_of_another_size() -> None:
    ensemble, stream = trained(SEEDS, steps=40)
    x, y = stream.rows(5)
    expected = ensemble.losses(x, y)
    torch.testing.assert_close(ensemble.step(x, y), expected)


def test_goes_on_from_a_saved_state_as_if_never_stopped() -> None:
    whole, _ = trained(SEEDS, steps=20)
    half, stream = trained(SEEDS, steps=10)
    resumed, rows = Ensemble(networks((7, 8, 9)), 1e-2), SineStream(TASKS, SEEDS)
    resumed.load_state(half.state())
    rows.load_state(stream.state())
    for _ in range(10):
        resumed.step(*rows.rows(16))
    for name, value in whole.parameters.items():
        assert torch.equal(resumed.parameters[name], value)


def test_training_lowers_every_run_s_loss() -> None:
    ensemble, stream = trained(SEEDS, steps=0)
    x, y = stream.rows(500)
    before = ensemble.losses(x, y)
    for _ in range(200):
        ensemble.step(*stream.rows(32))
    assert (ensemble.losses(x, y) < before).all()


def test_gate_weights_of_every_run_sum_to_one_and_a_network_without_gates_says_so() -> None:
    ensemble, stream = trained(SEEDS, steps=1)
    x, _ = stream.rows(8)
    weights = ensemble.gate_weights(x)
    assert weights.shape == (3, 8, 2, 3)
    torch.testing.assert_close(weights.sum(-1), torch.ones(3, 8, 2))
    plain, _ = trained(SEEDS, steps=1, architecture="shared_bottom")
    with pytest.raises(ValueError, match="no gates"):
        plain.gate_weights(x)


def test_labels_have_unit_variance_and_each_run_its_own_tasks() -> None:
    stream = SineStream(TASKS, SEEDS)
    _, y = stream.rows(40_000)
    torch.testing.assert_close(y.var(dim=1), torch.ones(3, 2), rtol=0.05, atol=0.0)
    assert not torch.allclose(stream.weights[0], stream.weights[1])
    assert label_std(TASKS) > 0
