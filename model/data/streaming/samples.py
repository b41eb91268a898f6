"""Samples of rows by a hash of their numbers, the same however the rows are cut into blocks."""

import numpy as np
from numpy.typing import NDArray

from model.data.streaming.splits import places

QUANTILE_ROWS = 1_000_000
"""Training rows up to which quantiles are exact, and beyond which they are those of so many."""

QUANTILE_SALT, SAMPLE_SALT = 1_001, 1_002
"""Beside the seeds of splits, so that samples are independent of them."""


class LowestRows:
    """Rows whose hashes are the lowest of all rows that are offered, at most `most`."""

    def __init__(self, most: int, salt: int) -> None:
        self._most, self._salt = most, salt
        self._rows: NDArray[np.int64] = np.zeros(0, np.int64)

    def add(self, rows: NDArray[np.int64]) -> None:
        """Offer rows by their numbers."""
        joined = np.concatenate([self._rows, rows])
        if len(joined) > self._most:
            joined = joined[np.argpartition(places(joined, self._salt), self._most)[: self._most]]
        self._rows = joined

    def rows(self) -> NDArray[np.int64]:
        """List the chosen row numbers, rising."""
        return np.sort(self._rows)


class NumberSample:
    """Numbers of training rows, for quantiles: all of them, or those of QUANTILE_ROWS rows."""

    def __init__(self, width: int) -> None:
        self._place = np.zeros(0)
        self._values: NDArray[np.float32] = np.zeros((0, width), np.float32)
        self._weights: NDArray[np.float32] = np.zeros(0, np.float32)
        self._parts: list[tuple[NDArray[np.float64], NDArray[np.float32], NDArray[np.float32]]] = []
        self._pending, self._below = 0, np.inf

    def add(self, rows: NDArray[np.int64], values: NDArray[np.float32], weights: NDArray[np.float32] | None) -> None:
        """Offer rows: their numbers (R,), values (R, N) and weights (R,)."""
        place = places(rows, QUANTILE_SALT)
        taken = np.flatnonzero(place < self._below)
        times = np.ones(len(rows), np.float32) if weights is None else weights
        self._parts.append((place.take(taken), values.take(taken, axis=0), times.take(taken)))
        self._pending += len(taken)
        if self._pending > QUANTILE_ROWS // 4:
            self._join()

    def _join(self) -> None:
        parts = [(self._place, self._values, self._weights), *self._parts]
        place, values, weights = (np.concatenate([part[i] for part in parts]) for i in range(3))
        self._parts, self._pending = [], 0
        if len(place) > QUANTILE_ROWS:
            lowest = np.sort(np.argpartition(place, QUANTILE_ROWS)[:QUANTILE_ROWS])
            place, values, weights = place[lowest], values[lowest], weights[lowest]
            self._below = float(place.max())
        self._place, self._values, self._weights = place, values, weights

    def columns(self) -> tuple[NDArray[np.float32], NDArray[np.float32]]:
        """Return the values (S, N) and weights (S,) of the chosen rows."""
        if self._parts:
            self._join()
        return self._values, self._weights
