"""Views of a column of several values a cell, as a list or as text with a separator."""

from dataclasses import dataclass

import numpy as np
import polars as pl
from numpy.typing import NDArray

from tables.columns import plain_text, texts
from tables.distinct import few_values
from tables.errors import DataError
from tables.source import Table


@dataclass(frozen=True)
class Lists:
    """Values of R cells, one cell after another.

    Attributes:
        values: text (V,), none of them null or empty.
        offsets: int64 (R + 1,); cell r has values[offsets[r] : offsets[r + 1]], which may be none.
    """

    values: pl.Series
    offsets: NDArray[np.int64]

    def joined(self, separator: str) -> pl.Series:
        """Join the values of each cell; "" for a cell of none."""
        cells = np.repeat(np.arange(len(self.offsets) - 1), np.diff(self.offsets))
        frame = pl.DataFrame({"cell": cells, "value": self.values})
        filled = frame.group_by("cell", maintain_order=True).agg(pl.col("value").str.join(separator))
        text = pl.Series([""], dtype=pl.String).new_from_index(0, len(self.offsets) - 1)
        return text.scatter(filled["cell"], filled["value"])


def lists(table: Table, name: str, key: str, separator: str) -> Lists:
    """Read a column of lists, or of text in which a separator stands between values.

    Values are trimmed and in Unicode's form NFC; empty ones and those that mean missing are left
    out. A number in a list is text as `texts` writes it.

    Args:
        table: to read from.
        name: of the column.
        key: of the configuration that wants several values, for messages.
        separator: between the values of a cell of text; part of no value of a list.

    Raises:
        DataError: for lists of something without a plain text, or a value with the separator.
    """
    series = table.column(name, key)
    if isinstance(series.dtype, pl.Array):
        series = series.cast(pl.List(series.dtype.inner))
    of_lists = isinstance(series.dtype, pl.List)
    if not of_lists:
        series = texts(table, name, key).str.split(separator)
    lengths = series.list.len().fill_null(0).to_numpy().astype(np.int64)
    values = series.filter(pl.Series(lengths > 0)).explode()
    looked_at = _clean_as_they_are(values, table, name, key)
    if looked_at is None:
        cells = np.repeat(np.arange(len(series)), lengths)
        values = _cleaned(values, table, name, key)
        lengths = np.bincount(cells[values.is_not_null().to_numpy()], minlength=len(series))
        looked_at = values = values.drop_nulls()
    if of_lists and looked_at.str.contains(separator, literal=True).any():
        place = int(values.str.contains(separator, literal=True).arg_max() or 0)
        row = table.row_numbers[np.searchsorted(np.cumsum(lengths), place, side="right")]
        raise DataError(
            f"{key}: column '{name}' holds {values[place]!r} in the list of row {row}, and the separator "
            f"{separator!r} may be part of no value; choose another 'separator' for the column"
        )
    return Lists(values, np.concatenate([[0], np.cumsum(lengths)]).astype(np.int64))


def _clean_as_they_are(values: pl.Series, table: Table, name: str, key: str) -> pl.Series | None:
    """Return the distinct values if they are few, all text, and none of them is to be cleaned."""
    few = few_values(values) if values.dtype == pl.String else None
    if few is None or few.null_count():
        return None
    return few if _cleaned(few, table, name, key).equals(few) else None


def _cleaned(given: pl.Series, table: Table, name: str, key: str) -> pl.Series:
    """Turn values into trimmed text, null where they mean missing."""
    marked = table.markers.mask(given)
    values = plain_text(given, name, key)
    values = values.set(marked, None) if marked.any() else values
    if (values.str.len_bytes() != values.str.len_chars()).any():
        values = values.str.normalize("NFC")
    values = values.str.strip_chars() if table.strip else values
    marked = table.markers.mask(values)
    return values.set(marked, None) if marked.any() else values
