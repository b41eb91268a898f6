"""Weights of rows: how often each counts."""

from collections.abc import Sequence

import numpy as np
from numpy.typing import NDArray

from model.config.run import TaskConfig
from tables.columns import numbers
from tables.errors import DataError
from tables.source import Table

KEY = "data.weight"

FEWEST = 20
"""Rows of a class from which on its weights are compared with those of the other."""

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


def check_sampling(configs: Sequence[TaskConfig], labels: NDArray[np.float64], weights: Weights | None) -> None:
    """Refuse `negatives_kept` beside weights that already count a kept negative 1 / w times.

    Args:
        configs: T of them.
        labels: (R, T), NaN where missing.
        weights: (R,).

    Raises:
        DataError: all quartiles of the negatives' weights are about 1 / w of the positives'.
    """
    for place, config in enumerate(configs):
        of_class = [labels[:, place] == label for label in (0.0, 1.0)]
        kept = config.negatives_kept
        if weights is None or kept == 1.0 or min(here.sum() for here in of_class) < FEWEST:
            continue
        negative, positive = (np.quantile(weights[here], (0.25, 0.5, 0.75)) for here in of_class)
        if np.abs(negative / positive * kept - 1.0).max() < min(0.05, (1.0 - kept) / 2):
            raise DataError(
                f"{KEY} already counts a negative of task '{config.name}' {negative[1] / positive[1]:.4g} times as "
                f"often as a positive, and negatives_kept = {kept:g} would do so once more; take one of the two away"
            )


def note_on_weights(name: str, low: float, high: float, mean: float) -> str:
    """Say which weights a column holds."""
    return f"Rows count by their weight in '{name}': {low:.6g} to {high:.6g}, {mean:.6g} on average."
