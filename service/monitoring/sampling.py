"""Sampling of served rows: a few of every second, copied aside by the hot path."""

from collections.abc import Callable, Sequence

import numpy as np

from service.inference.answer import RunResult
from service.inference.features import Batch
from service.monitoring.cells import Sample

ROWS = 64
"""Rows of a second that are taken, about; fewer of very wide ones."""

CELLS = 20_000
"""Values of a second that are counted, about."""

SAVED_S = 16
"""Seconds of rows that a quiet time leaves over for a busy one, so that a burst is seen whole."""


class Sampler:
    """Sampler of one model's rows: one in so many, so that a second has about as many each time.

    Args:
        features: of the model.
        clock: seconds that never jump.
        gates: whether gate weights are taken, too.

    Attributes:
        sample: looks at a finished run; a closure over all it needs because it is called for every
            run.
    """

    def __init__(self, features: int, clock: Callable[[], float], gates: bool = False) -> None:
        self._most = max(4, min(ROWS, CELLS // features))
        self._clock, self._second, self._gates = clock, int(clock()), gates
        self._taken: list[Sample] = []
        self._stride, self._left = 1, SAVED_S * self._most
        self.sample, self._rows, self._hurry = self._sampler()

    def take(self) -> Sample | None:
        """Return what was taken since the last call; None for nothing."""
        taken, self._taken = self._taken, []
        if (second := int(self._clock())) != self._second:
            passed = max(second - self._second, 1)
            self._left = min(self._left + self._most * passed, SAVED_S * self._most)
            self._stride = max(1, self._rows() // (max(self._left, self._most) * passed))
            self._hurry(self._stride)
            self._second = second
        if not taken:
            return None
        names = taken[0].answers
        return Sample(
            Batch.concat([one.batch for one in taken]),
            {name: np.concatenate([one.answers[name] for one in taken]) for name in names},
            np.concatenate([one.weights for one in taken]),
            np.concatenate(gates) if (gates := [w for one in taken if (w := one.gate_weights) is not None]) else None,
        )

    def _sampler(self) -> tuple[Callable[[RunResult], None], Callable[[], int], Callable[[int], None]]:
        came, due, counted = 0, 0, 0

        def sample(run: RunResult) -> None:
            nonlocal came, due
            came += run.rows
            if came > due:
                due = came + self._pick(run, due - came + run.rows)

        def rows() -> int:
            """Return how many rows came since the last call."""
            nonlocal counted
            since, counted = came - counted, came
            return since

        def hurry(stride: int) -> None:
            """Pass over no more rows than that before the next one."""
            nonlocal due
            due = min(due, came + stride - 1)

        return sample, rows, hurry

    def _pick(self, run: RunResult, first: int) -> int:
        """Copy rows of a run, the one at `first` and every further one in so many.

        Return how many rows of later runs are passed over.
        """
        stride = max(self._stride, run.rows // max(self._left, self._most))
        rows = slice(first, None, stride)
        batch = run.batch
        if batch is None:
            return stride
        taken = len(range(first, run.rows, stride))
        answers = {name: values[rows].copy() for name, values in run.answer.tasks.items()}
        weights = run.answer.gate_weights
        gates = weights[rows].copy() if self._gates and weights is not None else None
        self._taken.append(Sample(_rows(batch, rows, taken), answers, np.full(taken, float(stride)), gates))
        self._left -= taken
        if self._left <= 0:
            self._stride, self._left = 2 * self._stride, self._most  # of the seconds to come
        return first + taken * stride - run.rows

    def release(self) -> None:
        """Let go of what is sampled, and sample no more."""
        self._taken = []
        self.sample = _pass


def _pass(run: RunResult) -> None:
    """Take the place of `sample` where nothing is sampled any more."""


class Reservoir:
    """Rows of the last buckets of time, at most so many of each, evenly drawn.

    Args:
        resolution_s: seconds of a bucket.
        buckets: of the window.
        most: rows of a bucket.
    """

    def __init__(self, resolution_s: int, buckets: int, most: int) -> None:
        self._resolution_s, self._buckets, self._most = resolution_s, buckets, most
        self._kept: dict[int, list[Batch]] = {}
        self._seen: dict[int, int] = {}
        self._random = np.random.default_rng(0)

    def add(self, batch: Batch, second: int) -> None:
        """Offer rows of a second."""
        epoch = second // self._resolution_s
        for old in [old for old in self._kept if old <= epoch - self._buckets]:
            del self._kept[old], self._seen[old]
        kept, seen = self._kept.setdefault(epoch, []), self._seen.setdefault(epoch, 0)
        for row in range(batch.rows):
            if len(kept) < self._most:
                kept.append(_row(batch, row))
            elif (place := int(self._random.integers(seen + row + 1))) < self._most:
                kept[place] = _row(batch, row)
        self._seen[epoch] += batch.rows

    def rows(self, second: int) -> Batch | None:
        """Return the rows of a window that ends at a second; None without any."""
        newest = second // self._resolution_s
        kept: Sequence[Batch] = [
            row for epoch, rows in list(self._kept.items()) if newest - self._buckets < epoch <= newest for row in rows
        ]
        return Batch.concat(kept) if kept else None


def _row(batch: Batch, row: int) -> Batch:
    """Copy one row, so that it holds on to no other."""
    return _rows(batch, slice(row, row + 1), 1)


def _rows(batch: Batch, rows: slice, count: int) -> Batch:
    """Copy rows."""
    return Batch(
        None if batch.numeric is None else batch.numeric[rows].copy(),
        None if batch.categorical is None else batch.categorical[rows].copy(),
        count,
        datetime=None if batch.datetime is None else batch.datetime[rows].copy(),
    )
