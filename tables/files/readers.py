"""Readers of one file in pieces: its columns and rows by a first look, then frames in order."""

from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path

import polars as pl

from tables.config import TableData
from tables.errors import DataError, Where
from tables.files import table_probe
from tables.files.csv_parts import csv_columns, csv_frames, csv_rows
from tables.files.json_parts import json_frames, json_look
from tables.files.trial import Trial
from tables.files.typed_files import check_end, damaged
from tables.files.unpack import Kind, inner_name, kind_of, pieces


@dataclass(frozen=True)
class FileLook:
    """Description of one file by a first look.

    Attributes:
        kind: None for an empty file.
        schema: types by column, in the file's order.
        rows: header not counted.
    """

    kind: Kind | None
    schema: Mapping[str, pl.DataType]
    rows: int


EMPTY = FileLook(None, {}, 0)


def look(path: Path, where: Where, data: TableData, trial: Trial) -> FileLook:
    """Look at a file: its kind, its columns and how many rows it has.

    Args:
        path: of the file; a Parquet or Arrow file is not packed.
        where: it came from, for messages.
        data: says how it is written.
        trial: in which typed files are tried.

    Raises:
        DataError: the file cannot be read.
    """
    kind = kind_at(path, where, data)
    if kind is None:
        return EMPTY
    if kind == "csv":
        return FileLook(kind, dict.fromkeys(csv_columns(path, where, data), pl.String()), csv_rows(path, where, data))
    if kind == "jsonl":
        return FileLook(kind, *json_look(path, where))
    if kind == "arrow":
        check_end(path, where)
    trial.end(path, kind, where)
    with _explained(kind, where):
        scan = table_probe.scan(path, kind)
        schema, rows = dict(scan.collect_schema()), int(scan.select(pl.len()).collect().item())
    return FileLook(kind, schema, rows)


def kind_at(path: Path, where: Where, data: TableData) -> Kind | None:
    """Determine the kind of a file, as `kind_of`; None if it is empty."""
    head = next(pieces(path, where, 4096), b"")
    return kind_of(head, inner_name(path, where), data.format, where) if head else None


def frames(
    path: Path,
    where: Where,
    file: FileLook,
    data: TableData,
    columns: list[str],
    start: int,
    stop: int | None = None,
    most: int = 0,
) -> Iterator[pl.DataFrame]:
    """Read a file from one of its rows on, in frames of any height.

    Args:
        path: of the file.
        where: it came from, for messages.
        file: as it was found to be.
        data: says how it is written.
        columns: of the file, to read.
        start: first row, from 0.
        stop: row after the last one that is wanted; more may be read, except of Parquet.
        most: rows of a frame of Parquet; 0 to choose.

    Raises:
        DataError: the file cannot be read, or has other rows than before.
    """
    if file.kind in ("csv", "jsonl"):
        rows = 0
        schema = {name: file.schema[name] for name in columns}
        whole = csv_frames(path, where, data) if file.kind == "csv" else json_frames(path, where, schema)
        for frame in whole:
            skipped = max(0, min(start - rows, frame.height))
            rows += frame.height
            yield frame.select(columns).slice(skipped)
        if rows != file.rows:
            raise DataError(f"{where}: the file has {rows:,} rows, and had {file.rows:,} before; it was changed")
    elif file.kind is not None:
        with _explained(file.kind, where):
            scan = table_probe.scan(path, file.kind).select(columns)
            end = file.rows if stop is None else min(stop, file.rows)
            yield from table_probe.pieces(scan, file.kind, start, end, most, table_probe.group_rows(path, file.kind))


@contextmanager
def _explained(kind: Kind, where: Where) -> Iterator[None]:
    """Raise what polars finds wrong with a typed file as an error of ours."""
    assert kind != "csv"
    try:
        yield
    except (pl.exceptions.PolarsError, pl.exceptions.PanicException, OSError) as error:
        raise DataError(f"{where}: {damaged(kind, str(error))}") from None
