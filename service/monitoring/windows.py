"""Time windows of gate statistics: sums, their buckets, and how workers are merged.

Every row adds to one bucket of each tier and to the totals, which never expire. A bucket is a body
of a worker's sums (`shared_sums.py`): sums over its rows, so that buckets of one time, several
times or several workers simply add up. Times are whole seconds of CLOCK_MONOTONIC, which all
processes of one machine share and which never jumps.
"""

from collections.abc import Iterable
from dataclasses import dataclass, replace
from functools import cached_property
from typing import Any, Self

import numpy as np
from numpy.typing import NDArray

from service.monitoring.ring import Ring, Tier
from service.monitoring.shared_sums import Body, Shape

Floats = NDArray[np.floating[Any]]

POINTS = 60
"""Buckets of a window, the unfinished one included."""

_SPARE = 4
"""Places of a tier beyond its points: so far apart may writer and reader read the clock."""

_SUMS = 1
"""Word of a body at which its sums begin, behind the epoch."""

_TINY = np.float32(1e-30)
_SIMILARITY_LOGS = 512
"""Logarithms of a row that similarity may cost.

With more, pairs of tasks times experts, it is taken from every second row, every third, and so on.
"""


TIERS = (Tier("1m", 1), Tier("5m", 5), Tier("1h", 60))
WINDOWS = tuple(tier.window for tier in TIERS)
RING = Ring(TIERS, POINTS, _SPARE)
TOTAL_PLACE, PLACES = RING.total_place, RING.total_place + 1
fold, tier_places, tier_of = RING.fold, RING.tier_places, RING.tier_of


@dataclass(frozen=True)
class Sums:
    """Sums of gate statistics; the leading axes, if any, are buckets.

    Attributes:
        rows: how many rows were added up.
        weights: (..., T, E) gate weights.
        entropy: (..., T) entropies in nats.
        top: (..., T, E) rows in which the expert has the largest weight.
        histogram: (..., T, E, bins) rows by weight.
        similarity: (..., T, T) 1 - Jensen-Shannon divergence in base 2 of two tasks' weights.
    """

    rows: Body
    weights: Body
    entropy: Body
    top: Body
    histogram: Body
    similarity: Body

    def over_time(self) -> Self:
        """Add up the buckets."""
        return replace(self, **{name: value.sum(axis=0) for name, value in vars(self).items()})


