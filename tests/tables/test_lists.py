"""Columns of several values a cell."""

from itertools import pairwise
from typing import Any

import numpy as np
import polars as pl
import pytest

from tables.errors import DataError
from tables.lists import Lists, lists
from tables.missing import Markers, collect
from tables.source import Table


def table(values: Any, dtype: Any = None, markers: Markers | None = None) -> Table:
    frame = pl.DataFrame({"a": pl.Series(values, dtype=dtype)})
    return Table(frame, np.arange(1, frame.height + 1), markers or collect(["?", "-1"]))


def cells(found: Lists) -> list[list[str]]:
    ends = found.offsets.tolist()
    return [found.values[a:b].to_list() for a, b in pairwise(ends)]


@pytest.mark.parametrize(
    ("values", "dtype"),
    [
        (["x|y", None, " y || ? |z ", "", "|"], pl.String),
        ([["x", "y"], None, [" y ", "", None, "?", "z"], [], [""]], pl.List(pl.String)),
        ([["x", "y"], None, ["y", None, "?", "z"], [], [None]], pl.List(pl.Categorical)),
    ],
    ids=["text", "lists", "categories"],
)
def test_lists_and_text_with_a_separator_are_the_same_values(values: Any, dtype: Any) -> None:
    found = lists(table(values, dtype), "a", "key", "|")
    assert cells(found) == [["x", "y"], [], ["y", "z"], [], []]
    assert found.joined("|").to_list() == ["x|y", "", "y|z", "", ""]


@pytest.mark.parametrize(
    ("values", "dtype", "expected"),
    [
        ([[1, -1, 20], None], pl.List(pl.Int64), [["1", "20"], []]),
        ([[1.0, 2.5, float("nan")], [-1.0]], pl.List(pl.Float64), [["1", "2.5"], []]),
        ([[True, None]], pl.List(pl.Boolean), [["true"]]),
        ([[1, 2], [3, None]], pl.Array(pl.Int8, 2), [["1", "2"], ["3"]]),
        ([[None], []], pl.List(pl.Null), [[], []]),
        ([None, None], pl.Null, [[], []]),
        ([7, None, -1], pl.Int32, [["7"], [], []]),
        ([], pl.List(pl.String), []),
    ],
)
def test_values_of_a_list_are_text_as_those_of_a_column(values: Any, dtype: Any, expected: Any) -> None:
    assert cells(lists(table(values, dtype), "a", "key", "|")) == expected


def test_values_are_composed_one_by_one() -> None:
    assert cells(lists(table([["e\u0301", "e"]]), "a", "key", "|")) == [["\u00e9", "e"]]


def test_a_value_with_the_separator_is_refused() -> None:
    with pytest.raises(DataError, match=r"key: column 'a' holds 'x\|y' in the list of row 2, and the separator '\|'"):
        lists(table([["x"], ["z", "x|y"]]), "a", "key", "|")
    assert cells(lists(table([["x|y"]]), "a", "key", ";")) == [["x|y"]]


def test_lists_of_lists_are_refused() -> None:
    with pytest.raises(DataError, match="column 'a' holds List"):
        lists(table([[["x"]]]), "a", "key", "|")
