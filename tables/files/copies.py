"""Files as they can be read from disk: those of object stores downloaded, packed ones unpacked."""

import hashlib
import shutil
import tempfile
import weakref
from collections.abc import Callable
from pathlib import Path

from tables.config import TableData
from tables.errors import DataError
from tables.files.paths import TableFile
from tables.files.unpack import inner_name, kind_of, packed, pieces

PIECE_BYTES = 1 << 20

MOST_BYTES = 8 << 30
"""Bytes of copies that are kept beside the latest one; older ones are removed."""


class Copies:
    """Copies of files that cannot be read where they are; all go with this object."""

    def __init__(self, work: Path | None = None, most_bytes: int | None = None) -> None:
        """Copy nothing yet.

        Args:
            work: directory to make copies in; None for the system's.
            most_bytes: of copies that are kept beside the latest one; None for MOST_BYTES.
        """
        self._work, self._most_bytes = work, MOST_BYTES if most_bytes is None else most_bytes
        self._directory: Path | None = None
        self._kept: dict[str, Path] = {}
        self._made = 0
        self._hashes: dict[str, str] = {}

    def readable(self, file: TableFile, data: TableData) -> Path:
        """Return a path at which a file lies, unpacked if it is Parquet or Arrow.

        It may be removed once another file is asked for.

        Raises:
            DataError: the file cannot be fetched, unpacked or written.
        """
        path = self._fetched(file)
        with path.open("rb") as opened:
            if not packed(opened.read(4)):
                return path
        head = next(pieces(path, file.where, 4096), b"")
        if not head or kind_of(head, inner_name(path, file.where), data.format, file.where) in ("csv", "jsonl"):
            return path
        return self._copied(f"{file.where} unpacked", lambda to: _unpack(path, file, to))

    def sha256(self, file: TableFile) -> str:
        """Compute the digest of a file's content, in hex digits; of one in a store, once."""
        if file.stored is None:
            return hash_of(file.path)
        if file.stored.url not in self._hashes:
            self._fetched(file)
        return self._hashes[file.stored.url]

    def _fetched(self, file: TableFile) -> Path:
        stored = file.stored
        if stored is None:
            return file.path

        def download(to: Path) -> None:
            stored.download(to)
            self._hashes[stored.url] = hash_of(to)

        return self._copied(stored.url, download)

    def _copied(self, name: str, write: Callable[[Path], None]) -> Path:
        """Make a copy unless there is one, and remove the oldest ones if there are too many."""
        path = self._kept.pop(name, None)
        if path is None:
            while sum(one.stat().st_size for one in self._kept.values()) > self._most_bytes:
                self._kept.pop(next(iter(self._kept))).unlink()
            path = self._place()
            try:
                write(path)
            except OSError as error:
                raise DataError(f"{name}: the file cannot be copied to {path.parent}: {error.strerror}") from None
        self._kept[name] = path
        return path

    def _place(self) -> Path:
        if self._directory is None:
            if self._work is not None:
                self._work.mkdir(parents=True, exist_ok=True)
            self._directory = Path(tempfile.mkdtemp(prefix="files-", dir=self._work))
            weakref.finalize(self, shutil.rmtree, self._directory, ignore_errors=True)
        self._made += 1
        return self._directory / str(self._made)


def hash_of(path: Path) -> str:
    """Compute the SHA-256 digest of a file, in hex digits."""
    with path.open("rb") as file:
        return hashlib.file_digest(file, "sha256").hexdigest()


def _unpack(path: Path, file: TableFile, to: Path) -> None:
    with to.open("wb") as copy:
        copy.writelines(pieces(path, file.where, PIECE_BYTES))
