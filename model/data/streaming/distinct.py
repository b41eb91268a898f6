"""Count of distinct values within bounded memory: exact at first, then an estimate."""

import numpy as np
import polars as pl
from numpy.typing import NDArray

EXACT = 1_000_000
"""Distinct values up to which the count is exact."""

PENDING = 500_000
"""Hashes that wait to be joined with the distinct ones so far, which sorts out all of them."""

INDEX_BITS, VALUE_BITS = 14, 50
"""Bits of a hash that choose one of 16,384 registers, and the others."""


class Distinct:
    """Distinct values of a column's training rows.

    Beyond EXACT values an estimate by HyperLogLog (Flajolet et al. 2007), whose standard error is
    0.8 %.
    """

    def __init__(self) -> None:
        self._registers: NDArray[np.uint8] = np.zeros(2**INDEX_BITS, np.uint8)
        self._exact: NDArray[np.uint64] | None = np.zeros(0, np.uint64)
        self._parts: list[NDArray[np.uint64]] = []
        self._pending = 0

    def add(self, values: pl.Series) -> None:
        """Take in values, none of them null."""
        self._take(values.hash().unique().to_numpy())

    def _take(self, hashes: NDArray[np.uint64]) -> None:
        """Take in distinct hashes: many blocks' at once, or into the registers."""
        if self._exact is None:
            self._register(hashes)
            return
        self._parts.append(hashes)
        self._pending += len(hashes)
        if self._pending > PENDING:
            self._join()

    def _join(self) -> None:
        """Join what is pending; what is too much goes into the registers."""
        if self._exact is None or not self._parts:
            return
        joined = pl.Series(np.concatenate([self._exact, *self._parts])).unique().to_numpy()
        self._parts, self._pending = [], 0
        self._exact = joined
        if len(joined) > EXACT:
            self._exact = None
            self._register(joined)

    def _register(self, hashes: NDArray[np.uint64]) -> None:
        index = (hashes >> np.uint64(VALUE_BITS)).astype(np.int64)
        rest = (hashes & np.uint64(2**VALUE_BITS - 1)).astype(np.float64)
        zeros = VALUE_BITS + 1 - np.frexp(rest)[1]
        np.maximum.at(self._registers, index, zeros.astype(np.uint8))

    def merge(self, other: "Distinct") -> None:
        """Take in the values that another one has taken in."""
        self._join()
        other._join()
        if other._exact is not None:
            self._take(other._exact)
            return
        if self._exact is not None:
            self._register(self._exact)
            self._exact = None
        self._registers = np.maximum(self._registers, other._registers)

    @property
    def count(self) -> float:
        """Return how many distinct values there are."""
        self._join()
        if self._exact is not None:
            return float(len(self._exact))
        size = len(self._registers)
        return float(0.7213 / (1 + 1.079 / size) * size**2 / np.sum(2.0 ** -self._registers.astype(np.float64)))
