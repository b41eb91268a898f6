"""Columns of features that are read block by block: statistics in one pass, codes in another."""

import numpy as np
import polars as pl
from numpy.typing import NDArray

from model.config.run import Config
from model.data.coding.datetimes import seconds_statistics
from model.data.coding.numeric import Statistics, statistics_of
from model.data.features import read_numbers
from model.data.kinds import Kind
from model.data.streaming.text_columns import BagColumn, CategoryColumn, IdColumn
from model.data.weights import Weights
from tables.moments import moments
from tables.source import Table

Mask = NDArray[np.bool_]


class NumberColumn:
    """Column of numbers.

    Attributes:
        statistics: of the training rows so far.
        present: cells with a value, in all rows.
        odd: those of them that are not numbers.
        first_odd: row of the first one; 0 without any.
    """

    def __init__(self, name: str, config: Config) -> None:
        self._name, self._config = name, config
        self.statistics = Statistics()
        self.present = self.odd = self.first_odd = 0

    def read(self, table: Table) -> NDArray[np.float32]:
        """Read the numbers of a block, (R,)."""
        return read_numbers(table, self._name, self._config)[1]

    def add(self, table: Table, training: Mask, weights: Weights | None) -> NDArray[np.float32]:
        """Sum up the numbers of a block's training rows; returns those of all rows."""
        values = self.read(table)
        part = statistics_of(values.compress(training), None if weights is None else weights[training])
        self.statistics = self.statistics.merge(part)
        series = table.frame[self._name]
        self.present += len(series) - series.null_count()
        if series.dtype == pl.String:
            odd = np.isnan(values) & series.is_not_null().to_numpy()
            if odd.any():
                self.odd += int(odd.sum())
                self.first_odd = self.first_odd or int(table.row_numbers[int(np.argmax(odd))])
        return values


class MomentColumn:
    """Column of moments."""

    def __init__(self, name: str) -> None:
        self._name = name
        self.statistics = Statistics()

    def read(self, table: Table) -> NDArray[np.int64]:
        """Read the epoch seconds of a block, (R,)."""
        return moments(table, self._name, "features.datetime")

    def add(self, table: Table, training: Mask, weights: Weights | None) -> None:
        """Sum up the moments of a block's training rows."""
        seconds = self.read(table)[training]
        self.statistics = self.statistics.merge(
            seconds_statistics(seconds, None if weights is None else weights[training])
        )


Column = NumberColumn | CategoryColumn | IdColumn | BagColumn | MomentColumn


def column_of(name: str, kind: Kind, config: Config) -> Column:
    """Make the reader of a column."""
    features = config.features
    if kind == "numeric":
        return NumberColumn(name, config)
    if kind == "categorical":
        return CategoryColumn(name)
    if kind == "hashed":
        return IdColumn(name)
    if kind == "bag":
        return BagColumn(name, features.bag[name].separator, features.bag[name].buckets)
    return MomentColumn(name)
