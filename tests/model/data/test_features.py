import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from model.data.features import bin_edges


def test_edges_are_quantiles() -> None:
    assert bin_edges(np.arange(101.0), 4).tolist() == [0.0, 25.0, 50.0, 75.0, 100.0]


def test_few_values_are_edges_each() -> None:
    assert bin_edges(np.array([3.0, 1.0, 1.0, 2.0]), 16).tolist() == [1.0, 2.0, 3.0]
    assert bin_edges(np.array([5.0, 5.0]), 16).tolist() == [5.0]


@pytest.mark.parametrize("common", [0.0, 50.0, 100.0])
def test_a_value_of_most_rows_takes_one_edge_and_leaves_the_others(common: float) -> None:
    edges = bin_edges(np.concatenate([np.full(10_000, common), np.arange(101.0)]), 5)
    assert len(edges) >= 5
    assert common in edges
    assert edges[0] == 0.0
    assert edges[-1] == 100.0
    assert np.diff(edges).max() < 40.0


@settings(deadline=None)
@given(values=st.lists(st.floats(-(2.0**90), 2.0**90, width=32), min_size=1, max_size=60), bins=st.integers(2, 20))
def test_edges_rise_span_the_values_and_are_not_too_many(values: list[float], bins: int) -> None:
    edges = bin_edges(np.array(values), bins)
    assert (np.diff(edges) > 0.0).all()
    assert len(edges) <= bins + 1
    assert edges[0] == np.float32(min(values))
    assert edges[-1] == np.float32(max(values))
