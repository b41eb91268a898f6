"""Lines in files of bounded size and number, whole lines only, one writer to a file.

    directory/rows-<writer>-<number>.jsonl  the highest is written to, the lowest are deleted
    directory/.writer-<writer>.lock         held by the process that writes rows-<writer>-*

With a retention time, files that were last written to before it are deleted, whoever wrote them,
and a file is ended when a quarter of the time has gone by, so that no record is kept much longer.

Processes that share a directory take the lowest free writer each, and a restarted one goes on
where the dead one was: so a directory never holds more than files x size x the most processes
there were at a time.
"""

import contextlib
import os
import re
import time
from calendar import timegm
from collections.abc import Callable
from pathlib import Path

from service.system.files import try_lock, write_all

_FILE = re.compile(r"rows-(\d+)-(\d+)\.jsonl")
_TIME = re.compile(rb'"time_utc":"(\d{4}-\d\d-\d\d \d\d:\d\d:\d\d)')
_DAY_S = 86_400.0
_LOOK_S = 60.0
"""Seconds between two looks for files that are too old."""
_MOST_WRITERS = 10_000
_TAIL_BYTES = 1 << 20
_MODE = 0o640


class RotatedFiles:
    """Rotated files of one writer thread. All may raise OSError; the next call then tries anew.

    Args:
        directory: made if it is not there.
        file_bytes: most bytes of a file; a single write of more has a file of its own.
        files: how many to keep.
        days: after which a file is deleted; 0 for never.
        clock: seconds since 1970.
    """

    def __init__(
        self,
        directory: Path,
        file_bytes: int,
        files: int,
        days: float = 0.0,
        clock: Callable[[], float] = time.time,
    ) -> None:
        self._directory, self._file_bytes, self._files = directory, file_bytes, files
        self._keep_s, self._clock = days * _DAY_S, clock
        self._began = self._looked = 0.0
        self._lock: int | None = None
        self._writer = 0
        self._file: int | None = None
        self._number = self._size = 0

    def open(self) -> None:
        """Make sure that there is a file to write to, also if somebody has removed it."""
        if self._file is not None and os.fstat(self._file).st_nlink:
            return
        self._close_file()
        self._directory.mkdir(parents=True, exist_ok=True)
        self._lock_writer()
        self._number = max(self._numbers(), default=1)
        self._open_file()

    def write(self, lines: bytes) -> None:
        """Append whole lines; if that fails, none of them is in the file."""
        self.open()
        if self._size and (self._size + len(lines) > self._file_bytes or self._is_old()):
            self._rotate()
        self._expire()
        assert self._file is not None
        try:
            write_all(self._file, lines)
        except OSError:
            with contextlib.suppress(OSError):
                os.ftruncate(self._file, self._size)
            self._close_file()
            raise
        self._size += len(lines)

    def close(self) -> None:
        """Let go of the files."""
        self._close_file()
        if self._lock is not None:
            os.close(self._lock)
            self._lock = None

    def _lock_writer(self) -> None:
        """Lock the lowest free number of a writer, unless one is held."""
        if self._lock is not None and os.fstat(self._lock).st_nlink:
            return
        self.close()
        for writer in range(_MOST_WRITERS):
            lock = try_lock(self._directory / f".writer-{writer}.lock", mode=_MODE)
            if lock is not None:
                self._lock, self._writer = lock, writer
                return
        raise OSError(f"{_MOST_WRITERS} processes write to {self._directory}")

    def _numbers(self) -> list[int]:
        """List the numbers of this writer's files, lowest first."""
        found = (_FILE.fullmatch(name) for name in os.listdir(self._directory))
        return sorted(int(match[2]) for match in found if match and int(match[1]) == self._writer)

    def _path(self, number: int) -> Path:
        return self._directory / f"rows-{self._writer}-{number:08d}.jsonl"

    def _open_file(self) -> None:
        """Open the file of the current number.

        A line that a writer which was killed left unfinished is cut off.
        """
        flags = os.O_RDWR | os.O_CREAT | os.O_APPEND | os.O_CLOEXEC | os.O_NOFOLLOW
        self._file = os.open(self._path(self._number), flags, _MODE)
        size = os.fstat(self._file).st_size
        tail = os.pread(self._file, _TAIL_BYTES, max(size - _TAIL_BYTES, 0))
        torn = len(tail) - tail.rfind(b"\n") - 1
        if torn:
            os.ftruncate(self._file, size - torn)
        self._size = size - torn
        self._began = self._first_time() if self._size and self._keep_s else self._clock()

    def _first_time(self) -> float:
        """Return when the first record of the open file was made, in seconds since 1970."""
        assert self._file is not None
        found = _TIME.search(os.pread(self._file, 200, 0))
        return timegm(time.strptime(found[1].decode(), "%Y-%m-%d %H:%M:%S")) if found else self._clock()

    def _is_old(self) -> bool:
        return bool(self._keep_s) and self._clock() - self._began > self._keep_s / 4

    def _expire(self) -> None:
        """Delete the files that are too old, once in a while."""
        now = self._clock()
        if not self._keep_s or 0.0 <= now - self._looked < _LOOK_S:
            return
        self._looked = now
        for name in os.listdir(self._directory):
            path = self._directory / name
            if _FILE.fullmatch(name) and path != self._path(self._number):
                with contextlib.suppress(FileNotFoundError):
                    if now - path.stat().st_mtime > self._keep_s:
                        path.unlink()

    def _rotate(self) -> None:
        """Begin the next file, and delete what is one too many."""
        self._close_file()
        self._number += 1
        self._open_file()
        for number in self._numbers()[: -self._files]:
            self._path(number).unlink(missing_ok=True)

    def _close_file(self) -> None:
        if self._file is not None:
            file, self._file = self._file, None
            os.close(file)
