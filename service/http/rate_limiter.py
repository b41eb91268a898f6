"""Rate limiter: events at once and per second, for each of a bounded number of sources."""

from collections import OrderedDict
from collections.abc import Callable


class RateLimiter:
    """Rate limiter by source (the generic cell rate algorithm: one number a source).

    Args:
        at_once: events of a source that may come together after a while without any.
        per_s: events of a source per second thereafter.
        sources: the most to remember; beyond, the one that was counted longest ago is forgotten.
        clock: seconds, monotonic.
    """

    def __init__(self, at_once: int, per_s: float, sources: int, clock: Callable[[], float]) -> None:
        self._interval_s = 1 / per_s
        self._ahead_s = (at_once - 1) * self._interval_s
        self._sources, self._clock = sources, clock
        self._due: OrderedDict[str, float] = OrderedDict()

    def __len__(self) -> int:
        return len(self._due)

    def wait_s(self, source: str) -> float:
        """Count one event; return 0.0 within the rate, else the seconds until one will be."""
        now = self._clock()
        due = max(self._due.pop(source, now), now)
        wait_s = due - now - self._ahead_s
        self._due[source] = due + self._interval_s if wait_s <= 0 else due
        if len(self._due) > self._sources:
            self._due.popitem(last=False)
        return max(wait_s, 0.0)
