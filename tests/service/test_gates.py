from typing import Any

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from hypothesis.extra.numpy import arrays
from numpy.typing import NDArray

from service import gates

Weights = NDArray[np.float32]


@st.composite
def gate_weights(draw: st.DrawFn, tasks: int | None = None, experts: int | None = None) -> Weights:
    """(B, T, E) softmax weights, exact zeros included."""
    shape = (
        draw(st.integers(1, 6)),
        tasks or draw(st.integers(1, 3)),
        experts or draw(st.integers(1, 5)),
    )
    raw = draw(arrays(np.float64, shape, elements=st.sampled_from([0.0, 1e-6, 0.2, 1.0, 3.0])))
    raw[..., 0] += raw.sum(axis=-1) == 0
    weights: Weights = (raw / raw.sum(axis=-1, keepdims=True)).astype(np.float32)
    return weights


@st.composite
def pair(draw: st.DrawFn) -> tuple[Weights, Weights]:
    experts = draw(st.integers(1, 5))
    p, q = draw(gate_weights(1, experts)), draw(gate_weights(1, experts))
    return p[0, 0], q[0, 0]


def one_hot(*experts: int, of: int = 4) -> Weights:
    """One row and task per expert given, (1, T, E)."""
    return np.eye(of, dtype=np.float32)[list(experts)][None]


def test_entropy_of_known_distributions() -> None:
    assert gates.entropy(np.full(8, 1 / 8)) == pytest.approx(np.log(8))
    assert gates.entropy(np.array([1.0, 0, 0])) == 0
    assert gates.entropy(np.array([0.5, 0.25, 0.25])) == pytest.approx(1.5 * np.log(2))
    assert gates.normalised_entropy(np.full((2, 3, 8), 1 / 8)) == pytest.approx(np.ones((2, 3)))
    assert gates.normalised_entropy(np.ones((2, 3, 1))).tolist() == [[0, 0, 0]] * 2


def test_the_entropy_of_a_settled_gate_prints_without_a_sign() -> None:
    settled = np.array([[[1.0, 0.0, 0.0]]], np.float32)
    assert not np.signbit(gates.entropy(settled)).any()
    assert not np.signbit(gates.normalised_entropy(settled)).any()


@given(gate_weights())
def test_entropy_lies_between_none_and_even(weights: Weights) -> None:
    entropy = gates.entropy(weights)
    assert (entropy >= -1e-6).all()
    assert (entropy <= np.log(weights.shape[-1]) + 1e-6).all()
    assert ((gates.normalised_entropy(weights) >= 0) & (gates.normalised_entropy(weights) <= 1)).all()


@given(gate_weights())
def test_shares_sum_to_one_per_task(weights: Weights) -> None:
    assert gates.utilisation(weights).sum(axis=-1) == pytest.approx(1)
    assert gates.top_expert_share(weights).sum(axis=-1) == pytest.approx(1)
    assert gates.top_expert(weights).shape == weights.shape[:2]


def test_top_expert_by_eye() -> None:
    weights = np.array([[[0.1, 0.7, 0.2]], [[0.5, 0.5, 0.0]], [[0.2, 0.2, 0.6]], [[0.6, 0.3, 0.1]]])
    assert gates.top_expert(weights).tolist() == [[1], [0], [2], [0]]
    assert gates.top_expert_share(weights).tolist() == [[0.5, 0.25, 0.25]]


@given(pair())
def test_divergence_is_symmetric_bounded_and_zero_for_equals(two: tuple[Weights, Weights]) -> None:
    p, q = two
    assert gates.jensen_shannon(p, q) == pytest.approx(gates.jensen_shannon(q, p))
    assert 0 <= gates.jensen_shannon(p, q) <= 1
    assert gates.jensen_shannon(p, p) == pytest.approx(0, abs=1e-7)


def test_divergence_of_known_distributions() -> None:
    assert gates.jensen_shannon(np.array([1.0, 0]), np.array([0.0, 1])) == 1
    # By hand, in base 2: H(.75, .25) - H(.5, .5) / 2.
    expected = -(0.75 * np.log2(0.75) + 0.25 * np.log2(0.25)) - 0.5
    assert gates.jensen_shannon(np.array([1.0, 0]), np.array([0.5, 0.5])) == pytest.approx(expected)


