"""Reliability of probabilities: observed shares beside them, bin by bin."""

from typing import NamedTuple

import numpy as np
from numpy.typing import NDArray

from metrics.blocks import Numbers, Times
from metrics.ties import Order, ties

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


def reliability(predicted: Numbers, labels: Numbers, times: Times = None, order: Order | None = None) -> Bins:
    """Cut rows by their probability into bins of equal mass, and average each.

    Bins of equal width would have all rows of a rare label in the first one. Rows on an edge are
    divided, so that a row of weight 2 is the same as two rows; those of one probability all with
    the share that they have together, so that their order does not matter.

    Args:
        predicted: (B,) probabilities.
        labels: (B,), 0 or 1.
        times: (B,), how often each row counts.
        order: `np.argsort(predicted)`, if it is there.
    """
    order = np.argsort(predicted) if order is None else order
    total = float(len(labels)) if times is None else float(times.sum(dtype=np.float64))
    edges, risen = np.linspace(0.0, total, BINS + 1), np.zeros((4, 1))
    at_edges = np.zeros((4, BINS + 1))  # mass, answers, positive rows and squares up to each edge
    for tie in ties(predicted, labels, times, order):
        mass = tie.mass.sum(axis=0)
        parts = np.stack([mass, mass * tie.answer, tie.mass[1], tie.squares.sum(axis=0)])
        risen = np.concatenate([risen[:, -1:], risen[:, -1:] + np.cumsum(parts, axis=1)], axis=1)
        here = (edges > risen[0, 0]) & (edges <= risen[0, -1])
        at_edges[:, here] = [np.interp(edges[here], risen[0], part) for part in risen]
    at_edges[:, edges > risen[0, -1]] = risen[:, -1:]  # by rounding alone
    summed = np.diff(at_edges)
    mass, answered, positive, squares = summed[:, summed[0] > 0.0]
    return Bins(answered / mass, positive / mass, mass, mass**2 / squares)


def calibration_error(predicted: Numbers, labels: Numbers, times: Times, order: Order | None = None) -> float:
    """Compute the expected calibration error, in [0, 1].

    The mean distance between predicted and observed shares of the bins, by their mass (Naeini et
    al., AAAI 2015, there with bins of equal width).
    """
    bins = reliability(predicted, labels, times, order)
    return float(np.average(np.abs(bins.mean - bins.share), weights=bins.mass))


def wilson(share: Counts, count: Counts) -> Floats:
    """Compute how far each share's 95% interval reaches down and up, (2, bins).

    By Wilson's score (1927).
    """
    z2 = 1.96**2 / count
    middle = (share + z2 / 2) / (1 + z2)
    half = np.sqrt(share * (1 - share) * z2 + z2**2 / 4) / (1 + z2)
    return np.maximum([share - (middle - half), middle + half - share], 0.0)
