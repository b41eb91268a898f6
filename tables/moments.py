"""View of a column as moments: epoch seconds, from dates, ISO 8601 text or numbers."""

from datetime import UTC, datetime

import numpy as np
import polars as pl
from numpy.typing import NDArray

from tables.columns import parse
from tables.errors import DataError
from tables.source import Table

MISSING_TIME = -(2**63)
"""Epoch seconds that stand for a missing moment."""

EARLIEST, LATEST = -62_135_596_800, 253_402_300_799
"""First and last second of the years 1 to 9999."""

DAY_S = 86_400
PER_SECOND = {"ms": 10**3, "us": 10**6, "ns": 10**9}

ZONE = r"(?:[Zz]|[+-]\d\d(?::?\d\d(?::?\d\d)?)?)$"
COMMON = r"^\d{4}-\d\d-\d\d(?:[Tt ]\d\d:\d\d(?::[0-5]\d(?:\.\d{1,9})?)?(?:[Zz]|[+-]\d\d:\d\d)?)?$"
"""The spellings that are read fast; `datetime.fromisoformat` reads the others one by one."""

TEXTS = ("an ISO 8601 date such as 2026-11-01T12:30:00Z", "epoch seconds")


def moments(table: Table, name: str, key: str) -> NDArray[np.int64]:
    """Read a column as epoch seconds, fractions floored; missing ones are MISSING_TIME.

    Dates begin at midnight. A moment without a zone is UTC.

    Args:
        table: of R rows.
        name: of the column.
        key: of the configuration that wants moments, for messages.

    Returns:
        int64 (R,).

    Raises:
        DataError: for a value that is not a moment, or not in the years 1 to 9999.
    """
    series = table.column(name, key)
    if series.dtype == pl.Date:
        seconds = series.cast(pl.Int64) * DAY_S
    elif isinstance(series.dtype, pl.Datetime):
        seconds = series.cast(pl.Int64) // PER_SECOND[series.dtype.time_unit]
    elif series.dtype == pl.String:
        seconds = _from_text(table, series, key)
    elif series.dtype.is_numeric() or series.dtype == pl.Null:
        seconds = _from_numbers(table, series, series, key)
    else:
        raise DataError(f"{key} wants moments, and column '{name}' holds {series.dtype}; {_want()}")
    outside = ((seconds < EARLIEST) | (seconds > LATEST)).fill_null(False)
    if outside.any():
        raise _refused(table, series, outside, key, _beyond(int(seconds[int(outside.arg_max() or 0)])))
    return np.asarray(seconds.fill_null(MISSING_TIME).to_numpy(), np.int64)


def zoneless(table: Table, name: str) -> bool:
    """Check whether a column has moments without a zone, which are taken for UTC."""
    series = table.frame[name]
    if isinstance(series.dtype, pl.Datetime):
        return series.dtype.time_zone is None and series.null_count() < len(series)
    if series.dtype != pl.String:
        return False
    return bool((series.str.contains(r"\d:\d") & ~series.str.contains(ZONE)).any())


def _from_text(table: Table, series: pl.Series, key: str) -> pl.Series:
    common = series.str.contains(COMMON).fill_null(False)
    seconds = (
        _from_common(series.set(~common, None)) if common.any() else pl.Series([None] * len(series), dtype=pl.Int64)
    )
    rest = series.set(seconds.is_not_null(), None)
    if rest.null_count() == len(rest):
        return seconds
    numbers = parse(rest, table.numerals)
    assert numbers is not None
    odd = rest.set(numbers.is_not_null(), None)
    other = odd.drop_nulls().unique()
    read = odd.replace_strict(other, [_from_iso(text) for text in other], default=None, return_dtype=pl.Int64)
    wrong = odd.is_not_null() & read.is_null()
    if wrong.any():
        raise _refused(table, series, wrong, key, _want())
    if numbers.null_count() < len(numbers):
        read = read.zip_with(numbers.is_null(), _from_numbers(table, numbers, series, key))
    return seconds.cast(pl.Int64).zip_with(seconds.is_not_null(), read)


