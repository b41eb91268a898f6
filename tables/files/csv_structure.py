"""Rows, lines and quote marks of CSV text, as Python's csv module and RFC 4180 see them."""

import csv
import io
from collections.abc import Iterator
from contextlib import suppress
from dataclasses import dataclass
from typing import Any

import numpy as np
import polars as pl

from tables.config import TableData


@dataclass(frozen=True)
class Before:
    """Position in a file of a part of it that is read by itself.

    Attributes:
        rows: that come before it.
        lines: likewise, less those of a header that the part was given.
        bytes: likewise, less those of such a header.
    """

    rows: int = 0
    lines: int = 0
    bytes: int = 0


START = Before()


def lengths(content: bytes, data: TableData, before: Before = START) -> Iterator[tuple[int, int, int]]:
    """Count the values of each row.

    Yields its number (0 for a header), the line it ends in, and the count; 0 on an empty line.

    Raises:
        csv.Error: for a value that is too long for this reader.
        UnicodeDecodeError: for text that is not UTF-8.
    """
    lines = _reader(content.decode(), data)
    for number, row in enumerate(lines, start=0 if data.header else 1):
        yield number and number + before.rows, lines.line_num + before.lines, len(row)


def place(text: bytes, data: TableData, before: Before = START) -> tuple[int, int, int]:
    """Count the row (0 for a header), and line and column from 1, of what follows on some text."""
    lines = _reader(text.decode(errors="replace") + "x", data)
    number, columns = 0, 1
    with suppress(csv.Error):
        for number, row in enumerate(lines, start=0 if data.header else 1):  # noqa: B007
            columns = len(row)
    return number and number + before.rows, text.count(b"\n") + 1 + before.lines, columns


def rows_end(content: bytes, data: TableData) -> int:
    """Find the byte behind the last row that surely ends in some text; 0 if none does."""
    end = len(content)
    if data.quote and data.quote.encode() in content:
        marks = np.frombuffer(content, np.uint8) == ord(data.quote)
        ends = np.flatnonzero(np.frombuffer(content, np.uint8) == ord("\n"))
        outside = ends[np.cumsum(marks, dtype=np.uint8)[ends] % 2 == 0]  # it may run over: only odd or even counts
        end = int(outside[-1]) + 1 if outside.size else 0
        if stray_quote(content[:end], data) is not None or not end:
            return _rows_end_by_reader(content, data)
    return content.rfind(b"\n", 0, end) + 1


def count_rows(content: bytes, data: TableData) -> int:
    """Count the rows of text that ends where a row does, a header among them."""
    unfinished = int(not content.endswith(b"\n"))
    if not data.quote or data.quote.encode() not in content:
        return content.count(b"\n") + unfinished
    if stray_quote(content, data) is not None:
        with suppress(csv.Error):
            return sum(1 for _ in _reader(content.decode(errors="replace"), data))
    text = np.frombuffer(content, np.uint8)
    outside = np.cumsum(text == ord(data.quote), dtype=np.uint8) % 2 == 0
    return int(np.count_nonzero(outside & (text == ord("\n")))) + unfinished


def _rows_end_by_reader(content: bytes, data: TableData) -> int:
    """Find the end of the last whole row as Python's csv module sees it."""
    fed = last = ended = 0

    def lines() -> Iterator[str]:
        nonlocal fed
        for line in io.BytesIO(content):
            fed += len(line)
            yield line.decode(errors="replace")

    with suppress(csv.Error):
        for _ in csv.reader(lines(), **_dialect(data)):
            ended, last = last, fed  # the last row of all may go on behind this text
    return ended


def first_row(content: bytes, data: TableData) -> list[str]:
    """Read the values of the first row."""
    with suppress(csv.Error):
        for row in _reader(content[:100_000].decode(errors="replace"), data):
            return [str(value).strip() for value in row]
    return []


def stray_quote(content: bytes, data: TableData) -> int | None:
    """Find the first quote mark that breaks RFC 4180.

    That has marks around a whole value, or doubled within one.

    Returns:
        The byte at which the value's quoting goes wrong; None where all is well.
    """
    if not data.quote:
        return None
    text = np.frombuffer(content, np.uint8)
    marks = np.flatnonzero(text == ord(data.quote))
    if not marks.size:
        return None
    opening, closing = marks[0::2], marks[1::2]  # a doubled mark closes and opens again
    edge = np.frombuffer(b"\n\n", np.uint8)
    around = np.concatenate([edge[:1], text, edge])  # byte b of the text is at b + 1
    before, after, second = around[opening], around[closing + 2], around[closing + 3]
    ends = [ord(data.separator), ord("\n"), ord(data.quote)]
    wrong = ~np.isin(before, ends)
    wrong[: len(closing)] |= ~(np.isin(after, ends) | ((after == ord("\r")) & (second == ord("\n"))))
    wrong[len(closing) :] = True  # never closed
    return int(opening[np.argmax(wrong)]) if wrong.any() else None


def same_rows(frame: pl.DataFrame, content: bytes, data: TableData) -> bool:
    """Check that Python's csv module reads the same values, row by row."""
    lines = _reader(content.decode(), data)
    with suppress(csv.Error):
        for values in frame.iter_rows():
            row = next(lines, None)
            if row is None or len(row) > len(values):
                return False
            if [*row, *[""] * (len(values) - len(row))] != [value or "" for value in values]:
                return False
        return next(lines, None) is None
    return False


def _reader(text: str, data: TableData) -> Any:
    return csv.reader(io.StringIO(text, newline=""), **_dialect(data))


def _dialect(data: TableData) -> dict[str, Any]:
    quoting: dict[str, Any] = {"quotechar": data.quote} if data.quote else {"quoting": csv.QUOTE_NONE}
    return {"delimiter": data.separator, **quoting}
