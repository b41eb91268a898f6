"""Views of one column: as numbers, as text, or through a comparison.

Errors name the value and the row that are wrong.
"""

import operator
import re
from collections.abc import Callable, Sequence
from typing import Any

import numpy as np
import polars as pl
from numpy.typing import NDArray

from tables.config import CONDITION
from tables.errors import DataError
from tables.numerals import PLAIN, Numerals
from tables.source import Table

OPERATORS: dict[str, Callable[[Any, Any], Any]] = {
    ">=": operator.ge,
    "<=": operator.le,
    ">": operator.gt,
    "<": operator.lt,
    "==": operator.eq,
    "!=": operator.ne,
}


def numbers(table: Table, name: str, key: str, odd_cells: bool = False) -> NDArray[np.float64]:
    """Read a column as numbers; missing ones are NaN.

    Args:
        table: to read from.
        name: of the column.
        key: of the configuration that wants numbers, for messages.
        odd_cells: whether a value that is not a number is missing.

    Raises:
        DataError: for a value that is not a number, unless told otherwise, or infinite in float32,
            the type that the network computes in.
    """
    series = table.column(name, key)
    parsed = parse(series, table.numerals)
    if parsed is None:
        raise DataError(f"{key} wants numbers, and column '{name}' holds {series.dtype}")
    if not odd_cells and parsed.null_count() > series.null_count():
        wrong = np.flatnonzero((parsed.is_null() & series.is_not_null()).to_numpy())
        raise DataError(
            f"{key} wants numbers, and column '{name}' holds {series[int(wrong[0])]!r} in row "
            f"{table.row_numbers[wrong[0]]}; choose another kind for it, mend the value, or add it to data.missing"
        )
    if table.markers.numbers:
        parsed = parsed.set(table.markers.mask(parsed), None)  # -2e2 is the marker -200 too
    values: NDArray[np.float64] = np.array(parsed.fill_null(float("nan")).to_numpy(), np.float64)
    with np.errstate(over="ignore"):
        infinite = np.isinf(values.astype(np.float32))
    if not infinite.any():
        return values
    if np.inf in table.markers.numbers:
        return np.where(infinite, np.nan, values)
    row = int(np.flatnonzero(infinite)[0])
    raise DataError(
        f"{key} wants finite numbers within float32, and column '{name}' holds {series[row]!r} in row "
        f"{table.row_numbers[row]}; mend it, or add 'inf' to data.missing to take such values for missing"
    )


def parse(series: pl.Series, numerals: Numerals = PLAIN) -> pl.Series | None:
    """Cast to float64, with null where text is not a number.

    Returns None for a type without numbers, such as dates.
    """
    if not (series.dtype.is_numeric() or series.dtype in (pl.String, pl.Boolean, pl.Null)):
        return None
    if series.dtype == pl.String:
        return numerals.read(series)
    return series.cast(pl.Float64, strict=False)


def texts(table: Table, name: str, key: str) -> pl.Series:
    """Read a column as text; missing is null. A boolean of a typed file is "true" or "false".

    A number of a typed file has no decimals that say nothing: 3.0 and DECIMAL 3.00 are "3", 3.50
    is "3.5". Text stays what the table has.

    Raises:
        DataError: for a type without a plain text, such as a list.
    """
    return plain_text(table.column(name, key), name, key)


def plain_text(series: pl.Series, name: str, key: str) -> pl.Series:
    """Turn values of a column into text, as `texts` does."""
    text = _as_text(series, name, key)
    if series.dtype == pl.Decimal:
        return text.str.replace(r"(\.\d*?)0+$", "$1").str.replace(r"\.$", "")
    if series.dtype.is_float():
        series = series.fill_nan(None)
        whole = (series == series.round()) & (series.abs() < 2**53)
        return series.set(~whole.fill_null(False), None).cast(pl.Int64).cast(pl.String).zip_with(whole, text)
    return text


def written(table: Table, name: str, key: str) -> pl.Series:
    """Read a column as text as the table's type writes it; missing is null.

    3.0 of floats, 3.00 of DECIMAL(12,2).

    Raises:
        DataError: as `texts`.
    """
    return _as_text(table.column(name, key), name, key)


def _as_text(series: pl.Series, name: str, key: str) -> pl.Series:
    if series.dtype.is_nested() or series.dtype in (pl.Binary, pl.Duration, pl.Object):
        raise DataError(f"{key} wants categories, and column '{name}' holds {series.dtype}; add it to data.drop")
    if series.dtype.is_float():
        series = series.fill_nan(None)
    return series if series.dtype == pl.String else series.cast(pl.String)


def without_decimals(text: pl.Series, decimal: str) -> pl.Series:
    """Rewrite whole numbers without decimals, "3" for "3.0".

    Only in a column of text that holds numbers alone.
    """
    sign = re.escape(decimal)
    if not bool(text.drop_nulls().str.contains(rf"^[+-]?\d+(?:{sign}\d+)?$").all()):
        return text
    return text.str.replace(rf"^([+-]?\d+){sign}0+$", "$1")


def compare(table: Table, name: str, symbol: str, value: str, key: str) -> NDArray[np.float64]:
    """Compare a column with a value.

    1 where the comparison is true, 0 where not, NaN where the column is missing.

    A value that is a number compares numbers; other text can be equal or unequal only. `true` and
    `false` are the same in every case, as booleans are written True, TRUE or true by one program
    and another.
    """
    compared = OPERATORS[symbol]
    try:
        bound = float(value)
    except ValueError:
        if symbol not in ("==", "!="):
            raise DataError(f"{key} compares with {value!r}; '{symbol}' needs a number") from None
        text = texts(table, name, key)
        if value.lower() in ("true", "false"):
            text, value = text.str.to_lowercase(), value.lower()
        held = compared(text, value).cast(pl.Float64).fill_null(float("nan"))
        return np.asarray(held.to_numpy(), np.float64)
    column = numbers(table, name, key)
    return np.where(np.isnan(column), np.nan, compared(column, bound).astype(np.float64))


def keep_rows(table: Table, conditions: Sequence[str]) -> tuple[Table, list[str]]:
    """Drop the rows that fail a condition; those in which its column is missing stay.

    Returns:
        The rest of the table, and a note for each condition that dropped rows.
    """
    notes = []
    for condition in conditions:
        holds = meets(table, condition)
        if failed := int((~holds).sum()):
            notes.append(left_out(failed, condition))
            table = table.keep(holds)
    if not len(table):
        raise DataError("no row meets the conditions of data.keep")
    return table, notes


def meets(table: Table, condition: str) -> NDArray[np.bool_]:
    """Check which rows meet a condition of data.keep, or lack its column's value; (R,)."""
    match = CONDITION.match(condition)
    assert match is not None  # the configuration was checked
    holds: NDArray[np.bool_] = compare(table, match["column"], match["operator"], match["value"], "data.keep") != 0
    return holds


def left_out(rows: int, condition: str) -> str:
    """Note how many rows failed a condition of data.keep."""
    return f"Left out: {rows:,} row{'s' * (rows > 1)} that did not meet '{condition}'."
