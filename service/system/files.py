"""Files that others may change at any time: opened once, checked and read by one descriptor.

Whatever lies at a path may be another thing a moment later: a link that leads elsewhere, a FIFO on
which a reader waits for ever. So nothing is opened a second time, opening never waits, and what is
not a regular file is refused.
"""

import errno
import fcntl
import os
import stat
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path, PurePath
from typing import BinaryIO

_MOST_LINKS = 40
"""As many as the kernel follows on one path."""

_PART_BYTES = 1 << 20

_READ = os.O_RDONLY | os.O_CLOEXEC | os.O_NONBLOCK
_STEP = _READ | os.O_NOFOLLOW


class OutsideError(OSError):
    """A path that leads out of its directory."""


def read_file(path: Path, most_bytes: int) -> bytes:
    """Read a regular file, links followed, without ever waiting for a writer.

    Raises:
        OSError: it cannot be read, or is not a regular file.
        ValueError: it has more than `most_bytes`.
    """
    return read_descriptor(os.open(path, _READ), most_bytes)


def try_lock(path: Path, shared: bool = False, mode: int = 0o600) -> int | None:
    """Lock a file and return its descriptor; None where someone holds it.

    The kernel frees it when the holder dies. One that is to be shared must be there, another is
    made.

    Raises:
        OSError: it cannot be opened or locked.
    """
    descriptor = os.open(path, os.O_RDWR | os.O_CLOEXEC | (0 if shared else os.O_CREAT), mode)
    try:
        fcntl.flock(descriptor, (fcntl.LOCK_SH if shared else fcntl.LOCK_EX) | fcntl.LOCK_NB)
    except OSError as error:
        os.close(descriptor)
        if isinstance(error, BlockingIOError):
            return None
        raise
    return descriptor


def write_all(descriptor: int, content: bytes) -> None:
    """Write all of it, however little is taken at a time.

    Raises:
        OSError: it cannot be written, or not to its end.
    """
    rest = memoryview(content)
    while rest:
        rest = rest[os.write(descriptor, rest) :]


def read_descriptor(descriptor: int, most_bytes: int) -> bytes:
    """Read the regular file of a descriptor from its beginning, and close it.

    Errors are those of `read_file`.
    """
    with _regular(descriptor, most_bytes) as (file, size):
        content = file.read(size + 1)
        while len(content) <= most_bytes and (more := file.read(_PART_BYTES)):  # somebody appends to it
            content += more
        if len(content) > most_bytes:
            raise _too_large(most_bytes)
        return content


def parts_of_descriptor(descriptor: int, most_bytes: int) -> Iterator[bytes]:
    """Read a file like `read_descriptor`, a part at a time, so that it is never held whole."""
    with _regular(descriptor, most_bytes) as (file, _):
        left = most_bytes
        while part := file.read(_PART_BYTES):
            left -= len(part)
            if left < 0:
                raise _too_large(most_bytes)
            yield part


@contextmanager
def _regular(descriptor: int, most_bytes: int) -> Iterator[tuple[BinaryIO, int]]:
    """Open a regular file that is not too large, with its size; the descriptor is closed."""
    try:
        status = os.fstat(descriptor)
        if not stat.S_ISREG(status.st_mode):
            kind = "a directory" if stat.S_ISDIR(status.st_mode) else "a FIFO, a socket or a device"
            raise OSError(errno.EINVAL, f"It is {kind}; expected a regular file")
        if status.st_size > most_bytes:
            raise _too_large(most_bytes)
        with open(descriptor, "rb", closefd=False) as file:
            yield file, status.st_size
    finally:
        os.close(descriptor)


def _too_large(most_bytes: int) -> ValueError:
    return ValueError(f"it has more than {most_bytes} bytes")


def open_beneath(root: Path, relative: PurePath) -> int:
    """Open a file of a directory for reading, and never one outside of it.

    Links are followed as long as they stay inside, absolute ones too; each step is taken from the
    descriptor of the step before, so that no directory can be exchanged under way.

    Raises:
        OutsideError: a link leads out of the directory.
        OSError: it cannot be opened.
    """
    walk = _Walk(root)
    try:
        return walk.open(relative)
    finally:
        walk.close()


class _Walk:
    """Descriptors of the directories from the root to the one that was reached."""

    def __init__(self, root: Path) -> None:
        self._root = root.resolve()
        self._reached = [os.open(root, _READ | os.O_DIRECTORY)]

    def open(self, relative: PurePath) -> int:
        """Open what the path leads to from here."""
        pending, links = list(reversed(relative.parts)), 0
        while pending:
            part = pending.pop()
            if part == "..":
                self._leave()
                continue
            try:
                return_it = self._step(part, last=not pending)
            except OSError as error:
                if error.errno not in (errno.ELOOP, errno.EMLINK, errno.ENOTDIR):  # a link, as systems put it
                    raise
                links += 1
                if links > _MOST_LINKS:
                    raise OSError(errno.ELOOP, os.strerror(errno.ELOOP)) from None
                pending += self._target(part, error)
                continue
            if return_it is not None:
                return return_it
        raise IsADirectoryError(errno.EISDIR, os.strerror(errno.EISDIR))

    def close(self) -> None:
        """Let go of all directories."""
        while self._reached:
            os.close(self._reached.pop())

    def _step(self, part: str, last: bool) -> int | None:
        """Enter a directory, or return the descriptor of the file at the end."""
        opened = os.open(part, _STEP if last else _STEP | os.O_DIRECTORY, dir_fd=self._reached[-1])
        if last:
            return opened
        self._reached.append(opened)
        return None

    def _leave(self) -> None:
        if len(self._reached) == 1:
            raise OutsideError(errno.EXDEV, "It lies outside of the directory")
        os.close(self._reached.pop())

    def _target(self, link: str, error: OSError) -> list[str]:
        """Return the steps that a link stands for, the last one first.

        An absolute link begins at the root again.
        """
        try:
            target = PurePath(os.readlink(link, dir_fd=self._reached[-1]))
        except OSError:  # it was not a link
            raise error from None
        if target.is_absolute():
            if not target.is_relative_to(self._root):
                raise OutsideError(errno.EXDEV, "It lies outside of the directory")
            while len(self._reached) > 1:
                self._leave()
            target = target.relative_to(self._root)
        return list(reversed(target.parts))
