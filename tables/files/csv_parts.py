"""CSV in parts: whole rows of a few megabytes at a time, each read as a file of its own."""

import codecs
import csv
import io
from collections.abc import Iterator
from dataclasses import dataclass
from itertools import chain
from pathlib import Path

import polars as pl

from tables.config import TableData
from tables.errors import DataError, Where
from tables.files.csv_files import read_rows, refuse_other_texts, without_separator_line
from tables.files.csv_structure import Before, count_rows, rows_end
from tables.files.unpack import pieces

PIECE_BYTES = 8 << 20
"""Bytes that are read at once."""

MOST_PIECES = 32
"""Pieces in which a row must end; else the text is read as it is, and what is wrong is said."""


@dataclass(frozen=True)
class _Part:
    """Whole rows in UTF-8, and what comes before them; the first part has the header if any."""

    content: bytes
    data: TableData
    before: Before


def csv_frames(path: Path, where: Where, data: TableData) -> Iterator[pl.DataFrame]:
    """Read a file's rows in order, in frames of any height.

    Args:
        path: of the file.
        where: it came from, for messages.
        data: says how it is written.

    Raises:
        DataError: as `read_csv`.
    """
    names: list[str] = []
    for part in _parts(path, where, data):
        if not names:
            refuse_other_texts(part.content, part.data, where)
            frame = read_rows(part.content, part.data, where, part.before)
            names = frame.columns
        else:
            frame = _later_rows(part, names, where)
        yield frame


def csv_columns(path: Path, where: Where, data: TableData) -> list[str]:
    """Read the names of a file's columns."""
    return next(csv_frames(path, where, data)).columns


def csv_rows(path: Path, where: Where, data: TableData) -> int:
    """Count a file's rows without reading their values."""
    return sum(count_rows(part.content, part.data) for part in _parts(path, where, data)) - data.header


def _later_rows(part: _Part, names: list[str], where: Where) -> pl.DataFrame:
    """Read a part other than the first, under a header made of the names."""
    header = _line(names, part.data)
    data = part.data.model_copy(update={"header": True, "columns": ()})
    before = Before(part.before.rows, part.before.lines - header.count(b"\n"), part.before.bytes - len(header))
    refuse_other_texts(header + part.content, data, where, before)
    return read_rows(header + part.content, data, where, before)


def _line(names: list[str], data: TableData) -> bytes:
    text = io.StringIO()
    if data.quote:
        csv.writer(text, delimiter=data.separator, quotechar=data.quote, lineterminator="\n").writerow(names)
    else:
        text.write(data.separator.join(names) + "\n")
    return text.getvalue().encode()


def _parts(path: Path, where: Where, data: TableData) -> Iterator[_Part]:
    """Cut a file into parts; there is one at least."""
    before, held, waited = Before(), b"", 0
    texts = _in_utf8(path, where, data)
    if start := next(texts, b""):
        refuse_other_texts(start, data, where)
        held, data = without_separator_line(start, data, where)
        before = Before(0, start.count(b"\n") - held.count(b"\n"), len(start) - len(held))
    if not held:
        raise DataError(f"{where}: the table is empty")
    header = data.header
    for text in chain(texts, [None]):
        waited += 1
        end = len(held) if text is None or waited >= MOST_PIECES else rows_end(held, data)
        if end:
            part, held, waited = held[:end], held[end:], 0
            yield _Part(part, data, before)
            rows = before.rows + count_rows(part, data) - header
            before, header = Before(rows, before.lines + part.count(b"\n"), before.bytes + len(part)), False
        held += text or b""


def _in_utf8(path: Path, where: Where, data: TableData) -> Iterator[bytes]:
    """Read a file in pieces of UTF-8 without a byte order mark."""
    mark = b"\xef\xbb\xbf"
    if data.encoding.lower().replace("_", "-") in ("utf-8", "utf8"):
        for number, piece in enumerate(pieces(path, where, PIECE_BYTES)):
            yield piece if number else piece.removeprefix(mark)
        return
    try:
        decoder = codecs.getincrementaldecoder(data.encoding)()
        for number, piece in enumerate(pieces(path, where, PIECE_BYTES)):
            text = decoder.decode(piece).encode()
            yield text if number else text.removeprefix(mark)
        decoder.decode(b"", final=True)
    except (ValueError, LookupError) as error:
        raise DataError(f"{where}: the text cannot be read as data.encoding says: {error}") from None
