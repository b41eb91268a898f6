"""Columns by which a model is judged: groups to rank within, and segments of the report."""

from dataclasses import replace

import numpy as np
from numpy.typing import NDArray

from model.config.run import Config
from model.data.placement import key_places
from model.schema import Rows, Segments
from tables.columns import texts
from tables.source import Table

GROUP_KEY, SEGMENT_KEY = "data.group_metric", "report.by"

MOST_VALUES = 1_000
"""Values of a column of segments; those that the table has later count together."""

Mask = NDArray[np.bool_]


class Groupings:
    """Reader of both kinds of columns, from blocks of rows in their order."""

    def __init__(self, config: Config) -> None:
        self._group = config.group_metric
        self._places: dict[str, dict[str, int]] = {name: {} for name in config.report.by}

    def check(self, table: Table) -> None:
        """Refuse columns that are not there."""
        for name, key in [(self._group, GROUP_KEY), *((name, SEGMENT_KEY) for name in self._places)]:
            if name is not None:
                table.column(name, key)

    def judged(self, rows: Rows, table: Table, chosen: Mask, test: bool) -> Rows:
        """Add what a split is judged by to its rows.

        Args:
            rows: of the split.
            table: that they come from.
            chosen: which of its rows they are.
            test: whether they are test rows, which have segments.
        """
        if self._group is not None:
            rows = replace(rows, groups=groups_of(table, self._group)[chosen])
        if not test or not self._places:
            return rows
        codes = [self._code(table, name, chosen) for name in self._places]
        return replace(rows, segments=np.stack(codes, axis=1))

    def _code(self, table: Table, name: str, chosen: Mask) -> NDArray[np.int16]:
        text = texts(table, name, SEGMENT_KEY).fill_null("").filter(chosen)
        places = self._places[name]
        for value in text.unique(maintain_order=True):
            if len(places) == MOST_VALUES:
                break
            places.setdefault(value, len(places))
        codes = text.replace_strict(list(places), list(places.values()), default=-1)
        return codes.to_numpy().astype(np.int16)

    def segments(self) -> tuple[Segments, ...]:
        """Return the columns of segments, with the values so far."""
        return tuple(Segments(name, tuple(places)) for name, places in self._places.items())


def groups_of(table: Table, name: str) -> NDArray[np.int64]:
    """Hash the group of each row, (R,); a row that has none is a group of its own."""
    return (key_places(table, [name], 0, GROUP_KEY) * 2.0**53).astype(np.int64)
