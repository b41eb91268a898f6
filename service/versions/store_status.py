"""State of the mirror of an object store, in the run directory: written by it, read by workers.

A worker may ask for a look at the store: each byte of a file is one such request, so that their
number is its length.
"""

import datetime
import os
from collections.abc import Iterator
from contextlib import suppress
from pathlib import Path

from prometheus_client.core import GaugeMetricFamily, Metric
from pydantic import BaseModel, ConfigDict

FILE, ASKED = "store.json", "store.asked"


class StoreStatus(BaseModel):
    """State of the mirror after its last look at the store.

    Attributes:
        problem: sentence about what keeps it from following the store; None if nothing does.
        since: when that began, in seconds since 1970; 0 without a problem.
        read_at: when all was in order last; 0 if it never was.
        copies_bytes: of all copies.
        answered: number of requests for a look that came before it began.
    """

    model_config = ConfigDict(frozen=True)

    problem: str | None = None
    since: float = 0
    read_at: float = 0
    copies_bytes: int = 0
    answered: int = 0


class StoreStatusFile:
    """File of the state, and the requests for another look.

    Args:
        directory: shared by the workers and the mirror.
    """

    def __init__(self, directory: Path) -> None:
        self._file, self._asked = directory / FILE, directory / ASKED
        self._stamp = (0, 0)
        self._last = StoreStatus()

    def write(self, status: StoreStatus) -> None:
        """Replace the state."""
        fresh = self._file.with_suffix(f".{os.getpid()}")
        fresh.write_text(status.model_dump_json())
        fresh.replace(self._file)

    def read(self) -> StoreStatus:
        """Return the state; it is read again when it has changed."""
        with suppress(OSError):
            found = self._file.stat()
            if (stamp := (found.st_ino, found.st_mtime_ns)) != self._stamp:
                self._last, self._stamp = StoreStatus.model_validate_json(self._file.read_bytes()), stamp
        return self._last

    def ask(self) -> int:
        """Ask for a look; return the number of the request."""
        with self._asked.open("ab", buffering=0) as file:
            file.write(b".")
            return file.tell()

    def asked(self) -> int:
        """Return how often a look was asked for."""
        try:
            return self._asked.stat().st_size
        except OSError:
            return 0

    @property
    def note(self) -> str | None:
        """Return what an operator should know of the store; None if all is in order."""
        status = self.read()
        if status.problem is None:
            return None
        since = datetime.datetime.fromtimestamp(status.since, datetime.UTC)
        return f"the store is not followed since {since:%Y-%m-%d %H:%M:%S} UTC: {status.problem}"

    def metrics(self) -> Iterator[Metric]:
        """Yield what is to be watched of the store."""
        status = self.read()
        for name, text, value in (
            ("up", "1 where the last look at the store found and copied all.", float(status.problem is None)),
            ("read_timestamp_seconds", "End of the last such look.", status.read_at),
            ("copies_bytes", "Bytes of the copies of its models.", status.copies_bytes),
        ):
            yield GaugeMetricFamily(f"mmoe_store_{name}", text, value=value)
