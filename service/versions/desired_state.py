"""Desired state of all workers: the directory as one of them saw it, and operators' choices.

It is one small file in the run directory. A change is written to a new file that replaces the old
one, under a lock, so a reader never sees half of it, and every change has a number. The file goes
with the instance: a restarted worker finds it, a restarted service begins anew.
"""

import contextlib
import fcntl
import os
from collections.abc import Callable, Iterator
from pathlib import Path

from pydantic import BaseModel, ConfigDict

from service.errors import RunDirectoryGone
from service.versions.disk import Disk
from service.versions.serving_files import Followed

FILE, LOCK = "desired_state.json", "desired_state.lock"


class DesiredState(BaseModel):
    """Desired state: what the workers are to serve.

    Attributes:
        change: number of the change that led here.
        disk: what there is; None before anyone has looked.
        unloaded: models that a call has unloaded.
        serving: the serving files as last read, by model.
        retries: how often workers have asked all to try again what could not be loaded before, or
            was being checked.
    """

    model_config = ConfigDict(frozen=True)

    change: int = 0
    disk: Disk | None = None
    unloaded: frozenset[str] = frozenset()
    serving: dict[str, Followed] = {}
    retries: int = 0


class DesiredStateStore:
    """Store of the desired state: one file, changed under a lock.

    Args:
        directory: shared by the workers; without one it is this process's own.
    """

    def __init__(self, directory: Path | None = None) -> None:
        self._directory = directory
        self._last = DesiredState()
        self._seen: tuple[int, int] | None = None

    @property
    def last(self) -> DesiredState:
        """Return the desired state as last read."""
        return self._last

    def changed(self) -> bool:
        """Tell, by one look at the directory, whether the file has changed since it was read."""
        return self._directory is not None and self._stamp(self._directory) != self._seen

    def read(self) -> DesiredState:
        """Read the file again and return the desired state."""
        if self._directory is not None:
            self._seen = self._stamp(self._directory)  # before reading: a change in between is met again
            with contextlib.suppress(FileNotFoundError):
                self._last = DesiredState.model_validate_json((self._directory / FILE).read_bytes())
        return self._last

    def change(self, edit: Callable[[DesiredState], dict[str, object]]) -> DesiredState:
        """Change the fields that `edit` returns, if any, under the lock.

        Return the whole state.
        """
        with self._locked():
            desired = self.read()
            if fields := edit(desired):
                self._last = desired.model_copy(update={**fields, "change": desired.change + 1})
                if self._directory is not None:
                    fresh = self._directory / f"{FILE}.{os.getpid()}"
                    fresh.write_text(self._last.model_dump_json())
                    fresh.replace(self._directory / FILE)
        return self._last

    @contextlib.contextmanager
    def _locked(self) -> Iterator[None]:
        if self._directory is None:
            yield
            return
        try:
            lock = (self._directory / LOCK).open("w")
        except FileNotFoundError:
            raise RunDirectoryGone(self._directory) from None
        with lock:  # closing it frees the lock
            fcntl.flock(lock, fcntl.LOCK_EX)
            yield

    def _stamp(self, directory: Path) -> tuple[int, int] | None:
        try:
            status = (directory / FILE).stat()
        except OSError:
            return None
        return status.st_ino, status.st_mtime_ns
