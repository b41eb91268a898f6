"""Which models were unloaded by a call: one small file in the run directory, the same for all workers of an instance.

A change is written to a new file that replaces the old one, under a lock, so a reader never sees half of it. The file
goes with the instance: a restarted worker finds it, a restarted service begins with every model.
"""

import contextlib
import fcntl
import json
import os
from collections.abc import Iterator
from pathlib import Path

FILE, LOCK = "roster.json", "roster.lock"


class Roster:
    """Hold the names of the unloaded models.

    Args:
        directory: shared by the workers; without one the names are this process's own.
    """

    def __init__(self, directory: Path | None = None) -> None:
        self._directory = directory
        self._changes, self._unloaded = 0, frozenset[str]()
        self._seen: tuple[int, int] | None = None

    @property
    def unloaded(self) -> frozenset[str]:
        """Return the names as last read."""
        return self._unloaded

    def changed(self) -> bool:
        """Tell, for the price of one look at the directory, whether anyone has changed the file since it was read."""
        return self._directory is not None and self._stamp(self._directory) != self._seen

    def read(self) -> frozenset[str]:
        """Read the file again and return the names."""
        if self._directory is not None:
            self._seen = self._stamp(self._directory)  # before reading: a change in between is met again
            with contextlib.suppress(FileNotFoundError):
                found = json.loads((self._directory / FILE).read_bytes())
                self._changes, self._unloaded = found["changes"], frozenset(found["unloaded"])
        return self._unloaded

    def change(self, name: str, unload: bool) -> None:
        """Note that a model is to be unloaded, or loaded; every call counts as a change, so that all workers look."""
        with self._locked():
            names = self.read() | {name} if unload else self.read() - {name}
            self._changes, self._unloaded = self._changes + 1, names
            if self._directory is not None:
                fresh = self._directory / f"{FILE}.{os.getpid()}"
                fresh.write_text(json.dumps({"changes": self._changes, "unloaded": sorted(names)}))
                fresh.replace(self._directory / FILE)

    @contextlib.contextmanager
    def _locked(self) -> Iterator[None]:
        if self._directory is None:
            yield
            return
        with (self._directory / LOCK).open("w") as lock:  # closing it frees the lock
            fcntl.flock(lock, fcntl.LOCK_EX)
            yield

    def _stamp(self, directory: Path) -> tuple[int, int] | None:
        try:
            status = (directory / FILE).stat()
        except OSError:
            return None
        return status.st_ino, status.st_mtime_ns
