"""Moments of rows -> int64 epoch seconds; null is a missing one.

A moment is a number of seconds, fractions floored, or ISO 8601 text with a zone.
"""

import math
from datetime import UTC, datetime, timedelta
from itertools import chain

import numpy as np
from numpy.typing import NDArray

from service.artifact.entries import FIRST_SECOND, LAST_SECOND, MISSING_TIME
from service.inference.reading.numbers import reads_as_number
from service.inference.reading.values import MOST_SHOWN, Row, describe
from service.system.quoting import quote

_WHOLE = {int}
_EPOCH = datetime(1970, 1, 1, tzinfo=UTC)
_SECOND = timedelta(seconds=1)
_UNITS = (("milliseconds", 1_000), ("microseconds", 1_000_000), ("nanoseconds", 1_000_000_000))
_EXPECTED = 'expected epoch seconds, text such as "2026-11-28T18:30:00Z" or null'


def read_datetimes(rows: list[Row]) -> NDArray[np.int64]:
    """Return int64 (B, K), MISSING_TIME for null; K >= 1.

    Raises one of NOT_PLAIN where a value is not a moment.
    """
    values = list(chain.from_iterable(rows))
    if set(map(type, values)) != _WHOLE:
        values = [MISSING_TIME if value is None else seconds_of(value) for value in values]
    elif not (min(values) >= FIRST_SECOND and max(values) <= LAST_SECOND):
        raise ValueError
    return np.array(values, np.int64).reshape(len(rows), -1)


def seconds_of(value: object) -> int:
    """Return the epoch seconds of a moment.

    Raises:
        TypeError: neither a number nor text.
        ValueError: text of another form or without a zone, or not of the years 1 to 9999.
        OverflowError: an infinite number.
    """
    if type(value) is int:
        seconds = value
    elif type(value) is float:
        seconds = math.floor(value)
    elif type(value) is str:
        moment = datetime.fromisoformat(value)
        if moment.tzinfo is None:
            raise ValueError
        seconds = (moment - _EPOCH) // _SECOND
    else:
        raise TypeError
    if not FIRST_SECOND <= seconds <= LAST_SECOND:
        raise ValueError
    return seconds


def sound_moments(moments: NDArray[np.int64]) -> bool:
    """Tell whether all are missing or of the years 1 to 9999."""
    return bool(_sound(moments).all())


def unsound_moments(moments: NDArray[np.int64]) -> NDArray[np.intp]:
    """Return the places (row, column) of those that are neither."""
    return np.argwhere(~_sound(moments))


def _sound(moments: NDArray[np.int64]) -> NDArray[np.bool_]:
    sound: NDArray[np.bool_] = (moments >= FIRST_SECOND) & (moments <= LAST_SECOND) | (moments == MISSING_TIME)
    return sound


def datetime_fault(value: object) -> str | None:
    """Return why a value is not a moment; None where it is one, or null."""
    if value is None:
        return None
    if type(value) is str:
        return _text_fault(value)
    if type(value) not in (int, float):
        return f"{_EXPECTED}, got {describe(value)}"
    if isinstance(value, float) and math.isnan(value):
        return "NaN is not a moment; send null for a missing value"
    if value == MISSING_TIME:
        return f"{value} is not a moment; send null for a missing value"
    if FIRST_SECOND <= value < LAST_SECOND + 1:  # type: ignore[operator]
        return None
    return f"{quote(value, MOST_SHOWN)} is not in the years 1 to 9999 as epoch seconds{_unit_hint(value)}"  # type: ignore[arg-type]


def _unit_hint(value: float) -> str:
    for unit, per_second in _UNITS:
        if abs(value) <= LAST_SECOND * per_second:
            return f"; is it {unit}? Divide it by {per_second}"
    return ""


def _text_fault(text: str) -> str | None:
    came = f"the string {quote(text, MOST_SHOWN)}"
    try:
        moment = datetime.fromisoformat(text)
    except ValueError:
        return f"{_EXPECTED}, got {came}{'; send it without quotes' if reads_as_number(text) else ''}"
    if moment.tzinfo is None:
        added = f"{moment.date().isoformat()}T00:00:00Z" if _is_date(text) else f"{moment.isoformat()}Z"
        lacks = "has neither a time nor a zone" if _is_date(text) else "has no zone"
        return f'{came} {lacks}; send it as "{added}" if it is UTC, or with its zone, such as +01:00'
    if FIRST_SECOND <= (moment - _EPOCH) // _SECOND <= LAST_SECOND:
        return None
    return f"{came} is not in the years 1 to 9999, in UTC"


def _is_date(text: str) -> bool:
    """Tell whether text that is read as a moment has no time of day."""
    return ":" not in text and "T" not in text and " " not in text
