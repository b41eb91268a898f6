"""Inputs of a network: a batch of rows as tensors, bags of different lengths padded."""

from collections.abc import Iterator
from typing import Any, NamedTuple

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor

from model.schema import MISSING, Bags, Rows

Chosen = slice | NDArray[np.integer]
"""Rows of a split: a slice with a step of 1, or row numbers."""

BATCH_ROWS = 8192
"""Rows that a network answers at once outside of training."""


class Inputs(NamedTuple):
    """B rows as a network reads them.

    Attributes:
        numeric: float32 (B, N), NaN = missing; not read when N = 0.
        codes: int64 or int32 (B, C + H), per-column codes of schema.py; not read when C + H = 0.
        bags: of each of the G bag features int64 or int32 (B, L), per-column codes; L is at least
            1, and MISSING, which is the code of no value, fills up shorter bags.
        datetimes: int64 (B, K), epoch seconds, MISSING_TIME = missing; None if K = 0.
    """

    numeric: Tensor
    codes: Tensor
    bags: tuple[Tensor, ...] = ()
    datetimes: Tensor | None = None

    def to(self, device: torch.device) -> "Inputs":
        """Move all tensors to a device."""
        datetimes = None if self.datetimes is None else self.datetimes.to(device)
        return Inputs(
            self.numeric.to(device), self.codes.to(device), tuple(bag.to(device) for bag in self.bags), datetimes
        )


def inputs_of(rows: Rows, chosen: Chosen = slice(None), device: torch.device | None = None) -> Inputs:
    """Take some rows of a split, in memory or mapped from files.

    A slice of arrays in memory is not copied; bags are, into their padded form.
    """
    datetimes = None if rows.datetimes is None else _tensor(rows.datetimes, chosen)
    bags = tuple(padded(bag, chosen) for bag in rows.bags)
    inputs = Inputs(_tensor(rows.numeric, chosen), _tensor(rows.codes, chosen), bags, datetimes)
    return inputs if device is None else inputs.to(device)


def batches_of(rows: Rows, size: int = BATCH_ROWS, device: torch.device | None = None) -> Iterator[Inputs]:
    """Cut a split into batches, in order; a split without rows is one empty batch."""
    for begin in range(0, max(1, len(rows)), size):
        yield inputs_of(rows, slice(begin, begin + size), device)


def padded(bags: Bags, chosen: Chosen) -> Tensor:
    """Lay out the chosen bags as (B, L), L the length of the longest, at least 1.

    The codes of a row come first, in their order; MISSING fills up the rest.
    """
    starts, ends = bags.offsets[:-1][chosen], bags.offsets[1:][chosen]
    lengths = ends - starts  # (B,)
    places = np.arange(lengths.max(initial=1))  # (L,)
    present = places < lengths[:, None]  # (B, L)
    if isinstance(chosen, slice):
        codes = bags.values[starts[0] : ends[-1]] if len(starts) else bags.values[:0]
    else:
        codes = bags.values[(starts[:, None] + places)[present]]
    laid_out = np.full(present.shape, MISSING, bags.values.dtype)
    laid_out[present] = codes
    return torch.from_numpy(laid_out)


def unpadded(bags: Bags, chosen: slice) -> tuple[NDArray[np.integer], NDArray[np.int64]]:
    """List the codes of neighbouring bags, one MISSING for a bag of none.

    Returns:
        Codes (V,), and for each the row, from 0 for the first chosen one.
    """
    offsets = bags.offsets[chosen.start : chosen.stop + 1]
    lengths = np.diff(offsets)
    rows = np.arange(len(lengths))
    empty = rows[lengths == 0]
    codes = np.concatenate([bags.values[offsets[0] : offsets[-1]], np.full(len(empty), MISSING, bags.values.dtype)])
    return codes, np.concatenate([rows.repeat(lengths), empty])


def _tensor(array: NDArray[Any], chosen: Chosen) -> Tensor:
    taken = array[chosen]
    return torch.from_numpy(taken if taken.flags.writeable else taken.copy())
