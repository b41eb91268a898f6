import numpy as np
import polars as pl
import pytest
from hypothesis import given
from hypothesis import strategies as st

from model.data.coding.bags import bag_feature, encode_bags, fill_of, take, weights_of_values
from model.data.coding.vocabulary import choose, count
from model.schema import FIRST_VALUE, UNKNOWN, BagFeature, Bags

CELLS = st.lists(st.lists(st.sampled_from("abcde"), max_size=4), min_size=1, max_size=30)
PLAIN = BagFeature("tags", "|")


def parts(cells: list[list[str]]) -> tuple[pl.Series, np.ndarray[tuple[int], np.dtype[np.int64]]]:
    values = pl.Series([value for cell in cells for value in cell], dtype=pl.String)
    return values, np.cumsum([0, *map(len, cells)]).astype(np.int64)


def cells_of(bags: Bags) -> list[list[int]]:
    return [bags.values[a:b].tolist() for a, b in zip(bags.offsets[:-1], bags.offsets[1:], strict=True)]


@given(cells=CELLS, data=st.data())
def test_statistics_of_weighted_bags_are_those_of_rows_that_stand_so_often(
    cells: list[list[str]], data: st.DataObject
) -> None:
    weights = data.draw(st.lists(st.integers(1, 3), min_size=len(cells), max_size=len(cells)))
    found = []
    for given_cells, times in (
        ([cell for cell, weight in zip(cells, weights, strict=True) for _ in range(weight)], None),
        (cells, np.array(weights, np.float32)),
    ):
        values, offsets = parts(given_cells)
        counts = count(values, weights_of_values(offsets, times))
        found.append(bag_feature(PLAIN, fill_of(offsets, times), counts, choose(counts, 2), 0))
    assert found[0] == found[1]


@given(cells=CELLS, chosen=st.lists(st.booleans(), min_size=30, max_size=30))
def test_a_bag_has_the_codes_of_its_values_wherever_its_row_is_taken(
    cells: list[list[str]], chosen: list[bool]
) -> None:
    feature = BagFeature("tags", "|", vocabulary=("b", "a"))
    codes = {"b": FIRST_VALUE, "a": FIRST_VALUE + 1}
    expected = [[codes.get(value, UNKNOWN) for value in cell] for cell in cells]
    bags = encode_bags(*parts(cells), feature)
    assert cells_of(bags) == expected
    mask = np.array(chosen[: len(cells)])
    assert cells_of(take(bags, mask)) == [cell for cell, wanted in zip(expected, mask, strict=True) if wanted]


def test_shares_are_of_cells_and_of_values() -> None:
    values, offsets = parts([["a", "a", "b"], [], ["a"], ["c", "a"]])
    feature = bag_feature(PLAIN, fill_of(offsets), count(values), ("a",), 0)
    assert (feature.missing_share, feature.mean_values) == (0.25, 2.0)
    assert feature.unknown_share == pytest.approx(2 / 6)
