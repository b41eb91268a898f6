"""Several files as one table: the same columns, types that agree, rows one after another."""

import hashlib
import unicodedata
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from itertools import zip_longest
from pathlib import Path

import numpy as np
import polars as pl

from tables.config import TableData
from tables.errors import DataError
from tables.files.dtypes import joined
from tables.files.paths import TableFile, find_files, single_file
from tables.files.readers import FileLook, frames, look
from tables.files.trial import Trial, trial

CHUNK = 1 << 20
"""Bytes that are read of a file at once for its digest."""


@dataclass(frozen=True)
class FileSet:
    """Files of a table, looked at and found to be of one kind.

    Attributes:
        files: those with columns, in the order of their rows.
        looks: at each.
        schema: types by column, in the first file's order, then the partitions.
        notes: facts worth a line in the report.
        single: whether the configuration names one file by itself.
        tried: files of which all values are known to be readable.
    """

    data: TableData
    files: tuple[TableFile, ...]
    looks: tuple[FileLook, ...]
    schema: Mapping[str, pl.DataType]
    notes: tuple[str, ...]
    single: bool
    tried: set[Path] = field(default_factory=set)

    @property
    def typed(self) -> bool:
        """Whether the files tell numbers from text."""
        return self.looks[0].kind != "csv"

    @property
    def rows(self) -> int:
        """Count the rows of all files."""
        return sum(one.rows for one in self.looks)

    def digest(self) -> str:
        """Compute the "sha256:..." digest of names and contents; of one file, of its content."""
        if self.single:
            return f"sha256:{_hash_of(self.files[0].path)}"
        whole = hashlib.sha256()
        for file in self.files:
            whole.update(f"{file.name}\0{_hash_of(file.path)}\n".encode())
        return f"sha256:{whole.hexdigest()}"

    def frames(self, columns: Sequence[str] | None = None, start: int = 0) -> Iterator[pl.DataFrame]:
        """Read the rows from one on, counted from 0, in frames of any height.

        Args:
            columns: to read, in the order of the frames; None for all.
            start: first row, counted over all files.

        Raises:
            DataError: a file cannot be read, or has other rows than at the first look.
        """
        wanted = list(self.schema) if columns is None else list(columns)
        ends = np.cumsum([one.rows for one in self.looks])
        todo = [place for place, end in enumerate(ends) if end > start]
        with trial(rows=True) as ahead:
            for place, later in zip_longest(todo, todo[1:]):
                self._try(ahead, place)
                if later is not None:
                    self._begin(ahead, later)
                skipped = max(0, start - int(ends[place]) + self.looks[place].rows)
                for frame in self._frames_of(place, wanted, skipped):
                    yield self._aligned(frame, self.files[place], wanted)

    def _begin(self, ahead: Trial, place: int) -> None:
        path, kind = self.files[place].path, self.looks[place].kind
        if path not in self.tried and (kind == "parquet" or kind == "arrow"):
            ahead.begin(path, kind)

    def _try(self, ahead: Trial, place: int) -> None:
        """Read all values of a typed file in another process, once."""
        path, kind = self.files[place].path, self.looks[place].kind
        if path not in self.tried and (kind == "parquet" or kind == "arrow"):
            ahead.end(path, kind, path)
            self.tried.add(path)

    def _frames_of(self, place: int, wanted: list[str], start: int) -> Iterator[pl.DataFrame]:
        one = self.looks[place]
        names = {unicodedata.normalize("NFC", name): name for name in one.schema}
        given = [names[name] for name in wanted if name in names]
        path = self.files[place].path
        return frames(path, path, one, self.data, given or [next(iter(one.schema))], start)

    def _aligned(self, frame: pl.DataFrame, file: TableFile, wanted: list[str]) -> pl.DataFrame:
        """Give a file's frame the columns and types of the table."""
        frame = frame.rename({name: unicodedata.normalize("NFC", name) for name in frame.columns})
        values = dict(file.partitions)
        columns = [
            pl.lit(values[name], pl.String).alias(name)
            if name in values
            else pl.col(name).cast(self.schema[name])
            if name in frame.columns
            else pl.lit(None, self.schema[name]).alias(name)
            for name in wanted
        ]
        return frame.with_columns(columns).select(wanted)


