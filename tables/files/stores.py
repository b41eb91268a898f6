"""Object stores: files under s3://, gs:// and az://, listed and downloaded."""

from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from fnmatch import fnmatchcase
from pathlib import Path

from stores.address import parse
from stores.errors import NotStored, StoreError
from stores.store import Store
from tables.errors import DataError

MARKS = ("*", "?", "[")
EXAMPLE = "folder/part-*.parquet"


@dataclass(frozen=True)
class StoredFile:
    """File of an object store.

    Attributes:
        url: of the file.
        root: url of its bucket or container.
        key: of the file below that.
    """

    url: str
    root: str
    key: str

    def download(self, to: Path) -> None:
        """Write the file's content to a path.

        Raises:
            DataError: the store does not give it.
            OSError: it cannot be written.
        """
        with _explained():
            Store(self.root).download(self.key, to)


def list_stored(url: str, wanted: Callable[[str], bool]) -> Iterator[StoredFile]:
    """List the files that an address names: one file, those of a folder, or those of a pattern.

    Args:
        url: whose part below the bucket may be a pattern.
        wanted: whether a file of a folder belongs to a table, by its path below the folder.

    Raises:
        DataError: the store cannot be read.
    """
    with _explained():
        root, key = parse(url, EXAMPLE)
    parts = key.strip("/").split("/") if key.strip("/") else []
    fixed = parts[: next((n for n, part in enumerate(parts) if any(m in part for m in MARKS)), len(parts))]
    for path in _keys(root, "/".join(fixed)):
        there = path.split("/")
        folder = next((n for n in range(len(there)) if _matches(there[:n], parts)), None)
        if path == key or _matches(there, parts) or (folder is not None and wanted("/".join(there[folder:]))):
            yield StoredFile(f"{root}/{path}", root, path)


def _keys(root: str, prefix: str) -> list[str]:
    """List the keys of a folder, or the one that is the path itself."""
    with _explained():
        store = Store(root)
        found = [entry.path for entry in store.files(prefix)]
        if prefix and not found and store.head(prefix) is not None:
            found = [prefix]
    return sorted(found)


def _matches(path: Sequence[str], pattern: Sequence[str]) -> bool:
    """Match a path with a pattern part by part; ** stands for any number of parts."""
    if not pattern:
        return not path
    if pattern[0] == "**":
        return any(_matches(path[skip:], pattern[1:]) for skip in range(len(path) + 1))
    return bool(path) and fnmatchcase(path[0], pattern[0]) and _matches(path[1:], pattern[1:])


@contextmanager
def _explained() -> Iterator[None]:
    """Raise what a store says as an error of the table."""
    try:
        yield
    except NotStored as error:
        raise DataError(f"{error}; mend data.path") from None
    except StoreError as error:
        raise DataError(str(error)) from None
