import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from model.data.coding.numeric import Statistics, bin_edges, statistics_of, weighted_quantiles


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


REAL = st.floats(-1e6, 1e6, width=32)
ROWS = st.lists(st.tuples(REAL | st.just(float("nan")), st.integers(1, 4)), min_size=1, max_size=40)


@given(rows=ROWS, cut=st.integers(0, 40))
def test_weighted_statistics_are_those_of_rows_that_stand_so_often_however_cut(
    rows: list[tuple[float, int]], cut: int
) -> None:
    values, weights = (np.array(column, np.float32) for column in zip(*rows, strict=True))
    often = statistics_of(np.repeat(values, weights.astype(int)))
    parts = [statistics_of(values[part], weights[part]) for part in (slice(cut), slice(cut, None))]
    for found in (statistics_of(values, weights), parts[0].merge(parts[1]), Statistics().merge(often)):
        assert (found.rows, found.count) == (often.rows, often.count)
        assert (found.minimum, found.maximum) == (often.minimum, often.maximum)
        assert found.mean == pytest.approx(often.mean, rel=1e-9, abs=1e-6)
        assert found.std == pytest.approx(often.std, rel=1e-6, abs=1e-2)
        assert found.missing_share == pytest.approx(often.missing_share)


@given(
    rows=st.lists(st.tuples(REAL, st.integers(1, 5)), min_size=1, max_size=30, unique_by=lambda row: row[0]),
    shares=st.lists(st.floats(0, 1), min_size=1, max_size=5),
)
def test_weighted_quantiles_are_those_of_values_that_stand_so_often(
    rows: list[tuple[float, int]], shares: list[float]
) -> None:
    values, counts = (np.array(column, np.float64) for column in zip(*sorted(rows), strict=True))
    found = weighted_quantiles(values, counts, np.array(shares))
    expected = np.quantile(np.repeat(values, counts.astype(int)), shares)
    np.testing.assert_allclose(found, expected, rtol=1e-9, atol=1e-6)


@settings(deadline=None)
@given(rows=st.lists(st.tuples(REAL, st.integers(1, 4)), min_size=1, max_size=60), bins=st.integers(2, 12))
def test_weighted_edges_are_those_of_values_that_stand_so_often(rows: list[tuple[float, int]], bins: int) -> None:
    values, weights = (np.array(column, np.float64) for column in zip(*rows, strict=True))
    expected = bin_edges(np.repeat(values, weights.astype(int)), bins)
    np.testing.assert_allclose(bin_edges(values, bins, weights), expected, rtol=1e-6)


def test_edges_do_not_hang_on_the_scale_of_light_weights() -> None:
    values, weights = np.arange(100.0), np.full(100, 1e-4)
    np.testing.assert_allclose(bin_edges(values, 4, weights), [0.0, 24.75, 49.5, 74.25, 99.0], rtol=1e-3)
