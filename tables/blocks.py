"""Blocks of a table that nothing holds whole: as many rows each, however files cut them."""

import math
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, replace
from pathlib import Path

import numpy as np
import polars as pl
from numpy.typing import NDArray

from tables.config import TableData
from tables.errors import DataError
from tables.files.paths import single_file
from tables.files.several import FileSet, open_files
from tables.source import SAMPLE_ROWS, Table, table_of
from tables.suggestion import nearest

BLOCK_ROWS = 65_536
"""Rows of a block; the last one of a table may have fewer."""

LEAST_ROW_BYTES = 2
"""A row of text has two columns at least, with a separator between them, and a line's end."""

PACKED_OR_COLUMNAR = (b"PAR1", b"ARROW1", b"\x1f\x8b", b"PK", b"\xff\xff\xff\xff")


@dataclass(frozen=True)
class Files:
    """Files of one table, ready to be read block by block."""

    data: TableData
    files: FileSet

    @property
    def columns(self) -> tuple[str, ...]:
        """List the columns, partitions last."""
        return tuple(self.files.schema)

    @property
    def dtypes(self) -> Mapping[str, pl.DataType]:
        """Map each column to its type in every block; all are text in CSV."""
        return self.files.schema

    @property
    def rows(self) -> int:
        """Count the rows of all files."""
        return self.files.rows

    @property
    def typed(self) -> bool:
        """Whether the files tell numbers from text, as Parquet does and CSV does not."""
        return self.files.typed

    @property
    def notes(self) -> tuple[str, ...]:
        """List facts worth a line in the report."""
        return self.files.notes

    @property
    def source(self) -> str:
        """Name the table for the record."""
        return self.data.source

    def digest(self) -> str:
        """Compute "sha256:..." over all files, which are read for it; as of `read_table`."""
        return self.files.digest()

    def blocks(self, columns: Sequence[str] | None = None, start_row: int = 0) -> Iterator[Table]:
        """Read blocks of rows in order, each cleaned as a whole table is.

        Block b has the rows b * BLOCK_ROWS on; row numbers count over all files, from 1. What is
        taken from a block's rows for its `sample` depends on the table alone.

        Args:
            columns: to read; None for all.
            start_row: first row, counted from 0; a multiple of BLOCK_ROWS.

        Raises:
            DataError: a file cannot be read, or the table has no such column.
            ValueError: `start_row` is not the first row of a block.
        """
        if start_row % BLOCK_ROWS:
            raise ValueError(f"start_row is {start_row}, expected a multiple of {BLOCK_ROWS}")
        for name in columns or ():
            if name not in self.files.schema:
                raise DataError(f"the table lacks the column '{name}'{nearest(name, list(self.columns))}")
        if not self.rows:
            raise DataError(f"{self.data.paths[0]}: the table has no rows")
        wanted = sample_rows(self.rows)
        for frame in blocks_of(self.files.frames(columns, start_row)):
            yield _block(frame, self, start_row, wanted)
            start_row += frame.height


def open_table(data: TableData, work: Path | None = None) -> Files:
    """Find the files that a configuration names and look at each.

    Args:
        data: names them.
        work: directory for copies of files from object stores and of packed Parquet; None for the
            system's. They are removed with the result.

    Raises:
        DataError: there is none, one cannot be read, or they are not files of one table.
    """
    return Files(data, open_files(data, work))


def large_table(data: TableData) -> Files | None:
    """Find the files of a table of more than `data.stream_above_rows` rows; None for others.

    A file of text is looked at only if it has bytes for so many rows. One by itself that cannot be
    read is not a large table: whoever reads it whole says what is wrong with it.

    Raises:
        DataError: as `open_table`, for several files.
    """
    path = single_file(data)
    if path is not None and _rows_at_most(path) <= data.stream_above_rows:
        return None
    try:
        files = open_table(data)
    except DataError:
        if path is None:
            raise
        return None
    return files if files.rows > data.stream_above_rows else None


def _rows_at_most(path: Path) -> float:
    """Bound the rows of a file by its size; without bound for a columnar or packed one."""
    try:
        with path.open("rb") as file:
            head = file.read(6)
        return math.inf if head.startswith(PACKED_OR_COLUMNAR) else path.stat().st_size / LEAST_ROW_BYTES
    except OSError:
        return 0


def sample_rows(rows: int) -> NDArray[np.int64]:
    """Choose the rows of a table's sample, rising from 0."""
    chosen = np.random.default_rng(0).choice(rows, min(rows, SAMPLE_ROWS), replace=False, shuffle=False)
    return np.sort(chosen).astype(np.int64)


def blocks_of(frames: Iterator[pl.DataFrame], rows: int = BLOCK_ROWS) -> Iterator[pl.DataFrame]:
    """Cut frames of any height anew, into frames of as many rows each; the last may have fewer."""
    held: list[pl.DataFrame] = []
    count = 0
    for frame in frames:
        while count + frame.height >= rows:
            held.append(frame.head(rows - count))
            frame = frame.slice(rows - count)
            yield pl.concat(held, rechunk=True)
            held, count = [], 0
        if frame.height:
            held.append(frame)
            count += frame.height
    if count:
        yield pl.concat(held, rechunk=True)


def _block(frame: pl.DataFrame, files: Files, start: int, wanted: NDArray[np.int64]) -> Table:
    """Make a table of a block; its sample is its share of the whole table's."""
    here = wanted[(wanted >= start) & (wanted < start + frame.height)] - start
    where = files.files.files[0].where
    if start:
        table = table_of(frame, files.data, files.typed, where, sample=here)
    else:  # the first block also has each column's first cells with a marker
        table = table_of(frame, files.data, files.typed, where)
        here = np.union1d(here, table.sample_rows - 1)
    return replace(
        table,
        row_numbers=table.row_numbers + start,
        not_available={name: (count, row + start) for name, (count, row) in table.not_available.items()},
        sample=frame[here],
        sample_rows=here + start + 1,
    )
