"""Vocabularies: how often values occur, which of them are known, and their codes."""

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
import polars as pl
from numpy.typing import NDArray

from model.schema import FIRST_VALUE, MISSING, UNKNOWN


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


class ValueIndex:
    """Lookup of texts in a vocabulary, by 64-bit hashes of its values in rising order."""

    def __init__(self, vocabulary: Sequence[str]) -> None:
        self._values = pl.Series(vocabulary, dtype=pl.String)
        self._seed = 0
        while self._values.hash(self._seed).n_unique() < len(self._values):
            self._seed += 1
        hashes = self._values.hash(self._seed).to_numpy()
        self._order = np.argsort(hashes)
        self._hashes = hashes[self._order]

    def codes(self, texts: pl.Series) -> NDArray[np.int64]:
        """Look up texts (R,), null or "" = missing.

        Returns:
            int64 (R,): UNKNOWN, MISSING, or FIRST_VALUE + place in the vocabulary.
        """
        codes = np.full(len(texts), UNKNOWN, np.int64)
        if len(self._values) and len(texts):
            hashes = texts.hash(self._seed).to_numpy()
            place = self._order[np.minimum(np.searchsorted(self._hashes, hashes), len(self._hashes) - 1)]
            same = (self._values.gather(place) == texts).fill_null(False).to_numpy()
            codes = np.where(same, FIRST_VALUE + place, codes)
        codes[(texts.is_null() | (texts == "")).to_numpy()] = MISSING
        return codes
