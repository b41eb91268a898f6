"""Stratified split of a table that is read block by block: rare classes are shared out."""

import numpy as np
import polars as pl
from numpy.typing import NDArray

from model.config.run import Config, TaskConfig
from model.data.splits import Assignment
from model.data.stratify import stratify
from model.data.streaming.labels import class_keys
from model.data.streaming.selection import Selection, columns_wanted
from model.data.streaming.splits import ByRow, Plan, places
from tables.blocks import Files
from tables.config import Split, TableData
from tables.held_rows import copied
from tables.source import Table

RARE_ROWS = 10_000
"""Rows up to which a class is shared out by number; a hash is even enough for more."""


class Stratified(Plan):
    """Random split in which rows of rare classes have the splits that are given for them."""

    def __init__(self, split: Split, rows: NDArray[np.int64], chosen: Assignment) -> None:
        """Take the row numbers (S,), rising, and the split of each."""
        self._others = ByRow(split)
        self._rows, self._chosen = rows, chosen
        self.how = f"{self._others.how}, stratified by class"

    def assign(self, table: Table) -> Assignment:
        """Choose the split of each row of a block, (R,)."""
        chosen = self._others.assign(table)
        _, here, there = np.intersect1d(table.row_numbers, self._rows, assume_unique=True, return_indices=True)
        chosen[here] = self._chosen[there]
        return chosen


class _RareRows:
    """Rows of a task's rare classes, by hashes of their labels, so that a row holds no text."""

    def __init__(self, config: TaskConfig) -> None:
        self._config = config
        self._counts: pl.DataFrame | None = None
        self._rows: pl.DataFrame | None = None

    def add(self, table: Table) -> None:
        """Take in a block."""
        keys = class_keys(table, self._config)
        new = pl.DataFrame({"key": keys, "row": table.row_numbers}).drop_nulls("key")
        new = new.with_columns(hash=pl.col("key").hash())
        counts = new.group_by("key", "hash").agg(pl.len().cast(pl.Int64).alias("rows"))
        before = counts if self._counts is None else pl.concat([self._counts, counts])
        self._counts = copied(before.group_by("key", "hash").agg(pl.col("rows").sum()))
        rows = new.select("hash", "row")
        held = rows if self._rows is None else pl.concat([self._rows, rows])
        self._rows = held.join(self._rare(), on="hash", how="semi", maintain_order="left")

    def rows(self) -> pl.DataFrame:
        """Return the rows in order: `row` and `number`, of its class among the rare ones."""
        assert self._rows is not None
        numbers = self._rare().select("hash", number=pl.col("key").rank("dense"))
        return self._rows.join(numbers, on="hash", how="left", maintain_order="left")

    def _rare(self) -> pl.DataFrame:
        assert self._counts is not None
        return self._counts.filter(pl.col("rows") <= RARE_ROWS)


def stratified(source: Files, config: Config) -> Plan:
    """Share out the rows of rare classes, which are found by a pass over a few columns."""
    assert isinstance(config.data, TableData)
    split, selection = config.data.split, Selection(config)
    tasks = [_RareRows(task) for task in config.tasks]
    for block in source.blocks(columns_wanted(config)):
        table = selection.keep(block)
        for task in tasks:
            task.add(table)
    found = [task.rows() for task in tasks]
    rows = np.unique(np.concatenate([frame["row"].to_numpy() for frame in found]))
    strata = {}
    for place, frame in enumerate(found):
        classes: NDArray[np.float64] = np.full(len(rows), np.nan)
        classes[np.searchsorted(rows, frame["row"].to_numpy())] = frame["number"].to_numpy()
        strata[str(place)] = classes
    bounds = np.round(len(rows) * np.cumsum([1 - split.validation - split.test, split.validation])).astype(np.int64)
    sizes = np.diff([0, *bounds, len(rows)])
    order = np.argsort(places(rows, split.seed))
    return Stratified(split, rows, stratify(order, sizes, strata) if len(rows) else np.zeros(0, np.int8))
