"""Ranking: areas under the curves of rows in the order of their answers, and within groups."""

from typing import NamedTuple

import numpy as np
from numpy.typing import NDArray

from metrics.blocks import Doubles, Numbers, Times
from metrics.ties import Order, ties


class Areas(NamedTuple):
    """Areas under two curves of rows of both classes.

    Attributes:
        roc: AUC, ties counted half.
        precision: average precision, PR-AUC.
        mass: how often the negative and the positive rows count.
    """

    roc: float
    precision: float
    mass: tuple[float, float]


def areas(answer: Numbers, truth: Numbers, times: Times = None, order: Order | None = None) -> Areas:
    """Compute the areas, as scikit-learn defines them, from the highest answer down.

    Args:
        answer: (B,).
        truth: (B,), 0 or 1, both at least once.
        times: (B,), how often each row counts.
        order: `np.argsort(answer)`, if it is there.
    """
    order = np.argsort(answer) if order is None else order
    above, wins, precision = np.zeros(2), 0.0, 0.0
    for tie in ties(answer, truth, times, order[::-1]):
        upto = above[:, None] + np.cumsum(tie.mass, axis=1)  # (2, k): negative, positive
        wins += float(tie.mass[0] @ (upto[1] - tie.mass[1] / 2.0))
        precision += float(tie.mass[1] @ (upto[1] / upto.sum(axis=0)))
        above = upto[:, -1]
    negative, positive = above.tolist()
    return Areas(min(wins / (negative * positive), 1.0), precision / positive, (negative, positive))


def auc_error(answer: Numbers, truth: Numbers, times: Times, order: Order, found: Areas) -> float:
    """Compute the standard error of an AUC (DeLong et al., Biometrics 1988).

    The placement of a positive row is the share of negative rows with a lower answer, that of a
    negative one the share of positive rows with a higher answer; ties count half. The mean over
    either class is the AUC.

    Args:
        answer: (B,).
        truth: (B,), 0 or 1, both at least twice.
        times: (B,).
        order: `np.argsort(answer)`.
        found: of the same rows.
    """
    mass, above, squares = np.array(found.mass)[:, None], np.zeros((2, 1)), np.zeros(2)
    for tie in ties(answer, truth, times, order[::-1]):
        upto = above + np.cumsum(tie.mass, axis=1)
        share = (upto - tie.mass / 2.0) / mass  # of each class above, ties half
        placed = np.stack([share[1], 1.0 - share[0]])
        squares += (tie.squares * (placed - found.roc) ** 2).sum(axis=1)
        above = upto[:, -1:]
    positive = np.count_nonzero(truth == 1)
    rows = np.array([len(truth) - positive, positive])
    return float(np.sqrt((squares / mass[:, 0] ** 2 * rows / (rows - 1)).sum()))


def grouped_auc(answer: Numbers, classes: Numbers, times: Times, groups: NDArray[np.int64]) -> float | None:
    """Compute GAUC: the mean of the groups' AUC, each counting by its rows (impressions).

    Groups of one class, which have no AUC, are left out (Zhou et al., KDD 2018, section 6.2);
    None if there are no others.
    """
    total = rows = 0.0
    number, held = np.zeros(0, np.int64), np.zeros((3, 0))  # the group that may go on: its negative, positive, wins
    for tie in ties(answer, classes, times, np.lexsort((answer, groups))[::-1], groups):
        new = np.ones(len(tie.group), bool)
        new[1:] = tie.group[1:] != tie.group[:-1]
        first = np.flatnonzero(new)
        upto = np.cumsum(tie.mass[1])
        start = upto[first] - tie.mass[1, first]  # positive rows of this block before each group
        goes_on = len(number) and number[0] == tie.group[0]
        start[0] -= held[1, 0] if goes_on else 0.0
        above = upto - start[np.cumsum(new) - 1] - tie.mass[1] / 2.0
        found = np.add.reduceat(np.stack([*tie.mass, tie.mass[0] * above]), first, axis=1)
        if goes_on:
            found[:, 0] += held[:, 0]
        else:
            found = np.concatenate([held, found], axis=1)
        total, rows = (a + b for a, b in zip((total, rows), _summed(found[:, :-1]), strict=True))
        number, held = tie.group[-1:], found[:, -1:]
    total, rows = (a + b for a, b in zip((total, rows), _summed(held), strict=True))
    return total / rows if rows else None


def _summed(groups: Doubles) -> tuple[float, float]:
    """Sum up rows times AUC, and rows, of groups (3, g): negative, positive, wins."""
    negative, positive, wins = groups[:, (groups[:2] > 0.0).all(axis=0)]
    rows = negative + positive
    return float((rows * (wins / (negative * positive))).sum()), float(rows.sum())
