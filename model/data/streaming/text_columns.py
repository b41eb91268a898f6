"""Columns of categories, ids and bags that are read block by block."""

from collections.abc import Iterable
from dataclasses import replace

import numpy as np
import polars as pl
from numpy.typing import NDArray

from model.data.coding.bags import Fill, encode_bags, fill_of, take_values
from model.data.coding.categorical import spellings_of
from model.data.coding.text_kinds import TextStatistics, encode_texts
from model.data.coding.vocabulary import Counts, HashIndex, ValueIndex, count, merge
from model.data.streaming.distinct import Distinct
from model.data.weights import Weights
from model.schema import MISSING, UNKNOWN, BagFeature, Bags, CategoricalFeature, HashedFeature
from tables.columns import texts, without_decimals, written
from tables.held_rows import copied
from tables.lists import Lists, lists
from tables.source import Table

FEW_VALUES = 10_000
"""Distinct values of a column's first block up to which later blocks are counted by them."""

Mask = NDArray[np.bool_]


class CategoryColumn:
    """Column of categories, whose distinct values are counted as the table's type has them."""

    def __init__(self, name: str) -> None:
        self._name = name
        self._first: _FirstValues | None = None
        self._parts: list[pl.DataFrame] = []
        self._merged = self._pending = 0
        self._table: Table | None = None
        self._codes: pl.DataFrame | None = None
        self._index: HashIndex | None = None
        self._decimals = False

    def add(self, table: Table, training: Mask, weights: Weights | None) -> None:
        """Count the values of a block; those of rows that do not train count 0 times."""
        counts = np.where(training, 1.0 if weights is None else weights.astype(np.float64), 0.0)
        values = table.frame[self._name]
        if self._first is not None:
            values, counts = self._first.add(values, counts)
        if self._first is None or len(values):
            self._parts.append(_added([pl.DataFrame({"value": values, "count": counts})]))
            self._pending += self._parts[-1].height
        if self._table is None and self._pending <= FEW_VALUES and _hashes_are_of_values(values.dtype):
            self._first = _FirstValues(self._parts[0]["value"].drop_nulls())
        if self._pending > self._merged + 10_000:
            self._merge()
        self._table = self._table or replace(table, frame=table.frame.clear(), row_numbers=table.row_numbers[:0])

    def _merge(self) -> None:
        self._parts = [_added(self._parts)]
        self._merged, self._pending = self._parts[0].height, 0

    def statistics(self) -> TextStatistics:
        """Sum up what was counted, and see how the table's spellings become text."""
        if self._first is not None:
            counted = self._first.counted()
            self._parts.append(pl.DataFrame({"value": counted.values, "count": counted.counts}))
        self._merge()
        values = self._parts[0]["value"]
        plain, given, text = self._texts(values)
        self._decimals = not text.equals(plain)
        weighed = merge([Counts(text.fill_null(""), self._parts[0]["count"].to_numpy())])
        trained = weighed.counts > 0
        counts = Counts(weighed.values.filter(pl.Series(trained)), weighed.counts[trained])
        fill = Fill(counts.total, counts.missing, counts.total - counts.missing)
        return TextStatistics(fill, counts, spellings=spellings_of(given, text))

    def _texts(self, values: pl.Series) -> tuple[pl.Series, pl.Series, pl.Series]:
        """Turn values into text; as the type writes them; without decimals that say nothing."""
        assert self._table is not None
        table = replace(
            self._table, frame=pl.DataFrame({self._name: values}), row_numbers=np.zeros(len(values), np.int64)
        )
        plain, given = (read(table, self._name, "features.categorical") for read in (texts, written))
        return plain, given, without_decimals(plain, table.numerals.decimal)

    def bind(self, feature: CategoricalFeature) -> None:
        """Prepare to encode by a feature."""
        values = self._parts[0]["value"]
        codes = encode_texts(feature, self._texts(values)[2])
        known = pl.DataFrame({"value": values, "code": codes.astype(np.int32)})
        self._codes = known.filter(pl.col("code") > MISSING)
        self._index = HashIndex(self._codes["value"]) if _hashes_are_of_values(values.dtype) else None
        self._parts, self._first = [], None

    def encode(self, table: Table) -> NDArray[np.int32]:
        """Encode a block, (R,)."""
        assert self._codes is not None
        values = table.frame[self._name]
        if self._index is not None:
            code = np.append(self._codes["code"].to_numpy(), np.int32(UNKNOWN))  # place -1 is the last
            codes: NDArray[np.int32] = code[self._index.places(values)]
            return np.where(values.is_null().to_numpy(), np.int32(MISSING), codes) if values.null_count() else codes
        if not self._codes.height:
            found = pl.Series([UNKNOWN], dtype=pl.Int32).new_from_index(0, len(values))
        else:
            found = values.replace_strict(
                self._codes["value"], self._codes["code"], default=UNKNOWN, return_dtype=pl.Int32
            )
        return found.set(values.is_null(), MISSING).to_numpy()

    def cells(self, table: Table) -> pl.Series:
        """Write the text of a block's cells that a caller would send; null = missing."""
        text = texts(table, self._name, "features.categorical")
        return without_decimals(text, table.numerals.decimal) if self._decimals else text


