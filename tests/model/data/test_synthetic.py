import math

import numpy as np
import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st

from model.config.data import SyntheticData
from model.data.synthetic import SineTasks, generate, sine_tasks

FIG_2 = {0.4: 0.05, 0.5: 0.07, 0.6: 0.10, 0.7: 0.13, 0.8: 0.19, 0.9: 0.30, 0.95: 0.45, 0.98: 0.66, 1.0: 1.0}
"""The paper's labels' Pearson correlation against the cosine, read off its Fig. 2."""


def generator(seed: int = 0) -> torch.Generator:
    return torch.Generator().manual_seed(seed)


@settings(deadline=None)
@given(cosine=st.floats(-1.0, 1.0), scale=st.floats(0.1, 10.0), dims=st.integers(2, 200), seed=st.integers(0, 1000))
def test_weight_vectors_have_the_cosine_and_length_asked_for(cosine: float, scale: float, dims: int, seed: int) -> None:
    w1, w2 = SineTasks(dims=dims, cosine=cosine, scale=scale).weights(generator(seed)).double()
    assert w1.norm().item() == pytest.approx(scale, rel=1e-5)
    assert w2.norm().item() == pytest.approx(scale, rel=1e-5)
    assert (w1 @ w2).item() / scale**2 == pytest.approx(cosine, abs=1e-5)


@settings(deadline=None)
@given(dims=st.integers(2, 200), seed=st.integers(0, 1000))
def test_the_two_directions_are_orthogonal(dims: int, seed: int) -> None:
    """At p = 0 the vectors are c u1 and c u2; other p mix the same two."""
    u1, u2 = SineTasks(dims=dims, cosine=0.0, scale=1.0).weights(generator(seed)).double()
    assert abs((u1 @ u2).item()) < 1e-6
    w1, w2 = SineTasks(dims=dims, cosine=0.6, scale=1.0).weights(generator(seed)).double()
    torch.testing.assert_close(w1, u1, rtol=0, atol=1e-6)
    torch.testing.assert_close(w2, 0.6 * u1 + 0.8 * u2, rtol=0, atol=1e-6)


def test_labels_are_the_paper_s_formula_written_out() -> None:
    tasks = SineTasks(dims=3, cosine=0.5, scale=2.0, alpha=(1.0, 2.5), beta=(0.3, -1.0), noise_variance=0.0)
    weights = tasks.weights(generator())
    x, y = tasks.rows(weights, 4, generator(1))
    for row in range(4):
        for task in range(2):
            z = sum(float(weights[task, i]) * float(x[row, i]) for i in range(3))
            expected = z + math.sin(z + 0.3) + math.sin(2.5 * z - 1.0)
            assert y[row, task].item() == pytest.approx(expected, abs=1e-4)


def test_features_are_standard_normal() -> None:
    tasks = SineTasks(dims=20)
    x, _ = tasks.rows(tasks.weights(generator()), 20_000, generator(1))
    assert x.mean(0).abs().max() < 0.04
    assert (torch.cov(x.T) - torch.eye(20)).abs().max() < 0.06


def test_noise_has_variance_one_hundredth_and_is_independent_between_tasks() -> None:
    tasks = SineTasks()
    weights = tasks.weights(generator())
    x, y = tasks.rows(weights, 40_000, generator(1))
    noise = (y - tasks.signal(x @ weights.T)).double()
    covariance = torch.cov(noise.T)
    assert covariance[0, 0].item() == pytest.approx(0.01, rel=0.05)
    assert covariance[1, 1].item() == pytest.approx(0.01, rel=0.05)
    assert abs(covariance[0, 1].item()) < 0.0005


@pytest.mark.parametrize("cosine", FIG_2)
def test_label_correlation_follows_the_paper_s_figure_2(cosine: float) -> None:
    tasks, source = SineTasks(cosine=cosine), generator(7)
    weights = tasks.weights(source, 8)
    _, labels = tasks.rows(weights, 10_000, source)
    pearson = np.mean([np.corrcoef(y.T.numpy())[0, 1] for y in labels])
    assert pearson == pytest.approx(FIG_2[cosine], abs=0.03)


def test_runs_of_a_stack_differ_and_each_has_its_own_labels() -> None:
    tasks = SineTasks(dims=10, noise_variance=0.0)
    weights = tasks.weights(generator(), 3)
    x, y = tasks.rows(weights, 50, generator(1))
    assert x.shape == (3, 50, 10)
    assert y.shape == (3, 50, 2)
    assert not torch.allclose(x[0], x[1])
    for run in range(3):
        torch.testing.assert_close(y[run], tasks.signal(x[run] @ weights[run].T))


def test_defaults_of_the_configuration_are_the_calibrated_ones() -> None:
    assert sine_tasks(SyntheticData(kind="synthetic")) == SineTasks()


def test_the_seed_decides_every_number() -> None:
    data = SyntheticData(kind="synthetic", rows=50, dims=5, seed=3)
    assert all(np.array_equal(a, b) for a, b in zip(generate(data), generate(data), strict=True))
    other = data.model_copy(update={"seed": 4})
    assert not np.array_equal(generate(data)[0], generate(other)[0])
