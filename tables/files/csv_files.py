"""CSV: every value as text, and in our own words what is wrong in which row and column."""

import csv
import re
from collections.abc import Sequence
from contextlib import suppress

import polars as pl

from tables.config import TableData
from tables.errors import DataError, Where
from tables.files.csv_structure import START, Before, first_row, lengths, place, same_rows, stray_quote

SEPARATOR_LINE = re.compile(rb'"?sep=([\x01-\x7f])"?\r?', re.IGNORECASE)
"""The first line by which Excel is told the separator."""

LIKELY_SEPARATORS = {";": "';'", "\t": '"\\t"', "|": "'|'", ",": "','"}


def read_csv(content: bytes, data: TableData, path: Where) -> pl.DataFrame:
    """Read all values as text.

    The header is read as a row, so that a name that stands twice shows.

    Args:
        content: of the file, unpacked.
        data: says how it is written.
        path: of the file, for messages.

    Raises:
        DataError: the file is not a table so written.
    """
    content = utf8(content, data, path)
    refuse_other_texts(content, data, path)
    return read_rows(*without_separator_line(content, data, path), path)


def read_rows(content: bytes, data: TableData, path: Where, before: Before = START) -> pl.DataFrame:
    """Read all values of rows in UTF-8 as text; see `read_csv`.

    Args:
        content: whole rows.
        data: says how they are written.
        path: of the file, for messages.
        before: what comes before these rows, for messages.

    Raises:
        DataError: the rows are not so written.
    """
    try:
        frame = pl.read_csv(
            content, has_header=False, infer_schema=False, separator=data.separator, quote_char=data.quote or None
        )
    except pl.exceptions.NoDataError:
        raise DataError(f"{path}: the table is empty") from None
    except (pl.exceptions.PolarsError, pl.exceptions.PanicException, ValueError) as error:  # UnicodeDecodeError is one
        raise DataError(f"{path}: {_problem(content, data, error, before)}") from None
    stray = stray_quote(content, data)
    if stray is not None and not same_rows(frame, content, data):
        raise DataError(f"{path}: {_quote_problem(content, stray, data, before)}")
    if frame.width == 1:
        raise DataError(f"{path}: the table has a single column, {frame[0, 0]!r}; {_other_separator(frame[0, 0])}")
    if not data.fill_short_rows:
        _refuse_short_rows(frame, content, data, path, before)
    names: Sequence[str | None] = data.columns
    if data.header:
        names = data.columns or frame.row(0)
        frame = frame.slice(1)
    return _named(frame, names, data.strip, path)


def utf8(content: bytes, data: TableData, path: Where) -> bytes:
    """Turn the text into UTF-8 without a byte order mark."""
    if data.encoding.lower().replace("_", "-") not in ("utf-8", "utf8"):
        try:
            content = content.decode(data.encoding).encode()
        except (ValueError, LookupError) as error:  # UnicodeError is a ValueError
            raise DataError(f"{path}: the text cannot be read as data.encoding says: {error}") from None
    return content.removeprefix(b"\xef\xbb\xbf")


def refuse_other_texts(content: bytes, data: TableData, path: Where, before: Before = START) -> None:
    """Refuse text that polars would read as one line or as rubbish.

    UTF-16, zero bytes, lines as on an old Macintosh.
    """
    start = content[:1000]
    if content.startswith((b"\xff\xfe", b"\xfe\xff")) or start.count(0) > len(start) / 4:
        raise DataError(f"{path}: the text is UTF-16 or holds zero bytes; set data.encoding, for example to 'utf-16'")
    zero = content.find(b"\0")
    if zero >= 0:
        raise DataError(
            f"{path}: {_where(content, zero, data, before)} holds a zero byte; the file may be damaged, or no text "
            "at all: mend it, or set data.format or data.encoding"
        )
    if b"\r" in content and b"\n" not in content:
        raise DataError(f"{path}: the lines end in a bare carriage return; save the file with line feeds")


