"""Coding of a block of rows: columns of a table -> inputs of the graph, as in training."""

from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import replace
from typing import NamedTuple

import numpy as np
import polars as pl
from numpy.typing import NDArray

from batch.job import Reading
from batch.known_texts import KnownTexts, Texts
from batch.rows import Block
from service.artifact.manifest import Manifest
from service.inference.features import Batch
from tables.columns import numbers, texts
from tables.errors import DataError
from tables.lists import lists
from tables.moments import moments
from tables.source import Table, table_of

KEY = "the model"
"""Wants a column's type, in messages of its reader."""

WANTED = {
    "numeric": "expected a number that float32 holds, or a value that means missing",
    "categorical": "expected text, a number, a boolean or a date",
    "hashed": "expected text, a whole number or a date",
    "bag": "expected text, or a list whose values do not hold the separator",
    "datetime": "expected an ISO 8601 date or epoch seconds, in the years 1 to 9999",
}

NO_ROWS = np.zeros(0, np.int64)


class BadCell(NamedTuple):
    """Cell that the model cannot take.

    Attributes:
        place: of its row in the block, from 0.
        feature: empty where the fault lies in the row as a whole.
    """

    place: int
    feature: str
    message: str


Read = Callable[[Table], object]


class Coder:
    """Coder of the rows of one model.

    Args:
        manifest: names the features and their kinds.
        reading: rules by which cells are read.
        typed: whether the table's files tell numbers from text.
    """

    def __init__(self, manifest: Manifest, reading: Reading, typed: bool) -> None:
        self._kinds = {feature.name: feature.kind for feature in manifest.features}
        self._numeric = [feature.name for feature in manifest.numeric]
        self._single = [feature.name for feature in manifest.categorical + manifest.hashed]
        self._separators = {feature.name: feature.separator for feature in manifest.bags}
        self._datetimes = [feature.name for feature in manifest.datetimes]
        self._reading, self._typed = reading, typed
        self._known = KnownTexts(self._single, self._texts_of)

    def code(self, block: Block) -> Batch:
        """Code a block of B >= 1 rows.

        Raises:
            DataError: a cell or a column cannot be read; `bad_cells` finds them.
        """
        rows = block.frame.height
        known = self._known.texts(block.frame)
        table = self._table(block, [name for name in self._kinds if name not in known])
        words = np.empty((rows, len(self._single) + len(self._separators)), np.object_)
        for column, name in enumerate(self._single):
            words[:, column] = known[name] if name in known else _objects(texts(table, name, KEY))
        for column, name in enumerate(self._separators, start=len(self._single)):
            words[:, column] = _objects(self._joined(table, name))
        numeric = [self._numbers(table, name) for name in self._numeric]
        times = [moments(table, name, KEY) for name in self._datetimes]
        return Batch(
            np.column_stack(numeric) if numeric else None,
            words if words.shape[1] else None,
            rows,
            datetime=np.column_stack(times) if times else None,
        )

    def bad_cells(self, block: Block) -> Iterator[BadCell]:
        """Find the cells of a block that cannot be read, feature by feature."""
        table = self._table(block, list(self._kinds))
        for name, kind in self._kinds.items():
            for place in _bad_rows(table, self._reader(name)):
                value = block.frame[name][place]
                shown = repr(value) if isinstance(value, str | int | float) else str(value)
                yield BadCell(place, name, f"{shown[:200]}: {WANTED[kind]}")

    def check_types(self, schema: Mapping[str, pl.DataType]) -> None:
        """Check that the columns of a table are of types that are read.

        Raises:
            DataError: for a type that the feature's kind cannot hold.
        """
        frame = pl.DataFrame(
            {name: [None] for name in self._kinds}, schema={name: schema[name] for name in self._kinds}
        )
        table = self._table(Block(frame, np.ones(1, np.int64)), list(self._kinds))
        for name in self._kinds:
            self._reader(name)(table)

    def _table(self, block: Block, names: Sequence[str]) -> Table:
        """Clean some columns of a block as the trainer cleans them."""
        if not names:
            return Table(pl.DataFrame(), block.row_numbers)
        table = table_of(block.frame.select(names), self._reading.data, self._typed, "", sample=NO_ROWS)
        return replace(table, row_numbers=block.row_numbers)

    def _reader(self, name: str) -> Read:
        """Return what reads the column of a feature."""
        if self._kinds[name] == "numeric":
            return lambda table: self._numbers(table, name)
        if name in self._separators:
            return lambda table: self._joined(table, name)
        if self._kinds[name] == "datetime":
            return lambda table: moments(table, name, KEY)
        return lambda table: texts(table, name, KEY)

    def _numbers(self, table: Table, name: str) -> NDArray[np.float32]:
        """Read numbers as the graph compares them; those that mean missing are NaN."""
        odd_cells = name not in self._reading.strict_numbers
        values = numbers(table, name, KEY, odd_cells=odd_cells).astype(np.float32)
        if table.markers.numbers:
            values[np.isin(values, np.array(table.markers.numbers, np.float64).astype(np.float32))] = np.nan
        return values

    def _joined(self, table: Table, name: str) -> pl.Series:
        return lists(table, name, KEY, self._separators[name]).joined(self._separators[name])

    def _texts_of(self, cells: pl.Series) -> Texts:
        block = Block(cells.to_frame(), np.arange(1, len(cells) + 1))
        return _objects(texts(self._table(block, [cells.name]), cells.name, KEY))


def _bad_rows(table: Table, read: Read) -> Iterator[int]:
    """Find the rows that a reader of one column refuses, rising, by halving."""
    spans = [(0, len(table))]
    while spans:
        start, end = spans.pop()
        part = replace(table, frame=table.frame.slice(start, end - start), row_numbers=table.row_numbers[start:end])
        try:
            read(part)
        except DataError:
            if end - start == 1:
                yield start
            else:
                middle = (start + end) // 2
                spans += [(middle, end), (start, middle)]


def _objects(text: pl.Series) -> Texts:
    """Turn text (R,) into Python's, "" = missing."""
    values: Texts = text.fill_null("").to_numpy()
    return values
