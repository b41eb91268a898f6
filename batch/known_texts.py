"""Columns of text by their distinct cells, each of which is read once."""

from collections.abc import Callable

import numpy as np
import polars as pl
from numpy.typing import NDArray

MOST_CELLS = 4096
"""Distinct cells that are known of a column, at most; one with more is read cell by cell."""

Texts = NDArray[np.object_]


class KnownTexts:
    """Cells of one column that were met, and what each is to the graph.

    A table repeats few cells of a category over and over. To look one up costs a third of reading
    it anew, and the graph is given one string instead of many equal ones.

    Args:
        read: cells (D,) as they stand in the file -> texts (D,), "" = missing; each by itself.
    """

    def __init__(self, read: Callable[[pl.Series], Texts]) -> None:
        self._read, self._full = read, False
        self._cells = pl.Series([], dtype=pl.String)
        self._codes = pl.Enum(self._cells)
        self._texts: Texts = np.empty(0, np.object_)

    def texts(self, cells: pl.Series) -> Texts | None:
        """Look up cells (R,); None once there are more than MOST_CELLS of them."""
        if self._full or cells.dtype != pl.String:
            return None
        cells = cells.fill_null("")
        codes = cells.cast(self._codes, strict=False)
        if codes.null_count():
            new = cells.filter(codes.is_null()).unique()
            if len(new) + len(self._cells) > MOST_CELLS:
                self._full = True
                return None
            self._cells = pl.concat([self._cells, new])
            self._codes = pl.Enum(self._cells)
            self._texts = np.concatenate([self._texts, self._read(new)])
            codes = cells.cast(self._codes)
        taken: Texts = self._texts[codes.to_physical().to_numpy()]
        return taken
