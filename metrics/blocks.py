"""Blocks of rows in float64, by which sums over arrays of any length take the memory of one."""

from collections.abc import Iterator
from typing import NamedTuple

import numpy as np
from numpy.typing import NDArray

BLOCK_ROWS = 1 << 17
"""Rows of a block."""

Doubles = NDArray[np.float64]
Numbers = NDArray[np.floating] | NDArray[np.integer]
Times = NDArray[np.floating] | None
"""(B,), how often each row counts, above 0; None for once each."""


class Block(NamedTuple):
    """Rows that follow one another.

    Attributes:
        answer: (b,) or (b, K).
        truth: (b,).
        times: (b,), how often each counts.
    """

    answer: Doubles
    truth: Doubles
    times: Doubles


def spans(rows: int) -> Iterator[slice]:
    """Cut the numbers of so many rows into spans of BLOCK_ROWS, the last one of what remains."""
    for begin in range(0, rows, BLOCK_ROWS):
        yield slice(begin, min(begin + BLOCK_ROWS, rows))


def blocks(answer: Numbers, truth: Numbers, times: Times) -> Iterator[Block]:
    """Cut B rows into blocks, by their spans."""
    for part in spans(len(truth)):
        counts = times_of(times, part, part.stop - part.start)
        yield Block(np.asarray(answer[part], np.float64), np.asarray(truth[part], np.float64), counts)


def times_of(times: Times, part: slice | NDArray[np.integer], rows: int) -> Doubles:
    """Say how often each of some rows counts, (rows,)."""
    return np.ones(rows) if times is None else np.asarray(times[part], np.float64)
