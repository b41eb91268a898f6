"""Ring of buckets: where the sums of a second belong, and how workers' buckets are merged.

The first word of every bucket is its epoch + 1: its time in units of its tier's resolution.
"""

from collections.abc import Callable, Iterable, Iterator
from dataclasses import dataclass
from typing import NamedTuple

import numpy as np

from service.monitoring.shared_sums import Body

_EPOCH = 0


class Tier(NamedTuple):
    """Window of time, and the seconds that one of its buckets covers."""

    window: str
    resolution_s: int


@dataclass(frozen=True)
class Ring:
    """Places of all tiers' buckets, and one more for the totals.

    Attributes:
        tiers: windows.
        points: buckets of a window, the unfinished one included.
        spare: places of a tier beyond its points: so far apart may writer and reader read the
            clock.
    """

    tiers: tuple[Tier, ...]
    points: int
    spare: int

    @property
    def total_place(self) -> int:
        """Return the place of the totals, which never expire; it is the last."""
        return len(self.tiers) * (self.points + self.spare)

    def fold(self, current: Callable[[int], Body], added: Body, second: int) -> dict[int, Body]:
        """Add the sums of one second's rows to the current ones; return the new bodies by place.

        Args:
            current: gives the body of a place; all zero where there is none yet.
            added: of the rows; its epoch is 0.
            second: when they came. Rows older than the bucket that has taken their place count in
                the totals alone.
        """
        changed: dict[int, Body] = {}
        for place, epoch in self._places(second):
            body = current(place)
            newest = int(body[_EPOCH]) - 1
            if newest == epoch:
                changed[place] = body + added
            elif epoch > newest:
                changed[place] = added.copy()
            else:
                continue
            changed[place][_EPOCH] = epoch + 1
        return changed

    def series(self, words: int, workers: Iterable[Body], tier: Tier, now: float) -> Body:
        """Merge the workers' buckets of a window that ends now: (points, words), oldest first.

        Args:
            words: of a body.
            workers: bodies of the places that `tier_places` gives, of each worker.
            tier: the window.
            now: seconds of the clock that the rows came by.
        """
        newest = int(now) // tier.resolution_s
        series = np.zeros((self.points, words))
        for bodies in workers:
            at = bodies[:, _EPOCH].astype(np.int64) - 1 - newest + self.points - 1
            inside = (bodies[:, _EPOCH] > 0) & (at >= 0) & (at < self.points)
            series[at[inside]] += bodies[inside]  # no two places of a worker hold the same epoch
        return series

    def tier_places(self, tier: Tier) -> tuple[int, int]:
        """Return the first place of a tier and the one after its last."""
        first = self.tiers.index(tier) * (self.points + self.spare)
        return first, first + self.points + self.spare

    def tier_of(self, window: str) -> Tier | None:
        """Return the tier of a window's name; None if there is none of that name."""
        return next((tier for tier in self.tiers if tier.window == window), None)

    def _places(self, second: int) -> Iterator[tuple[int, int]]:
        """Yield place and epoch of every bucket that a row of this second adds to.

        The totals are of epoch 0.
        """
        for index, tier in enumerate(self.tiers):
            epoch = second // tier.resolution_s
            yield index * (self.points + self.spare) + epoch % (self.points + self.spare), epoch
        yield self.total_place, 0
