"""Vocabularies: how often values occur, which of them are known, and their codes."""

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
import polars as pl
from numpy.typing import NDArray

from model.schema import FIRST_VALUE, MISSING, UNKNOWN
from tables.held_rows import copied

SLOTS, MOST_SLOTS = 8, 1 << 20
"""Slots for each value, so that about one value in sixteen is not in its slot; and at most."""


@dataclass(frozen=True)
class Counts:
    """Values of a column or a block of it, and how often each occurs.

    Attributes:
        values: String (V,), distinct, none null; "" = missing.
        counts: float64 (V,), sums of weights.
    """

    values: pl.Series
    counts: NDArray[np.float64]

    @property
    def total(self) -> float:
        """Return how often there is a value or none."""
        return float(self.counts.sum())

    @property
    def missing(self) -> float:
        """Return how often there is none."""
        return float(self.counts[(self.values == "").to_numpy()].sum())

    @property
    def distinct(self) -> int:
        """Count the values, "" aside."""
        return int((self.values != "").sum())


def count(texts: pl.Series, weights: NDArray[np.floating] | None = None) -> Counts:
    """Count texts (R,), null or "" = missing; weights (R,) say how often each counts."""
    texts = texts.fill_null("")
    if weights is None:
        return _sums(pl.DataFrame({"value": texts}).group_by("value").agg(pl.len().cast(pl.Float64).alias("count")))
    frame = pl.DataFrame({"value": texts, "count": np.asarray(weights, np.float64)})
    return _sums(frame.group_by("value").agg(pl.col("count").sum()))


def merge(counts: Sequence[Counts]) -> Counts:
    """Add up counts of several blocks of rows, or of several columns."""
    frames = [pl.DataFrame({"value": one.values, "count": one.counts}) for one in counts]
    return _sums(pl.concat(frames).group_by("value", maintain_order=True).agg(pl.col("count").sum()))


def _sums(frame: pl.DataFrame) -> Counts:
    frame = copied(frame)  # polars may share the text of all that was counted
    return Counts(frame["value"], frame["count"].to_numpy())


def choose(counts: Counts, min_count: int, max_values: int = 0, before: tuple[str, ...] = ()) -> tuple[str, ...]:
    """Choose the known values: frequent ones, the most frequent first, equals by their bytes.

    Args:
        counts: of the training rows.
        min_count: a value that occurs less often is unknown.
        max_values: how many are known at most; 0 for no limit.
        before: values that are known and come first, whatever the counts.
    """
    frame = pl.DataFrame({"value": counts.values, "count": counts.counts})
    frame = frame.filter((pl.col("value") != "") & (pl.col("count") >= min_count))
    if before:
        frame = frame.filter(~pl.col("value").is_in(pl.Series(before).implode()))
    frame = frame.sort(["count", "value"], descending=[True, False])
    room = max(0, max_values - len(before)) if max_values else len(frame)
    return (*before, *frame.head(room)["value"].to_list())


class HashIndex:
    """Places of distinct values, text or whole numbers, by their 64-bit hashes.

    The leading bits of a hash are a slot, which has the place of one value; further values of a
    slot are found by bisection.
    """

    def __init__(self, values: pl.Series) -> None:
        self._values, self._seed = values, 0
        while self._values.hash(self._seed).n_unique() < len(self._values):
            self._seed += 1
        hashes = self._values.hash(self._seed).to_numpy()
        self._order = np.argsort(hashes)
        self._hashes = hashes[self._order]
        bits = (min(max(len(hashes), 1) * SLOTS, MOST_SLOTS) - 1).bit_length()
        self._shift = np.uint64(64 - bits)
        self._slots = np.zeros(2**bits, np.int32)
        self._slots[self._hashes >> self._shift] = np.arange(len(hashes))

    def places(self, values: pl.Series) -> NDArray[np.int64]:
        """Look up values (R,): the place of each, -1 for null and one that is not there."""
        if not len(self._values):
            return np.full(len(values), -1)
        hashes = values.hash(self._seed).to_numpy()
        rank = self._slots[hashes >> self._shift]
        other = np.flatnonzero(self._hashes[rank] != hashes)
        rank[other] = np.minimum(np.searchsorted(self._hashes, hashes[other]), len(self._hashes) - 1)
        place = self._order[rank]
        same = (self._values.gather(place) == values).fill_null(False).to_numpy()
        return np.where(same, place, -1)


class ValueIndex:
    """Codes of texts in a vocabulary."""

    def __init__(self, vocabulary: Sequence[str]) -> None:
        self._index = HashIndex(pl.Series(vocabulary, dtype=pl.String))

    def codes(self, texts: pl.Series) -> NDArray[np.int64]:
        """Look up texts (R,), null or "" = missing.

        Returns:
            int64 (R,): UNKNOWN, MISSING, or FIRST_VALUE + place in the vocabulary.
        """
        place = self._index.places(texts)
        codes = np.where(place >= 0, FIRST_VALUE + place, UNKNOWN)
        codes[(texts.is_null() | (texts == "")).to_numpy()] = MISSING
        return codes
