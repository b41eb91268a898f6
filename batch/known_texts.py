"""Columns of text by their distinct cells, each of which is read once."""

from collections.abc import Callable, Sequence

import numpy as np
import polars as pl
from numpy.typing import NDArray

from tables.held_rows import copied

MOST_CELLS = 4096
"""Distinct cells that are known of a column, at most; one with more is read cell by cell."""

Texts = NDArray[np.object_]
Read = Callable[[pl.Series], Texts]


class KnownTexts:
    """Cells that were met in columns of text, and what each is to the graph.

    A table repeats few cells of a category over and over. To look one up costs a third of reading
    it anew, and the graph is given one string instead of many equal ones.

    Args:
        names: of the columns; those that are not text are left out.
        read: cells (D,) of a column as they stand in the file -> texts (D,), "" = missing; each by
            itself.
    """

    def __init__(self, names: Sequence[str], read: Read) -> None:
        self._columns = {name: _Column(name, read) for name in names}

    def texts(self, frame: pl.DataFrame) -> dict[str, Texts]:
        """Look up the cells of R rows; columns with more than MOST_CELLS are absent."""
        columns = {name: column for name, column in self._columns.items() if frame.schema[name] == pl.String}
        coded = frame.select(column.codes for column in columns.values())  # at once: a call costs as 5,000 cells
        found = {}
        for (name, column), codes in zip(columns.items(), coded.iter_columns(), strict=True):
            if codes.null_count():
                if not column.learn(frame[name], codes):
                    del self._columns[name]
                    continue
                codes = frame.select(column.codes).to_series()
            found[name] = column.texts.take(codes.to_numpy())
        return found


class _Column:
    """Known cells of one column.

    Attributes:
        texts: (D,), in the order of their codes.
        codes: cells of a frame -> codes, null for those that are not known.
    """

    def __init__(self, name: str, read: Read) -> None:
        self._name, self._read = name, read
        self._cells = pl.Series([], dtype=pl.String)
        self.texts: Texts = np.empty(0, np.object_)
        self.codes = self._lookup()

    def learn(self, cells: pl.Series, codes: pl.Series) -> bool:
        """Add the cells that have no code; False, and nothing is added, if there are too many."""
        new = cells.fill_null("").filter(codes.is_null()).unique()
        if len(new) + len(self._cells) > MOST_CELLS:
            return False
        new = copied(new.to_frame()).to_series()
        self._cells = pl.concat([self._cells, new])
        self.texts = np.concatenate([self.texts, self._read(new.alias(self._name))])
        self.codes = self._lookup()
        return True

    def _lookup(self) -> pl.Expr:
        return pl.col(self._name).fill_null("").cast(pl.Enum(self._cells), strict=False).to_physical()
