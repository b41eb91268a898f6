"""Counters and gauges of one worker, in shared memory.

Cheap to note, read by any worker for all of them.

An event costs 20 bytes at the end of a buffer to note; `fold` adds them up and publishes the sums
(`shared_sums.py`) every second. What is not an event lies in a second file, a slot of plain
numbers and names per worker. Counters go on from where a dead worker last published them.
`prometheus.py` merges the slots into what Prometheus reads.
"""

import resource
import time
from collections.abc import Callable
from io import BytesIO
from pathlib import Path
from typing import Protocol

import numpy as np

from service.monitoring.gauges import (
    CPU,
    CPU_BEFORE,
    MEMORY,
    OPEN_FILES,
    PID,
    QUEUE_ROWS,
    REASON_WORD,
    RECORD_WORD,
    SEEN,
    SLOT_BYTES,
    STARTED,
    STARTS,
    WorkerNumbers,
    WorkerVersion,
)
from service.monitoring.instruments import (
    NOT_MEASURED,
    RUN,
    SHAPE,
    VERSION_SUMS,
    VERSIONS,
    Figures,
    event,
    fold,
    forget_version,
    request_code,
)
from service.monitoring.shared_sums import SharedSums
from service.run_directory import RunDirectory

_STATM = Path("/proc/self/statm")
_OPEN_FILES = Path("/proc/self/fd")
PROCESS_FIGURES_S = 2.0
"""Age at which figures of the process are renewed, in seconds.

Counting open files takes time where there are thousands.
"""


class LoadedVersion(Protocol):
    """Model version that is loaded."""

    @property
    def name(self) -> str:
        """Return the name it is served under."""

    @property
    def version(self) -> int:
        """Return its version."""


