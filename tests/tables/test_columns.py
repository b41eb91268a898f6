from decimal import Decimal
from typing import Any

import numpy as np
import polars as pl
import pytest

from tables.columns import compare, keep_rows, numbers, texts, without_decimals
from tables.errors import DataError
from tables.source import Table


def table(values: Any) -> Table:
    return Table(pl.DataFrame({"a": values}, strict=False), np.arange(1, len(values) + 1))


@pytest.mark.parametrize(
    ("values", "expected"),
    [
        (["1", " 2.5 ", "-1e3", None], [1.0, 2.5, -1000.0, np.nan]),
        ([1, 2, None], [1.0, 2.0, np.nan]),
        ([True, False], [1.0, 0.0]),
        ([None, None], [np.nan, np.nan]),
    ],
)
def test_numbers_come_from_text_and_typed_columns(values: list[Any], expected: list[float]) -> None:
    np.testing.assert_array_equal(numbers(table(values), "a", "key"), expected)


@pytest.mark.parametrize(
    ("values", "expected"),
    [
        (["x", None], ["x", None]),
        ([1, None], ["1", None]),
        ([1.0, 2.0, None], ["1", "2", None]),  # whole numbers that a missing one turned into floats
        ([1.5, 2.0, 1e16, float("nan")], ["1.5", "2", "1e+16", None]),
        ([Decimal("3.00"), Decimal("3.50"), Decimal("100.00"), None], ["3", "3.5", "100", None]),
        ([True, False], ["true", "false"]),
    ],
)
def test_texts_come_from_typed_columns_too(values: list[Any], expected: list[str | None]) -> None:
    assert texts(table(values), "a", "key").to_list() == expected


@pytest.mark.parametrize(
    ("values", "decimal", "expected"),
    [
        (["3.0", "2", "10.00", None], ".", ["3", "2", "10", None]),
        (["3.0", "1.10"], ".", ["3", "1.10"]),
        (["3,0", "2,5"], ",", ["3", "2,5"]),
        (["3.0", "3.0-beta"], ".", ["3.0", "3.0-beta"]),  # no column of numbers
        (["3.0"], ",", ["3.0"]),
        ([None], ".", [None]),
    ],
)
def test_whole_numbers_lose_decimals_that_say_nothing(
    values: list[str | None], decimal: str, expected: list[str | None]
) -> None:
    assert without_decimals(pl.Series(values, dtype=pl.String), decimal).to_list() == expected


def test_types_without_numbers_or_text_are_refused() -> None:
    lists = table([[1, 2], [3]])
    with pytest.raises(DataError, match=r"key wants numbers, and column 'a' holds List\(Int64\)"):
        numbers(lists, "a", "key")
    with pytest.raises(DataError, match=r"key wants categories, and column 'a' holds List\(Int64\)"):
        texts(lists, "a", "key")


@pytest.mark.parametrize(
    ("symbol", "value", "expected"),
    [
        (">", "1", [0, 1, np.nan]),
        (">=", "1", [1, 1, np.nan]),
        ("<", "2", [1, 0, np.nan]),
        ("<=", "1.5", [1, 0, np.nan]),
        ("==", "2", [0, 1, np.nan]),
        ("!=", "2", [1, 0, np.nan]),
    ],
)
def test_comparisons_of_numbers(symbol: str, value: str, expected: list[float]) -> None:
    np.testing.assert_array_equal(compare(table(["1", "2", None]), "a", symbol, value, "key"), expected)


def test_comparisons_of_text_know_equal_and_unequal_alone() -> None:
    words = table(["x", "y", None])
    np.testing.assert_array_equal(compare(words, "a", "==", "x", "key"), [1, 0, np.nan])
    np.testing.assert_array_equal(compare(words, "a", "!=", "x", "key"), [0, 1, np.nan])
    with pytest.raises(DataError, match="'<' needs a number"):
        compare(words, "a", "<", "x", "key")


def test_rows_keep_the_numbers_they_have_in_the_file() -> None:
    rest, notes = keep_rows(table(["1", "2", "3", None]), ["a != 2", "a >= 0"])
    assert rest.row_numbers.tolist() == [1, 3, 4]
    assert notes == ["Left out: 1 row that did not meet 'a != 2'."]


@pytest.mark.parametrize(
    "values", [["True", "False", None], ["TRUE", "FALSE", ""], ["true", "false", None], [True, False, None]]
)
@pytest.mark.parametrize("value", ["true", "True", "TRUE"])
def test_true_and_false_are_compared_in_any_case(values: list[Any], value: str) -> None:
    held = table([value or None for value in values] if values[0] is not True else values)
    np.testing.assert_array_equal(compare(held, "a", "==", value, "key"), [1.0, 0.0, np.nan])
    np.testing.assert_array_equal(compare(held, "a", "!=", value, "key"), [0.0, 1.0, np.nan])
