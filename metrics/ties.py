"""Ties: rows of one answer, taken together in the order of the answers."""

from collections.abc import Iterator
from typing import NamedTuple

import numpy as np
from numpy.typing import NDArray

from metrics.blocks import Doubles, Numbers, Times, spans, times_of

Order = NDArray[np.integer]


class Ties(NamedTuple):
    """Rows of one answer, and of one group where there are groups, taken together.

    Attributes:
        answer: (k,), rising or falling, within each group.
        group: (k,).
        mass: (2, k), how often negative and positive rows count.
        squares: (2, k), sums of the squares of how often each counts.
    """

    answer: Doubles
    group: NDArray[np.int64]
    mass: Doubles
    squares: Doubles

    def take(self, part: slice) -> "Ties":
        """Take some that follow one another."""
        return Ties(self.answer[part], self.group[part], self.mass[:, part], self.squares[:, part])


def ties(
    answer: Numbers,
    truth: Numbers,
    times: Times,
    order: Order,
    groups: NDArray[np.int64] | None = None,
) -> Iterator[Ties]:
    """Walk through rows block by block; a tie that rows of the next one may join waits for these.

    Args:
        answer: (B,).
        truth: (B,), 1 for a positive row.
        times: (B,).
        order: (B,) row numbers, sorted by answer, or by group and then answer.
        groups: (B,) numbers.
    """
    held = Ties(np.zeros(0), np.zeros(0, np.int64), np.zeros((2, 0)), np.zeros((2, 0)))
    for span in spans(len(order)):
        part = order[span]
        positive, counts = truth[part] == 1, times_of(times, part, len(part))
        mass = np.where([~positive, positive], counts, 0.0)
        value = np.append(held.answer, np.asarray(answer[part], np.float64))
        group = np.append(held.group, np.zeros(len(part), np.int64) if groups is None else groups[part])
        new = np.ones(len(value), bool)
        new[1:] = (value[1:] != value[:-1]) | (group[1:] != group[:-1])
        first = np.flatnonzero(new)
        summed = [
            np.add.reduceat(np.concatenate([before, of_rows], axis=1), first, axis=1)
            for before, of_rows in ((held.mass, mass), (held.squares, mass**2))
        ]
        found = Ties(value[first], group[first], *summed)
        held = found.take(slice(-1, None))
        if len(first) > 1:
            yield found.take(slice(-1))
    if len(held.answer):
        yield held
