"""Progress of a pass over a table: a bar on a terminal, elsewhere a line now and then."""

import sys
import time
from typing import TextIO

from tqdm import tqdm

EVERY_S = 10.0
"""Seconds between lines where the output is not a terminal."""


class PassProgress:
    """Rows done, rows a second and time left of one pass, on standard error."""

    def __init__(self, name: str, rows: int, out: TextIO | None = None, every_s: float = EVERY_S) -> None:
        """Begin.

        Args:
            name: of the pass, as a line begins: "Pass 1 of 2, counting".
            rows: of the whole table; 0 if nobody knows.
            out: standard error by default.
            every_s: seconds between lines; 0 for a line at every block.
        """
        self._out = sys.stderr if out is None else out
        self._name, self._rows, self._every_s = name, rows, every_s
        self._done, self._began = 0, time.perf_counter()
        self._said = self._began
        self._bar = None
        if self._out.isatty():
            self._bar = tqdm(total=rows or None, desc=name, unit="rows", unit_scale=True, file=self._out, leave=False)
        else:
            self._say(f"{name}: {rows:,} rows")

    def add(self, rows: int) -> None:
        """Count further rows as done."""
        self._done += rows
        if self._bar is not None:
            self._bar.update(rows)
            return
        now = time.perf_counter()
        if now - self._said >= self._every_s and self._done < self._rows:
            self._said = now
            self._say(self._line(now))

    def end(self) -> None:
        """Say how long the pass took."""
        if self._bar is not None:
            self._bar.close()
        seconds = time.perf_counter() - self._began
        self._say(f"{self._name}: {self._done:,} rows in {seconds:,.0f} s ({self._rate(seconds)})")

    def _say(self, line: str) -> None:
        self._out.write(f"{line}\n")
        self._out.flush()

    def _line(self, now: float) -> str:
        seconds = now - self._began
        line = f"{self._name}: {self._done:,}"
        if not self._rows:
            return f"{line} rows, {self._rate(seconds)}"
        left = seconds / max(self._done, 1) * (self._rows - self._done)
        return f"{line} of {self._rows:,} rows, {self._rate(seconds)}, {left:,.0f} s left"

    def _rate(self, seconds: float) -> str:
        return f"{self._done / max(seconds, 1e-9):,.0f} rows/s"
