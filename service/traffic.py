"""Gate statistics over live traffic: recorded by every worker, answered by any, kept per model version.

`GateTraffic.record` copies a run's gate weights into the worker's ledger and is all that the hot path pays; `fold`
turns them into sums every second, or sooner where there are many. Where rows come by the hundred thousand a second,
adding all of them up would take a third of the time of predicting them, so after EXACT_ROWS of a second one row stands
for SAMPLE.

Reading merges the ledgers of all workers, the rows not yet folded included, so every worker gives the same answer at
once, and a worker that dies takes nothing with it.

    <run directory>/gates/<model>/<version>-<content>.json    tasks and baseline, for reading after a swap or restart
    <run directory>/gates/<model>/<version>-<content>.slots   the ledgers, one per worker
"""

import hashlib
import os
import tempfile
import time
from collections.abc import Callable, Iterable
from pathlib import Path

import numpy as np
from numpy.typing import NDArray
from pydantic import BaseModel, ConfigDict

from service.artifact import GateBaseline
from service.ledger import Ledger
from service.slots import RunDirectory
from service.windows import TIERS, TOTAL_PLACE, Layout, Sums, Tier, fold, stamp, tier_places, total, window

KEPT_VERSIONS = 4
"""Versions of a model whose windows stay readable, those in use included."""

EXACT_ROWS = 50_000
"""Rows of one second that are all counted, in each worker: more than can come one to a request. They cost 1% of it."""

SAMPLE = 64
"""Of the further rows of that second every so manieth is taken, and counts as so many."""

_FOLDER = "gates"


class Gates(BaseModel):
    """Describe the gates of one model version: all that reading its traffic takes.

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
    """Record and read the traffic of one model version.

    Args:
        gates: of the version.
        ledgers: one per worker of the instance.
        own: index of this worker's, which nobody else writes.
        clock: whole and part seconds of CLOCK_MONOTONIC.

    Attributes:
        record: notes the gate weights (B, T, E), float32, of rows that were served; for the thread that folds.
    """

    def __init__(self, gates: Gates, ledgers: list[Ledger], own: int, clock: Callable[[], float]) -> None:
        self.gates = gates
        self._layout = gates.layout
        self._ledgers = ledgers
        self._own = ledgers[own]
        self._clock = clock
        self.record = self._own.appender(clock, EXACT_ROWS, self._record_otherwise)
        self._skip = 0
        self._own.recover()

    def fold(self) -> None:
        """Turn the rows recorded since into sums; 0.2 ms, and 0.15 us a row for two tasks of eight experts."""
        rows, seconds = self._own.pending()
        if len(rows):
            self._own.fold(len(rows), fold(self._layout, self._own.current, rows, seconds))

    def release(self) -> None:
        """Let go of the memory with the last reference: what records knows this object, and it knows what records."""
        self.record = _not_any_more

    def _record_otherwise(self, weights: NDArray[np.float32], second: int, too_many: bool) -> None:
        """Record rows of which there are too many, by a sample, or that do not fit as they are, folding the others."""
        stamped = second
        if too_many:
            skip, self._skip = self._skip, (self._skip - len(weights)) % SAMPLE
            weights, stamped = weights[skip::SAMPLE], stamp(second, SAMPLE)
        room = self._layout.shape.capacity
        for start in range(0, len(weights), room):
            part = weights[start : start + room]
            if self._own.pending_rows + len(part) > room:
                self.fold()
            self._own.append(part, stamped)

    def series(self, tier: Tier) -> Sums:
        """Merge all workers' rows of a window that ends now: (POINTS, ...), oldest bucket first."""
        places = tier_places(tier)
        return window(self._layout, (ledger.snapshot(*places) for ledger in self._ledgers), tier, self._clock())

    def total(self) -> Sums:
        """Merge all workers' rows since the instance started."""
        place = TOTAL_PLACE
        return total(self._layout, (ledger.snapshot(place, place + 1) for ledger in self._ledgers))

    def bucket_age_s(self, tier: Tier) -> float:
        """Return how long ago the unfinished bucket began."""
        return self._clock() % tier.resolution_s


class Traffic:
    """Keep the gate traffic of every model version of the instance.

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
        """Begin, or go on, to record a version that is being loaded; the same content keeps its windows.

        Raises:
            SettingsError: the run directory has no room.
        """
        text = gates.model_dump_json().encode()
        folder = self._folder(gates.model)
        path = folder / f"{gates.version}-{hashlib.blake2b(text, digest_size=6).hexdigest()}.json"
        if path not in self._serving:
            if not path.exists():
                folder.mkdir(parents=True, exist_ok=True)
                _write(path, text)
            self._serving[path] = self._readable.get(path) or self._attach(path, gates)
        os.utime(path)
        self._prune(folder)
        return self._serving[path]

    def close(self, traffic: GateTraffic) -> None:
        """Stop recording a version; its windows stay readable until `kept` later ones have come."""
        traffic.fold()
        for path in [path for path, served in self._serving.items() if served is traffic]:
            self._readable[path] = self._serving.pop(path)

    def fold(self) -> None:
        """Fold what this worker recorded, in all versions."""
        for traffic in list(self._serving.values()):  # loading another version may go on in a thread
            traffic.fold()

    def all(self) -> list[GateTraffic]:
        """List the traffic of every model version that any worker has recorded and that is still kept."""
        return self._read(path for path in self._root.glob("*/*.json"))

    def find(self, model: str, version: int) -> GateTraffic | None:
        """Return the traffic of a version; of several contents of one version the last loaded. None if unknown."""
        found = self._read(self._folder(model).glob(f"{version}-*.json"))
        return found[0] if found else None

    @property
    def _root(self) -> Path:
        return self._directory.path / _FOLDER

    def _folder(self, model: str) -> Path:
        """Return the folder of a model; a digest, for a name may hold what a path must not."""
        return self._root / hashlib.blake2b(model.encode(), digest_size=12).hexdigest()

    def _read(self, paths: Iterable[Path]) -> list[GateTraffic]:
        """Attach to what the paths describe, the last loaded first; one that vanishes meanwhile is left out."""
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
        return GateTraffic(gates, [Ledger(slot, shape) for slot in slots], self._worker, self._clock)

    def _prune(self, folder: Path) -> None:
        """Forget the versions of a model that were loaded longest ago, beyond `kept`; never one in use here."""
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


def tier_of(window: str) -> Tier | None:
    """Return the tier of a window's name; None if there is none of that name."""
    return next((tier for tier in TIERS if tier.window == window), None)