def open_files(data: TableData) -> FileSet:
    """Find the files of a table and look at each.

    Raises:
        DataError: there is none, or they are not files of one table.
    """
    files = find_files(data)
    with trial(rows=False) as first:
        looks = [look(file.path, file.path, data, first) for file in files]
    empty = [file.name for file, one in zip(files, looks, strict=True) if one.kind is None]
    if len(empty) == len(files):
        raise DataError(f"{files[0].path}: the table is empty")
    kept = [(file, one) for file, one in zip(files, looks, strict=True) if one.kind is not None]
    notes = [f"Left out: {len(empty)} empty file{'s' * (len(empty) > 1)}, such as {empty[0]}."] if empty else []
    _same_kind(kept)
    schema = _joined_schema(kept)
    partitions = dict(kept[0][0].partitions)
    if clash := next((name for name in partitions if name in schema), None):
        raise DataError(
            f"{kept[0][0].path}: the folder names a column '{clash}', and the file has one of that name too; rename one"
        )
    return FileSet(
        data,
        tuple(file for file, _ in kept),
        tuple(one for _, one in kept),
        {**schema, **{name: pl.String() for name in partitions}},
        tuple(notes),
        single_file(data) is not None,
    )


def _same_kind(looks: Sequence[tuple[TableFile, FileLook]]) -> None:
    first, kind = looks[0][0], looks[0][1].kind
    for file, one in looks:
        if one.kind != kind:
            raise DataError(
                f"{file.path}: the file is {one.kind}, and {first.path} is {kind}; a table's files are of one kind"
            )


def _joined_schema(looks: Sequence[tuple[TableFile, FileLook]]) -> dict[str, pl.DataType]:
    """Join the types of all files, by names in Unicode's form NFC."""
    first = looks[0][0].path
    schema = _composed(*looks[0])
    owner = dict.fromkeys(schema, first)
    for file, one in looks[1:]:
        given, lines = _composed(file, one), one.kind == "jsonl"
        if lines:  # a key that no row has is missing
            schema |= {name: dtype for name, dtype in given.items() if name not in schema}
        else:
            _same_columns(schema, given, first, file.path)
        for name, dtype in given.items():
            both = joined(schema[name], dtype, loosely=lines)
            if both is None:
                raise DataError(
                    f"{file.path}: column '{name}' holds {dtype}, and that of {owner.get(name, first)} holds "
                    f"{schema[name]}; write both in one type"
                )
            if both != schema[name]:
                schema[name], owner[name] = both, file.path
    return schema


def _composed(file: TableFile, one: FileLook) -> dict[str, pl.DataType]:
    names = [unicodedata.normalize("NFC", name) for name in one.schema]
    if twice := next((name for place, name in enumerate(names) if name in names[:place]), None):
        raise DataError(f"{file.path}: two columns are named '{twice}', in two forms of Unicode; name them differently")
    return dict(zip(names, one.schema.values(), strict=True))


def _same_columns(schema: Mapping[str, pl.DataType], given: Mapping[str, pl.DataType], first: Path, path: Path) -> None:
    lacking = next((name for name in schema if name not in given), None)
    if lacking is not None:
        raise DataError(f"{path}: the file lacks the column '{lacking}', which {first} has; all files have the same")
    extra = next((name for name in given if name not in schema), None)
    if extra is not None:
        raise DataError(f"{path}: the file has a column '{extra}', which {first} lacks; all files have the same")


def _hash_of(path: Path) -> str:
    digest = hashlib.sha256()
    with path.open("rb") as file:
        while chunk := file.read(CHUNK):
            digest.update(chunk)
    return digest.hexdigest()