def _where(content: bytes, byte: int, data: TableData, before: Before = START) -> str:
    """Describe a byte's place: row, column and line."""
    row, line, column = place(content[:byte], data, before)
    names = data.columns
    if data.header and not names and row:
        names = tuple(first_row(content, data))
    name = f" '{names[column - 1]}'" if column <= len(names) else ""
    return f"{f'row {row}' if row else 'the header'}, column {column}{name} (line {line})"


def without_separator_line(content: bytes, data: TableData, path: Where) -> tuple[bytes, TableData]:
    """Take off Excel's first line, "sep=;", which names the separator."""
    line, _, rest = content.partition(b"\n")
    found = SEPARATOR_LINE.fullmatch(line)
    if found is None:
        return content, data
    separator = found[1].decode()
    if data.separator not in (",", separator):
        raise DataError(
            f"{path}: the first line says that the separator is {separator!r}, and data.separator is "
            f"{data.separator!r}; take the line out, or set data.separator to {separator!r}"
        )
    return rest, data.model_copy(update={"separator": separator})


def _problem(content: bytes, data: TableData, error: Exception, before: Before) -> str:
    """Explain polars' failure: bytes, a row with too many values, or a quote mark."""
    try:
        rows = lengths(content, data, before)
        _, _, width = next(rows)
        for number, line, length in rows:
            if length > width:
                return (
                    f"row {number} has {length} values where the first line has {width} (line {line}); is "
                    "data.separator right? A value that holds the separator stands in quote marks (data.quote)"
                )
    except UnicodeDecodeError as problem:
        where = _where(content, problem.start, data, before)
        return (
            f"the text is not UTF-8 at byte {problem.start + before.bytes}, in {where}; set data.encoding, for "
            "example to 'latin-1' or 'cp1252'"
        )
    except (csv.Error, StopIteration):
        pass
    stray = stray_quote(content, data)
    if stray is not None:
        return _quote_problem(content, stray, data, before)
    return f"the file cannot be read as CSV: {_first_line(error)}; see data.separator, data.quote and data.encoding"


def _quote_problem(content: bytes, stray: int, data: TableData, before: Before) -> str:
    start = max(content.rfind(b"\n", 0, stray) + 1, stray - 20)
    shown = content[start : stray + 20].decode(errors="replace").partition("\n")[0].strip()
    return (
        f"{_where(content, stray, data, before)} holds a quote mark that does not enclose a value: {shown!r}; "
        f"set data.quote to '' if {data.quote} is plain text in this table, or write it twice within a quoted value"
    )


def _refuse_short_rows(frame: pl.DataFrame, content: bytes, data: TableData, path: Where, before: Before) -> None:
    """Refuse a row that ends early, which polars fills up.

    Such a row has nothing in its last column.
    """
    if not frame.to_series(-1).null_count():
        return
    with suppress(csv.Error):  # a value too long for this reader, though not for polars
        for number, line, length in lengths(content, data, before):
            if 0 < length < frame.width:  # an empty line is none
                raise DataError(
                    f"{path}: row {number} has {length} values where the first line has {frame.width} (line {line}); "
                    "mend it, or set data.fill_short_rows to take what it lacks for missing"
                )


def _other_separator(line: str | None) -> str:
    likely = [shown for sign, shown in LIKELY_SEPARATORS.items() if sign in (line or "")]
    return f"is data.separator right?{f' Try {likely[0]}' if likely else ''}"


def _first_line(error: Exception) -> str:
    return "".join(c for c in str(error).strip().partition("\n")[0][:200] if c.isprintable())


def _named(frame: pl.DataFrame, names: Sequence[str | None], strip: bool, path: Where) -> pl.DataFrame:
    if len(names) != frame.width:
        raise DataError(f"{path}: the table has {frame.width} columns and data.columns names {len(names)}; name all")
    trimmed = [(name or "").strip() if strip else (name or "") for name in names]
    for index, name in enumerate(trimmed):
        if not name:
            raise DataError(f"{path}: column {index + 1} has no name; name all columns in data.columns")
        if name in trimmed[:index]:
            raise DataError(
                f"{path}: two columns are named '{name}'; name all columns in data.columns, each differently"
            )
    return frame.rename(dict(zip(frame.columns, trimmed, strict=True)))
