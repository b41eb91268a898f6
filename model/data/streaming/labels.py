"""Labels of a table that is read block by block: distinct values are counted, then understood."""

from dataclasses import replace

import numpy as np
import polars as pl
from numpy.typing import NDArray

from model.config.run import TaskConfig
from model.data.coding.numeric import Statistics, statistics_of
from model.data.labels import check_presence, read_task, scaled
from model.data.splits import SPLITS, TRAIN, Assignment
from model.data.weights import Weights
from model.schema import Task
from tables.columns import compare, numbers
from tables.config import CONDITION
from tables.errors import DataError
from tables.held_rows import copied
from tables.source import Table

MOST_CLASSES = 100_000
"""Distinct values of a column of classes beyond which it is refused: they are not classes."""


class NumberLabels:
    """Labels of a regression."""

    def __init__(self, config: TaskConfig) -> None:
        self._config = config
        self._statistics = Statistics()
        self._counts = [0] * len(SPLITS)

    def add(self, table: Table, chosen: Assignment, weights: Weights | None) -> None:
        """Count the labels of a block."""
        values = self.encode(table)
        training = chosen == TRAIN
        self._statistics = self._statistics.merge(
            statistics_of(values[training], None if weights is None else weights[training])
        )
        labelled = np.bincount(chosen[~np.isnan(values)], minlength=len(SPLITS))
        self._counts = [a + b for a, b in zip(self._counts, labelled.tolist(), strict=True)]

    def task(self) -> Task:
        """Describe the task.

        Raises:
            DataError: for a split without labels.
        """
        task = Task(self._config.name, "regression", weight=self._config.weight, column=self._config.column)
        task = scaled(task, self._statistics)
        check_presence(task, self._counts, [[]] * len(SPLITS))
        return task

    def encode(self, table: Table) -> NDArray[np.float64]:
        """Read the labels of a block, (R,)."""
        return numbers(table, self._config.column, f"regression task '{self._config.name}'")


class ClassLabels:
    """Labels of a binary or multiclass task."""

    def __init__(self, config: TaskConfig) -> None:
        self._config = config
        self._counted: pl.DataFrame | None = None
        self._last: Table | None = None
        self._labels: pl.DataFrame | None = None

    def add(self, table: Table, chosen: Assignment, weights: Weights | None) -> None:
        """Count the distinct values of a block in each split."""
        frame = pl.DataFrame(
            {
                "key": class_keys(table, self._config),
                "split": chosen,
                "row": table.row_numbers,
                "value": table.column(self._config.column, f"task '{self._config.name}'"),
            }
        )
        found = (
            frame.filter(pl.col("key").is_not_null())
            .group_by("key", "split")
            .agg(pl.len().cast(pl.Int64).alias("rows"), pl.col("row").first(), pl.col("value").first())
        )
        before = found if self._counted is None else pl.concat([self._counted, found])
        counted = before.group_by("key", "split", maintain_order=True).agg(
            pl.col("rows").sum(), pl.col("row").first(), pl.col("value").first()
        )
        self._counted = copied(counted)
        self._last = table
        if self._counted.height > len(SPLITS) * MOST_CLASSES:
            raise DataError(
                f"task '{self._config.name}' wants classes, and column '{self._config.column}' holds over "
                f"{MOST_CLASSES:,} different values; use kind = 'regression', or join values in the table"
            )

    def task(self) -> Task:
        """Understand the values.

        Raises:
            DataError: as `model.data.labels.read_labels`.
        """
        assert self._counted is not None
        assert self._last is not None
        counted = self._counted.sort("row", "split")
        frame = pl.DataFrame({self._config.column: counted["value"]})
        table = replace(self._last, frame=frame, row_numbers=counted["row"].to_numpy())
        splits, rows = counted["split"].to_numpy(), counted["rows"].to_numpy()
        labels, task = read_task(table, self._config, splits)
        of_class = [
            [int(rows[(splits == split) & (labels == index)].sum()) for index in range(len(task.classes))]
            for split in range(len(SPLITS))
        ]
        check_presence(task, [sum(held) for held in of_class], of_class)
        self._labels = pl.DataFrame({"key": counted["key"], "label": labels}).unique("key", keep="first")
        return task

    def encode(self, table: Table) -> NDArray[np.float64]:
        """Read the labels of a block, (R,); `task` was called before."""
        assert self._labels is not None
        keys = class_keys(table, self._config)
        labels = keys.replace_strict(self._labels["key"], self._labels["label"], default=None, return_dtype=pl.Float64)
        if labels.null_count() > keys.null_count():
            raise DataError("the table has changed while it was read; start again")
        return np.asarray(labels.fill_null(float("nan")).to_numpy(), np.float64)


def class_keys(table: Table, config: TaskConfig) -> pl.Series:
    """Return what tells labels of a task apart, (R,), null = none.

    These are values or, with `positive_if`, outcomes; of a regression whether there is a label.
    """
    name = f"task '{config.name}'"
    if config.kind == "regression":
        return table.column(config.column, name).is_not_null().replace(False, None)
    if config.positive_if is None:
        return table.column(config.column, name)
    match = CONDITION.match(config.positive_if)
    assert match is not None  # the configuration was checked
    return pl.Series(compare(table, config.column, match["operator"], match["value"], name)).fill_nan(None)


def label_reader(config: TaskConfig) -> NumberLabels | ClassLabels:
    """Make the reader of a task's labels."""
    return NumberLabels(config) if config.kind == "regression" else ClassLabels(config)
