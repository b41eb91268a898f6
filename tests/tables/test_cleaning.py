"""Columns of few distinct values, each of which is looked at once."""

import numpy as np
import polars as pl
import pytest
from hypothesis import given
from hypothesis import strategies as st
from polars.testing import assert_frame_equal, assert_series_equal

from tables import distinct
from tables.cleaning import clean
from tables.config import TableData
from tables.lists import lists
from tables.missing import markers_of
from tables.source import Table

PLAIN, ODD = ["a", "b c", "\u00e9", "NaN?"], [" a", "b\t", "e\u0301", "NA", "", "?", "\u00a0?\u2003", None]
CELLS = st.lists(st.sampled_from(PLAIN), max_size=12) | st.lists(st.sampled_from([*PLAIN, *ODD]), max_size=12)


def table_data(strip: bool, only: tuple[str, ...] | None) -> TableData:
    return TableData(
        kind="table", path="t.parquet", strip=strip, missing=("?",) if only is None else (), missing_only=only
    )


@given(columns=st.tuples(CELLS, CELLS), strip=st.booleans(), only=st.sampled_from([None, ("?",)]))
def test_columns_are_cleaned_alike_however_many_values_they_have(
    columns: tuple[list[str | None], ...], strip: bool, only: tuple[str, ...] | None
) -> None:
    data = table_data(strip, only)
    rows = max(map(len, columns))
    cells = {str(place): [*column, *["a"] * (rows - len(column))] for place, column in enumerate(columns)}
    frame = pl.DataFrame({"n": np.arange(float(rows)), **cells}, schema_overrides=dict.fromkeys(cells, pl.String))
    every_row, each_value = (cleaned(frame, data, share) for share in (-1.0, 1.0))
    assert_frame_equal(each_value[0], every_row[0])
    assert each_value[1] == every_row[1]


def cleaned(frame: pl.DataFrame, data: TableData, share: float) -> tuple[pl.DataFrame, object]:
    """Clean a frame, columns with up to this share of distinct values by these."""
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(distinct, "FEW_SHARE", share)
        return clean(frame, data, markers_of(data))


@given(cells=st.lists(st.none() | CELLS, max_size=8), strip=st.booleans())
def test_lists_are_read_alike_however_many_values_they_have(cells: list[list[str | None] | None], strip: bool) -> None:
    data = table_data(strip, None)
    frame = pl.DataFrame({"a": pl.Series(cells, dtype=pl.List(pl.String))})
    table = Table(frame, np.arange(1, frame.height + 1), markers_of(data), strip=strip)
    found = []
    for share in (-1.0, 1.0):
        with pytest.MonkeyPatch.context() as patch:
            patch.setattr(distinct, "FEW_SHARE", share)
            found.append(lists(table, "a", "key", "|"))
    assert_series_equal(found[1].values, found[0].values, check_names=False)
    np.testing.assert_array_equal(found[1].offsets, found[0].offsets)
