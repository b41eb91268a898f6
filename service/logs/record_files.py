"""Files of records on a disk that may fail: told once, tried again, and what is lost counted."""

import logging
import time
from collections.abc import Callable
from pathlib import Path
from typing import NamedTuple

from service.logs.log import log_event
from service.logs.rotated_files import RotatedFiles

RETRY_S = 1.0
"""Seconds for which a disk that failed is left alone."""

log = logging.getLogger("service.records")


class RecordNames(NamedTuple):
    """Names of a log of records.

    Attributes:
        title: in sentences, such as "prediction log".
        event: beginning of its events in the log, such as "prediction_log".
        counter: beginning of its counters in `gauges.RECORDS`, such as "prediction_rows".
    """

    title: str
    event: str
    counter: str


class RecordFiles:
    """Files that one thread writes records to, whatever becomes of the disk.

    Args:
        names: of the log.
        files: to write to.
        directory: of these, for messages.
        count: told how many records were written or dropped, by a name of `gauges.RECORDS`.
    """

    def __init__(
        self, names: RecordNames, files: RotatedFiles, directory: Path, count: Callable[[str, int], object]
    ) -> None:
        self._names, self._files, self._directory, self._count = names, files, directory, count
        self._lost, self._retry_at = 0, 0.0
        try:
            files.open()
        except OSError as error:
            self._failed(error, 0)

    @property
    def resting(self) -> bool:
        """Tell whether the disk has failed a moment ago and is left alone."""
        return self._retry_at > time.monotonic()

    def store(self, lines: bytes, records: int) -> None:
        """Write whole lines, or drop and count them."""
        try:
            self._files.write(lines)
        except OSError as error:
            self._failed(error, records)
            return
        self._count(f"{self._names.counter}_written", records)
        if self._retry_at:
            lost, self._lost, self._retry_at = self._lost, 0, 0.0
            log_event(
                log, logging.WARNING, f"{self._names.event}_resumed",
                "The %s in %s is written again; %d rows are lost", self._names.title, self._directory, lost, rows=lost,
            )  # fmt: skip

    def drop(self, records: int) -> None:
        """Count records that are not even tried."""
        self._lost += records
        self._count(f"{self._names.counter}_dropped_disk", records)

    def no_room(self, records: int) -> None:
        """Count records that found no room in the queue."""
        self._count(f"{self._names.counter}_dropped_queue", records)

    def close(self) -> None:
        """Let go of the files."""
        self._files.close()

    def _failed(self, error: OSError, records: int) -> None:
        if not self._retry_at:
            log_event(
                log, logging.ERROR, f"{self._names.event}_failed",
                "The %s in %s cannot be written: %s; until it can, rows are dropped and counted",
                self._names.title, self._directory, error.strerror or error, directory=str(self._directory),
                error=str(error),
            )  # fmt: skip
        self._retry_at = time.monotonic() + RETRY_S
        self.drop(records)
