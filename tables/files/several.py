"""Several files as one table: the same columns, types that agree, rows one after another."""

import hashlib
import unicodedata
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path

import polars as pl

from tables.config import TableData
from tables.errors import DataError
from tables.files.dtypes import joined
from tables.files.paths import TableFile, find_files, single_file
from tables.files.readers import FileLook, frames, look

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
    """

    data: TableData
    files: tuple[TableFile, ...]
    looks: tuple[FileLook, ...]
    schema: Mapping[str, pl.DataType]
    notes: tuple[str, ...]
    single: bool

    @property
    def typed(self) -> bool:
        """Whether the files tell numbers from text."""
        return self.looks[0].kind != "csv"

    @property
    def rows(self) -> int:
        """Count the rows of all files."""
        return sum(one.rows or 0 for one in self.looks)

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
        """
        wanted = list(self.schema) if columns is None else list(columns)
        for file, one in zip(self.files, self.looks, strict=True):
            rows = one.rows or 0
            if start >= rows:
                start -= rows
                continue
            names = {unicodedata.normalize("NFC", name): name for name in one.schema}
            given = [names[name] for name in wanted if name in names]
            for frame in frames(one, self.data, given or [next(iter(one.schema))], start):
                yield self._aligned(frame, file, wanted)
            start = 0

    def _aligned(self, frame: pl.DataFrame, file: TableFile, wanted: list[str]) -> pl.DataFrame:
        """Give a file's frame the columns and types of the table."""
        frame = frame.rename({name: unicodedata.normalize("NFC", name) for name in frame.columns})
        values = dict(file.partitions)
        parts = [pl.lit(values[name], pl.String).alias(name) for name in wanted if name in values]
        given = [pl.col(name).cast(self.schema[name]) for name in wanted if name in frame.columns]
        return frame.select(*given, *parts).select(wanted)


def open_files(data: TableData) -> FileSet:
    """Find the files of a table and look at each.

    Raises:
        DataError: there is none, or they are not files of one table.
    """
    files = find_files(data)
    looks = [look(file.path, data) for file in files]
    empty = [file.name for file, one in zip(files, looks, strict=True) if one.rows is None]
    if len(empty) == len(files):
        raise DataError(f"{files[0].path}: the table is empty")
    kept = [(file, one) for file, one in zip(files, looks, strict=True) if one.rows is not None]
    notes = [f"Left out: {len(empty)} empty file{'s' * (len(empty) > 1)}, such as {empty[0]}."] if empty else []
    _same_kind([one for _, one in kept])
    schema = _joined_schema([one for _, one in kept])
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


def _same_kind(looks: Sequence[FileLook]) -> None:
    first = looks[0]
    for one in looks:
        if one.kind != first.kind:
            raise DataError(
                f"{one.path}: the file is {one.kind}, and {first.path} is {first.kind}; a table's files are of one kind"
            )


def _joined_schema(looks: Sequence[FileLook]) -> dict[str, pl.DataType]:
    """Join the types of all files, by names in Unicode's form NFC."""
    first = looks[0]
    schema = _composed(first)
    owner = dict.fromkeys(schema, first.path)
    for one in looks[1:]:
        given = _composed(one)
        if one.kind == "jsonl":  # a key that no row has is missing
            schema |= {name: dtype for name, dtype in given.items() if name not in schema}
        else:
            _same_columns(schema, given, first.path, one.path)
        for name, dtype in given.items():
            both = joined(schema[name], dtype)
            if both is None:
                raise DataError(
                    f"{one.path}: column '{name}' holds {dtype}, and that of {owner.get(name, first.path)} holds "
                    f"{schema[name]}; write both in one type"
                )
            if both != schema[name]:
                schema[name], owner[name] = both, one.path
    return schema


def _composed(one: FileLook) -> dict[str, pl.DataType]:
    names = [unicodedata.normalize("NFC", name) for name in one.schema]
    if twice := next((name for place, name in enumerate(names) if name in names[:place]), None):
        raise DataError(f"{one.path}: two columns are named '{twice}', in two forms of Unicode; name them differently")
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
