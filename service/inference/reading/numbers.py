"""Numbers of rows -> float32; null is a missing one."""

import math
import struct
from itertools import chain

import numpy as np
from numpy.typing import NDArray

from service.inference.reading.values import MOST_SHOWN, Row, describe
from service.system.quoting import quote

_NUMBERS, _NUMBERS_OR_NULL = {int, float}, {int, float, type(None)}
_MANY = 4096

LARGEST_FLOAT32 = float(np.finfo(np.float32).max)


class NumberReader:
    """Reader of the N numbers of each row; N may be 0."""

    def __init__(self, width: int) -> None:
        self._width = width
        self._pack = struct.Struct(f"{width}f").pack

    def read(self, rows: list[Row]) -> tuple[NDArray[np.float32], bool]:
        """Return float32 (B, N), and whether none is missing.

        Raises one of NOT_PLAIN where a value is not a number, or too large.
        """
        kinds = set(map(type, chain.from_iterable(rows)))
        if kinds <= _NUMBERS:
            # Twice as fast as np.array; what is too large for float32 becomes infinite and is
            # found below.
            packed = self._pack(*rows[0]) if len(rows) == 1 else b"".join([self._pack(*row) for row in rows])
            numeric: NDArray[np.float32] = np.frombuffer(packed, np.float32).reshape(-1, self._width)
            missing = None
        elif kinds <= _NUMBERS_OR_NULL:
            cells = np.array(rows, np.object_)
            missing = cells == None  # noqa: E711 - compares every cell
            cells[missing] = 0.0
            with np.errstate(over="ignore"):
                numeric = cells.astype(np.float64).astype(np.float32)
        else:
            raise TypeError
        if not all_finite(numeric):
            raise ValueError
        if missing is not None:
            numeric[missing] = np.nan
        return numeric, missing is None


def all_finite(numbers: NDArray[np.float32]) -> bool:
    """Tell whether no number is NaN or infinite."""
    if numbers.size == 1:
        return math.isfinite(numbers.item())
    if numbers.size > _MANY:  # one pass instead of two; a product that overflows only means: look closer
        flat = numbers.ravel()
        with np.errstate(over="ignore", invalid="ignore"):
            if math.isfinite(flat.dot(flat)):
                return True
    # Looking for a zero byte takes a third of the time of all() on a row.
    return 0 not in np.isfinite(numbers).tobytes()


def number_fault(value: object) -> str | None:
    """Return why a value is not a number for the model; None where it is one, or null."""
    if value is None:
        return None
    if type(value) is bool or not isinstance(value, (int, float)):
        hint = "; send it without quotes" if isinstance(value, str) and reads_as_number(value) else ""
        return f"expected a number or null, got {describe(value)}{hint}"
    if isinstance(value, float) and math.isnan(value):
        return "NaN is not a number; send null for a missing value"
    if abs(value) > LARGEST_FLOAT32 and not _rounds_to_float32(value):
        return f"{quote(value, MOST_SHOWN)} is infinite as float32; expected a number from -3.4e38 to 3.4e38"
    return None


def _rounds_to_float32(value: float) -> bool:
    try:
        with np.errstate(over="ignore"):
            return bool(np.isfinite(np.float32(float(value))))
    except OverflowError:
        return False


def reads_as_number(text: str) -> bool:
    """Tell whether text spells a finite number."""
    try:
        return math.isfinite(float(text))
    except ValueError:
        return False
