"""Readers of Parquet, Arrow and JSON lines, and a trial of one in a process of its own.

A damaged file can make a reader claim more memory than there is, which aborts the whole process:
no exception is raised. So a child process reads the file first. It imports polars alone, to be
quick. `python table_probe.py KIND < FILE` prints the first line of the error. `python
table_probe.py rows` (or `schema`) reads lines of JSON, [path, kind], and answers each with a line:
the error as JSON text, "" if there is none.
"""

import io
import json
import os
import sys
from collections.abc import Callable, Iterator
from pathlib import Path

import polars as pl

PIECE_ROWS, MOST_ROWS, MOST_PIECES = 131_072, 524_288, 32
"""Rows of a frame that a file is read by, more where it would be read in more pieces than that.

Each piece of Parquet costs a reading of the row group's bytes, and a file may be one row group.
Where groups are smaller than a piece, pieces end as groups do, so that none is read twice.
"""


def read(content: bytes, kind: str) -> pl.DataFrame:
    """Read a file of a kind: "parquet", "arrow" (a file or a stream) or "jsonl".

    Raises:
        BaseException: of many types, pyo3's PanicException among them; it may also abort the
            process.
    """
    file = io.BytesIO(content)
    if kind == "parquet":
        return pl.read_parquet(file)
    if kind == "jsonl":
        return pl.read_ndjson(file, infer_schema_length=None)
    reader: Callable[[io.BytesIO], pl.DataFrame] = pl.read_ipc if content.startswith(b"ARROW1") else pl.read_ipc_stream
    return reader(file)


def scan(path: Path, kind: str) -> pl.LazyFrame:
    """Describe a file without reading its rows; an Arrow stream without index is read whole.

    Raises:
        BaseException: as `read`.
    """
    if kind == "parquet":
        return pl.scan_parquet(path, glob=False, hive_partitioning=False, cache=False)
    with path.open("rb") as file:
        if file.read(6) == b"ARROW1":
            return pl.scan_ipc(path, glob=False, hive_partitioning=False)
    return pl.read_ipc_stream(path).lazy()


def pieces(
    table: pl.LazyFrame, kind: str, start: int, rows: int, most: int = 0, group: int = 0
) -> Iterator[pl.DataFrame]:
    """Read the rows from `start` to `rows`, some at a time: of Parquet `most`, 0 to choose.

    A slice of Parquet reads the pages that it needs; batches of Arrow are read in order, as one
    that is compressed can only be read whole. `group` is as of `group_rows`.
    """
    if kind == "parquet":
        size = most or max(PIECE_ROWS, min(rows // MOST_PIECES, MOST_ROWS))
        size = size // group * group if 0 < group <= size and not most else size
        while start < rows:
            end = min(rows, start + size if most else (start // size + 1) * size)
            yield table.slice(start, end - start).collect()
            start = end
    elif rows > start:
        yield from table.slice(start).collect_batches(chunk_size=PIECE_ROWS, maintain_order=True, engine="streaming")


def group_rows(path: Path, kind: str) -> int:
    """Read how many rows the first row group of a Parquet file has; 0 if nobody knows."""
    if kind != "parquet":
        return 0
    try:
        with path.open("rb") as file:
            size = file.seek(-8, os.SEEK_END)
            length = int.from_bytes(file.read(4), "little")
            file.seek(size - length)
            return Footer(file.read(length)).group_rows()
    except (OSError, ValueError, IndexError, RecursionError):
        return 0


class Footer:
    """Reader of what a Parquet file says of itself, a struct of Thrift's compact protocol.

    Polars does not tell where row groups begin.
    """

    def __init__(self, content: bytes) -> None:
        self._content, self._at = content, 0

    def group_rows(self) -> int:
        """Read the rows of the first row group, field 3 of the first struct of field 4."""
        for field, kind in self._fields():
            if field != 4:
                self._skip(kind)
            elif self._elements()[0]:
                for inner, inner_kind in self._fields():
                    if inner == 3:
                        return self._number() >> 1  # a zigzag number that is not negative
                    self._skip(inner_kind)
        return 0

    def _fields(self) -> Iterator[tuple[int, int]]:
        """Yield number and kind of each field of a struct; who asks has to read or skip it."""
        field = 0
        while head := self._byte():
            field = field + (head >> 4) if head >> 4 else self._number() >> 1
            yield field, head & 15

    def _byte(self) -> int:
        self._at += 1
        return self._content[self._at - 1]

    def _number(self) -> int:
        value = shift = 0
        while (byte := self._byte()) & 128:
            value, shift = value | (byte & 127) << shift, shift + 7
        return value | byte << shift

    def _elements(self) -> tuple[int, int]:
        """Read how many elements a list has, and their kind."""
        head = self._byte()
        count = head >> 4 if head >> 4 < 15 else self._number()
        if count > len(self._content):
            raise ValueError("more elements than bytes")
        return count, head & 15

    def _skip(self, kind: int) -> None:
        if kind in (3, 7):  # a byte, a double
            self._at += 1 if kind == 3 else 8
        elif kind in (4, 5, 6):  # whole numbers
            self._number()
        elif kind == 8:  # bytes
            length = self._number()
            self._at += length
        elif kind in (9, 10):
            count, inner = self._elements()
            for _ in range(count):
                self._skip(3 if inner in (1, 2) else inner)
        elif kind == 12:
            for _, inner in self._fields():
                self._skip(inner)
        elif kind not in (1, 2):  # true and false have no bytes
            raise ValueError(f"kind {kind} is not of this format")


def try_values(frame: pl.DataFrame) -> None:
    """Read all values of a frame."""
    frame.select(pl.col(pl.String).cast(pl.Binary).cast(pl.String))  # bytes that are not UTF-8 show here
    with open(os.devnull, "wb") as nowhere:
        frame.write_ipc(nowhere)


def answer(line: str, all_rows: bool) -> str:
    """Try the file that a line names; returns the first line of the error, "" if there is none."""
    path, kind = json.loads(line)
    try:
        table = scan(Path(path), kind)
        table.collect_schema()
        rows = table.select(pl.len()).collect().item()
        for frame in pieces(table, kind, 0, rows, group=group_rows(Path(path), kind)) if all_rows else ():
            try_values(frame)
    except BaseException as error:
        return str(error).strip().partition("\n")[0] or type(error).__name__
    return ""


def main() -> int:
    """Read standard input, and all its values; returns 1 if the reader refuses it."""
    if sys.argv[1] in ("rows", "schema"):
        for line in sys.stdin:
            print(json.dumps(answer(line, sys.argv[1] == "rows")), flush=True)
        return 0
    try:
        try_values(read(sys.stdin.buffer.read(), sys.argv[1]))
    except BaseException as error:
        print(str(error).strip().partition("\n")[0])
        return 1
    return 0


if __name__ == "__main__":
    sys.exit(main())
