"""Bags: several values a cell, known by a vocabulary or in buckets."""

from dataclasses import dataclass, replace

import numpy as np
import polars as pl
from numpy.typing import NDArray

from model.data.coding.hashed import bucket_codes, collision_share
from model.data.coding.vocabulary import Counts, ValueIndex
from model.schema import UNKNOWN, BagFeature, Bags

Offsets = NDArray[np.int64]


@dataclass(frozen=True)
class Fill:
    """Sums of weights that say how full the cells of a column are.

    Attributes:
        rows: all cells.
        empty: cells without a value.
        values: in all cells.
    """

    rows: float = 0.0
    empty: float = 0.0
    values: float = 0.0

    @property
    def missing_share(self) -> float:
        """Return the share of cells without a value, in [0, 1]."""
        return self.empty / self.rows

    def merge(self, other: "Fill") -> "Fill":
        """Add that of further rows."""
        return Fill(self.rows + other.rows, self.empty + other.empty, self.values + other.values)


def fill_of(offsets: Offsets, weights: NDArray[np.floating] | None = None) -> Fill:
    """Sum up how full the cells with offsets (R + 1,) are.

    Weights (R,) say how often each counts.
    """
    sizes = np.diff(offsets)
    times = np.ones(len(sizes)) if weights is None else weights.astype(np.float64)
    return Fill(float(times.sum()), float(times[sizes == 0].sum()), float((times * sizes).sum()))


def weights_of_values(offsets: Offsets, weights: NDArray[np.floating] | None) -> NDArray[np.floating] | None:
    """Repeat each row's weight for each of its values, (V,), as `count` wants them."""
    return None if weights is None else np.repeat(weights, np.diff(offsets))


def bag_feature(
    plain: BagFeature, fill: Fill, counts: Counts | None, vocabulary: tuple[str, ...], distinct: float, table: str = ""
) -> BagFeature:
    """Describe a column of bags by its training rows.

    Args:
        plain: name, separator, pooling, buckets and seed.
        fill: of the training rows.
        counts: of their values; None with buckets.
        vocabulary: as of `categorical_feature`; empty with buckets.
        distinct: as of `hashed_feature`; not read with a vocabulary.
        table: as of `categorical_feature`.
    """
    unknown = 0.0
    if counts is not None and fill.values:
        strange = ValueIndex(vocabulary).codes(counts.values) == UNKNOWN
        unknown = float(counts.counts[strange].sum()) / fill.values
    return replace(
        plain,
        vocabulary=vocabulary,
        missing_share=fill.missing_share,
        unknown_share=unknown,
        collision_share=collision_share(distinct, plain.buckets) if plain.buckets else 0.0,
        mean_values=fill.values / (fill.rows - fill.empty) if fill.rows > fill.empty else 1.0,
        table=table,
    )


def encode_bags(values: pl.Series, offsets: Offsets, feature: BagFeature, index: ValueIndex | None = None) -> Bags:
    """Encode the values (V,) of cells with offsets (R + 1,), none of them missing, as int32 codes.

    `index` is that of the vocabulary, where many blocks of rows are encoded.
    """
    if feature.buckets:
        codes = bucket_codes(values, feature.buckets, feature.seed)
    else:
        codes = (index or ValueIndex(feature.vocabulary)).codes(values)
    return Bags(codes.astype(np.int32), offsets)


def take(bags: Bags, chosen: NDArray[np.bool_] | NDArray[np.int64]) -> Bags:
    """Take the bags of rows, by a mask (R,) or by their numbers in any order."""
    values, offsets = take_values(pl.Series(bags.values), bags.offsets, chosen)
    return Bags(values.to_numpy(), offsets)


def take_values(
    values: pl.Series, offsets: Offsets, chosen: NDArray[np.bool_] | NDArray[np.int64]
) -> tuple[pl.Series, Offsets]:
    """Take the values (V,) and offsets (R + 1,) of cells, chosen as by `take`."""
    if chosen.dtype == np.bool_:
        sizes = np.diff(offsets)
        here = np.repeat(chosen, sizes)
        return values.filter(pl.Series(here)), np.concatenate([[0], np.cumsum(sizes[chosen])]).astype(np.int64)
    sizes = np.diff(offsets)[chosen]
    taken = np.concatenate([[0], np.cumsum(sizes)]).astype(np.int64)
    places = np.arange(taken[-1]) + np.repeat(offsets[chosen] - taken[:-1], sizes)
    return values.gather(places), taken
