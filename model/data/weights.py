"""Weights of rows: how often each counts."""

import numpy as np
from numpy.typing import NDArray

from tables.columns import numbers
from tables.errors import DataError
from tables.source import Table

KEY = "data.weight"

Weights = NDArray[np.float32]


def read_weights(table: Table, name: str) -> tuple[Weights, list[str]]:
    """Read the weights of a table's rows.

    Returns:
        float32 (R,), above 0; and a note on their range.

    Raises:
        DataError: for a weight that is missing, not a number, or not above 0 in float32.
    """
    values = numbers(table, name, KEY)
    weights = values.astype(np.float32)
    wrong = np.flatnonzero(~(weights > 0.0))
    if wrong.size:
        row = int(wrong[0])
        held = "nothing" if np.isnan(values[row]) else repr(table.frame[name][row])
        raise DataError(
            f"{KEY} wants numbers above 0, and column '{name}' holds {held} in row {table.row_numbers[row]}; mend it, "
            f'or leave such rows out, by data.keep = ["{name} > 0"] for example'
        )
    low, high, mean = float(weights.min()), float(weights.max()), float(weights.mean(dtype=np.float64))
    return weights, [note_on_weights(name, low, high, mean)]


def note_on_weights(name: str, low: float, high: float, mean: float) -> str:
    """Say which weights a column holds."""
    return f"Rows count by their weight in '{name}': {low:.6g} to {high:.6g}, {mean:.6g} on average."