def _from_common(series: pl.Series) -> pl.Series:
    """Read COMMON spellings; null where the calendar or the clock has no such moment."""
    text = pl.Series(series.name, [], pl.String) if series.is_empty() else series
    day = text.str.slice(0, 10).str.to_date("%Y-%m-%d", strict=False).cast(pl.Int64) * DAY_S
    if not (text.str.len_bytes() > 10).any():
        return day
    hour, minute = (text.str.slice(start, 2).cast(pl.Int64, strict=False) for start in (11, 14))
    colon = text.str.slice(16, 1) == ":"
    second = text.str.slice(17, 2).cast(pl.Int64, strict=False).set(~colon.fill_null(False), 0)
    clock = hour * 3600 + minute * 60 + second
    clock = clock.set(((hour > 23) | (minute > 59)).fill_null(False), None)
    clock = clock.set((text.str.len_bytes() == 10).fill_null(False), 0)
    return day + clock - _offsets(text)


def _offsets(text: pl.Series) -> pl.Series:
    """Read the seconds by which a spelling's zone is before UTC; 0 without a zone."""
    zone = text.str.tail(6)
    signed = (zone.str.contains(r"^[+-]") & (text.str.len_bytes() > 16)).fill_null(False)
    if not signed.any():
        return pl.Series(np.zeros(len(text), np.int64))
    hours, minutes = (zone.str.slice(start, 2).cast(pl.Int64, strict=False) for start in (1, 4))
    size = hours * 3600 + minutes * 60
    size = size.set(((hours > 23) | (minutes > 59)).fill_null(False), None)
    return size.zip_with((zone.str.head(1) == "+").fill_null(False), -size).set(~signed, 0)


def _from_iso(text: str) -> int | None:
    try:
        moment = datetime.fromisoformat(text)
    except ValueError:
        return None
    moment = moment.replace(tzinfo=UTC) if moment.tzinfo is None else moment
    since = moment - datetime(1970, 1, 1, tzinfo=UTC)
    return since.days * DAY_S + since.seconds


def _from_numbers(table: Table, numbers: pl.Series, given: pl.Series, key: str) -> pl.Series:
    """Read epoch seconds; `given` are the cells as they stand in the table, for messages."""
    numbers = numbers.set(table.markers.mask(numbers), None)
    if numbers.dtype.is_integer():
        seconds = numbers.cast(pl.Int64, strict=False)
        huge = seconds.is_null() & numbers.is_not_null()
    else:
        floats = numbers.cast(pl.Float64).fill_nan(None)
        huge = (floats.abs() >= 2**62).fill_null(False)
        seconds = floats.set(huge, None).floor().cast(pl.Int64)
    if huge.any():
        raise _refused(table, given, huge, key, _beyond(2**62))
    if _dates_as_numbers(seconds):
        place = seconds.is_not_null()
        raise _refused(table, given, place, key, "it looks like a date without hyphens; write 2026-11-01")
    return seconds


def _dates_as_numbers(seconds: pl.Series) -> bool:
    """Check whether all numbers are dates as 20261101, which as seconds lie in the year 1970."""
    present = seconds.drop_nulls()
    if not len(present) or not bool(present.is_between(19_000_101, 21_001_231).all()):
        return False
    return not present.cast(pl.String).str.to_date("%Y%m%d", strict=False).has_nulls()


def _beyond(seconds: int) -> str:
    unit = next((unit for unit, per in PER_SECOND.items() if EARLIEST <= seconds // per <= LATEST), "")
    words = {"ms": "milliseconds", "us": "microseconds", "ns": "nanoseconds"}
    hint = f" (are these {words[unit]}? divide by {PER_SECOND[unit]:,})" if unit else ""
    return f"a moment lies in the years 1 to 9999, in epoch seconds{hint}"


def _want() -> str:
    return f"write {TEXTS[0]}, or {TEXTS[1]}"


def _refused(table: Table, series: pl.Series, wrong: pl.Series, key: str, advice: str) -> DataError:
    place = int(wrong.arg_max() or 0)
    value = series[place]
    shown = repr(value) if isinstance(value, str | int | float) else str(value)
    return DataError(
        f"{key} wants moments, and column '{series.name}' holds {shown} in row {table.row_numbers[place]}; {advice}; "
        "or add the value to data.missing"
    )
