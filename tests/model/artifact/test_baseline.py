import json
from dataclasses import replace

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from numpy.typing import NDArray

from model.artifact.baseline import HISTOGRAM_BINS, entropy, gate_baseline, gate_batches
from model.config.run import ModelConfig
from model.network.model import build_model
from tests.support.every_kind import SCHEMA, TASKS, make_rows

Weights = NDArray[np.float32]


def weights_of(seed: int, rows: int, tasks: int, experts: int, spread: float) -> Weights:
    return np.random.default_rng(seed).dirichlet(np.full(experts, spread), (rows, tasks)).astype(np.float32)


def baseline_of(weights: Weights, counts: NDArray[np.float32] | None = None) -> dict[str, object]:
    _, tasks, experts = weights.shape
    return gate_baseline([(weights, counts)], [str(t) for t in range(tasks)], np.zeros((tasks, experts)))


@given(st.integers(0, 99), st.integers(1, 40), st.integers(1, 4), st.integers(1, 9), st.sampled_from([0.01, 0.3, 5.0]))
def test_shares_sum_to_one_and_every_row_is_counted(
    seed: int, rows: int, tasks: int, experts: int, spread: float
) -> None:
    baseline = gate_baseline(
        [(weights_of(seed, rows, tasks, experts, spread), None)],
        [str(t) for t in range(tasks)],
        np.zeros((tasks, experts)),
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
    assert matrix.min() >= -1e-12
    assert matrix.max() <= 1.0


@given(st.integers(0, 99), st.integers(1, 40), st.integers(1, 7))
def test_baseline_does_not_depend_on_how_rows_are_cut(seed: int, rows: int, size: int) -> None:
    weights = weights_of(seed, rows, 3, 4, 0.3)
    cut = [(weights[begin : begin + size], None) for begin in range(0, rows, size)]
    assert_same(gate_baseline(cut, ["0", "1", "2"], np.zeros((3, 4))), baseline_of(weights))


@given(st.integers(0, 99), st.integers(1, 40))
def test_a_row_of_weight_two_is_the_row_twice(seed: int, rows: int) -> None:
    weights = weights_of(seed, rows, 3, 4, 0.3)
    counts = np.random.default_rng(seed).integers(0, 4, rows)
    counts[0] = 1
    assert_same(baseline_of(weights, counts.astype(np.float32)), baseline_of(weights.repeat(counts, axis=0)))


def test_rows_that_count_less_than_once_keep_their_histogram() -> None:
    weights, counts = weights_of(0, 50, 2, 3, 0.3), np.full(50, 0.001, np.float32)
    assert_same(baseline_of(weights, counts), baseline_of(weights))


def assert_same(one: object, other: object) -> None:
    """Compare two baselines; floats up to rounding."""
    if isinstance(one, dict) and isinstance(other, dict):
        assert one.keys() == other.keys()
        for key, value in one.items():
            assert_same(value, other[key])
    else:
        np.testing.assert_allclose(np.array(one), np.array(other), rtol=1e-6, atol=1e-9)


def test_split_is_summed_some_rows_at_a_time() -> None:
    model = build_model(SCHEMA, TASKS, ModelConfig(experts=3), seed=0)
    rows = make_rows(50, 0)
    weighted = replace(rows, weights=np.random.default_rng(0).integers(0, 3, 50).astype(np.float32))
    names, logits = [task.name for task in TASKS], np.zeros((3, 3))
    for split in (rows, weighted):
        whole = gate_baseline(gate_batches(model, split, 50), names, logits)
        assert_same(gate_baseline(gate_batches(model, split, 7), names, logits), whole)
        assert json.dumps(whole, allow_nan=False)
    assert whole["rows"] == weighted.weights.sum()  # type: ignore[union-attr]


def test_entropy_of_one_expert_is_zero_and_of_an_even_gate_ln_e() -> None:
    weights = np.array([[1, 0, 0, 0], [0.25] * 4], dtype=np.float32)
    assert entropy(weights) == pytest.approx([0.0, np.log(4)])


def test_tasks_with_experts_of_their_own_have_no_similarity() -> None:
    apart = np.array([[[1, 0], [0, 1]]], dtype=np.float32)
    assert np.array(baseline_of(apart)["similarity"]) == pytest.approx(np.eye(2))
    alike = np.array([[[0.3, 0.7], [0.3, 0.7]]], dtype=np.float32)
    assert np.array(baseline_of(alike)["similarity"]) == pytest.approx(np.ones((2, 2)))


def test_histogram_bins_are_half_open_and_the_last_is_closed() -> None:
    weights = np.array([[[0.0, 1.0]], [[0.5, 0.5]], [[1.0000001, -0.0000001]]], dtype=np.float32)
    baseline = gate_baseline([(weights, None)], ["task"], np.zeros((1, 2)))
    first, second = np.array(baseline["tasks"]["task"]["histogram"])
    middle = HISTOGRAM_BINS // 2
    assert np.flatnonzero(first).tolist() == [0, middle, HISTOGRAM_BINS - 1]
    assert np.flatnonzero(second).tolist() == [0, middle, HISTOGRAM_BINS - 1]
