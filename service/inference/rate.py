"""Rate of rows: those completed per second, over windows in which there was work."""

import math

WINDOW_S = 0.5
"""Time over which rows are counted before the rate is renewed."""


class Rate:
    """Rate of the rows completed per second, over windows in which there was work.

    Args:
        now: seconds, on the clock of all calls.

    Attributes:
        rows_per_s: of the last window; infinite before the first is over.
    """

    def __init__(self, now: float) -> None:
        self.rows_per_s = math.inf
        self._rows = 0
        self._since = self._latest = now

    def count(self, rows: int, arrived: float, now: float) -> None:
        """Count the rows of a finished run; `arrived` is the arrival of the oldest."""
        if arrived - self._latest > WINDOW_S:  # nothing was there, which says nothing about how fast it can be
            self._rows, self._since = 0, arrived
        self._latest = now
        self._rows += rows
        if now - self._since >= WINDOW_S:
            self.rows_per_s = self._rows / (now - self._since)
            self._rows, self._since = 0, now
