"""Several files as one table: the same columns, types that agree, rows one after another."""

import hashlib
import math
import unicodedata
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from itertools import zip_longest
from pathlib import Path

import numpy as np
import polars as pl

from tables.config import TableData
from tables.errors import DataError, Where
from tables.files.copies import Copies
from tables.files.dtypes import joined
from tables.files.paths import TableFile, find_files, named_alone
from tables.files.readers import FileLook, frames, look
from tables.files.trial import Trial, trial


@dataclass(frozen=True)
class FileSet:
    """Files of a table, looked at and found to be of one kind.

    Attributes:
        files: those with columns, in the order of their rows.
        looks: at each.
        schema: types by column, in the first file's order, then the partitions.
        notes: facts worth a line in the report.
        single: whether the configuration names one file by itself.
        copies: of files that cannot be read where they are.
        tried: paths and addresses of files of which all values are known to be readable.
    """

    data: TableData
    files: tuple[TableFile, ...]
    looks: tuple[FileLook, ...]
    schema: Mapping[str, pl.DataType]
    notes: tuple[str, ...]
    single: bool
    copies: Copies
    tried: set[Where] = field(default_factory=set)

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
            return f"sha256:{self.copies.sha256(self.files[0])}"
        whole = hashlib.sha256()
        for file in self.files:
            whole.update(f"{file.name}\0{self.copies.sha256(file)}\n".encode())
        return f"sha256:{whole.hexdigest()}"

    def frames(
        self, columns: Sequence[str] | None = None, start: int = 0, stop: int | None = None, most: int = 0
    ) -> Iterator[pl.DataFrame]:
        """Read the rows from one on, counted from 0, in frames of any height.

        Args:
            columns: to read, in the order of the frames; None for all.
            start: first row, counted over all files.
            stop: row after the last one that is wanted; None for all. More may be read, except of
                Parquet.
            most: rows of a frame of Parquet; 0 to choose, by what is quickest.

        Raises:
            DataError: a file cannot be read, or has other rows than at the first look.
        """
        wanted = list(self.schema) if columns is None else list(columns)
        ends = np.cumsum([one.rows for one in self.looks])
        begins = ends - [one.rows for one in self.looks]
        last = math.inf if stop is None else stop
        todo = [place for place, end in enumerate(ends) if end > start and begins[place] < last]
        with trial(rows=True) as ahead:
            for place, later in zip_longest(todo, todo[1:]):
                file, one = self.files[place], self.looks[place]
                path = self.copies.readable(file, self.data)
                if file.where not in self.tried and (one.kind == "parquet" or one.kind == "arrow"):
                    ahead.end(path, one.kind, file.where)
                    self.tried.add(file.where)
                if later is not None:
                    self._begin(ahead, later)
                given = _given(one, wanted)
                begin = int(begins[place])
                first, end = max(0, start - begin), None if stop is None else stop - begin
                for frame in frames(path, file.where, one, self.data, given, first, end, most):
                    yield self._aligned(frame, file, wanted)

    def _begin(self, ahead: Trial, place: int) -> None:
        """Start to try a file that is read next, if it is at hand."""
        file, kind = self.files[place], self.looks[place].kind
        if file.stored is not None or file.where in self.tried:
            return
        if (kind == "parquet" or kind == "arrow") and self.copies.readable(file, self.data) == file.path:
            ahead.begin(file.path, kind)

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


def open_files(data: TableData, work: Path | None = None) -> FileSet:
    """Find the files of a table and look at each.

    Args:
        data: names them.
        work: directory for copies of files that cannot be read where they are; None for the
            system's.

    Raises:
        DataError: there is none, or they are not files of one table.
    """
    files, copies = find_files(data), Copies(work)
    with trial(rows=False) as first:
        looks = [look(copies.readable(file, data), file.where, data, first) for file in files]
    empty = [file.name for file, one in zip(files, looks, strict=True) if one.kind is None]
    if len(empty) == len(files):
        raise DataError(f"{files[0].where}: the table is empty")
    kept = [(file, one) for file, one in zip(files, looks, strict=True) if one.kind is not None]
    notes = [f"Left out: {len(empty)} empty file{'s' * (len(empty) > 1)}, such as {empty[0]}."] if empty else []
    _same_kind(kept)
    schema = _joined_schema(kept)
    partitions = dict(kept[0][0].partitions)
    if clash := next((name for name in partitions if name in schema), None):
        raise DataError(
            f"{kept[0][0].where}: the folder names a column '{clash}', and the file has one of that name too; rename "
            "one"
        )
    return FileSet(
        data,
        tuple(file for file, _ in kept),
        tuple(one for _, one in kept),
        {**schema, **{name: pl.String() for name in partitions}},
        tuple(notes),
        len(files) == 1 and named_alone(data, files[0]),
        copies,
    )


def _given(one: FileLook, wanted: Sequence[str]) -> list[str]:
    """List the wanted columns that a file has, by its names for them; never none."""
    names = {unicodedata.normalize("NFC", name): name for name in one.schema}
    return [names[name] for name in wanted if name in names] or [next(iter(one.schema))]


def _same_kind(looks: Sequence[tuple[TableFile, FileLook]]) -> None:
    first, kind = looks[0][0], looks[0][1].kind
    for file, one in looks:
        if one.kind != kind:
            raise DataError(
                f"{file.where}: the file is {one.kind}, and {first.where} is {kind}; a table's files are of one kind"
            )


def _joined_schema(looks: Sequence[tuple[TableFile, FileLook]]) -> dict[str, pl.DataType]:
    """Join the types of all files, by names in Unicode's form NFC."""
    first = looks[0][0].where
    schema = _composed(*looks[0])
    owner = dict.fromkeys(schema, first)
    for file, one in looks[1:]:
        given, lines = _composed(file, one), one.kind == "jsonl"
        if lines:  # a key that no row has is missing
            schema |= {name: dtype for name, dtype in given.items() if name not in schema}
        else:
            _same_columns(schema, given, first, file.where)
        for name, dtype in given.items():
            both = joined(schema[name], dtype, loosely=lines)
            if both is None:
                raise DataError(
                    f"{file.where}: column '{name}' holds {dtype}, and that of {owner.get(name, first)} holds "
                    f"{schema[name]}; write both in one type"
                )
            if both != schema[name]:
                schema[name], owner[name] = both, file.where
    return schema


def _composed(file: TableFile, one: FileLook) -> dict[str, pl.DataType]:
    names = [unicodedata.normalize("NFC", name) for name in one.schema]
    if twice := next((name for place, name in enumerate(names) if name in names[:place]), None):
        raise DataError(
            f"{file.where}: two columns are named '{twice}', in two forms of Unicode; name them differently"
        )
    return dict(zip(names, one.schema.values(), strict=True))


def _same_columns(
    schema: Mapping[str, pl.DataType], given: Mapping[str, pl.DataType], first: Where, path: Where
) -> None:
    lacking = next((name for name in schema if name not in given), None)
    if lacking is not None:
        raise DataError(f"{path}: the file lacks the column '{lacking}', which {first} has; all files have the same")
    extra = next((name for name in given if name not in schema), None)
    if extra is not None:
        raise DataError(f"{path}: the file has a column '{extra}', which {first} lacks; all files have the same")
