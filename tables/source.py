"""Source table: files read into trimmed values, missing ones null."""

import hashlib
import unicodedata
from collections.abc import Mapping
from dataclasses import dataclass, field, replace

import numpy as np
import polars as pl
from numpy.typing import NDArray

from tables.cleaning import clean
from tables.config import TableData
from tables.errors import DataError, Where
from tables.files.csv_files import read_csv
from tables.files.paths import single_file
from tables.files.several import open_files
from tables.files.typed_files import read_typed
from tables.files.unpack import kind_of, unpack
from tables.held_rows import copied
from tables.missing import NONE, Markers, markers_of
from tables.numerals import PLAIN, Numerals
from tables.suggestion import nearest

SAMPLE_ROWS, MARKED_ROWS = 1000, 20
"""Rows of the sample: of all rows, and beyond these of each column's rows with a marker."""


@dataclass(frozen=True)
class Table:
    """Rows of a file, or some of them, with the number that each goes by in a message.

    Attributes:
        frame: the columns; text is trimmed and missing text is null.
        row_numbers: int64, place of each row in the file, from 1, the header not counted.
        markers: what means missing.
        numerals: convention of numbers in columns of text.
        not_available: how many cells of a column hold "NA" where that means missing by default,
            and the row of the first.
        sample: some rows of the file as they stand there, before anything was done to them.
        sample_rows: int64, their row numbers, rising.
        typed: whether the file itself tells numbers from text, as Parquet does and CSV does not.
        strip: whether blanks around a value are nothing.
        notes: facts on the files worth a line in the report.
    """

    frame: pl.DataFrame
    row_numbers: NDArray[np.int64]
    markers: Markers = NONE
    numerals: Numerals = PLAIN
    typed: bool = False
    not_available: Mapping[str, tuple[int, int]] = field(default_factory=dict)
    sample: pl.DataFrame = field(default_factory=pl.DataFrame)
    sample_rows: NDArray[np.int64] = field(default_factory=lambda: np.zeros(0, np.int64))
    strip: bool = True
    notes: tuple[str, ...] = ()

    def __len__(self) -> int:
        return self.frame.height

    def keep(self, mask: NDArray[np.bool_]) -> "Table":
        """Take the rows where the mask is true."""
        return replace(self, frame=self.frame.filter(pl.Series(mask)), row_numbers=self.row_numbers[mask])

    def copy(self, mask: NDArray[np.bool_]) -> "Table":
        """Copy the rows where the mask is true, and the sample, without the others' text."""
        taken = self.keep(mask)
        return replace(taken, frame=copied(taken.frame), sample=copied(self.sample))

    def column(self, name: str, key: str) -> pl.Series:
        """Look up a column.

        A DataError says which configuration key names one that is not there.
        """
        if name not in self.frame.columns:
            raise DataError(
                f"{key} names the column '{name}', which the table lacks{nearest(name, self.frame.columns)}"
            )
        return self.frame[name]


def read_table(data: TableData) -> tuple[Table, str]:
    """Read all rows of the files that the configuration names.

    Returns:
        The table, and the "sha256:..." digest of the file or files.

    Raises:
        DataError: if a file cannot be read, or its columns are not as configured.
    """
    path = single_file(data)
    if path is None:
        files = open_files(data)
        frame = pl.concat(list(files.frames()), rechunk=True) if files.rows else pl.DataFrame(schema=files.schema)
        return table_of(frame, data, files.typed, data.paths[0], files.notes), files.digest()
    try:
        raw = path.read_bytes()
    except OSError as error:
        raise DataError(
            f"{path}: the table cannot be read: {error.strerror}; set data.path, or MMOE_DATA to the directory it is in"
        ) from None
    content, name = unpack(raw, path)
    kind = kind_of(content, name, data.format, path)
    frame = read_csv(content, data, path) if kind == "csv" else read_typed(content, kind, path)
    return table_of(frame, data, kind != "csv", path), f"sha256:{hashlib.sha256(raw).hexdigest()}"


def table_of(
    frame: pl.DataFrame,
    data: TableData,
    typed: bool,
    path: Where,
    notes: tuple[str, ...] = (),
    sample: NDArray[np.int64] | None = None,
) -> Table:
    """Make a table of a file's frame: names composed, values trimmed, missing ones null.

    Args:
        frame: of the file.
        data: says how its values are read.
        typed: whether the file tells numbers from text.
        path: of the file, for messages.
        notes: facts worth a line in the report.
        sample: rows of the table's sample, rising from 0; None to choose them.

    Raises:
        DataError: it has no rows, or two names are one.
    """
    if not frame.height:
        raise DataError(f"{path}: the table has no rows")
    frame = _with_composed_names(frame, path)
    markers = markers_of(data)
    cleaned, not_available = clean(frame, data, markers)
    sample = _sample(frame, cleaned) if sample is None else sample
    return Table(
        cleaned,
        np.arange(1, frame.height + 1),
        markers,
        Numerals(data.decimal, data.thousands),
        typed,
        not_available,
        frame[sample],
        sample + 1,
        data.strip,
        notes,
    )


def _with_composed_names(frame: pl.DataFrame, path: Where) -> pl.DataFrame:
    """Write the columns' names in Unicode's form NFC, as the configuration is read."""
    names = [unicodedata.normalize("NFC", name) for name in frame.columns]
    if twice := next((name for place, name in enumerate(names) if name in names[:place]), None):
        raise DataError(f"{path}: two columns are named '{twice}', in two forms of Unicode; name them differently")
    return frame.rename(dict(zip(frame.columns, names, strict=True)))


def _sample(frame: pl.DataFrame, cleaned: pl.DataFrame) -> NDArray[np.int64]:
    """Choose sample rows, rising from 0.

    At random, and for each column a few of whose cells a marker was taken away.
    """
    chosen = np.random.default_rng(0).permutation(frame.height)[:SAMPLE_ROWS]
    marked = [
        (given.is_not_null() & read.is_null()).arg_true().head(MARKED_ROWS).to_numpy()
        for given, read in zip(frame.iter_columns(), cleaned.iter_columns(), strict=True)
    ]
    return np.unique(np.concatenate([chosen, *marked])).astype(np.int64)
