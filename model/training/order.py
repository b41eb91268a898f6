"""Order of rows in an epoch, fixed by a seed and made as it is read."""

import math
from collections.abc import Iterator

import torch
from torch import Tensor

BLOCK_ROWS = 4096
"""Neighbouring rows that stay together where not all rows fit into the buffer."""


class RowOrder:
    """Shuffled row numbers of one epoch, the same at every reading.

    Up to `buffer_rows` rows are one permutation. Of more, blocks of BLOCK_ROWS neighbours are
    permuted and laid one after another, that line is cut into buffers of `buffer_rows`, and each
    buffer is permuted; one generator draws all permutations in that order. Memory is that of one
    buffer, 16 to 24 bytes a row of it.

    Args:
        rows: to be ordered.
        buffer_rows: at least 1.
        seed: of the run.
        epoch: from 0.
    """

    def __init__(self, rows: int, buffer_rows: int, seed: int, epoch: int) -> None:
        self.rows, self.buffer_rows, self.seed, self.epoch = rows, buffer_rows, seed, epoch

    def buffers(self) -> Iterator[Tensor]:
        """Draw the buffers one after another: int64, up to `buffer_rows` row numbers each."""
        generator = torch.Generator().manual_seed(self.seed * 1_000_003 + self.epoch)
        if self.rows <= self.buffer_rows:
            yield torch.randperm(self.rows, generator=generator)
            return
        blocks = torch.randperm(math.ceil(self.rows / BLOCK_ROWS), generator=generator)
        for line in cut((_block(int(block), self.rows) for block in blocks), self.buffer_rows):
            yield line.index_select(0, torch.randperm(len(line), generator=generator))

    def batches(self, size: int, first: int = 0) -> Iterator[Tensor]:
        """Cut the order into batches of `size` rows, the last one of what remains.

        Args:
            size: rows of a batch.
            first: batches to leave out at the beginning; their permutations are drawn again.
        """
        for number, batch in enumerate(cut(self.buffers(), size)):
            if number >= first:
                yield batch


def cut(lines: Iterator[Tensor], size: int) -> Iterator[Tensor]:
    """Lay vectors one after another and cut the line into pieces of `size`.

    The last piece has what remains. A piece within one vector is a view of it.
    """
    parts: list[Tensor] = []
    missing = size
    for line in lines:
        begin = 0
        while len(line) - begin >= missing:
            parts.append(line[begin : begin + missing])
            begin += missing
            yield parts[0] if len(parts) == 1 else torch.cat(parts)
            parts, missing = [], size
        if begin < len(line):
            parts.append(line[begin:])
            missing -= len(line) - begin
    if parts:
        yield parts[0] if len(parts) == 1 else torch.cat(parts)


def _block(number: int, rows: int) -> Tensor:
    return torch.arange(number * BLOCK_ROWS, min(rows, (number + 1) * BLOCK_ROWS))
