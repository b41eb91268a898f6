"""Ids: a value a cell, each in a bucket of its hash."""

import numpy as np
import polars as pl
from numpy.typing import NDArray

from model.data.coding.hashing import murmur3_32
from model.schema import FIRST_VALUE, MISSING, HashedFeature


def bucket_codes(texts: pl.Series, buckets: int, seed: int = 0) -> NDArray[np.int64]:
    """Encode texts (R,), null or "" = missing, as MISSING or FIRST_VALUE + bucket, int64 (R,)."""
    texts = texts.fill_null("")
    codes = FIRST_VALUE + (murmur3_32(texts, seed) % np.uint32(buckets)).astype(np.int64)
    codes[(texts == "").to_numpy()] = MISSING
    return codes


def collision_share(distinct: float, buckets: int) -> float:
    """Expect the share of distinct values that share their bucket with another one, in [0, 1]."""
    return 0.0 if distinct <= 1.0 else float(-np.expm1((distinct - 1.0) * np.log1p(-1.0 / buckets)))


def hashed_feature(
    name: str, buckets: int, missing_share: float, distinct: float, table: str = "", seed: int = 0
) -> HashedFeature:
    """Describe a column of ids by its training rows.

    Args:
        name: of the feature.
        buckets: of its embedding table.
        missing_share: in [0, 1].
        distinct: values, or an estimate, of all columns that share the table.
        table: as of `categorical_feature`.
        seed: of the hash.
    """
    return HashedFeature(name, buckets, seed, missing_share, collision_share(distinct, buckets), table)