@dataclass(frozen=True)
class Layout:
    """Layout of a body's words: epoch + 1, rows, weights, entropy, top, histogram, similarity.

    Attributes:
        tasks: T.
        experts: E.
        edges: of the weight histogram, increasing, bins + 1.
    """

    tasks: int
    experts: int
    edges: tuple[float, ...]

    @cached_property
    def shape(self) -> Shape:
        """Return the shape of a worker's sums."""
        return Shape(PLACES, _SUMS + sum(self._sizes))

    @cached_property
    def _shapes(self) -> tuple[tuple[int, ...], ...]:
        t, e, bins = self.tasks, self.experts, len(self.edges) - 1
        return (), (t, e), (t,), (t, e), (t, e, bins), (t, t)

    @cached_property
    def _sizes(self) -> tuple[int, ...]:
        return tuple(int(np.prod(shape)) for shape in self._shapes)

    @cached_property
    def _inner_edges(self) -> tuple[np.float32, ...]:
        """Return the edges between bins, rounded up to float32.

        They are the least weights of the upper bins.
        """
        edges = [np.float32(edge) for edge in self.edges[1:-1]]
        up = np.float32(np.inf)
        return tuple(
            np.nextafter(f, up) if float(f) < edge else f for f, edge in zip(edges, self.edges[1:-1], strict=True)
        )

    def sums(self, bodies: Body) -> Sums:
        """View bodies (..., words) as sums."""
        ends = _SUMS + np.cumsum(self._sizes)
        parts = [bodies[..., end - size : end] for end, size in zip(ends, self._sizes, strict=True)]
        lead = bodies.shape[:-1]
        return Sums(*(part.reshape((*lead, *shape)) for part, shape in zip(parts, self._shapes, strict=True)))

    def body(self, weights: NDArray[np.float32]) -> Body:
        """Add up rows (n, T, E); the epoch stays 0.

        Equal to `gates.py`'s functions to float32's precision.

        A row with a weight that is not finite is left out: it would spoil its bucket's sums and
        the totals for good.
        """
        body = np.zeros(self.shape.words)
        sums = self.sums(body)
        flat = weights.reshape(len(weights), self.tasks * self.experts).astype(np.float64)
        sums.weights[...] = (np.ones(len(flat)) @ flat).reshape(self.tasks, self.experts)  # four times as fast as sum()
        if not np.isfinite(sums.weights).all():
            return self.body(weights[np.isfinite(weights).all(axis=(1, 2))])
        entropy = _entropy(weights)
        sums.rows[...] = len(weights)
        entropy.sum(axis=0, dtype=np.float64, out=sums.entropy)
        sums.top[...] = self._top_counts(weights)
        sums.histogram[...] = self._histogram(weights)
        sums.similarity[...] = self._similarity(weights, entropy)
        return body

    def _top_counts(self, weights: NDArray[np.float32]) -> NDArray[np.int64]:
        cells = weights.argmax(axis=2) + np.arange(self.tasks) * self.experts
        return np.bincount(cells.ravel(), minlength=self.tasks * self.experts).reshape(self.tasks, self.experts)

    def _histogram(self, weights: NDArray[np.float32]) -> Body:
        """Count by bin as the difference of "at least this edge".

        A product with ones counts fastest.
        """
        flat = weights.reshape(len(weights), self.tasks * self.experts)
        ones = np.ones(len(weights), np.float32)  # sums stay exact: there are far fewer than 2^24 rows
        at_least = [np.full(flat.shape[1], len(weights), np.float32)]
        at_least += [ones @ (flat >= edge).astype(np.float32) for edge in self._inner_edges]
        at_least += [np.zeros(flat.shape[1], np.float32)]
        counts = -np.diff(np.array(at_least, np.float64), axis=0)
        return counts.T.reshape(self.tasks, self.experts, -1)

    def _similarity(self, weights: NDArray[np.float32], entropy: NDArray[np.float32]) -> Body:
        """Sum 1 - Jensen-Shannon divergence over the rows for each pair of tasks.

        With very many pairs it is taken from some rows.
        """
        step = 1 + self.tasks * (self.tasks - 1) // 2 * self.experts // _SIMILARITY_LOGS
        some, surprise = weights[::step], entropy[::step]
        alike = np.full((self.tasks, self.tasks), float(len(some)))
        for a in range(self.tasks - 1):
            mixed = _entropy((some[:, a : a + 1] + some[:, a + 1 :]) * np.float32(0.5))
            apart = (mixed - (surprise[:, a : a + 1] + surprise[:, a + 1 :]) * np.float32(0.5)).sum(axis=0, dtype=float)
            alike[a, a + 1 :] -= apart / np.log(2)
            alike[a + 1 :, a] = alike[a, a + 1 :]
        return alike * (len(weights) / max(len(some), 1))


def window(layout: Layout, workers: Iterable[Body], tier: Tier, now: float) -> Sums:
    """Merge the workers' buckets of a window that ends now: (POINTS, ...), oldest first.

    Args:
        layout: of the bodies.
        workers: bodies of the places that `tier_places` gives, of each worker.
        tier: the window.
        now: seconds of the clock that the rows came by.
    """
    return layout.sums(RING.series(layout.shape.words, workers, tier, now))


def total(layout: Layout, workers: Iterable[Body]) -> Sums:
    """Merge the workers' totals, from bodies of TOTAL_PLACE alone."""
    merged = np.zeros(layout.shape.words)
    for bodies in workers:
        merged += bodies[0]
    return layout.sums(merged)


def _entropy(weights: NDArray[np.float32]) -> NDArray[np.float32]:
    """Return the entropy of each row and task in nats, (n, T), in float32.

    It has ten times the speed of float64, and an error of 1e-7.
    """
    logs = np.log(np.maximum(weights, _TINY))  # 0 ln 0 = 0
    nats: NDArray[np.float32] = -np.einsum("nte,nte->nt", weights, logs)
    return nats
