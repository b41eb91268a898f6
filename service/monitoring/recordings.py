"""Recordings over live traffic, per model version: made by every worker, read by any.

Reading merges the published sums of all workers. They are at most a second old, and a worker that
is killed takes no more than that with it.

    <run directory>/<folder>/<model>/<version>-<content>
        .json     what the sums are of, for reading after a swap or restart
        .slots    the sums, a slot per worker
"""

import time
from abc import ABC, abstractmethod
from collections.abc import Callable, Iterable
from pathlib import Path
from typing import Generic, Protocol, TypeVar

from pydantic import BaseModel

from service.monitoring.shared_sums import Shape, SharedSums
from service.monitoring.sum_files import SumFiles
from service.run_directory import RunDirectory

KEPT_VERSIONS = 4
"""Versions of a model whose windows stay readable, those in use included."""


class Recording(Protocol):
    """Recording of one model version."""

    def fold(self) -> None:
        """Publish what was recorded since."""

    def release(self) -> None:
        """Let go of the memory with the last reference."""


class Described(BaseModel):
    """Description of a recording of one model version.

    Its text tells one content of a version from another.
    """

    model: str
    version: int


D = TypeVar("D", bound=Described)
R = TypeVar("R", bound=Recording)


class Recordings(ABC, Generic[D, R]):
    """Recordings of one kind, of every model version of the instance.

    Args:
        directory: shared by the workers.
        worker: index of this worker's slot.
        clock: seconds, the same in all workers, never jumping.
        kept: versions of a model whose windows stay readable.
    """

    folder: str

    def __init__(
        self,
        directory: RunDirectory,
        worker: int,
        clock: Callable[[], float] = time.monotonic,
        kept: int = KEPT_VERSIONS,
    ) -> None:
        self._files, self._worker, self._clock = SumFiles(directory, self.folder, kept), worker, clock
        self._serving: dict[Path, R] = {}
        self._readable: dict[Path, R] = {}

    @abstractmethod
    def _read_description(self, text: bytes) -> D:
        """Read what a file's sums are of."""

    @abstractmethod
    def _map(self, path: Path, described: D) -> R:
        """Map the sums of a description."""

    def open(self, described: D) -> R:
        """Begin, or go on, to record a version that is being loaded.

        The same content keeps its windows.

        Raises:
            SettingsError: the run directory has no room.
        """
        text = described.model_dump_json().encode()
        path = self._files.path(described.model, str(described.version), text)
        recording = self._serving.get(path) or self._readable.get(path) or self._map(path, described)
        kept = self._files.keep(path, text, self._serving)
        self._serving[path] = recording
        for old in [old for old in self._readable if old.parent == path.parent and old not in kept]:
            self._readable.pop(old).release()
        return recording

    def close(self, recording: R) -> None:
        """Stop recording a version.

        Its windows stay readable until `kept` later ones have come.
        """
        recording.fold()
        for path in [path for path, served in self._serving.items() if served is recording]:
            self._readable[path] = self._serving.pop(path)

    def fold(self) -> None:
        """Publish what this worker recorded, in all versions.

        A run of one that is let go may end after that.
        """
        for recording in (*self._serving.values(), *self._readable.values()):  # loading may go on in a thread
            recording.fold()

    def all(self) -> list[R]:
        """List the recordings of every model version that is kept, whichever worker made them."""
        return self._read(self._files.all())

    def find(self, model: str, version: int) -> R | None:
        """Return the recording of a version; of several contents of one version the last loaded.

        None if unknown.
        """
        found = self._read(self._files.of(model, str(version)))
        return found[0] if found else None

    def _read(self, paths: Iterable[Path]) -> list[R]:
        """Attach to what the paths describe, the last loaded first.

        One that vanishes meanwhile is left out.
        """
        found = []
        for path in paths:
            known = self._serving.get(path) or self._readable.get(path)
            if known is None:
                try:
                    known = self._map(path, self._read_description(path.read_bytes()))
                except FileNotFoundError:
                    continue
                self._readable[path] = known
            found.append(known)
        return found

    def _slots(self, path: Path, layout: str, shape: Shape) -> list[SharedSums]:
        """Map the sums of every worker; errors as in `RunDirectory.map`."""
        return self._files.map(path, layout, shape)


class Loaded(Generic[D, R]):
    """Recordings of the versions that this worker has loaded."""

    def __init__(self, recordings: Recordings[D, R]) -> None:
        self._recordings = recordings
        self._of: dict[tuple[str, int], R] = {}
        self._replaced: list[R] = []

    def open(self, described: D) -> R:
        """Open the recording of a version that is being loaded, in whatever thread."""
        key = described.model, described.version
        recording = self._recordings.open(described)
        before = self._of.get(key)
        if before is not None and before is not recording:  # another file of the same version
            self._replaced.append(before)
        self._of[key] = recording
        return recording

    def unload(self, model: str, version: int) -> None:
        """Close the recording of a version that is not loaded any more."""
        if recording := self._of.pop((model, version), None):
            self._recordings.close(recording)

    def close_replaced(self) -> None:
        """Close the recordings of files that others have replaced."""
        while self._replaced:
            self._recordings.close(self._replaced.pop())

    def find(self, model: str, version: int) -> R | None:
        """Return the recording of a version, which others may have made; None if unknown."""
        return self._of.get((model, version)) or self._recordings.find(model, version)

    def close(self) -> None:
        """Close all."""
        for recording in self._of.values():
            self._recordings.close(recording)
