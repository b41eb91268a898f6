"""Splits of a table that is read block by block: a row's split follows from its own cells.

Shares are kept by a hash of the row's number, so that they are met about, not exactly.
"""

from abc import ABC, abstractmethod
from collections.abc import Iterator
from dataclasses import replace

import numpy as np
import polars as pl
from numpy.typing import NDArray

from model.config.run import Config
from model.data.placement import key_places
from model.data.splits import (
    TRAIN,
    VALIDATION,
    Assignment,
    by_block,
    by_place,
    check_columns,
    named,
    named_splits,
    ranks_in_time,
)
from model.data.streaming.moments import MomentCounter, by_thresholds, in_order
from model.data.streaming.selection import Selection, columns_wanted
from tables.blocks import Files
from tables.config import Split, TableData
from tables.held_rows import copied
from tables.source import Table

SALT = 0x5EED
"""Beside a seed, so that other choices by hash are independent of the splits."""


def places(numbers: NDArray[np.integer], seed: int) -> NDArray[np.float64]:
    """Place numbers, such as row numbers, in [0, 1) by a hash (splitmix64; Steele et al. 2014)."""
    mixed = _mix(numbers.astype(np.uint64) + _mix(np.array([seed], np.uint64)))
    return (mixed >> np.uint64(11)).astype(np.float64) / 2.0**53


def _mix(z: NDArray[np.uint64]) -> NDArray[np.uint64]:
    z = z + np.uint64(0x9E3779B97F4A7C15)
    z = (z ^ (z >> np.uint64(30))) * np.uint64(0xBF58476D1CE4E5B9)
    z = (z ^ (z >> np.uint64(27))) * np.uint64(0x94D049BB133111EB)
    return z ^ (z >> np.uint64(31))


class Plan(ABC):
    """Rule by which each row has its split, whatever block it stands in."""

    how: str
    """Ends the sentence "Rows were split ..."."""

    @abstractmethod
    def assign(self, table: Table) -> Assignment:
        """Choose the split of each row of a block, (R,)."""


class ByRow(Plan):
    """Random split by the row's number."""

    how = "at random, by a hash of the row's number"

    def __init__(self, split: Split) -> None:
        self._split = split

    def assign(self, table: Table) -> Assignment:
        """Choose the split of each row of a block, (R,)."""
        return by_place(places(table.row_numbers, self._split.seed), self._split)


class ByKey(Plan):
    """Split by a hash of some columns: `data.split.key`, or the groups of `data.split.by`."""

    def __init__(self, split: Split) -> None:
        grouped = split.kind == "group"
        self._split, self._names = split, split.columns if grouped else split.keys
        self._key = "data.split.by" if grouped else "data.split.key"
        shown = named(self._names)
        self.how = f"at random, by a hash of {shown}"
        if grouped:
            self.how = f"by a hash of the groups of {shown}, none of them in two splits"

    def assign(self, table: Table) -> Assignment:
        """Choose the split of each row of a block, (R,)."""
        check_columns(table, self._split)
        return by_place(key_places(table, self._names, self._split.seed, self._key), self._split)


class ByName(Plan):
    """Split that a column names; without rows for validation, a share of training is taken."""

    def __init__(self, split: Split, carve: bool) -> None:
        self._split, self._carve = split, carve
        self.how = f"as column '{split.columns[0]}' says"
        if carve:
            self.how += ", validation rows taken from training at random, by a hash of the row's number"

    def assign(self, table: Table) -> Assignment:
        """Choose the split of each row of a block, (R,)."""
        chosen = named_splits(table, self._split)
        if self._carve:
            drawn = places(table.row_numbers, self._split.seed) < self._split.validation
            chosen[drawn & (chosen == TRAIN)] = VALIDATION
        return chosen


class ByMoment(Plan):
    """Split by time, whose bounds were chosen by the rows of each distinct moment."""

    def __init__(self, split: Split, bounds: pl.DataFrame) -> None:
        """Take the moments: the columns of the split, and `split` for each combination."""
        self._columns, self._bounds = list(split.columns), bounds
        self.how = f"by time ({named(split.columns)}), the latest rows for test"

    def assign(self, table: Table) -> Assignment:
        """Choose the split of each row of a block, (R,)."""
        keys = table.frame.select(self._columns)
        return keys.join(self._bounds, on=self._columns, how="left", maintain_order="left")["split"].to_numpy()


class ByThreshold(Plan):
    """Split by time of one column, by the first moments of validation and of test."""

    def __init__(self, split: Split, thresholds: tuple[int, int]) -> None:
        self._split, self._thresholds = split, thresholds
        self.how = f"by time ({named(split.columns)}), the latest rows for test"

    def assign(self, table: Table) -> Assignment:
        """Choose the split of each row of a block, (R,)."""
        return by_thresholds(table, self._split, self._thresholds)


def plan_of(source: Files, config: Config) -> Plan:
    """Choose how to split; reads the columns of a split by name or by time first.

    Raises:
        DataError: for a column that cannot be used.
    """
    split = _split_of(config)
    if split.kind == "given":
        return ByName(split, carve=not _any_validation(source, config))
    if split.kind == "time":
        return _by_time(source, config)
    return ByKey(split) if split.keys or split.kind == "group" else ByRow(split)


def _kept(source: Files, config: Config) -> Iterator[Table]:
    selection = Selection(config)
    for block in source.blocks(columns_wanted(config)):
        yield selection.keep(block)


def _split_of(config: Config) -> Split:
    assert isinstance(config.data, TableData)
    return config.data.split


def _any_validation(source: Files, config: Config) -> bool:
    split = _split_of(config)
    return any((named_splits(block, split) == VALIDATION).any() for block in _kept(source, config))


def _by_time(source: Files, config: Config) -> Plan:
    split = _split_of(config)
    if len(split.columns) > 1 or not in_order(source.dtypes.get(split.columns[0], pl.Null()), split):
        return ByMoment(split, _bounds(source, config))
    counter = MomentCounter(split)
    for block in _kept(source, config):
        counter.add(block)
    return ByThreshold(split, counter.thresholds())


def _bounds(source: Files, config: Config) -> pl.DataFrame:
    """Count the rows of each moment, and cut where the shares are met best."""
    split = _split_of(config)
    columns, parts, last = list(split.columns), [], None
    for block in _kept(source, config):
        check_columns(block, split)
        frame = block.frame.select(columns).with_columns(row=pl.Series(block.row_numbers))
        counted = frame.group_by(columns).agg(pl.len().alias("rows").cast(pl.Int64), pl.col("row").min())
        parts.append(copied(counted))
        if sum(part.height for part in parts) > 2 * parts[0].height + 100_000:
            parts = [_added(parts, columns)]
        last = block
    assert last is not None
    counted = _added(parts, columns).sort("row")
    moments = replace(last, frame=counted.select(columns), row_numbers=counted["row"].to_numpy())
    chosen = by_block(ranks_in_time(moments, split), split, counted["rows"].to_numpy())
    return counted.select(columns).with_columns(split=pl.Series(chosen))


def _added(parts: list[pl.DataFrame], columns: list[str]) -> pl.DataFrame:
    return copied(pl.concat(parts).group_by(columns).agg(pl.col("rows").sum(), pl.col("row").min()))
