"""Ranking: what AUC is a mean of, for each row and within groups."""

import numpy as np
from numpy.typing import NDArray

Doubles = NDArray[np.float64]


def placements(
    answer: NDArray[np.floating], classes: NDArray[np.integer], times: Doubles, groups: NDArray[np.integer]
) -> Doubles:
    """Compute each row's placement: the share of the other class that stands on its right side.

    Of a positive row that is the share of its group's negative rows with a lower answer, of a
    negative one that of its group's positive rows with a higher answer; ties count half. The mean
    over either class is the AUC (DeLong et al., Biometrics 1988).

    Args:
        answer: (B,).
        classes: (B,), 0 or 1.
        times: (B,), how often each row counts, above 0.
        groups: (B,) numbers.

    Returns:
        (B,), in [0, 1]; NaN for a row whose group has none of the other class.
    """
    _, group = np.unique(groups, return_inverse=True)
    order = np.lexsort((answer, group))
    group, score = group[order], answer[order]
    mass = np.stack([times * (classes == 0), times * (classes == 1)])[:, order]  # (2, B): negative, positive
    new = np.ones(len(order), bool)
    new[1:] = (np.diff(group) != 0) | (np.diff(score) != 0)
    tie = np.cumsum(new) - 1  # (B,), rows of one group with one answer
    tied = np.add.reduceat(mass, np.flatnonzero(new), axis=1)  # (2, ties)
    upto = np.cumsum(tied, axis=1)
    total = np.stack([np.bincount(group, of_class) for of_class in mass])  # (2, G)
    before = np.cumsum(total, axis=1) - total
    below = (upto - tied / 2.0)[:, tie] - before[:, group]  # (2, B), of the row's group, ties half
    with np.errstate(invalid="ignore", divide="ignore"):
        share = below / total[:, group]
    placed = np.empty(len(order))
    placed[order] = np.clip(np.where(mass[1] > 0.0, share[0], 1.0 - share[1]), 0.0, 1.0)
    return placed


def grouped_auc(
    answer: NDArray[np.floating], classes: NDArray[np.integer], times: Doubles | None, groups: NDArray[np.integer]
) -> float | None:
    """Compute GAUC: the mean of the groups' AUC, each counting by its rows (impressions).

    Groups of one class, which have no AUC, are left out (Zhou et al., KDD 2018, section 6.2);
    None if there are no others.
    """
    counts = np.ones(len(answer)) if times is None else times
    placed = placements(answer, classes, counts, groups)
    known, positive = ~np.isnan(placed), classes == 1
    if not known.any():
        return None
    _, group = np.unique(groups[known], return_inverse=True)
    rows = np.bincount(group, counts[known])
    ranked = positive[known]
    wins = np.bincount(group[ranked], (counts * placed)[known & positive], len(rows))
    auc = wins / np.bincount(group[ranked], counts[known & positive], len(rows))
    return float(np.average(auc, weights=rows))
