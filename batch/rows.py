"""Rows of a table by their numbers, read forwards."""

from collections.abc import Iterator, Sequence
from dataclasses import dataclass

import numpy as np
import polars as pl
from numpy.typing import NDArray

from tables.blocks import blocks_of
from tables.errors import Where
from tables.files.several import FileSet

BLOCK_ROWS = 16_384
"""Rows that are coded and answered together."""

READ_ROWS = 2 * BLOCK_ROWS
"""Rows that are read together of Parquet: half of them cost twice as much each, and more of them
hardly less (measured), but memory."""


@dataclass(frozen=True)
class Block:
    """Rows of a table as they stand in its files.

    Attributes:
        frame: R >= 1 rows.
        row_numbers: int64 (R,), over all files, from 1.
    """

    frame: pl.DataFrame
    row_numbers: NDArray[np.int64]

    def taken(self, places: NDArray[np.intp]) -> "Block":
        """Take the rows at some places."""
        return Block(self.frame[places], self.row_numbers[places])


def is_seekable(files: FileSet) -> bool:
    """Tell whether any row can be read without those before it in its file."""
    return files.looks[0].kind == "parquet"


class RowReader:
    """Reader of spans of a table's rows; cheapest in rising order.

    Text has to be read from a file's first row on, so that a reader of text goes on from where it
    is, or from the file that a span begins in; Parquet is read from any row.

    Args:
        files: of the table.
        columns: to read.
    """

    def __init__(self, files: FileSet, columns: Sequence[str]) -> None:
        self._columns, self._files = list(columns), files
        self._seekable = is_seekable(files)
        self._ends = np.cumsum([look.rows for look in files.looks])
        self._frames: Iterator[pl.DataFrame] = iter(())
        self._held: pl.DataFrame | None = None
        self._at = -1

    def blocks(self, start: int, rows: int) -> Iterator[Block]:
        """Read rows `start` to `start + rows`, counted from 0, in blocks of BLOCK_ROWS."""
        for frame in blocks_of(self._span(start, start + rows), BLOCK_ROWS):
            yield Block(frame, np.arange(start + 1, start + 1 + frame.height))
            start += frame.height

    def place(self, row: int) -> tuple[Where, int]:
        """Return the file that holds a row, numbered from 1, and the row's number there."""
        file = int(np.searchsorted(self._ends, row))
        before = int(self._ends[file - 1]) if file else 0
        return self._files.files[file].where, row - before

    def _span(self, start: int, end: int) -> Iterator[pl.DataFrame]:
        if self._at < 0 or start < self._at or self._is_cheaper_to_open(start):
            stop = end if self._seekable else None
            self._frames, self._held, self._at = self._files.frames(self._columns, start, stop, READ_ROWS), None, start
        while self._at < end:
            frame = self._held if self._held is not None else next(self._frames)
            wanted, self._held = frame.slice(0, end - self._at), None
            if wanted.height < frame.height:
                self._held = frame.slice(wanted.height)
            skipped = max(0, min(start - self._at, wanted.height))
            self._at += wanted.height
            if skipped < wanted.height:
                yield wanted.slice(skipped)

    def _is_cheaper_to_open(self, start: int) -> bool:
        """Tell whether rows further on are reached sooner by opening their file."""
        if self._seekable:
            return True
        now, then = np.searchsorted(self._ends, [self._at, start], side="right")
        return bool(then > now)
