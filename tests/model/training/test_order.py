"""The order of rows equals a reference written here, and costs the memory of its buffer."""

import resource

import numpy as np
import pytest
import torch
from numpy.typing import NDArray

from model.training.order import BLOCK_ROWS, RowOrder


def reference(rows: int, buffer_rows: int, seed: int, epoch: int) -> NDArray[np.int64]:
    """Order all rows at once, by numpy; torch's generator alone draws."""
    generator = torch.Generator().manual_seed(seed * 1_000_003 + epoch)

    def draw(count: int) -> NDArray[np.int64]:
        return torch.randperm(count, generator=generator).numpy()

    if rows <= buffer_rows:
        return draw(rows)
    numbers = np.arange(rows)
    blocks = [numbers[begin : begin + BLOCK_ROWS] for begin in range(0, rows, BLOCK_ROWS)]
    line = np.concatenate([blocks[b] for b in draw(len(blocks))])
    buffers = [line[begin : begin + buffer_rows] for begin in range(0, rows, buffer_rows)]
    return np.concatenate([buffer[draw(len(buffer))] for buffer in buffers])


def read(order: RowOrder, size: int, first: int = 0) -> list[torch.Tensor]:
    return list(order.batches(size, first))


SHAPES = [
    (1, 1),
    (5, 2),
    (300, 300),
    (300, 10**9),
    (BLOCK_ROWS, 1000),
    (3 * BLOCK_ROWS, BLOCK_ROWS),
    (5 * BLOCK_ROWS + 7, 6_000),
    (100_003, 99_999),
]


@pytest.mark.parametrize(("rows", "buffer_rows"), SHAPES)
@pytest.mark.parametrize("size", [64, 5_000])
def test_the_order_is_that_of_the_reference(rows: int, buffer_rows: int, size: int) -> None:
    batches = read(RowOrder(rows, buffer_rows, seed=3, epoch=2), size)
    expected = reference(rows, buffer_rows, 3, 2)
    assert [len(batch) for batch in batches] == [size] * (rows // size) + ([rows % size] if rows % size else [])
    np.testing.assert_array_equal(torch.cat(batches).numpy(), expected)
    np.testing.assert_array_equal(np.sort(expected), np.arange(rows))


def test_a_buffer_that_holds_all_rows_has_no_say() -> None:
    first, second = (torch.cat(read(RowOrder(10_000, buffer, 1, 0), 100)) for buffer in (10_000, 2_000_000))
    assert torch.equal(first, second)


@pytest.mark.parametrize("first", [0, 1, 94, 95, 157])
def test_an_order_may_be_taken_up_at_any_batch(first: int) -> None:
    order = RowOrder(10_000, 6_000, seed=0, epoch=1)
    for one, two in zip(read(order, 64)[first:], read(order, 64, first), strict=True):
        assert torch.equal(one, two)


def test_seeds_and_epochs_order_apart() -> None:
    orders = [torch.cat(read(RowOrder(9_000, 5_000, *pair), 512)) for pair in ((0, 0), (0, 1), (1, 0))]
    assert not any(torch.equal(a, b) for a, b in ((orders[0], orders[1]), (orders[0], orders[2])))


def test_rows_beyond_the_buffer_are_not_held() -> None:
    """Only the first batches of a billion rows are read; the numbers of all would take 8 GB."""
    batches = RowOrder(10**9, 10_000, 0, 0).batches(512)
    before = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss
    assert len({int(n) for _ in range(100) for n in next(batches)}) == 51_200
    assert resource.getrusage(resource.RUSAGE_SELF).ru_maxrss - before < 200_000  # kilobytes