@given(gate_weights())
def test_similarity_is_a_symmetric_matrix_with_ones_on_the_diagonal(weights: Weights) -> None:
    alike = gates.similarity(weights)
    assert alike.shape == (weights.shape[1],) * 2
    assert (alike == alike.T).all()
    assert (np.diag(alike) == 1).all()
    assert ((alike >= 0) & (alike <= 1)).all()


def test_similarity_is_the_mean_over_rows() -> None:
    weights = np.concatenate([one_hot(0, 0, 1), one_hot(2, 3, 3)])
    assert gates.similarity(weights).tolist() == [[1, 0.5, 0], [0.5, 1, 0.5], [0, 0.5, 1]]


@given(gate_weights())
def test_histogram_counts_every_row_and_agrees_with_numpy(weights: Weights) -> None:
    edges = [0.0, 0.1, 0.25, 0.5, 1.0]
    counts = gates.histogram(weights, edges)
    assert (counts.sum(axis=-1) == len(weights)).all()
    clipped = np.clip(weights.astype(np.float64), 0, 1)
    for t in range(weights.shape[1]):
        for e in range(weights.shape[2]):
            assert counts[t, e].tolist() == np.histogram(clipped[:, t, e], edges)[0].tolist()


def test_histogram_takes_what_rounding_puts_outside() -> None:
    weights = np.array([[[1.0000001, -1e-9]]], np.float32)
    assert gates.histogram(weights, [0.0, 0.5, 1.0]).tolist() == [[[0, 1], [1, 0]]]


counts = arrays(np.int64, 5, elements=st.integers(0, 1000))


@given(counts, counts)
def test_stability_index_is_not_negative_and_symmetric(expected: NDArray[Any], actual: NDArray[Any]) -> None:
    index = gates.population_stability_index(expected, actual)
    assert index >= 0
    assert np.isfinite(index)
    assert index == pytest.approx(gates.population_stability_index(actual, expected))
    assert gates.population_stability_index(expected, expected) == 0


def test_stability_index_by_hand() -> None:
    # (9.5, 0.5) / 10 against (0.5, 9.5) / 10: twice 0.9 ln 19.
    index = gates.population_stability_index(np.array([9, 0]), np.array([0, 9]))
    assert index == pytest.approx(2 * 0.9 * np.log(19))


def test_a_dead_expert_is_dead_in_every_task() -> None:
    utilisation = np.array([[0.5, 0.49, 0.005, 0.005], [0.4, 0.005, 0.59, 0.005]])
    assert gates.dead_experts(utilisation) == [3]
    assert gates.dead_experts(np.full((2, 500), 1 / 500)) == []
    assert gates.dead_experts(np.array([[1.0]])) == []


def test_a_collapsed_gate_gives_everything_to_one_of_several_experts() -> None:
    utilisation = np.array([[0.97, 0.02, 0.01], [0.34, 0.33, 0.33]])
    assert gates.collapsed_gates(utilisation) == [0]
    assert gates.collapsed_gates(np.array([[1.0]])) == []


def test_experts_that_a_gate_does_not_see_are_left_out_of_account() -> None:
    # One shared expert and one of each task's own: each gate sees two of three.
    even = np.array([[[0.5, 0.5, 0.0], [0.5, 0.0, 0.5]]])
    assert gates.normalised_entropy(even, seen=2) == pytest.approx(np.ones((1, 2)))
    # An own expert is judged by its own task, against an equal share of the experts seen.
    utilisation = np.array([[0.98, 0.02, 0.0], [0.97, 0.0, 0.03]])
    assert gates.dead_experts(utilisation, seen=2) == [1]


def test_chance_counts_the_experts_seen() -> None:
    weights, bins = np.array([0.5, 0.5, 0.0]), np.array([[0, 9], [0, 9], [9, 0]])
    seen, all_of_them = gates.drift(weights, bins, weights, bins, 2), gates.drift(weights, bins, weights, bins)
    assert 2 * seen.jensen_shannon_chance == pytest.approx(all_of_them.jensen_shannon_chance)
    assert seen.by_expert[2] == 0.0
