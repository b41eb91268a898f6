"""Stratified split: every class of every task in every split.

As near to its share as whole rows allow.

The order of work is that of iterative stratification (Sechidis et al., ECML PKDD 2011), rarest
class first, with all rows of a class divided at once. Axes: R rows, S splits.
"""

from collections.abc import Iterator, Mapping

import numpy as np
from numpy.typing import NDArray

Strata = Mapping[str, NDArray[np.float64]]
"""By task, (R,): number of the class of each row, from 0; NaN where the label is missing."""


def lacking(chosen: NDArray[np.int8], sizes: NDArray[np.int64], strata: Strata) -> tuple[str, int] | None:
    """Find a task and a split without rows of one of its classes.

    Only where there are rows enough for all splits.

    Args:
        chosen: (R,) split of each row.
        sizes: (S,) rows of each split; one of size 0 is not looked at.
        strata: of the same rows.
    """
    wanted = np.flatnonzero(sizes)
    for task, classes in strata.items():
        for rows in _by_class(classes):
            counts = np.bincount(chosen[rows], minlength=len(sizes))
            if len(rows) >= len(wanted) and not counts[wanted].all():
                return task, int(wanted[np.argmin(counts[wanted])])
    return None


def stratify(order: NDArray[np.int64], sizes: NDArray[np.int64], strata: Strata) -> NDArray[np.int8]:
    """Divide rows among splits of given sizes.

    Args:
        order: (R,) the row numbers, shuffled: within a class, earlier ones fall into earlier
            splits.
        sizes: (S,) rows of each split; they add up to R.
        strata: (R,) for each task.

    Returns:
        (R,) number of the split of each row.
    """
    chosen = np.full(len(order), -1, np.int8)
    left = sizes.copy()
    place = np.empty_like(order)
    place[order] = np.arange(len(order))
    every = [rows for classes in strata.values() for rows in _by_class(classes)]
    for rows in [*sorted(every, key=len), order]:
        free = rows[chosen[rows] < 0]
        free = free[np.argsort(place[free])]
        had = np.bincount(chosen[rows][chosen[rows] >= 0], minlength=len(sizes))
        taken = _apportion(len(free), len(rows) * sizes / len(order), had, left)
        chosen[free] = np.repeat(np.arange(len(sizes)), taken)
        left -= taken
    return chosen


def _apportion(
    free: int, fair: NDArray[np.float64], had: NDArray[np.int64], left: NDArray[np.int64]
) -> NDArray[np.int64]:
    """Share out the free rows of a class, (S,).

    Args:
        free: rows to share out; no more than are left.
        fair: (S,) the class's rows by the size of each split.
        had: (S,) rows of the class that each split already holds.
        left: (S,) rows that each split still takes, of any class.
    """
    taken = np.zeros_like(left)
    for split in np.argsort(fair, kind="stable"):  # one each first, the smallest split before all
        if had[split] == 0 and left[split] > 0 and taken.sum() < free:
            taken[split] = 1
    want = np.maximum(fair - had, 0.0)
    want *= min(1.0, free / max(want.sum(), 1e-9))
    whole = np.minimum(np.maximum(np.floor(want).astype(np.int64), taken), left)
    if whole.sum() <= free:
        taken = whole
    while (rest := free - taken.sum()) > 0:
        open_splits = np.flatnonzero(left > taken)
        split = open_splits[np.argmax((want - taken)[open_splits])]
        room = left[split] - taken[split]
        taken[split] += max(1, min(rest, room, int(want[split] - taken[split])))
    return taken


def _by_class(classes: NDArray[np.float64]) -> Iterator[NDArray[np.int64]]:
    """List the rows of each class, in rising order of the classes."""
    rows = np.flatnonzero(~np.isnan(classes))
    rows = rows[np.argsort(classes[rows], kind="stable")]
    _, starts = np.unique(classes[rows], return_index=True)
    yield from np.split(rows, starts[1:]) if len(rows) else ()
