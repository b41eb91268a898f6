"""Progress of scoring: rows so far, rows a second, time left."""

import sys
import time
from collections.abc import Callable
from typing import TextIO

EVERY_S = 10.0
"""Seconds between lines where the output is not a terminal; there, the line is written anew."""


class Progress:
    """Progress of a run.

    Args:
        rows: of the table.
        done: rows that an earlier run has scored.
        stream: to write to.
        clock: seconds, monotonic.
    """

    def __init__(
        self, rows: int, done: int, stream: TextIO | None = None, clock: Callable[[], float] = time.monotonic
    ) -> None:
        self._rows, self._before, self._done, self._clock = rows, done, done, clock
        self._stream = sys.stderr if stream is None else stream
        self._started = self._shown = clock()
        self._width = 0

    def add(self, rows: int) -> None:
        """Note rows that were scored."""
        self._done += rows
        now, terminal = self._clock(), self._stream.isatty()
        if terminal or now - self._shown >= EVERY_S or self._done >= self._rows:
            self._shown = now
            line = self.line()
            ending = "\r" if terminal and self._done < self._rows else "\n"
            print(line.ljust(self._width), end=ending, file=self._stream, flush=True)
            self._width = len(line)

    def line(self) -> str:
        """Describe how far the run is."""
        spent = max(self._clock() - self._started, 1e-9)
        per_s = (self._done - self._before) / spent
        left = (self._rows - self._done) / per_s if per_s else 0.0
        share = 100.0 * self._done / self._rows
        return f"{self._done:,} of {self._rows:,} rows ({share:.0f} %), {per_s:,.0f} rows/s, {_clock_time(left)} left"


def _clock_time(seconds: float) -> str:
    whole = round(seconds)
    return f"{whole // 3600}:{whole // 60 % 60:02}:{whole % 60:02}"