class Metrics:
    """Counters and gauges of one worker, for the thread of its event loop.

    What is noted lies in a buffer until the next `fold`, so that a request pays for no more than
    that. The buffer is written over and over: objects that live until then would cost a request
    several times as much (measured).

    Args:
        directory: shared by the workers.
        worker: index of this worker's slot.
        clock: seconds of CLOCK_MONOTONIC.
        wall_clock: seconds since 1970.
        pid: of this process.

    Attributes:
        note: takes an `instruments.event`, for callers who know their `code`.
    """

    def __init__(
        self,
        directory: RunDirectory,
        worker: int,
        pid: int,
        clock: Callable[[], float] = time.monotonic,
        wall_clock: Callable[[], float] = time.time,
    ) -> None:
        self._clock, self._wall_clock = clock, wall_clock
        self._sums = [SharedSums(slot, SHAPE) for slot in directory.map("metrics/events", repr(SHAPE), SHAPE.nbytes)]
        self._workers = [WorkerNumbers(slot) for slot in directory.map("metrics/numbers", "numbers 1", SLOT_BYTES)]
        self._own, self.numbers = self._sums[worker], self._workers[worker]
        self._words = self.numbers.words
        self._noted = BytesIO()
        self.note: Callable[[bytes], object] = self._noted.write
        self._figures_due = 0.0
        self._places: dict[tuple[str, int], tuple[int, int | None]] = {}
        self._take_over(pid)

    def code(self, route: str, status: int, model: LoadedVersion | None) -> int:
        """Return the number under which a request counts.

        It stays valid while the model is loaded.

        Args:
            route: one of ROUTES, else it counts as "other".
            status: of HTTP.
            model: the loaded version that was asked, never just what a caller named; None where
                there is none.
        """
        if model is None:
            return request_code(0, route, status, None)
        asked = model.name, model.version
        if asked not in self._places:
            self.loaded(*asked, load_s=0.0)
        name, place = self._places[asked]
        return request_code(name, route, status, place)

    def request(
        self,
        route: str,
        status: int,
        model: LoadedVersion | None = None,
        rows: int = 0,
        parse_s: float = NOT_MEASURED,
        render_s: float = NOT_MEASURED,
        total_s: float = NOT_MEASURED,
    ) -> None:
        """Note an answered request.

        Args:
            route: see `code`, as for status and model.
            status: of HTTP.
            model: that was asked.
            rows: predicted rows.
            parse_s: time from the body to arrays.
            render_s: time from the results to bytes.
            total_s: time from the request to the end of its answer.
        """
        self.note(event(self.code(route, status, model), rows, parse_s, render_s, total_s))

    def ran(self, requests: int, rows: int, queue_s: float, run_s: float) -> None:
        """Note a run.

        Args:
            requests: joined in it.
            rows: of all of them.
            queue_s: seconds that the oldest waited.
            run_s: seconds that it took.
        """
        self.note(event(RUN, requests, rows, queue_s, run_s))

    def rejected(self, reason: str) -> None:
        """Note a refused request; one of REASONS, else it counts as "other"."""
        self._words[REASON_WORD.get(reason, REASON_WORD["other"])] += 1

    def recorded(self, record: str, count: int) -> None:
        """Note what became of records, one of RECORDS.

        It is the only method that other threads may call too.
        """
        self._words[RECORD_WORD[record]] += count

    def queue_rows(self, rows: int) -> None:
        """Note how many rows wait now."""
        self._words[QUEUE_ROWS] = rows

    def loaded(self, model: str, version: int, load_s: float) -> None:
        """Note that a model version was loaded, which took `load_s`."""
        entries = list(self.numbers.versions())
        place = next((e.index for e in entries if (e.model, e.version) == (model, version)), None)
        if place is None:
            place = self._free_place(entries)
        name = self.numbers.name_model(model)
        if place is not None:
            self.numbers.write_version(place, name, version, self._wall_clock(), load_s)
        self._places[model, version] = name, place

    def unloaded(self, model: str, version: int) -> None:
        """Note that a model version is no longer loaded."""
        _, place = self._places.pop((model, version))
        if place is not None:
            self.numbers.unload_version(place)

    def loaded_at(self, model: str, version: int) -> float | None:
        """Return when a version was last loaded, in seconds since 1970; None if it is not."""
        found = (e.loaded_at for e in self.numbers.versions() if (e.model, e.version) == (model, version) and e.loaded)
        return next(found, None)

    def fold(self) -> None:
        """Add up the events noted since, publish the sums and renew the gauges."""
        self._fold_events()
        now = self._clock()
        self._words[SEEN] = now
        if now >= self._figures_due:
            self._figures_due = now + PROCESS_FIGURES_S
            self._words[CPU] = time.process_time()
            self._words[MEMORY] = _resident_bytes()
            self._words[OPEN_FILES] = _open_files()

    def close(self) -> None:
        """Fold for the last time and give the gauges back."""
        self._figures_due = 0.0
        self.fold()
        for entry in self.numbers.versions():
            self.numbers.unload_version(entry.index)
        self._words[QUEUE_ROWS] = 0
        self._words[PID] = 0

    def workers(self) -> list[tuple[WorkerNumbers, Figures, bool]]:
        """Read every worker's numbers, published sums and whether it is alive."""
        now = self._clock()
        return [
            (numbers, Figures(sums.read(0, SHAPE.places)), numbers.is_alive(now))
            for numbers, sums in zip(self._workers, self._sums, strict=True)
        ]

    def version_sums(self) -> dict[tuple[str, int], dict[str, float]]:
        """Return the sums of each version over all workers, by VERSION_SUMS."""
        found: dict[tuple[str, int], dict[str, float]] = {}
        for numbers, figures, _ in self.workers():
            for entry in numbers.versions():
                sums = found.setdefault((entry.model, entry.version), dict.fromkeys(VERSION_SUMS, 0.0))
                for name, value in figures.version(entry.index).items():
                    sums[name] += value
        return found

    def _fold_events(self) -> None:
        events = np.frombuffer(self._noted.getbuffer()[: self._noted.tell()].tobytes(), np.float32).reshape(-1, 5)
        self._noted.seek(0)
        if len(events):
            self._own.publish(fold(self._own.current, events))

    def _take_over(self, pid: int) -> None:
        """Go on with a slot: a dead worker's processor time is kept, what it had loaded is not."""
        words = self._words
        words[CPU_BEFORE] += words[CPU]
        words[CPU] = 0
        words[STARTS] += 1
        words[STARTED] = self._wall_clock()
        words[QUEUE_ROWS] = 0
        for entry in self.numbers.versions():
            self.numbers.unload_version(entry.index)
        words[PID] = pid
        self.fold()

    def _free_place(self, entries: list[WorkerVersion]) -> int | None:
        """Find a place in the table of versions.

        In a full one it is that of the version unloaded longest ago.

        With so many loaded that there is none, the rows of the next are not counted by version.
        """
        taken = {entry.index for entry in entries}
        if len(taken) < VERSIONS:
            return min(set(range(VERSIONS)) - taken)
        unloaded = [entry for entry in entries if not entry.loaded]
        if not unloaded:
            return None
        place = min(unloaded, key=lambda entry: entry.loaded_at).index
        self._fold_events()  # its rows are all in the sums, so that forgetting it forgets them
        self.numbers.forget_version(place)
        self._own.publish(forget_version(self._own.current, place))
        return place


def _resident_bytes() -> int:
    """Return the memory of this process; its peak where the system does not tell."""
    try:
        return int(_STATM.read_text().split()[1]) * resource.getpagesize()
    except OSError:
        return resource.getrusage(resource.RUSAGE_SELF).ru_maxrss * 1024


def _open_files() -> int:
    """Count the open file descriptors; 0 where the system does not tell."""
    try:
        return sum(1 for _ in _OPEN_FILES.iterdir())
    except OSError:
        return 0
