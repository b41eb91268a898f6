"""Split by time of a column of dates, timestamps or whole numbers, in bounded memory."""

import numpy as np
import polars as pl
from numpy.typing import NDArray

from model.data.splits import TEST, VALIDATION, Assignment, by_block, ranks_in_time
from tables.config import Split
from tables.source import Table

MOST_MOMENTS = 1_000_000
"""Distinct moments that are counted one by one; more are joined with their neighbours."""


def in_order(dtype: pl.DataType, split: Split) -> bool:
    """Check whether a column's type orders its moments by whole numbers."""
    return split.format is None and (dtype.is_temporal() or dtype.is_integer())


class MomentCounter:
    """Rows of each moment; of each span of moments, where there are more than MOST_MOMENTS."""

    def __init__(self, split: Split) -> None:
        self._split, self._width = split, 1
        self._counted = pl.DataFrame(schema={"moment": pl.Int64, "rows": pl.Int64})

    def add(self, table: Table) -> None:
        """Count the rows of a block."""
        moments = _moments(table, self._split) // self._width
        new = pl.DataFrame({"moment": moments}).group_by("moment").agg(pl.len().cast(pl.Int64).alias("rows"))
        self._counted = _added(pl.concat([self._counted, new]))
        while self._counted.height > MOST_MOMENTS:
            self._width *= 2
            self._counted = _added(self._counted.with_columns(pl.col("moment") // 2))

    def thresholds(self) -> tuple[int, int]:
        """Choose the first moments of validation and of test, where the shares are met best."""
        counted = self._counted.sort("moment")
        moments, ranks = counted["moment"].to_numpy(), np.arange(counted.height)
        chosen = by_block(ranks, self._split, counted["rows"].to_numpy())
        starts = np.append(moments * self._width, np.iinfo(np.int64).max)
        first, second = (int(starts[np.searchsorted(chosen, part)]) for part in (VALIDATION, TEST))
        return first, second


def by_thresholds(table: Table, split: Split, thresholds: tuple[int, int]) -> Assignment:
    """Choose the split of each row of a block, (R,), by the first moments of two splits."""
    moments = _moments(table, split)
    chosen: Assignment = np.add(*(np.asarray(moments >= first, np.int8) for first in thresholds))
    return chosen


def _moments(table: Table, split: Split) -> NDArray[np.int64]:
    column = table.column(split.columns[0], "data.split.by")
    if column.null_count():
        ranks_in_time(table, split)  # refuses it, and says in which row
    return np.asarray(column.to_physical().cast(pl.Int64).to_numpy(), np.int64)


def _added(counted: pl.DataFrame) -> pl.DataFrame:
    return counted.group_by("moment").agg(pl.col("rows").sum())
