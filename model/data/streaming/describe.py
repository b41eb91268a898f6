"""Features from what the first pass has counted."""

from collections.abc import Iterator, Mapping
from dataclasses import replace
from typing import Protocol

import numpy as np
from numpy.typing import NDArray

from model.config.defaults import bins_for
from model.config.run import Config
from model.data.coding.datetimes import datetime_feature
from model.data.coding.numeric import edges_of, numeric_feature
from model.data.coding.shared import owners_of
from model.data.coding.text_kinds import TextStatistics, describe_texts, tells_nothing
from model.data.earlier import Earlier
from model.data.features import left_out_for, rewritten
from model.data.kinds import Kind, declared_names
from model.data.remarks import STRAY_SHARE, Remarks, on_constant
from model.data.splits import TRAIN
from model.data.streaming.columns import Column, MomentColumn, NumberColumn
from model.data.streaming.samples import NumberSample
from model.data.streaming.text_columns import BagColumn, IdColumn
from model.data.text_columns import remarks_on
from model.schema import (
    BagFeature,
    CategoricalFeature,
    DatetimeFeature,
    FeatureSchema,
    HashedFeature,
    NumericFeature,
    TextFeature,
)
from tables.errors import DataError
from tables.moments import zoneless
from tables.source import Table

Feature = NumericFeature | TextFeature | DatetimeFeature


class Counted(Protocol):
    """Statistics of all blocks."""

    config: Config
    kinds: dict[str, Kind]
    counts: NDArray[np.int64]
    columns: dict[str, Column]
    numbers: list[str]
    quantiles: NumberSample | None
    said: Remarks
    earlier: Earlier | None


def describe(
    counted: Counted, head: Table, precision: Mapping[str, list[str]]
) -> tuple[FeatureSchema, dict[str, Column], list[str]]:
    """Describe the features, and bind each column to its own.

    Args:
        counted: statistics of all blocks; takes further remarks.
        head: the table's first rows.
        precision: remarks by column of numbers.

    Returns:
        The features, their columns by name, and notes.

    Raises:
        DataError: for a column that does not hold what its first rows promised.
    """
    features = dict(_described(counted, head))
    declared, min_count = declared_names(counted.config), counted.config.features.min_count
    columns, notes = {}, []
    for name in counted.kinds:
        feature, empty, remarks = features[name]
        if empty and counted.earlier is None:
            counted.said.add(name, left_out_for(name, name in declared, feature, min_count))
            continue
        column = columns[name] = counted.columns[name]
        if not isinstance(column, NumberColumn | MomentColumn):
            column.bind(feature)  # type: ignore[arg-type]
        counted.said.add(name, *remarks, *precision.get(name, []))
        if name not in declared and _constant(feature):
            counted.said.add(name, *on_constant(head.frame[name]))
        if isinstance(column, MomentColumn) and zoneless(head, name):
            notes.append(f"{name}: moments without a zone are taken for UTC.")
        notes += [f"{name}: {note}" for note in rewritten(feature)]
    if not columns:
        raise DataError("the table has no features: every column is a label, dropped or empty; see features.*")
    kinds = (NumericFeature, CategoricalFeature, HashedFeature, BagFeature, DatetimeFeature)
    kept = [features[name][0] for name in columns]
    ordered = [tuple(feature for feature in kept if isinstance(feature, kind)) for kind in kinds]
    return FeatureSchema(*ordered), columns, notes  # type: ignore[arg-type]


def _constant(feature: Feature) -> bool:
    """Check whether a feature has one value in every training row."""
    if isinstance(feature, NumericFeature):
        return feature.minimum == feature.maximum and feature.missing_share == 0
    return isinstance(feature, CategoricalFeature) and len(feature.vocabulary) == 1


def _described(counted: Counted, head: Table) -> Iterator[tuple[str, tuple[Feature, bool, list[str]]]]:
    """Yield each column's feature, whether it tells nothing, and remarks."""
    texts: dict[str, TextStatistics] = {}
    for name, column in counted.columns.items():
        if isinstance(column, NumberColumn):
            yield name, _numbers(counted, name, column, head)
        elif isinstance(column, MomentColumn):
            found = column.statistics
            feature = datetime_feature(name, counted.config.features.datetime[name], found)
            yield name, (feature, not found.count, [])
        else:
            texts[name] = column.statistics()
    joint = texts | _shared_ids(counted, texts)
    before = () if counted.earlier is None else counted.earlier.features.texts
    for name, text in describe_texts(counted.kinds, joint, counted.config.features, before).items():
        remarks = [*remarks_on(text, texts[name].distinct, counted.config.features)]
        yield name, (text, tells_nothing(text, texts[name]), remarks)


def _numbers(counted: Counted, name: str, column: NumberColumn, head: Table) -> tuple[Feature, bool, list[str]]:
    remarks = []
    if column.odd and column.odd >= STRAY_SHARE * column.present:
        raise DataError(
            f"column '{name}' was taken for numbers by its first rows, and {column.odd:,} of all {column.present:,} "
            f"values are none (the first in row {column.first_odd}); name it in features.categorical, or in "
            "features.numeric and mend the values"
        )
    if column.odd and column.first_odd > int(head.row_numbers[-1]):
        remarks.append(f"{column.odd:,} values are not numbers (the first in row {column.first_odd}): taken as missing")
    edges: tuple[float, ...] = ()
    if counted.quantiles is not None:
        values, weights = counted.quantiles.columns()
        known = ~np.isnan(values[:, counted.numbers.index(name)])
        sample: NDArray[np.float64] = values[known, counted.numbers.index(name)].astype(np.float64)
        data = counted.config.data
        weighed = None if getattr(data, "weight", None) is None else weights[known].astype(np.float64)
        bins = bins_for(counted.config.model, int(counted.counts[TRAIN]), len(counted.numbers))
        edges = edges_of(sample, bins, weighed)
    feature = numeric_feature(name, column.statistics, edges, head.markers.numbers)
    return feature, not column.statistics.count, remarks


def _shared_ids(counted: Counted, texts: Mapping[str, TextStatistics]) -> dict[str, TextStatistics]:
    """Count the distinct values of columns that share buckets; the first one has the count."""
    owners = owners_of(counted.kinds, counted.config.features)
    joint = {}
    for name, owner in owners.items():
        column, first = counted.columns[name], counted.columns[owner]
        if name == owner or not isinstance(column, IdColumn | BagColumn) or texts[name].counts is not None:
            continue
        assert isinstance(first, IdColumn | BagColumn)
        first.distinct.merge(column.distinct)
        joint[name] = replace(texts[name], distinct=0.0)
        joint[owner] = replace(texts[owner], distinct=first.distinct.count)
    return joint
