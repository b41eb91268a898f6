"""Readers of one file in pieces: its columns and rows by a first look, then frames in order."""

from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from pathlib import Path

import polars as pl

from tables.config import TableData
from tables.errors import DataError
from tables.files.csv_files import read_csv
from tables.files.typed_files import read_typed
from tables.files.unpack import Kind, kind_of, unpack

PIECE_ROWS = 65_536
"""Most rows of a frame that a typed file is read by."""


@dataclass(frozen=True)
class FileLook:
    """Description of one file by a first look.

    Attributes:
        schema: types by column, in the file's order.
        rows: 0 for a file with none; None for an empty file, which has no columns either.
    """

    path: Path
    kind: Kind
    schema: Mapping[str, pl.DataType]
    rows: int | None


def look(path: Path, data: TableData) -> FileLook:
    """Look at a file: its kind, its columns and how many rows it has."""
    try:
        with path.open("rb") as file:
            head = file.read(4096)
    except OSError as error:
        raise DataError(f"{path}: the file cannot be read: {error.strerror}") from None
    if not head:
        return FileLook(path, "csv", {}, None)
    kind = kind_of(head, path.name, data.format, path)
    if kind in ("parquet", "arrow"):
        scan = _scan(path, kind)
        return FileLook(path, kind, dict(scan.collect_schema()), int(scan.select(pl.len()).collect().item()))
    frame = _whole(path, data)
    return FileLook(path, kind, dict(frame.schema), frame.height)


def frames(file: FileLook, data: TableData, columns: list[str] | None, start: int) -> Iterator[pl.DataFrame]:
    """Read a file from one of its rows on, in frames of any height."""
    if file.kind not in ("parquet", "arrow"):
        frame = _whole(file.path, data)
        yield (frame if columns is None else frame.select(columns)).slice(start)
        return
    scan = _scan(file.path, file.kind)
    scan = scan if columns is None else scan.select(columns)
    for place in range(start, file.rows or 0, PIECE_ROWS):
        yield scan.slice(place, PIECE_ROWS).collect()


def _scan(path: Path, kind: Kind) -> pl.LazyFrame:
    if kind == "arrow":
        return pl.scan_ipc(path, glob=False, hive_partitioning=False)
    return pl.scan_parquet(path, glob=False, hive_partitioning=False, cache=False)


def _whole(path: Path, data: TableData) -> pl.DataFrame:
    raw = path.read_bytes()
    content, name = unpack(raw, path)
    kind = kind_of(content, name, data.format, path)
    return read_csv(content, data, path) if kind == "csv" else read_typed(content, kind, path)
