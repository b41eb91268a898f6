"""Gate statistics over live traffic, per model version: recorded by every worker, read by any.

Reading merges the published sums of all workers. They are at most a second old, and a worker that
is killed takes no more than that with it.

    <run directory>/gates/<model>/<version>-<content>
        .json     tasks and baseline, for reading after a swap or restart
        .slots    the sums, a slot per worker
"""

import time
from collections.abc import Callable, Iterable
from pathlib import Path

from service.monitoring.recording import Gates, GateTraffic
from service.monitoring.sum_files import SumFiles
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
        self._files, self._worker, self._clock = SumFiles(directory, _FOLDER, kept), worker, clock
        self._serving: dict[Path, GateTraffic] = {}
        self._readable: dict[Path, GateTraffic] = {}

    def open(self, gates: Gates) -> GateTraffic:
        """Begin, or go on, to record a version that is being loaded.

        The same content keeps its windows.

        Raises:
            SettingsError: the run directory has no room.
        """
        text = gates.model_dump_json().encode()
        path = self._files.path(gates.model, str(gates.version), text)
        traffic = self._serving.get(path) or self._readable.get(path) or self._attach(path, gates)
        kept = self._files.keep(path, text, self._serving)
        self._serving[path] = traffic
        for old in [old for old in self._readable if old.parent == path.parent and old not in kept]:
            self._readable.pop(old).release()
        return traffic

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
        return self._read(self._files.all())

    def find(self, model: str, version: int) -> GateTraffic | None:
        """Return the traffic of a version; of several contents of one version the last loaded.

        None if unknown.
        """
        found = self._read(self._files.of(model, str(version)))
        return found[0] if found else None

    def _read(self, paths: Iterable[Path]) -> list[GateTraffic]:
        """Attach to what the paths describe, the last loaded first.

        One that vanishes meanwhile is left out.
        """
        found = []
        for path in paths:
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
        sums = self._files.map(path, repr(gates.layout), gates.layout.shape)
        return GateTraffic(gates, sums, self._worker, self._clock)
