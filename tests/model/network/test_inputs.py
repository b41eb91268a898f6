from collections.abc import Callable
from dataclasses import replace

import numpy as np
import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st

from model.network.inputs import batches_of, inputs_of, padded
from model.schema import MISSING, Bags, Rows


def bags_of(cells: list[list[int]]) -> Bags:
    lengths = [len(cell) for cell in cells]
    values = np.array([code for cell in cells for code in cell], np.int32)
    return Bags(values, np.cumsum([0, *lengths]).astype(np.int64))


CELLS = st.lists(st.lists(st.sampled_from([0, 2, 3, 4]), max_size=5), max_size=9)


@given(cells=CELLS, seed=st.integers(0, 9), begin=st.integers(0, 9), size=st.integers(0, 9))
def test_padded_bags_are_the_cells_and_missing_fills_them_up(
    cells: list[list[int]], seed: int, begin: int, size: int
) -> None:
    numbers = np.random.default_rng(seed).integers(max(1, len(cells)), size=6 if cells else 0)
    for chosen in (numbers, slice(begin, begin + size), slice(None)):
        wanted = [cells[i] for i in chosen] if not isinstance(chosen, slice) else cells[chosen]
        laid_out = padded(bags_of(cells), chosen)
        width = max([1, *map(len, wanted)])
        assert laid_out.shape == (len(wanted), width)
        assert laid_out.tolist() == [cell + [MISSING] * (width - len(cell)) for cell in wanted]


def test_batches_are_the_rows_in_order(rows: Callable[..., Rows]) -> None:
    times = np.arange(64, dtype=np.int64)[:, None]
    split = replace(rows(64), bags=(bags_of([[2] * (row % 3) for row in range(64)]),), datetimes=times)
    batches = list(batches_of(split, 10))
    assert [len(batch.numeric) for batch in batches] == [10] * 6 + [4]
    np.testing.assert_array_equal(torch.cat([batch.codes for batch in batches]).numpy(), split.codes)
    assert [int(n) for b in batches for n in (b.bags[0] == 2).sum(dim=1)] == [row % 3 for row in range(64)]
    assert torch.cat([b.datetimes for b in batches if b.datetimes is not None]).tolist() == times.tolist()


def test_split_without_rows_is_one_empty_batch(rows: Callable[..., Rows]) -> None:
    (batch,) = batches_of(rows(0))
    assert batch.numeric.shape == (0, 2)


@pytest.mark.filterwarnings("error")
def test_rows_that_cannot_be_written_are_copied(rows: Callable[..., Rows]) -> None:
    split = rows(8)
    split.numeric.flags.writeable = False
    inputs = inputs_of(split, slice(2, 4))
    inputs.numeric.zero_()
    assert split.numeric[2:4].any()
