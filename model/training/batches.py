"""Batches: rows of a split picked by number, as the network and the losses read them."""

import warnings
from collections.abc import Iterator, Sequence
from dataclasses import replace
from typing import Any, NamedTuple

import torch
from numpy.typing import NDArray
from torch import Tensor

from model.network.inputs import BATCH_ROWS, Chosen, Inputs, inputs_of, padded
from model.schema import Rows, Task
from model.training.losses import Targets, targets_of

WHOLE_ROWS = 1_000_000
"""Most rows of a split whose labels are standardised once and whose loss is computed at once."""


class Batch(NamedTuple):
    """Rows on the device: what the network reads, and labels as losses read them."""

    inputs: Inputs
    targets: Targets


class Batches:
    """Split from which steps pick their rows by number.

    On a CPU the rows stay where they are, in memory or in mapped files: a batch alone is copied.
    A GPU gets all of them once, bags aside, if they take less than a quarter of its free memory.

    Attributes:
        targets: labels of all rows; None for more than `whole_rows`, whose labels are standardised
            batch by batch.
    """

    def __init__(self, rows: Rows, tasks: Sequence[Task], device: torch.device, whole_rows: int = WHOLE_ROWS) -> None:
        self.rows, self.tasks, self.device = rows, tuple(tasks), device
        self.targets = targets_of(rows, tasks, device) if len(rows) <= whole_rows else None
        times = None if rows.datetimes is None else view(rows.datetimes)
        held = Inputs(view(rows.numeric), view(rows.codes), (), times)
        self._held = held.to(device) if _fits(held, device) else held

    def __len__(self) -> int:
        return len(self.rows)

    def take(self, index: Tensor) -> Batch:
        """Pick rows by number, int64 (B,) on the CPU."""
        numeric, codes, _, datetimes = self._held
        place = index.to(numeric.device)
        numbers = index.numpy()
        bags = tuple(padded(bag, numbers) for bag in self.rows.bags)
        times = None if datetimes is None else datetimes.index_select(0, place)
        inputs = Inputs(numeric.index_select(0, place), codes.index_select(0, place), bags, times)
        return Batch(inputs.to(self.device), self.labels(index))

    def labels(self, index: Tensor) -> Targets:
        """Pick the labels of rows by number, int64 (B,) on the CPU."""
        if self.targets is not None:
            return self.targets.take(index.to(self.device))
        return self._targets(index.numpy())

    def slices(self, size: int = BATCH_ROWS) -> Iterator[Batch]:
        """Read all rows in their order, `size` at a time; of no rows, one batch of none."""
        for begin in range(0, max(1, len(self)), size):
            chosen = slice(begin, begin + size)
            yield Batch(inputs_of(self.rows, chosen, self.device), self._targets(chosen))

    def _targets(self, chosen: Chosen) -> Targets:
        weights = None if self.rows.weights is None else self.rows.weights[chosen]
        labels = replace(self.rows, labels=self.rows.labels[chosen], weights=weights)
        return targets_of(labels, self.tasks, self.device)


def view(array: NDArray[Any]) -> Tensor:
    """View an array as a tensor, without a copy.

    Nobody writes into it, so a map of a file that may only be read will do.
    """
    with warnings.catch_warnings():
        warnings.filterwarnings("ignore", "The given NumPy array is not writable", UserWarning)
        return torch.from_numpy(array)


def _fits(held: Inputs, device: torch.device) -> bool:
    if device.type != "cuda":
        return False
    tensors = (held.numeric, held.codes, held.datetimes)
    size = sum(tensor.nbytes for tensor in tensors if tensor is not None)
    return size < torch.cuda.mem_get_info(device)[0] // 4
