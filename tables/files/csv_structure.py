"""Rows, lines and quote marks of CSV text, as Python's csv module and RFC 4180 see them."""

import csv
import io
from collections.abc import Iterator
from contextlib import suppress
from typing import Any

import numpy as np
import polars as pl

from tables.config import TableData


def lengths(content: bytes, data: TableData) -> Iterator[tuple[int, int, int]]:
    """Count the values of each row.

    Yields its number (0 for a header), the line it ends in, and the count; 0 on an empty line.

    Raises:
        csv.Error: for a value that is too long for this reader.
        UnicodeDecodeError: for text that is not UTF-8.
    """
    lines = _reader(content.decode(), data)
    for number, row in enumerate(lines, start=0 if data.header else 1):
        yield number, lines.line_num, len(row)


def place(before: bytes, data: TableData) -> tuple[int, int, int]:
    """Count the row (0 for a header), and line and column from 1, of what follows on some text."""
    lines = _reader(before.decode(errors="replace") + "x", data)
    number, columns = 0, 1
    with suppress(csv.Error):
        for number, row in enumerate(lines, start=0 if data.header else 1):  # noqa: B007
            columns = len(row)
    return number, before.count(b"\n") + 1, columns


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
    quoting: dict[str, Any] = {"quotechar": data.quote} if data.quote else {"quoting": csv.QUOTE_NONE}
    return csv.reader(io.StringIO(text, newline=""), delimiter=data.separator, **quoting)
