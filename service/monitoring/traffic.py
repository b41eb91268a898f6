"""Gate statistics over live traffic, per model version: recorded by every worker, read by any.

Reading merges the published sums of all workers. They are at most a second old, and a worker that
is killed takes no more than that with it.

    <run directory>/gates/<model>/<version>-<content>
        .json     tasks and baseline, for reading after a swap or restart
        .slots    the sums, a slot per worker
"""

import hashlib
import os
import tempfile
import time
from collections.abc import Callable, Iterable
from pathlib import Path

from service.monitoring.recording import Gates, GateTraffic
from service.monitoring.shared_sums import SharedSums
from service.run_directory import RunDirectory

KEPT_VERSIONS = 4
"""Versions of a model whose windows stay readable, those in use included."""

_FOLDER = "gates"


class Traffic:
    """Gate traffic of every model version of the instance.

    Args:
        directory: shared by the workers.
        worker: index of this worker's slot.
        clock: seconds, the same in all workers, never jumping.
        kept: versions of a model whose windows stay readable.
    """

    def __init__(
        self,
        directory: RunDirectory,
        worker: int,
        clock: Callable[[], float] = time.monotonic,
        kept: int = KEPT_VERSIONS,
    ) -> None:
        self._directory, self._worker, self._clock, self._kept = directory, worker, clock, kept
        self._serving: dict[Path, GateTraffic] = {}
        self._readable: dict[Path, GateTraffic] = {}

    def open(self, gates: Gates) -> GateTraffic:
        """Begin, or go on, to record a version that is being loaded.

        The same content keeps its windows.

        Raises:
            SettingsError: the run directory has no room.
        """
        text = gates.model_dump_json().encode()
        folder = self._folder(gates.model)
        path = folder / f"{gates.version}-{hashlib.blake2b(text, digest_size=6).hexdigest()}.json"
        if path not in self._serving:
            folder.mkdir(parents=True, exist_ok=True)
            traffic = self._readable.get(path) or self._attach(path, gates)
            if not path.exists():  # after there was room for the ledgers: others attach to what they find
                _write(path, text)
            self._serving[path] = traffic
        os.utime(path)
        self._prune(folder)
        return self._serving[path]

    def close(self, traffic: GateTraffic) -> None:
        """Stop recording a version.

        Its windows stay readable until `kept` later ones have come.
        """
        traffic.fold()
        for path in [path for path, served in self._serving.items() if served is traffic]:
            self._readable[path] = self._serving.pop(path)

    def fold(self) -> None:
        """Publish what this worker recorded, in all versions.

        A run of one that is let go may end after that.
        """
        for traffic in (*self._serving.values(), *self._readable.values()):  # loading may go on in a thread
            traffic.fold()

    def all(self) -> list[GateTraffic]:
        """List the traffic of every model version that is kept, whichever worker recorded it."""
        return self._read(path for path in self._root.glob("*/*.json"))

    def find(self, model: str, version: int) -> GateTraffic | None:
        """Return the traffic of a version; of several contents of one version the last loaded.

        None if unknown.
        """
        found = self._read(self._folder(model).glob(f"{version}-*.json"))
        return found[0] if found else None

    @property
    def _root(self) -> Path:
        return self._directory.path / _FOLDER

    def _folder(self, model: str) -> Path:
        """Return the folder of a model; a digest, for a name may hold what a path must not."""
        return self._root / hashlib.blake2b(model.encode(), digest_size=12).hexdigest()

    def _read(self, paths: Iterable[Path]) -> list[GateTraffic]:
        """Attach to what the paths describe, the last loaded first.

        One that vanishes meanwhile is left out.
        """
        found = []
        for path in sorted(paths, key=_loaded_at, reverse=True):
            known = self._serving.get(path) or self._readable.get(path)
            if known is None:
                try:
                    known = self._attach(path, Gates.model_validate_json(path.read_bytes()))
                except FileNotFoundError:
                    continue
                self._readable[path] = known
            found.append(known)
        return found

    def _attach(self, path: Path, gates: Gates) -> GateTraffic:
        shape = gates.layout.shape
        slots = self._directory.map(str(path.with_suffix(".slots")), repr(gates.layout), shape.nbytes)
        return GateTraffic(gates, [SharedSums(slot, shape) for slot in slots], self._worker, self._clock)

    def _prune(self, folder: Path) -> None:
        """Forget the versions of a model that were loaded longest ago, beyond `kept`.

        Never one in use here.
        """
        paths = sorted(folder.glob("*.json"), key=_loaded_at, reverse=True)
        for path in paths[self._kept :]:
            if path not in self._serving:
                path.unlink(missing_ok=True)
                path.with_suffix(".slots").unlink(missing_ok=True)
        forgotten = {path for path in self._readable if path.parent == folder} - set(paths[: self._kept])
        for path in forgotten:
            self._readable.pop(path).release()


def _loaded_at(path: Path) -> float:
    """Return when a version was last loaded; long ago if it has vanished."""
    try:
        return path.stat().st_mtime
    except FileNotFoundError:
        return 0.0


def _write(path: Path, text: bytes) -> None:
    """Write a file that appears whole or not at all."""
    descriptor, made = tempfile.mkstemp(dir=path.parent, prefix=".")
    with os.fdopen(descriptor, "wb") as file:
        file.write(text)
    os.replace(made, path)
