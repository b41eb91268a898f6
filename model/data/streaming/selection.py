"""Rows that the configuration keeps: conditions are met, and a label is there."""

import numpy as np
from numpy.typing import NDArray

from model.config.run import Config
from model.data.labels import labels_held, notes_on_labels
from tables.columns import left_out, meets
from tables.config import CONDITION, TableData
from tables.errors import DataError
from tables.source import Table


def columns_wanted(config: Config) -> tuple[str, ...]:
    """List the columns that decide which rows are kept, and into which split they go."""
    assert isinstance(config.data, TableData)
    matches = [CONDITION.match(condition) for condition in config.data.keep]
    conditions = [match["column"] for match in matches if match is not None]
    labels = [task.column for task in config.tasks]
    return tuple(dict.fromkeys([*conditions, *labels, *config.data.split.columns]))


class Selection:
    """Filter of blocks that counts what it leaves out."""

    def __init__(self, config: Config) -> None:
        assert isinstance(config.data, TableData)
        self._conditions, self._tasks = config.data.keep, config.tasks
        self._failed = dict.fromkeys(self._conditions, 0)
        self._rows = self._kept = 0
        self._held: NDArray[np.int64] = np.zeros(len(self._tasks), np.int64)

    def keep(self, table: Table) -> Table:
        """Take the rows of a block that count."""
        for condition in self._conditions:
            holds = meets(table, condition)
            if failed := int((~holds).sum()):
                self._failed[condition] += failed
                table = table.keep(holds)
        held = labels_held(table, self._tasks)
        kept = np.asarray(held.any(axis=1), np.bool_)
        self._rows += len(table)
        self._held += held.sum(axis=0)
        self._kept += int(kept.sum())
        return table if kept.all() else table.keep(kept)

    def notes(self) -> list[str]:
        """Say what was left out.

        Raises:
            DataError: if no row is left, or none with a label of some task.
        """
        if not self._rows:
            raise DataError("no row meets the conditions of data.keep")
        failed = [left_out(rows, condition) for condition, rows in self._failed.items() if rows]
        return failed + notes_on_labels(self._tasks, self._held, self._kept, self._rows)
