"""Reliability of probabilities: observed shares beside them, bin by bin."""

from typing import NamedTuple

import numpy as np
from numpy.typing import NDArray

BINS = 15

Floats = NDArray[np.floating]
Counts = NDArray[np.number]


class Bins(NamedTuple):
    """Bins of rows, at most BINS, by rising probability.

    Attributes:
        mean: probability.
        share: of positive rows.
        mass: how often the rows count together.
        worth: how many rows of equal weight say as much about the share.
    """

    mean: Counts
    share: Counts
    mass: Counts
    worth: Counts


def reliability(predicted: Floats, labels: Counts, times: Floats | None = None) -> Bins:
    """Cut rows by their probability into bins of equal mass, and average each.

    Bins of equal width would have all rows of a rare label in the first one. Rows on an edge are
    divided, so that a row of weight 2 is the same as two rows; those of one probability all with
    the share that they have together, so that their order does not matter.

    Args:
        predicted: (B,) probabilities.
        labels: (B,), 0 or 1.
        times: (B,), how often each row counts.
    """
    counts = np.ones(len(predicted)) if times is None else times.astype(np.float64)
    _, places = np.unique(predicted, return_inverse=True)
    of_row = (counts, counts * predicted, counts * labels, counts**2)
    risen = [np.append(0.0, np.cumsum(np.bincount(places, part))) for part in of_row]
    edges = np.linspace(0.0, risen[0][-1], BINS + 1)
    summed = [np.diff(np.interp(edges, risen[0], part)) for part in risen]
    mass, answered, positive, squares = (of[summed[0] > 0.0] for of in summed)
    return Bins(answered / mass, positive / mass, mass, mass**2 / squares)


def calibration_error(predicted: Floats, labels: Counts, times: Floats | None) -> float:
    """Compute the expected calibration error, in [0, 1].

    The mean distance between predicted and observed shares of the bins, by their mass (Naeini et
    al., AAAI 2015, there with bins of equal width).
    """
    bins = reliability(predicted, labels, times)
    return float(np.average(np.abs(bins.mean - bins.share), weights=bins.mass))


def wilson(share: Counts, count: Counts) -> Floats:
    """Compute how far each share's 95% interval reaches down and up, (2, bins).

    By Wilson's score (1927).
    """
    z2 = 1.96**2 / count
    middle = (share + z2 / 2) / (1 + z2)
    half = np.sqrt(share * (1 - share) * z2 + z2**2 / 4) / (1 + z2)
    return np.maximum([share - (middle - half), middle + half - share], 0.0)
