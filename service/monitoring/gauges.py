"""A worker's slot of plain numbers and names.

Gauges, counters of rejected requests, the versions it has loaded.
"""

from collections.abc import Iterator
from dataclasses import dataclass
from typing import NamedTuple

from service.monitoring.instruments import MODELS, REASONS, VERSIONS

ALIVE_S = 10.0
"""Seconds after which a worker that was not seen is taken for dead.

Its gauges count no more, its counters do.
"""

_NAME_BYTES = 256
PID, SEEN, STARTS, STARTED, QUEUE_ROWS, MEMORY, OPEN_FILES, CPU_BEFORE, CPU, FIRST_REASON = range(10)
"""Words of a slot; the counters of rejected requests follow."""

RECORDS = (
    "prediction_rows_written",
    "prediction_rows_dropped_queue",
    "prediction_rows_dropped_disk",
    "label_rows_written",
    "label_rows_dropped_disk",
    "log_lines_dropped",
    "trace_requests_dropped_queue",
    "trace_requests_dropped_export",
)
"""Fates of records, each counted by one thread.

Two threads could lose each other's additions.
"""

_VERSION_WORDS = 6
_STATE, _MODEL, _NUMBER_HIGH, _NUMBER_LOW, _LOADED_AT, _LOAD_S = range(_VERSION_WORDS)
_ABSENT, _UNLOADED, _LOADED = 0.0, 1.0, 2.0
_HIGH = 10**9  # a word holds whole numbers to 2^53, a version has up to 18 digits
_FIRST_RECORD = FIRST_REASON + len(REASONS)
_TABLE = _FIRST_RECORD + len(RECORDS)
_NAMES = (_TABLE + VERSIONS * _VERSION_WORDS) * 8
SLOT_BYTES = _NAMES + MODELS * _NAME_BYTES
REASON_WORD = {reason: FIRST_REASON + index for index, reason in enumerate(REASONS)}
RECORD_WORD = {record: _FIRST_RECORD + index for index, record in enumerate(RECORDS)}


@dataclass(frozen=True)
class WorkerVersion:
    """Model version that a worker has, or had, loaded.

    Attributes:
        index: its place in the worker's table.
        loaded: whether it is loaded now.
        loaded_at: seconds since 1970.
        load_s: how long loading took.
    """

    index: int
    model: str
    version: int
    loaded: bool
    loaded_at: float
    load_s: float


class Gauges(NamedTuple):
    """Gauges of one worker.

    Attributes:
        restarts: starts in this slot beyond the first.
        started: seconds since 1970.
        queue_rows: rows that wait to be run.
        memory_bytes: resident.
        open_files: descriptors.
        cpu_s: processor time, of all lives.
    """

    restarts: float
    started: float
    queue_rows: float
    memory_bytes: float
    open_files: float
    cpu_s: float


class WorkerNumbers:
    """Slot of numbers and names of one worker, which alone may write."""

    def __init__(self, slot: memoryview) -> None:
        self.words = slot[:_NAMES].cast("d")
        self._names = slot[_NAMES:]

    def is_alive(self, now: float) -> bool:
        """Tell whether the worker has been seen lately."""
        return self.words[PID] > 0 and now - self.words[SEEN] < ALIVE_S

    def gauges(self) -> Gauges:
        """Return what the worker said of itself."""
        return Gauges(
            restarts=max(self.words[STARTS] - 1, 0),
            started=self.words[STARTED],
            queue_rows=self.words[QUEUE_ROWS],
            memory_bytes=self.words[MEMORY],
            open_files=self.words[OPEN_FILES],
            cpu_s=self.words[CPU_BEFORE] + self.words[CPU],
        )

    def rejected(self) -> dict[str, float]:
        """Return how many requests were rejected, by reason."""
        return {reason: self.words[word] for reason, word in REASON_WORD.items()}

    def recorded(self) -> dict[str, float]:
        """Return what became of records, by the names of RECORDS."""
        return {record: self.words[word] for record, word in RECORD_WORD.items()}

    def model(self, index: int) -> str:
        """Return the name at a place of the table; empty where there is none."""
        field = bytes(self._names[index * _NAME_BYTES : (index + 1) * _NAME_BYTES])
        return field.rstrip(b"\0").decode(errors="ignore")

    def versions(self) -> Iterator[WorkerVersion]:
        """List the table of versions."""
        for index in range(VERSIONS):
            at = _TABLE + index * _VERSION_WORDS
            state, model, high, low, loaded_at, load_s = self.words[at : at + _VERSION_WORDS]
            if state != _ABSENT:
                number = int(high) * _HIGH + int(low)
                yield WorkerVersion(index, self.model(int(model)), number, state == _LOADED, loaded_at, load_s)

    def name_model(self, name: str) -> int:
        """Return the place of a model's name: its own, a new one, or the last, "other"."""
        encoded = name.encode()[:_NAME_BYTES]
        for index in range(1, MODELS - 1):
            known = self.model(index)
            if not known:
                self._write_name(index, encoded)
            if not known or known == encoded.decode(errors="ignore"):
                return index
        self._write_name(MODELS - 1, b"other")
        return MODELS - 1

    def _write_name(self, index: int, name: bytes) -> None:
        self._names[index * _NAME_BYTES : index * _NAME_BYTES + len(name)] = name

    def write_version(self, index: int, model: int, version: int, loaded_at: float, load_s: float) -> None:
        """Write a line of the table of versions: a loaded one.

        Its state comes last, which is what makes it valid.
        """
        self.forget_version(index)
        at = _TABLE + index * _VERSION_WORDS
        fields = (float(model), *map(float, divmod(version, _HIGH)), loaded_at, load_s)
        for word, value in enumerate(fields, start=at + _MODEL):
            self.words[word] = value
        self.words[at + _STATE] = _LOADED

    def unload_version(self, index: int) -> None:
        """Mark a version as not loaded any more."""
        self.words[_TABLE + index * _VERSION_WORDS + _STATE] = _UNLOADED

    def forget_version(self, index: int) -> None:
        """Empty a line of the table."""
        self.words[_TABLE + index * _VERSION_WORDS + _STATE] = _ABSENT