class _FirstValues:
    """Values of a column's first block, of which later blocks mostly consist, and their counts."""

    def __init__(self, values: pl.Series) -> None:
        self._values, self._index = values, HashIndex(values)
        self._counts = np.zeros(len(values))

    def add(self, values: pl.Series, counts: NDArray[np.float64]) -> tuple[pl.Series, NDArray[np.float64]]:
        """Count values (R,), each so often; returns the others, null among them, with theirs."""
        place = self._index.places(values)
        summed = np.bincount(place + 1, counts, len(self._counts) + 1)
        self._counts += summed[1:]
        other = np.flatnonzero(place < 0)
        return values.gather(other), counts[other]

    def counted(self) -> Counts:
        """Return the counts."""
        return Counts(self._values, self._counts)


def _hashes_are_of_values(dtype: pl.DataType) -> bool:
    """Check whether equal values of a type have equal hashes, as 0.0 and -0.0 may not."""
    return dtype == pl.String or dtype.is_integer()


class IdColumn:
    """Column of ids that are hashed."""

    def __init__(self, name: str) -> None:
        self._name = name
        self._fill = Fill()
        self.distinct = Distinct()
        self._feature: HashedFeature | None = None

    def add(self, table: Table, training: Mask, weights: Weights | None) -> None:
        """Count the values of a block's training rows."""
        text = self.cells(table).filter(pl.Series(training))
        missing = (text.is_null() | (text == "")).to_numpy()
        times = np.ones(len(text)) if weights is None else weights[training].astype(np.float64)
        rows, empty = float(times.sum()), float(times[missing].sum())
        self._fill = self._fill.merge(Fill(rows, empty, rows - empty))
        self.distinct.add(text.filter(pl.Series(~missing)))

    def statistics(self) -> TextStatistics:
        """Sum up what was counted."""
        return TextStatistics(self._fill, distinct=self.distinct.count)

    def bind(self, feature: HashedFeature) -> None:
        """Prepare to encode by a feature."""
        self._feature = feature

    def encode(self, table: Table) -> NDArray[np.int32]:
        """Encode a block, (R,)."""
        assert self._feature is not None
        return encode_texts(self._feature, self.cells(table)).astype(np.int32)

    def cells(self, table: Table) -> pl.Series:
        """Write the text of a block's cells that a caller would send; null = missing."""
        return texts(table, self._name, "features.hashed")


class BagColumn:
    """Column of several values a cell.

    Attributes:
        sizes: values of all rows, and of all blocks.
    """

    def __init__(self, name: str, separator: str, buckets: int) -> None:
        self._name, self._separator, self._buckets = name, separator, buckets
        self._fill = Fill()
        self._first: _FirstValues | None = None
        self._counts: list[Counts] = []
        self._merged = self._pending = 0
        self.distinct = Distinct()
        self.values = 0
        self._feature: BagFeature | None = None
        self._index: ValueIndex | None = None

    def _read(self, table: Table) -> Lists:
        return lists(table, self._name, f"features.bag.{self._name}", self._separator)

    def add(self, table: Table, training: Mask, weights: Weights | None) -> None:
        """Count the values of a block's training rows."""
        read = self._read(table)
        self.values += len(read.values)
        values, offsets = take_values(read.values, read.offsets, training)
        times = None if weights is None else weights[training]
        self._fill = self._fill.merge(fill_of(offsets, times))
        if self._buckets:
            self.distinct.add(values)
            return
        counts = np.repeat(np.ones(len(offsets) - 1) if times is None else times.astype(np.float64), np.diff(offsets))
        if self._first is not None:
            values, counts = self._first.add(values, counts)
        if self._first is None or len(values):
            self._counts.append(count(values, counts))
            self._pending += len(self._counts[-1].values)
        if self._first is None and len(self._counts) == 1 and self._pending <= FEW_VALUES:
            self._first = _FirstValues(self._counts[0].values)
        if self._pending > self._merged + 10_000:
            self._merge()

    def _merge(self) -> None:
        self._counts = [merge(self._counts)]
        self._merged, self._pending = len(self._counts[0].values), 0

    def statistics(self) -> TextStatistics:
        """Sum up what was counted."""
        if self._buckets:
            return TextStatistics(self._fill, distinct=self.distinct.count)
        if self._first is not None:
            self._counts.append(self._first.counted())
        self._merge()
        return TextStatistics(self._fill, self._counts[0])

    def bind(self, feature: BagFeature) -> None:
        """Prepare to encode by a feature."""
        self._feature, self._counts, self._first = feature, [], None
        self._index = None if feature.buckets else ValueIndex(feature.vocabulary)

    def encode(self, table: Table) -> Bags:
        """Encode a block of R rows."""
        assert self._feature is not None
        read = self._read(table)
        return encode_bags(read.values, read.offsets, self._feature, self._index)

    def cells(self, table: Table) -> pl.Series:
        """Write the text of a block's cells that a caller would send, values joined."""
        return self._read(table).joined(self._separator)


def _added(parts: Iterable[pl.DataFrame]) -> pl.DataFrame:
    return copied(pl.concat(parts).group_by("value").agg(pl.col("count").sum()))
