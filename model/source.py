"""Read a CSV or Parquet file into a table of trimmed values, missing ones marked."""

import csv
import gzip
import hashlib
import io
import os
import unicodedata
import zipfile
import zlib
from collections.abc import Iterator, Mapping, Sequence
from contextlib import suppress
from dataclasses import dataclass, field, replace
from pathlib import Path

import numpy as np
import polars as pl
from numpy.typing import NDArray

from model.data_config import TableData
from model.errors import DataError
from model.explain import nearest
from model.missing import NONE, Markers, markers_of
from model.numerals import PLAIN, Numerals


@dataclass(frozen=True)
class Table:
    """Hold the rows of a file, or some of them, and the name that each goes by in a message.

    Attributes:
        frame: the columns; text is trimmed and missing text is null.
        row_numbers: int64, place of each row in the file, from 1, the header not counted.
        markers: what means missing.
        numerals: convention of numbers in columns of text.
        not_available: how many cells of a column hold "NA" where that means missing by default, and the row of the
            first.
        typed: whether the file itself tells numbers from text, as Parquet does and CSV does not.
    """

    frame: pl.DataFrame
    row_numbers: NDArray[np.int64]
    markers: Markers = NONE
    numerals: Numerals = PLAIN
    typed: bool = False
    not_available: Mapping[str, tuple[int, int]] = field(default_factory=dict)

    def __len__(self) -> int:
        return self.frame.height

    def keep(self, mask: NDArray[np.bool_]) -> "Table":
        """Take the rows where the mask is true."""
        return replace(self, frame=self.frame.filter(pl.Series(mask)), row_numbers=self.row_numbers[mask])

    def column(self, name: str, key: str) -> pl.Series:
        """Look up a column; a DataError says which configuration key names one that is not there."""
        if name not in self.frame.columns:
            raise DataError(
                f"{key} names the column '{name}', which the table lacks{nearest(name, self.frame.columns)}"
            )
        return self.frame[name]


def locate(path: str) -> Path:
    """Resolve a relative path against the directory in MMOE_DATA, else against the working directory."""
    return Path(os.environ.get("MMOE_DATA", "")) / path


def read_table(data: TableData) -> tuple[Table, str]:
    """Read the file that the configuration names.

    Returns:
        The table, and the "sha256:..." digest of the file.

    Raises:
        DataError: if the file cannot be read, or its columns are not as configured.
    """
    path = locate(data.path)
    try:
        raw = path.read_bytes()
    except OSError as error:
        raise DataError(
            f"{path}: the table cannot be read: {error.strerror}; set data.path, or MMOE_DATA to the directory it is in"
        ) from None
    content = _unpack(raw, path)
    parquet = content.startswith(b"PAR1") if data.format == "auto" else data.format == "parquet"
    frame = _read_parquet(content, path) if parquet else _read_csv(content, data, path)
    if not frame.height:
        raise DataError(f"{path}: the table has no rows")
    frame = _with_composed_names(frame, path)
    markers = markers_of(data)
    not_available = {} if data.missing_only is not None or "NA" in data.missing else _not_available(frame)
    frame = frame.with_columns(_clean(series, markers, data.strip) for series in frame.iter_columns())
    numerals = Numerals(data.decimal, data.thousands)
    table = Table(frame, np.arange(1, frame.height + 1), markers, numerals, parquet, not_available)
    return table, f"sha256:{hashlib.sha256(raw).hexdigest()}"


def _unpack(raw: bytes, path: Path) -> bytes:
    try:
        if raw.startswith(b"\x1f\x8b"):
            return gzip.decompress(raw)
        if raw.startswith((b"PK\x03\x04", b"PK\x05\x06")):
            return _unzip(raw, path)
    except (OSError, EOFError, zlib.error, zipfile.BadZipFile, RuntimeError) as error:
        raise DataError(f"{path}: the file cannot be unpacked: {error}") from None
    return raw


def _unzip(raw: bytes, path: Path) -> bytes:
    with zipfile.ZipFile(io.BytesIO(raw)) as archive:
        members = [n for n in archive.namelist() if not n.endswith("/") and not n.startswith("__MACOSX/")]
        if len(members) != 1:
            listed = ", ".join(members[:5]) or "nothing"
            raise DataError(f"{path}: the archive holds {listed}, expected exactly one table; unpack the one to use")
        return archive.read(members[0])


def _read_parquet(content: bytes, path: Path) -> pl.DataFrame:
    try:
        return pl.read_parquet(io.BytesIO(content))
    except (pl.exceptions.PolarsError, OSError) as error:
        raise DataError(f"{path}: the file is no Parquet table: {_first_line(error)}") from None


