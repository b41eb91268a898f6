"""Gate statistics over live traffic, per model version: recorded by every worker, read by any.

`GateTraffic.record` copies a run's gate weights into a buffer and is all that the hot path pays;
`fold` adds them up and publishes the sums every second, or sooner where there are many. Where rows
come by the hundred thousand a second, adding all of them up would take a third of the time of
predicting them, so after EXACT_ROWS of a second one row stands for SAMPLE.

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
from io import BytesIO
from pathlib import Path

import numpy as np
from numpy.typing import NDArray
from pydantic import BaseModel, ConfigDict

from service.artifact.entries import GateBaseline
from service.monitoring.shared_sums import SharedSums
from service.monitoring.windows import TOTAL_PLACE, Layout, Sums, Tier, fold, tier_places, total, window
from service.run_directory import RunDirectory

KEPT_VERSIONS = 4
"""Versions of a model whose windows stay readable, those in use included."""

EXACT_ROWS = 50_000
"""Rows of one second that are all counted, in each worker, for 1% of its time.

More cannot come one to a request.
"""

SAMPLE = 64
"""Beyond EXACT_ROWS of a second, keep one row in SAMPLE and weight it by SAMPLE."""

BUFFER_BYTES = 256 << 10
"""Gate weights that may wait to be added up: so few that it takes no time that anybody notices."""

_FOLDER = "gates"


class Gates(BaseModel):
    """Gates of one model version: all that reading its traffic takes.

    Attributes:
        tasks: names in the order of axis T.
        experts: E.
        baseline: from the manifest.
    """

    model_config = ConfigDict(frozen=True)

    model: str
    version: int
    tasks: tuple[str, ...]
    experts: int
    baseline: GateBaseline

    @property
    def layout(self) -> Layout:
        """Return what is kept of the rows."""
        return Layout(len(self.tasks), self.experts, self.baseline.histogram_edges)


class GateTraffic:
    """Gate traffic of one model version.

    Args:
        gates: of the version.
        workers: sums of every worker of the instance.
        own: index of this worker's, which nobody else publishes.
        clock: whole and part seconds of CLOCK_MONOTONIC.

    Attributes:
        record: notes the gate weights (B, T, E), float32, of rows that were served; for the thread
            that folds.
    """

    def __init__(self, gates: Gates, workers: list[SharedSums], own: int, clock: Callable[[], float]) -> None:
        self.gates = gates
        self._layout = gates.layout
        self._workers, self._own = workers, workers[own]
        self._clock = clock
        self._buffer = BytesIO()
        self._second, self._each = 0, 1
        self._skip = 0
        self.record = self._recorder()

    def fold(self) -> None:
        """Add up the rows recorded since and publish the sums.

        It takes 0.2 ms, and 0.15 us a row for two tasks of 8 experts.
        """
        if not self._buffer.tell():
            return
        rows = np.frombuffer(self._buffer.getbuffer()[: self._buffer.tell()].tobytes(), np.float32)
        self._buffer.seek(0)
        added = self._layout.body(rows.reshape(-1, self._layout.tasks, self._layout.experts)) * self._each
        self._own.publish(fold(self._own.current, added, self._second))

    def release(self) -> None:
        """Let go of the memory with the last reference.

        What records knows this object, and it knows what records.
        """
        self.record = _not_any_more

    def _recorder(self) -> Callable[[NDArray[np.float32]], None]:
        """Return `record`, a closure over all it needs because it is called for every run.

        The buffer holds rows of one second that count alike; it is written over and over, since
        objects that live until the next fold would cost a request several times as much
        (measured).
        """
        write, size, clock, most = self._buffer.write, self._buffer.tell, self._clock, BUFFER_BYTES
        second, came = 0, 0

        def record(weights: NDArray[np.float32]) -> None:
            nonlocal second, came
            now = int(clock())
            if now != second:
                self._begin(now, 1)
                second, came = now, 0
            came += len(weights)
            if came > EXACT_ROWS:
                self._sample(weights, now)
            else:
                write(weights.tobytes())
            if size() > most:
                self.fold()

        return record

    def _begin(self, second: int, each: int) -> None:
        """Fold what came before rows of another second, or of another weight."""
        self.fold()
        self._second, self._each = second, each

    def _sample(self, weights: NDArray[np.float32], second: int) -> None:
        """Record one row in SAMPLE, in place of all."""
        if self._each == 1:
            self._begin(second, SAMPLE)
        skip, self._skip = self._skip, (self._skip - len(weights)) % SAMPLE
        self._buffer.write(weights[skip::SAMPLE].tobytes())

    def series(self, tier: Tier) -> Sums:
        """Merge all workers' rows of a window that ends now: (POINTS, ...), oldest first."""
        places = tier_places(tier)
        return window(self._layout, (sums.read(*places) for sums in self._workers), tier, self._clock())

    def total(self) -> Sums:
        """Merge all workers' rows since the instance started."""
        place = TOTAL_PLACE
        return total(self._layout, (sums.read(place, place + 1) for sums in self._workers))

    def bucket_age_s(self, tier: Tier) -> float:
        """Return how long ago the unfinished bucket began."""
        return self._clock() % tier.resolution_s


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


def _not_any_more(weights: NDArray[np.float32]) -> None:
    """Record nothing."""


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
