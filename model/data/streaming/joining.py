"""Joining of blocks into the table of their rows."""

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import replace

import numpy as np
import polars as pl

from tables.source import Table


def join_tables(blocks: Sequence[Table]) -> Table:
    """Join blocks that follow one another, and their samples."""
    return replace(
        blocks[0],
        frame=pl.concat([block.frame for block in blocks]),
        row_numbers=np.concatenate([block.row_numbers for block in blocks]),
        not_available=join_counts(block.not_available for block in blocks),
        sample=pl.concat([block.sample for block in blocks]),
        sample_rows=np.concatenate([block.sample_rows for block in blocks]),
    )


def join_counts(found: Iterable[Mapping[str, tuple[int, int]]]) -> dict[str, tuple[int, int]]:
    """Add up counts of cells by column; the first row is that of the first block."""
    joined: dict[str, tuple[int, int]] = {}
    for block in found:
        for name, (count, row) in block.items():
            before, first = joined.get(name, (0, row))
            joined[name] = (before + count, first)
    return joined