def _read_csv(content: bytes, data: TableData, path: Path) -> pl.DataFrame:
    """Read all values as text; the header is read as a row, so that a name that stands twice shows."""
    if data.encoding.lower().replace("_", "-") not in ("utf-8", "utf8"):
        try:
            content = content.decode(data.encoding).encode()
        except (UnicodeDecodeError, LookupError) as error:
            raise DataError(f"{path}: the text cannot be read as data.encoding says: {error}") from None
    _refuse_other_texts(content, path)
    try:
        frame = pl.read_csv(content, has_header=False, infer_schema=False, separator=data.separator)
    except pl.exceptions.NoDataError:
        raise DataError(f"{path}: the table is empty") from None
    except (pl.exceptions.PolarsError, UnicodeDecodeError) as error:
        raise DataError(f"{path}: {_csv_problem(content, data, error)}") from None
    if frame.width == 1:
        raise DataError(f"{path}: the table has a single column, {frame[0, 0]!r}; is data.separator right?")
    if not data.fill_short_rows:
        _refuse_short_rows(frame, content, data, path)
    names: Sequence[str | None] = data.columns
    if data.header:
        names = data.columns or frame.row(0)
        frame = frame.slice(1)
    return _named(frame, names, data.strip, path)


def _refuse_other_texts(content: bytes, path: Path) -> None:
    """Refuse what polars would read as one line or as rubbish: UTF-16, and lines that end as on an old Macintosh."""
    if content.startswith((b"\xff\xfe", b"\xfe\xff")) or b"\0" in content[:1000]:
        raise DataError(f"{path}: the text is UTF-16 or holds zero bytes; set data.encoding, for example to 'utf-16'")
    if b"\r" in content and b"\n" not in content:
        raise DataError(f"{path}: the lines end in a bare carriage return; save the file with line feeds")


def _named(frame: pl.DataFrame, names: Sequence[str | None], strip: bool, path: Path) -> pl.DataFrame:
    if len(names) != frame.width:
        raise DataError(f"{path}: the table has {frame.width} columns and data.columns names {len(names)}; name all")
    trimmed = [(name or "").strip() if strip else (name or "") for name in names]
    for place, name in enumerate(trimmed):
        if not name:
            raise DataError(f"{path}: column {place + 1} has no name; name all columns in data.columns")
        if name in trimmed[:place]:
            raise DataError(
                f"{path}: two columns are named '{name}'; name all columns in data.columns, each differently"
            )
    return frame.rename(dict(zip(frame.columns, trimmed, strict=True)))


def _csv_problem(content: bytes, data: TableData, error: Exception) -> str:
    """Say what polars could not read, with the first row that has too many values if that is the reason."""
    try:
        lengths = _lengths(content, data)
        _, width = next(lengths)
        for number, length in lengths:
            if length > width:
                return f"row {number} has {length} values where the first line has {width}; is data.separator right?"
    except UnicodeDecodeError as problem:
        return f"the text is not UTF-8 at byte {problem.start}; set data.encoding, for example to 'latin-1'"
    except (csv.Error, StopIteration):
        pass
    return f"the file is no CSV table: {_first_line(error)}"


def _refuse_short_rows(frame: pl.DataFrame, content: bytes, data: TableData, path: Path) -> None:
    """Refuse a row that ends early, which polars fills up; such a row has nothing in its last column."""
    if not frame.to_series(-1).null_count():
        return
    with suppress(csv.Error):  # a value too long for this reader, though not for polars
        for number, length in _lengths(content, data):
            if 0 < length < frame.width:  # an empty line is none
                raise DataError(
                    f"{path}: row {number} has {length} values where the first line has {frame.width}; mend it, or "
                    "set data.fill_short_rows to take what it lacks for missing"
                )


def _lengths(content: bytes, data: TableData) -> Iterator[tuple[int, int]]:
    """Count the values of each line: pairs of the row's number, 0 for a header, and the count; 0 on an empty line."""
    lines = csv.reader(io.StringIO(content.decode("utf-8-sig"), newline=""), delimiter=data.separator)
    return enumerate(map(len, lines), start=0 if data.header else 1)


def _with_composed_names(frame: pl.DataFrame, path: Path) -> pl.DataFrame:
    """Write the columns' names in Unicode's form NFC, as the configuration is read."""
    names = [unicodedata.normalize("NFC", name) for name in frame.columns]
    if twice := next((name for place, name in enumerate(names) if name in names[:place]), None):
        raise DataError(f"{path}: two columns are named '{twice}', in two forms of Unicode; name them differently")
    return frame.rename(dict(zip(frame.columns, names, strict=True)))


def _not_available(frame: pl.DataFrame) -> dict[str, tuple[int, int]]:
    """Find the columns of text that hold "NA": how many cells, and the row of the first, from 1."""
    found = {}
    for series in frame.iter_columns():
        if series.dtype == pl.String and (count := int((series == "NA").sum())):
            found[series.name] = (count, int((series == "NA").arg_max() or 0) + 1)
    return found


def _clean(series: pl.Series, markers: Markers, strip: bool) -> pl.Series:
    """Make values that mean "no value" null, in columns of every type; text is trimmed and in Unicode's form NFC."""
    if series.dtype in (pl.Categorical, pl.Enum):
        series = series.cast(pl.String)
    if series.dtype == pl.String:
        series = series.str.normalize("NFC")
        series = series.str.strip_chars() if strip else series
    elif series.dtype.is_float():
        series = series.fill_nan(None)
    marked = markers.mask(series)
    return series.set(marked, None) if marked.any() else series


def _first_line(error: Exception) -> str:
    return str(error).strip().partition("\n")[0]
