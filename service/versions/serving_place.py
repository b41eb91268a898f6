"""Place of a serving file: bytes that are replaced as a whole, each change on top of the last.

A directory here; an object store that knows If-Match is another.
"""

import contextlib
import fcntl
import os
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Protocol

from service.system.files import read_file, write_all

FILE, LOCK, FRESH = "serving.json", ".serving.lock", ".serving.json.new"
MOST_BYTES = 64 << 10

Stamp = tuple[int | str, ...]
"""Changes when the content does."""


class Place(Protocol):
    """Place where the bytes of one serving file are kept."""

    def __str__(self) -> str:
        """Name the place for a person."""

    def stamp(self) -> Stamp | None:
        """Return what changes with the content, cheaply; None where there is none."""

    def read(self) -> bytes | None:
        """Return the content; None where there is none.

        Raises:
            OSError: it cannot be read.
            ValueError: it is too large.
        """

    def swap(self, change: Callable[[bytes | None], bytes | None]) -> None:
        """Replace the content by what `change` makes of it, unless that is None.

        Nobody else writes in between; where that cannot be kept from happening, `change` is called
        again.

        Raises:
            OSError: it cannot be written; further errors as in `read`.
        """


class FilePlace:
    """Place in a directory: a file that is replaced by a new one, under a lock.

    Args:
        directory: of the model; it is made where it is not there.
    """

    def __init__(self, directory: Path) -> None:
        self._directory, self._path = directory, directory / FILE

    def __str__(self) -> str:
        return str(self._path)

    def stamp(self) -> Stamp | None:
        """Return device, inode, size and times of the file."""
        try:
            status = self._path.stat()
        except OSError as error:
            return None if isinstance(error, FileNotFoundError) else (error.errno or 0,)
        return status.st_dev, status.st_ino, status.st_size, status.st_mtime_ns, status.st_ctime_ns

    def read(self) -> bytes | None:
        """Return the file's content, as `Place.read` says."""
        try:
            return read_file(self._path, MOST_BYTES)
        except FileNotFoundError:
            return None

    def swap(self, change: Callable[[bytes | None], bytes | None]) -> None:
        """Replace the file, as `Place.swap` says; it is on the disk when this returns."""
        with self._locked():
            content = change(self.read())
            if content is not None:
                self._replace(content)

    def update(self, content: Callable[[], bytes | None]) -> None:
        """Make the file a copy of what is kept elsewhere, while nobody else writes it.

        Args:
            content: that is to be in it; None for no file.
        """
        with self._locked():
            wanted = content()
            if wanted is None:
                self._path.unlink(missing_ok=True)
                return
            with contextlib.suppress(ValueError):  # a copy that is too large is replaced
                if wanted == self.read():
                    return
            self._replace(wanted)

    @contextlib.contextmanager
    def _locked(self) -> Iterator[None]:
        with contextlib.suppress(FileExistsError):
            self._directory.mkdir(parents=True)
        lock = os.open(self._directory / LOCK, os.O_RDWR | os.O_CREAT | os.O_CLOEXEC, 0o666)
        try:
            fcntl.flock(lock, fcntl.LOCK_EX)
            yield
        finally:
            os.close(lock)  # which frees it

    def _replace(self, content: bytes) -> None:
        fresh = self._directory / FRESH
        fresh.unlink(missing_ok=True)  # of a writer that was killed
        new = os.open(fresh, os.O_WRONLY | os.O_CREAT | os.O_EXCL | os.O_CLOEXEC, 0o666)
        try:
            write_all(new, content)
            os.fsync(new)
        finally:
            os.close(new)
        fresh.replace(self._path)
        directory = os.open(self._directory, os.O_RDONLY | os.O_CLOEXEC)
        try:
            os.fsync(directory)
        finally:
            os.close(directory)
