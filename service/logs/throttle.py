"""Rate limits of the log: reports that are summed up, lines that are cut off."""

import asyncio
from collections.abc import Callable

EVERY_S = 10.0
"""Seconds between two reports of something that keeps happening, after the first."""


class Throttle:
    """Throttle of reports: the first time at once, then sums over a while, until it has ended.

    To be used on the event loop.

    Args:
        tell: called with how many times it has happened since it was last called.
        every_s: how long to count before telling again.
    """

    def __init__(self, tell: Callable[[int], object], every_s: float = EVERY_S) -> None:
        self._tell, self._every_s = tell, every_s
        self._count = 0
        self._timer: asyncio.TimerHandle | None = None

    def count(self) -> None:
        """Note one more."""
        self._count += 1
        if self._timer is None:
            self._sum_up()

    def _sum_up(self) -> None:
        self._timer = None
        if self._count:
            count, self._count = self._count, 0
            self._tell(count)
            self._timer = asyncio.get_running_loop().call_later(self._every_s, self._sum_up)


class FixedWindowLimiter:
    """Rate limiter over fixed windows of a second.

    Args:
        per_s: events allowed in one window.
        clock: seconds, monotonic.
    """

    def __init__(self, per_s: int, clock: Callable[[], float]) -> None:
        self._per_s, self._clock = per_s, clock
        self._left, self._until = 0, 0.0

    def take(self) -> bool:
        """Count one event; False if the window has had its number."""
        if self._left > 0:
            self._left -= 1
            return True
        if (now := self._clock()) < self._until:
            return False
        self._left, self._until = self._per_s - 1, now + 1.0
        return True
