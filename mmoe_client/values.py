"""Values of a column as the service takes them: no value is guessed, only its type is written out.

A number for a category is written as the trainer writes it ("3" for 3 and 3.0), a boolean as the
vocabulary does, a date in ISO form, a moment in epoch seconds UTC; None, NaN, NaT and NA are null.
What the service has to refuse is sent as it is, for its sentence.
"""

import datetime as dt
import math
from collections.abc import Callable, Iterable, Sequence
from decimal import Decimal
from typing import Any

import numpy as np

from mmoe_client.metadata import Feature

BOOLEANS = {True: ("true", "True", "TRUE", "1"), False: ("false", "False", "FALSE", "0")}
"""Spellings of booleans in tables."""


def column(feature: Feature, values: Iterable[Any]) -> list[Any]:
    """Write a column for JSON.

    Args:
        feature: that the column is of.
        values: an array, a series or a list, one value a row.
    """
    if feature.kind == "numeric":
        fast = _numbers(values)
        if fast is not None:
            return fast
    cells = _listed(values)
    write = _WRITERS.get(feature.kind, _other)
    return [None if _missing(cell) else write(feature, cell) for cell in cells]


def plain(values: Iterable[Any]) -> list[Any]:
    """Write labels or keys for JSON: text, numbers and booleans as they are, or null."""
    cells = (cell.item() if isinstance(cell, np.generic) else cell for cell in _listed(values))
    return [None if _missing(cell) else cell if isinstance(cell, (str, int, float)) else str(cell) for cell in cells]


def _numbers(values: Any) -> list[Any] | None:
    """Write an array of numbers at once; None for anything else."""
    if not isinstance(values, np.ndarray) or values.dtype.kind not in "iufb" or values.ndim != 1:
        return None
    written: list[Any] = (values.astype(np.uint8) if values.dtype.kind == "b" else values).tolist()
    if values.dtype.kind == "f":
        for row in np.flatnonzero(np.isnan(values)).tolist():
            written[row] = None
    return written


def _listed(values: Any) -> Sequence[Any]:
    """List cells as Python values, whatever holds them."""
    for name in ("to_list", "tolist"):  # polars and pandas, numpy
        if hasattr(values, name):
            cells: Sequence[Any] = getattr(values, name)()
            return cells
    return list(values)


def _missing(cell: Any) -> bool:
    """Tell whether a cell is None, NaN, NaT or NA."""
    if cell is None:
        return True
    if isinstance(cell, (float, np.floating)):
        return bool(math.isnan(cell))
    if isinstance(cell, (str, int, bool, list, tuple, dict, np.ndarray)):
        return False
    if isinstance(cell, np.datetime64):
        return bool(np.isnat(cell))
    return type(cell).__name__ in ("NAType", "NaTType")


def _number(feature: Feature, cell: Any) -> Any:
    if isinstance(cell, (bool, np.bool_)):
        return int(cell)
    if isinstance(cell, np.generic):
        return cell.item()
    return float(cell) if isinstance(cell, Decimal) else cell


def _category(feature: Feature, cell: Any) -> Any:
    if isinstance(cell, str):
        return str(cell)
    if isinstance(cell, (bool, np.bool_)):
        spellings = BOOLEANS[bool(cell)]
        return next((text for text in spellings if text in feature.known), spellings[0])
    if isinstance(cell, (int, np.integer)):
        return str(int(cell))
    if isinstance(cell, (float, np.floating)):
        return str(int(cell)) if float(cell).is_integer() else repr(float(cell))
    if isinstance(cell, (dt.datetime, dt.date)):
        return cell.isoformat()
    return cell if isinstance(cell, (list, dict)) else str(cell)


def _bag(feature: Feature, cell: Any) -> Any:
    if isinstance(cell, str):
        return cell
    return [None if _missing(value) else _category(feature, value) for value in _listed(cell)]


def _moment(feature: Feature, cell: Any) -> Any:
    if isinstance(cell, np.datetime64):
        return int(cell.astype("datetime64[s]").astype(np.int64))
    if isinstance(cell, dt.datetime):
        aware = cell if cell.tzinfo is not None else cell.replace(tzinfo=dt.UTC)
        return math.floor(aware.timestamp())
    if isinstance(cell, dt.date):
        return int(dt.datetime(cell.year, cell.month, cell.day, tzinfo=dt.UTC).timestamp())
    return cell.item() if isinstance(cell, np.generic) else cell


def _other(feature: Feature, cell: Any) -> Any:
    return cell.item() if isinstance(cell, np.generic) else cell


_WRITERS: dict[str, Callable[[Feature, Any], Any]] = {
    "numeric": _number,
    "categorical": _category,
    "hashed": _category,
    "bag": _bag,
    "datetime": _moment,
}
