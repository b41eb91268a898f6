"""Places of rows by a hash of their keys, by which a row stays in its split as a table grows."""

from collections.abc import Sequence

import numpy as np
import polars as pl
from numpy.typing import NDArray

from model.data.coding.hashing import murmur3_32_by_seeds
from tables.columns import texts
from tables.source import Table

SALTS = 0x53504C49, 0x54534544
"""Beside a seed, for both halves of a hash, so that splits are independent of hashed features."""


def key_places(table: Table, names: Sequence[str], seed: int, key: str) -> NDArray[np.float64]:
    """Place rows in [0, 1) by a hash of their text in some columns.

    Equal text has the same place in every table, block of rows and release. A row that has no
    value in any of the columns is placed by its number.

    Args:
        table: of R rows.
        names: of the columns.
        seed: of the hash.
        key: of the configuration that names the columns, for messages.

    Returns:
        float64 (R,).
    """
    columns = [texts(table, name, key) for name in names]
    without = pl.select(pl.all_horizontal(column.is_null() for column in columns)).to_series()
    text = pl.select(pl.concat_str([column.fill_null("") for column in columns], separator="\x1f")).to_series()
    if without.any():
        text = (
            pl.select(pl.lit("\x1e") + pl.Series(table.row_numbers).cast(pl.String)).to_series().zip_with(without, text)
        )
    seeds = [(seed ^ salt) % 2**32 for salt in SALTS]
    high, low = murmur3_32_by_seeds(text, seeds).astype(np.uint64)
    places: NDArray[np.float64] = ((high << np.uint64(21)) | (low >> np.uint64(11))).astype(np.float64) / 2.0**53
    return places
