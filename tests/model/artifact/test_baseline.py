import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from numpy.typing import NDArray

from model.artifact.manifest import HISTOGRAM_BINS, entropy, gate_baseline, similarity

Weights = NDArray[np.float32]


def weights_of(seed: int, rows: int, tasks: int, experts: int, spread: float) -> Weights:
    return np.random.default_rng(seed).dirichlet(np.full(experts, spread), (rows, tasks)).astype(np.float32)


@given(st.integers(0, 99), st.integers(1, 40), st.integers(1, 4), st.integers(1, 9), st.sampled_from([0.01, 0.3, 5.0]))
def test_shares_sum_to_one_and_every_row_is_counted(
    seed: int, rows: int, tasks: int, experts: int, spread: float
) -> None:
    baseline = gate_baseline(
        weights_of(seed, rows, tasks, experts, spread), [str(t) for t in range(tasks)], np.zeros((tasks, experts))
    )
    assert baseline["rows"] == rows
    assert len(baseline["histogram_edges"]) == HISTOGRAM_BINS + 1
    for task in baseline["tasks"].values():
        assert sum(task["utilisation"]) == pytest.approx(1.0, abs=1e-5)
        assert sum(task["top_expert_share"]) == pytest.approx(1.0)
        assert np.array(task["histogram"]).shape == (experts, HISTOGRAM_BINS)
        assert np.array(task["histogram"]).sum(axis=1).tolist() == [rows] * experts
        assert -1e-6 <= task["normalised_entropy"] <= 1.0 + 1e-6
    matrix = np.array(baseline["similarity"])
    assert np.array_equal(matrix, matrix.T)
    assert np.array_equal(np.diag(matrix), np.ones(tasks))
    assert matrix.min() >= 0.0
    assert matrix.max() <= 1.0


def test_entropy_of_one_expert_is_zero_and_of_an_even_gate_ln_e() -> None:
    weights = np.array([[1, 0, 0, 0], [0.25] * 4], dtype=np.float32)
    assert entropy(weights) == pytest.approx([0.0, np.log(4)])


def test_tasks_with_experts_of_their_own_have_no_similarity() -> None:
    apart = np.array([[[1, 0], [0, 1]]], dtype=np.float32)
    assert similarity(apart) == pytest.approx(np.eye(2))
    alike = np.array([[[0.3, 0.7], [0.3, 0.7]]], dtype=np.float32)
    assert similarity(alike) == pytest.approx(np.ones((2, 2)))


def test_histogram_bins_are_half_open_and_the_last_is_closed() -> None:
    weights = np.array([[[0.0, 1.0]], [[0.5, 0.5]], [[1.0000001, -0.0000001]]], dtype=np.float32)
    first, second = np.array(gate_baseline(weights, ["task"], np.zeros((1, 2)))["tasks"]["task"]["histogram"])
    middle = HISTOGRAM_BINS // 2
    assert np.flatnonzero(first).tolist() == [0, middle, HISTOGRAM_BINS - 1]
    assert np.flatnonzero(second).tolist() == [0, middle, HISTOGRAM_BINS - 1]
