"""Files of a table: those of a folder, of a pattern or of a list of these, sorted by path."""

import glob
import os
from collections.abc import Iterator, Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from urllib.parse import unquote

from stores.address import is_stored
from tables.config import TableData
from tables.errors import DataError, Where
from tables.files.stores import MARKS, StoredFile, list_stored
from tables.files.unpack import SUFFIXES

NULL_PARTITION = "__HIVE_DEFAULT_PARTITION__"
"""Value of a partition without one, as Hive and Spark write it."""

Partitions = tuple[tuple[str, str | None], ...]
"""Names and values of columns, from the outermost folder inwards."""

KNOWN = frozenset({*SUFFIXES, ".csv", ".tsv"})
PACKED = frozenset({".gz", ".zip"})


@dataclass(frozen=True)
class TableFile:
    """File of a table.

    Attributes:
        path: where it lies; of a stored one its key.
        name: path below what all files of the table have in common, with "/".
        partitions: columns and values that its folders name; None for a missing value.
        stored: in which object store it is, if it is in one.
    """

    path: Path
    name: str
    partitions: Partitions = ()
    stored: StoredFile | None = None

    @property
    def where(self) -> Where:
        """Path or address, for messages."""
        return self.path if self.stored is None else self.stored.url


def locate(path: str) -> Path:
    """Resolve a relative path against MMOE_DATA, else against the working directory."""
    return Path(os.environ.get("MMOE_DATA", "")) / path


def single_file(data: TableData) -> Path | None:
    """Return the local file that a configuration names by itself, if it does so."""
    if len(data.paths) != 1 or is_stored(data.paths[0]):
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
    found: dict[str, TableFile] = {}
    for path in data.paths:
        matches = list(_stored(path) if is_stored(path) else _local(path))
        if not matches:
            raise DataError(f"{path if is_stored(path) else locate(path)}: {_nothing(path)}")
        found |= {str(match.where): match for match in matches}
    files = sorted(found.values(), key=lambda file: str(file.where).split("/"))
    if len(files) == 1 and named_alone(data, files[0]):
        return [replace(files[0], name=files[0].path.name, partitions=())]
    _same_partitions(files)
    common = os.path.commonpath([file.path.parent for file in files])
    return [replace(file, name=Path(os.path.relpath(file.path, common)).as_posix()) for file in files]


def named_alone(data: TableData, file: TableFile) -> bool:
    """Check whether a configuration names a file itself, not a folder or a pattern."""
    return len(data.paths) == 1 and str(file.where) in (data.paths[0], str(locate(data.paths[0])))


def _stored(url: str) -> Iterator[TableFile]:
    def wanted(name: str) -> bool:
        return _known(name) and not any(part.startswith(("_", ".")) for part in name.split("/"))

    for stored in list_stored(url, wanted):
        path = Path(stored.key)
        yield TableFile(path, path.name, _partitions(path.parts[:-1]), stored)


def _local(path: str) -> Iterator[TableFile]:
    root = len(locate("").parts) if not os.path.isabs(path) else 0
    for match in _below(path):
        yield TableFile(match, match.name, _partitions(match.parts[root:-1]))


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
    if is_stored(path):
        return "the store has no such file, and no file of a known kind below; mend data.path"
    located = locate(path)
    if located.is_dir():
        return (
            "the folder holds no file whose name ends as that of a table (.csv, .parquet, .arrow, .jsonl, ...); name "
            "its files by a pattern, such as 'part-*'"
        )
    if _is_pattern(path):
        return "no file matches this pattern; set data.path, or MMOE_DATA to the directory it begins in"
    return "the table cannot be read: No such file or directory; set data.path, or MMOE_DATA to the directory it is in"


def _partitions(folders: Sequence[str]) -> Partitions:
    """List the partitions that folders name."""
    pairs = (folder.partition("=") for folder in folders if "=" in folder.strip("="))
    return tuple((unquote(key), None if value == NULL_PARTITION else unquote(value)) for key, _, value in pairs)


def _same_partitions(files: Sequence[TableFile]) -> None:
    """Refuse files whose folders name other partitions, or one of them twice."""
    names = [key for key, _ in files[0].partitions]
    if len(set(names)) < len(names):
        raise DataError(f"{files[0].where}: its folders name a partition twice; rename one")
    for file in files:
        given = [key for key, _ in file.partitions]
        if given != names:
            raise DataError(
                f"{file.where}: its folders name the partitions {_listed(given)}, and those of {files[0].where} name "
                f"{_listed(names)}; a table's files lie in folders of one kind"
            )


def _listed(names: Sequence[str]) -> str:
    return ", ".join(f"'{name}'" for name in names) or "none"
