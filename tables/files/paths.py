"""Files of a table: those of a folder, of a pattern or of a list of these, sorted by path."""

import glob
import os
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path
from urllib.parse import unquote

from tables.config import TableData
from tables.errors import DataError
from tables.files.unpack import SUFFIXES

NULL_PARTITION = "__HIVE_DEFAULT_PARTITION__"
"""Value of a partition without one, as Hive and Spark write it."""

KNOWN = frozenset({*SUFFIXES, ".csv", ".tsv"})
PACKED = frozenset({".gz", ".zip"})

MARKS = ("*", "?", "[")
"""Characters by which a path is a pattern."""


@dataclass(frozen=True)
class TableFile:
    """File of a table.

    Attributes:
        path: where it lies.
        name: path below what all files of the table have in common, with "/".
        partitions: columns and values that its folders name; None for a missing value.
    """

    path: Path
    name: str
    partitions: tuple[tuple[str, str | None], ...] = ()


def locate(path: str) -> Path:
    """Resolve a relative path against MMOE_DATA, else against the working directory."""
    return Path(os.environ.get("MMOE_DATA", "")) / path


def single_file(data: TableData) -> Path | None:
    """Return the file that a configuration names by itself, if it does so."""
    if len(data.paths) != 1:
        return None
    path = locate(data.paths[0])
    return None if path.is_dir() or (_is_pattern(data.paths[0]) and not path.exists()) else path


def find_files(data: TableData) -> list[TableFile]:
    """Find the files of a table, sorted by path; each once.

    In a folder, and in those below it, these are the files of known kinds; hidden ones and those
    whose names begin with "_", as _SUCCESS, are left out. A file that is named by itself has no
    partitions.

    Raises:
        DataError: a path names nothing, or folders name partitions that differ.
    """
    one = single_file(data)
    if one is not None:
        return [TableFile(one, one.name)]
    found: dict[Path, tuple[tuple[str, str | None], ...]] = {}
    for path in data.paths:
        matches = list(_below(path))
        if not matches:
            raise DataError(f"{locate(path)}: {_nothing(path)}")
        found |= {match: _partitions(match, path) for match in matches}
    paths = sorted(found, key=lambda path: path.parts)
    _same_partitions([(path, found[path]) for path in paths])
    common = os.path.commonpath([path.parent for path in paths]) if paths else ""
    return [TableFile(path, Path(os.path.relpath(path, common)).as_posix(), found[path]) for path in paths]


def _is_pattern(path: str) -> bool:
    return any(mark in path for mark in MARKS)


def _below(path: str) -> Iterator[Path]:
    located = locate(path)
    if located.is_file():
        yield located
    elif located.is_dir():
        yield from _in_folder(located)
    elif _is_pattern(path):
        for match in glob.iglob(str(located), recursive=True):
            one = Path(match)
            if any(part.startswith(("_", ".")) for part in one.parts if part not in located.parts):
                continue
            if one.is_file():
                yield one
            elif one.is_dir() and located.name != "**":
                yield from _in_folder(one)


def _in_folder(folder: Path) -> Iterator[Path]:
    for where, folders, files in os.walk(folder):
        folders[:] = [name for name in folders if not name.startswith(("_", "."))]
        yield from (Path(where, name) for name in files if not name.startswith(("_", ".")) and _known(name))


def _known(name: str) -> bool:
    suffixes = [suffix.lower() for suffix in Path(name).suffixes]
    if suffixes and suffixes[-1] in PACKED:
        suffixes.pop()
    return bool(suffixes) and suffixes[-1] in KNOWN


def _nothing(path: str) -> str:
    located = locate(path)
    if located.is_dir():
        return (
            "the folder holds no file whose name ends as that of a table (.csv, .parquet, .arrow, .jsonl, ...); name "
            "its files by a pattern, such as 'part-*'"
        )
    if _is_pattern(path):
        return "no file matches this pattern; set data.path, or MMOE_DATA to the directory it begins in"
    return "the table cannot be read: No such file or directory; set data.path, or MMOE_DATA to the directory it is in"


def _partitions(match: Path, path: str) -> tuple[tuple[str, str | None], ...]:
    """List the partitions that the folders of a file name, below where its path begins."""
    root = locate("").parts if not os.path.isabs(path) else ()
    folders = match.parts[len(root) : -1]
    pairs = (folder.partition("=") for folder in folders if "=" in folder.strip("="))
    return tuple((unquote(key), None if value == NULL_PARTITION else unquote(value)) for key, _, value in pairs)


def _same_partitions(files: Sequence[tuple[Path, tuple[tuple[str, str | None], ...]]]) -> None:
    """Refuse files whose folders name other partitions, or one of them twice."""
    first, wanted = files[0]
    names = [key for key, _ in wanted]
    if len(set(names)) < len(names):
        raise DataError(f"{first}: its folders name a partition twice; rename one")
    for path, given in files:
        if [key for key, _ in given] != names:
            raise DataError(
                f"{path}: its folders name the partitions {_listed([key for key, _ in given])}, and those of {first} "
                f"name {_listed(names)}; a table's files lie in folders of one kind"
            )


def _listed(names: Sequence[str]) -> str:
    return ", ".join(f"'{name}'" for name in names) or "none"
