"""Numbers: their statistics, and the quantile edges of piecewise-linear encoding."""

from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from model.schema import NumericFeature

Floats = NDArray[np.float64]


@dataclass(frozen=True)
class Statistics:
    """Weighted moments of the present values of rows.

    Attributes:
        rows: weight of all rows.
        count: weight of the rows with a value.
        mean: of the values.
        squares: sum of squared distances to the mean, each times its weight.
        minimum: infinity where there is no value.
        maximum: minus infinity where there is no value.
    """

    rows: float = 0.0
    count: float = 0.0
    mean: float = 0.0
    squares: float = 0.0
    minimum: float = np.inf
    maximum: float = -np.inf

    def merge(self, other: "Statistics") -> "Statistics":
        """Join with those of further rows (Chan, Golub and LeVeque 1983)."""
        count = self.count + other.count
        if not count:
            return Statistics(rows=self.rows + other.rows)
        step = other.mean - self.mean
        return Statistics(
            rows=self.rows + other.rows,
            count=count,
            mean=self.mean + step * other.count / count,
            squares=self.squares + other.squares + step * step * self.count * other.count / count,
            minimum=min(self.minimum, other.minimum),
            maximum=max(self.maximum, other.maximum),
        )

    @property
    def missing_share(self) -> float:
        """Return the share of rows without a value, in [0, 1]."""
        return 1.0 - self.count / self.rows

    @property
    def std(self) -> float:
        """Return the deviation; 1.0 where there is one value or none, or it vanishes."""
        return float(np.sqrt(self.squares / self.count)) or 1.0 if self.minimum < self.maximum else 1.0


def statistics_of(values: NDArray[np.floating], weights: NDArray[np.floating] | None = None) -> Statistics:
    """Sum up values (R,), NaN = missing, in float64; weights (R,) say how often each counts."""
    here = ~np.isnan(values)
    known = (values if here.all() else values.compress(here)).astype(np.float64)
    rows = float(len(values)) if weights is None else float(weights.sum(dtype=np.float64))
    if not known.size:
        return Statistics(rows=rows)
    if weights is None:
        mean = known.mean()
        count, squares = float(known.size), np.square(known - mean).sum()
    else:
        times = weights[here].astype(np.float64)
        count = float(times.sum())
        mean = (times * known).sum() / count
        squares = (times * np.square(known - mean)).sum()
    return Statistics(rows, count, float(mean), float(squares), float(known.min()), float(known.max()))


def numeric_feature(
    name: str, statistics: Statistics, edges: tuple[float, ...] = (), missing_values: tuple[float, ...] = ()
) -> NumericFeature:
    """Describe a column of numbers by its training rows.

    Args:
        name: of the feature.
        statistics: of the training rows, compared and summed up as float32 values.
        edges: of piecewise-linear encoding, by `edges_of`; none for another encoding.
        missing_values: numbers that mean "no value".
    """
    if not statistics.count:
        return NumericFeature(name, mean=0.0, std=1.0, minimum=0.0, maximum=0.0, missing_share=1.0)
    return NumericFeature(
        name,
        mean=statistics.mean,
        std=statistics.std,
        minimum=statistics.minimum,
        maximum=statistics.maximum,
        missing_share=statistics.missing_share,
        bin_edges=edges,
        missing_values=missing_values,
    )


def edges_of(known: Floats, bins: int, weights: Floats | None = None) -> tuple[float, ...]:
    """Choose edges for a feature: two at least, where there is a value at all."""
    if not bins or not known.size:
        return ()
    edges = bin_edges(known, bins, weights)
    low = float(known.min())
    return tuple(edges.tolist()) if edges.size > 1 else (low, float(np.nextafter(low + 1, np.inf)))


def bin_edges(known: Floats, bins: int, weights: Floats | None = None) -> NDArray[np.float32]:
    """Choose at most bins + 1 rising edges by quantiles of present values.

    A value that fills a bin or more by itself is one edge, and the other edges are quantiles of
    the other rows: plain quantiles of a column that is zero in nine rows of ten would all be zero.

    Args:
        known: (R,) the values, or a sample of them.
        bins: between edges, at most.
        weights: (R,) how often each value counts.
    """
    order = None if weights is None else np.argsort(known, kind="stable")
    ordered = np.sort(known) if order is None else known[order]
    first = np.flatnonzero(np.append(True, ordered[1:] != ordered[:-1]))
    values, lengths = ordered[first], np.diff(first, append=len(ordered))
    if len(values) <= bins + 1:
        return values.astype(np.float32)
    counts = lengths if weights is None else np.bincount(np.repeat(np.arange(len(values)), lengths), weights[order])
    heavy = counts * bins > counts.sum()
    shares = np.linspace(0, 1, bins + 1 - int(heavy.sum()))  # fewer than `bins` can be heavy
    if weights is None:
        quantiles = np.quantile(ordered[~np.repeat(heavy, lengths)], shares)
    else:
        counts = counts * max(1.0, len(known) / counts.sum())  # light weights still are that many rows
        quantiles = weighted_quantiles(values[~heavy], counts[~heavy], shares)
    return np.unique(np.concatenate([values[heavy], quantiles]).astype(np.float32))


def weighted_quantiles(values: Floats, counts: Floats, shares: Floats) -> Floats:
    """Interpolate quantiles as `numpy.quantile` does, each value standing there `counts` times.

    Args:
        values: (V,) distinct, rising.
        counts: (V,) above 0.
        shares: (Q,) in [0, 1].

    Returns:
        (Q,).
    """
    ends = np.cumsum(counts)
    place = shares * max(ends[-1] - 1.0, 0.0)
    below = np.floor(place)
    last = len(values) - 1
    lower, upper = (values[np.minimum(np.searchsorted(ends, at, "right"), last)] for at in (below, below + 1.0))
    quantiles: Floats = lower + (upper - lower) * (place - below)
    return quantiles
