"""Columns of text kinds, read from a table in memory: categories, ids and bags."""

from collections.abc import Iterator
from dataclasses import dataclass

import numpy as np
import polars as pl
from numpy.typing import NDArray

from model.config.data import FeatureConfig
from model.data.cardinality import on_buckets, on_unknown, on_vocabulary
from model.data.coding.bags import Fill, Offsets, encode_bags, fill_of, take_values, weights_of_values
from model.data.coding.categorical import Spellings, spellings_of
from model.data.coding.text_kinds import TextStatistics, encode_texts
from model.data.coding.vocabulary import count
from model.data.weights import Weights
from model.schema import BagFeature, Bags, HashedFeature, TextFeature
from tables.columns import texts, without_decimals, written
from tables.lists import lists
from tables.source import Table


@dataclass(frozen=True)
class TextColumn:
    """Text of a column in R rows.

    Attributes:
        values: String; (R,) with null = missing, of a bag (V,) without.
        offsets: int64 (R + 1,) of a bag's cells; None for one value a row.
        cells: String (R,), what a caller would send; of a bag its values, joined.
        statistics: of the training rows.
    """

    values: pl.Series
    offsets: Offsets | None
    cells: pl.Series
    statistics: TextStatistics


def read_text(
    table: Table, name: str, kind: str, config: FeatureConfig, training: NDArray[np.bool_], weights: Weights | None
) -> TextColumn:
    """Read a column of categories, ids or bags.

    Args:
        table: of R rows.
        name: of the column.
        kind: that its cells are read as: categorical, hashed or bag.
        config: has the separator of a bag.
        training: (R,) true for the rows that statistics are made from.
        weights: (R,) of the rows.

    Raises:
        DataError: for a column of another type.
    """
    times = None if weights is None else weights[training]
    if kind == "bag":
        separator = config.bag[name].separator
        read = lists(table, name, f"features.bag.{name}", separator)
        values, offsets = take_values(read.values, read.offsets, training)
        counts = count(values, weights_of_values(offsets, times))
        statistics = TextStatistics(fill_of(offsets, times), counts)
        return TextColumn(read.values, read.offsets, read.joined(separator), statistics)
    text = texts(table, name, f"features.{kind}")
    spellings: Spellings = ()
    if kind == "categorical":
        text = without_decimals(text, table.numerals.decimal)
        spellings = spellings_of(written(table, name, f"features.{kind}"), text)
    counts = count(text.filter(pl.Series(training)), times)
    fill = Fill(counts.total, counts.missing, counts.total - counts.missing)
    return TextColumn(text, None, text, TextStatistics(fill, counts, spellings=spellings))


def encode(column: TextColumn, feature: TextFeature) -> NDArray[np.int64] | Bags:
    """Encode all rows: codes (R,), or the bags."""
    if isinstance(feature, BagFeature):
        assert column.offsets is not None
        return encode_bags(column.values, column.offsets, feature)
    return encode_texts(feature, column.values)


def objects(cells: pl.Series) -> NDArray[np.object_]:
    """Turn text (R,) into Python's, "" = missing; equal ones are one object."""
    cells = cells.fill_null("")
    values = cells.unique()
    index = cells.replace_strict(values, np.arange(len(values)), return_dtype=pl.Int64).to_numpy()
    taken: NDArray[np.object_] = np.array(values.to_list(), np.object_)[index]
    return taken


def remarks_on(feature: TextFeature, distinct: float, config: FeatureConfig) -> Iterator[str]:
    """Remark on how many different values a column's training rows have.

    `distinct` of them; not read with a vocabulary.
    """
    if isinstance(feature, HashedFeature):
        way_out = "name it in features.categorical"
        yield from on_buckets(int(distinct), feature.buckets, feature.collision_share, way_out)
        return
    if isinstance(feature, BagFeature) and feature.buckets:
        yield from on_buckets(int(distinct), feature.buckets, feature.collision_share, "take its 'buckets' away")
        return
    known = len(feature.vocabulary)
    yield from on_unknown(feature.unknown_share, config.min_count, config.max_values, known)
    yield from on_vocabulary(known)
