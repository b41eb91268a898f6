"""Matching of two versions' experts: expert 3 of one training is not expert 3 of another.

Of the weights of the same rows sums over all pairs of experts are kept, from which the best
assignment, and the figures by it, follow at any time.
"""

from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray

from service.monitoring.shared_sums import Body

GOOD_MATCH = 0.5
"""Correlation of two experts' weights over rows from which they are taken for the same."""

_MOST_PAIRS = 1_000_000
"""Pairs of weights of one comparison whose divergence is computed.

Of more, every n-th row counts.
"""

Floats = NDArray[np.floating[Any]]


def words_of(ours: int, theirs: int) -> int:
    """Count the words of one task's sums."""
    return 3 * ours * theirs + 2 * ours + 2 * theirs


@dataclass(frozen=True)
class PairSums:
    """Sums over rows of one task's weights p (E,) and q (E') of the same rows.

    Attributes:
        top: (E, E') rows whose largest weights are of these two.
        divergence: (E, E') the part of the two in the Jensen-Shannon divergence (base 2).
        product: (E, E') p q.
        ours: (2, E) p and p squared.
        theirs: (2, E') q and q squared.
    """

    top: Body
    divergence: Body
    product: Body
    ours: Body
    theirs: Body

    @classmethod
    def view(cls, words: Body, ours: int, theirs: int) -> "PairSums":
        """View words as sums."""
        square = ours * theirs
        parts = np.split(words, [square, 2 * square, 3 * square, 3 * square + 2 * ours])
        top, divergence, product = (part.reshape(ours, theirs) for part in parts[:3])
        return cls(top, divergence, product, parts[3].reshape(2, ours), parts[4].reshape(2, theirs))

    def add(self, p: Floats, q: Floats) -> None:
        """Add the weights of rows, (B, E) and (B, E')."""
        p, q = p.astype(np.float64), q.astype(np.float64)
        np.add.at(self.top, (p.argmax(axis=1), q.argmax(axis=1)), 1)
        step = -(-p.shape[0] * p.shape[1] * q.shape[1] // _MOST_PAIRS)
        some = _divergence(p[::step, :, None], q[::step, None, :]).sum(axis=0)
        self.divergence[...] += some * (len(p) / len(p[::step]))
        self.product[...] += p.T @ q
        self.ours[...] += p.sum(axis=0), np.square(p).sum(axis=0)
        self.theirs[...] += q.sum(axis=0), np.square(q).sum(axis=0)


def _divergence(a: Floats, b: Floats) -> Floats:
    """Return the part of two weights in the Jensen-Shannon divergence in base 2."""
    middle = np.maximum(a + b, 1e-300) / 2
    parts: Floats = (a * np.log2(np.where(a > 0, a / middle, 1)) + b * np.log2(np.where(b > 0, b / middle, 1))) / 2
    return parts


@dataclass(frozen=True)
class Matching:
    """Best assignment of the experts of two versions.

    Attributes:
        partner: of each of our experts theirs; None for one that has none.
        correlation: of each pair's weights over rows and tasks; None where they do not vary.
    """

    partner: list[int | None]
    correlation: list[float | None]

    @classmethod
    def of(cls, tasks: list[PairSums], rows: float) -> "Matching":
        """Assign the experts so that the divergence of all tasks' weights is least."""
        cost = np.sum([task.divergence for task in tasks], axis=0)
        ours, theirs = cost.shape
        size = max(ours, theirs)
        square = np.zeros((size, size))
        square[:ours, :theirs] = cost
        square[:ours, theirs:] = np.sum([task.ours[0] for task in tasks], axis=0)[:, None] / 2
        square[ours:, :theirs] = np.sum([task.theirs[0] for task in tasks], axis=0)[None, :] / 2
        partner = [int(j) if j < theirs else None for j in assignment(square)[:ours]]
        related = _correlation(tasks, rows)
        values = [None if j is None else related[i, j] for i, j in enumerate(partner)]
        return cls(partner, [None if value is None or np.isnan(value) else float(value) for value in values])

    def good(self) -> list[bool]:
        """Tell of each of our experts whether its partner is the same one."""
        return [value is not None and value >= GOOD_MATCH for value in self.correlation]

    def divergence(self, task: PairSums) -> float:
        """Return the sum over rows of the divergence of a task's weights, partner by partner."""
        pairs = [(i, j) for i, j in enumerate(self.partner) if j is not None]
        paired = sum(float(task.divergence[i, j]) for i, j in pairs)
        alone = task.ours[0].sum() + task.theirs[0].sum()
        alone -= sum(task.ours[0, i] + task.theirs[0, j] for i, j in pairs)
        return max(paired + float(alone) / 2, 0.0)

    def same_top(self, task: PairSums) -> float:
        """Count the rows whose largest weights are of partners."""
        return sum(float(task.top[i, j]) for i, j in enumerate(self.partner) if j is not None)


def _correlation(tasks: list[PairSums], rows: float) -> Floats:
    """Correlate the weights of each pair of experts over rows, within tasks."""
    together = np.sum([t.product - np.outer(t.ours[0], t.theirs[0]) / rows for t in tasks], axis=0)
    ours = np.sum([t.ours[1] - t.ours[0] ** 2 / rows for t in tasks], axis=0)
    theirs = np.sum([t.theirs[1] - t.theirs[0] ** 2 / rows for t in tasks], axis=0)
    spread = np.sqrt(np.outer(ours.clip(0), theirs.clip(0)))
    tiny = 1e-9 * rows
    related: Floats = np.where(spread > tiny, together / np.maximum(spread, tiny), np.nan)
    return related


def assignment(cost: Floats) -> list[int]:
    """Return the column of each row in the assignment of least cost (n, n).

    Kuhn, "The Hungarian method for the assignment problem" (1955), by shortest augmenting paths.
    """
    n = len(cost)
    of_row, of_column = np.zeros(n + 1), np.zeros(n + 1)
    row_of = np.zeros(n + 1, np.int64)  # of each column the row, from 1; 0 for none
    for row in range(1, n + 1):
        row_of[0], column = row, 0
        least, came_from, done = np.full(n + 1, np.inf), np.zeros(n + 1, np.int64), np.zeros(n + 1, bool)
        while row_of[column]:
            done[column], at = True, row_of[column]
            reduced = cost[at - 1] - of_row[at] - of_column[1:]
            closer = ~done[1:] & (reduced < least[1:])
            least[1:][closer], came_from[1:][closer] = reduced[closer], column
            following = int(np.where(done, np.inf, least)[1:].argmin()) + 1
            delta = least[following]
            of_row[row_of[done]] += delta
            of_column[done] -= delta
            least[~done] -= delta
            column = following
        while column:
            row_of[column] = row_of[came_from[column]]
            column = int(came_from[column])
    columns = [0] * n
    for place, row in enumerate(row_of[1:].tolist()):
        columns[row - 1] = place
    return columns
