"""Coding of features: describe them by the training rows, and turn all rows into arrays."""

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any, TypeVar

import numpy as np
from numpy.typing import NDArray

from model.config.defaults import bins_for
from model.config.run import Config
from model.data.coding.bags import take
from model.data.coding.datetimes import datetime_feature, seconds_statistics
from model.data.coding.numeric import edges_of, numeric_feature, statistics_of
from model.data.coding.text_kinds import describe_texts, tells_nothing
from model.data.earlier import Earlier
from model.data.kinds import choose_kinds, declared_names
from model.data.remarks import Remarks, on_constant, on_not_available, on_precision
from model.data.text_columns import encode, objects, read_text, remarks_on
from model.data.weights import Weights
from model.schema import (
    BagFeature,
    Bags,
    CategoricalFeature,
    DatetimeFeature,
    FeatureSchema,
    HashedFeature,
    NumericFeature,
    Rows,
    TextFeature,
)
from tables.columns import numbers
from tables.errors import DataError
from tables.moments import moments, zoneless
from tables.source import Table

Scalar = TypeVar("Scalar", bound=np.generic)
Mask = NDArray[np.bool_]


@dataclass(frozen=True)
class Coded:
    """R rows as arrays in the order of the schema; see `model.schema.Rows`."""

    features: FeatureSchema
    numeric: NDArray[np.float32]
    codes: NDArray[np.int64]
    text: NDArray[np.object_]
    bags: tuple[Bags, ...] = ()
    datetimes: NDArray[np.int64] | None = None

    def rows(self, chosen: Mask, labels: NDArray[np.float64], weights: Weights | None) -> Rows:
        """Take the rows of a split, with their labels (R, T) and weights (R,)."""
        places = np.flatnonzero(chosen)  # by which rows are taken in a fraction of the time
        return Rows(
            self.numeric.take(places, axis=0),
            self.codes.take(places, axis=0),
            labels.take(places, axis=0),
            self.text[chosen] if len(self.text) else self.text,
            tuple(take(bags, chosen) for bags in self.bags),
            None if self.datetimes is None else self.datetimes.take(places, axis=0),
            None if weights is None else weights.take(places),
        )


@dataclass(frozen=True)
class _Column:
    """One coded column.

    Attributes:
        values: float32 (R,) of numbers, int64 (R,) of codes or epoch seconds, or bags.
        empty: whether the training rows tell nothing about it.
        remarks: made on it.
        notes: on how it was read.
        text: object (R,) of str; None for numbers and moments.
    """

    feature: NumericFeature | TextFeature | DatetimeFeature
    values: Any
    empty: bool
    remarks: list[str]
    notes: list[str]
    text: NDArray[np.object_] | None = None


def code_features(
    table: Table, config: Config, training: Mask, weights: Weights | None = None, earlier: Earlier | None = None
) -> tuple[Coded, Remarks, list[str]]:
    """Describe and encode all features.

    Args:
        table: of R rows.
        config: says which columns are features, and how rare a category may be.
        training: (R,) true for the rows that descriptions are made from.
        weights: (R,), how often each row counts in them.
        earlier: the version that a run goes on from, if it does.

    Returns:
        The features with the arrays of all rows, remarks on columns, and notes.

    Raises:
        DataError: for a column that does not exist or does not hold what the configuration says.
    """
    kinds, said, notes = choose_kinds(table, config)
    kinds = kinds if earlier is None else earlier.kinds(kinds, config, said)
    declared = declared_names(config)
    bins = bins_for(config.model, int(training.sum()), list(kinds.values()).count("numeric"))
    before = () if earlier is None else earlier.features.texts
    coded = _texts(table, dict(kinds), config, training, weights, before)
    for name, kind in kinds.items():
        if kind in ("numeric", "datetime"):
            coded[name] = (
                _number(table, name, config, training, weights, bins)
                if kind == "numeric"
                else _moment(table, name, config, training, weights)
            )
    columns = []
    for name in kinds:
        column = coded[name]
        if column.empty and earlier is None:
            said.add(name, left_out_for(name, name in declared, column.feature, config.features.min_count))
            continue
        columns.append(column)
        said.add(name, *column.remarks, *(on_constant(table.frame[name]) if name not in declared else ()))
        notes += [f"{name}: {note}" for note in column.notes]
    categories = [name for name, kind in kinds.items() if kind not in ("numeric", "datetime")]
    labels = [task.column for task in config.tasks if task.kind != "regression"]
    notes += on_not_available(table, dict.fromkeys(categories + labels))
    if not columns:
        raise DataError("the table has no features: every column is a label, dropped or empty; see features.*")
    return _joined(columns, len(table)), said, notes


def _joined(columns: list[_Column], rows: int) -> Coded:
    """Lay columns side by side, kind by kind in the order of the schema."""

    def of(kind: type) -> list[_Column]:
        return [column for column in columns if isinstance(column.feature, kind)]

    single = of(CategoricalFeature) + of(HashedFeature)
    kinds = (NumericFeature, CategoricalFeature, HashedFeature, BagFeature, DatetimeFeature)
    datetimes = _columns([c.values for c in of(DatetimeFeature)], rows, np.int64)
    return Coded(
        FeatureSchema(*(tuple(column.feature for column in of(kind)) for kind in kinds)),  # type: ignore[arg-type]
        _columns([c.values for c in of(NumericFeature)], rows, np.float32),
        _columns([c.values for c in single], rows, np.int64),
        _columns([c.text for c in single + of(BagFeature) if c.text is not None], rows, np.object_),
        tuple(c.values for c in of(BagFeature)),
        datetimes if datetimes.shape[1] else None,
    )


def _number(table: Table, name: str, config: Config, training: Mask, weights: Weights | None, bins: int) -> _Column:
    """Read a column of numbers and describe it by the training rows."""
    exact, values = read_numbers(table, name, config)
    known = training & ~np.isnan(values)
    times = None if weights is None else weights[known].astype(np.float64)
    edges = edges_of(values[known].astype(np.float64), bins, times)
    statistics = statistics_of(values[training], None if weights is None else weights[training])
    feature = numeric_feature(name, statistics, edges, table.markers.numbers)
    return _Column(feature, values, not statistics.count, [*on_precision(table.frame[name], exact)], [])


def read_numbers(table: Table, name: str, config: Config) -> tuple[NDArray[np.float64], NDArray[np.float32]]:
    """Read a column of numbers, NaN = missing: as they are, and as the graph compares them.

    Returns:
        float64 (R,), and float32 (R,) without those that a marker takes for missing.
    """
    odd_cells = config.features.rest == "infer" and name not in config.features.numeric
    exact = numbers(table, name, "features.numeric", odd_cells)
    values = exact.astype(np.float32)
    if table.markers.numbers:
        values[np.isin(values, np.array(table.markers.numbers, np.float64).astype(np.float32))] = np.nan
    return exact, values


def _moment(table: Table, name: str, config: Config, training: Mask, weights: Weights | None) -> _Column:
    """Read a column of moments and describe it by the training rows."""
    seconds = moments(table, name, "features.datetime")
    statistics = seconds_statistics(seconds[training], None if weights is None else weights[training])
    feature = datetime_feature(name, config.features.datetime[name], statistics)
    notes = ["moments without a zone are taken for UTC."] if zoneless(table, name) else []
    return _Column(feature, seconds, not statistics.count, [], notes)


def _texts(
    table: Table,
    kinds: dict[str, str],
    config: Config,
    training: Mask,
    weights: Weights | None,
    before: tuple[TextFeature, ...],
) -> dict[str, _Column]:
    """Read the columns of text kinds; describe them by the training rows, shared ones jointly."""
    read = {
        name: read_text(table, name, kind, config.features, training, weights)
        for name, kind in kinds.items()
        if kind not in ("numeric", "datetime")
    }
    statistics = {name: column.statistics for name, column in read.items()}
    features = describe_texts(kinds, statistics, config.features, before)
    coded = {}
    for name, feature in features.items():
        column = read.pop(name)
        empty = tells_nothing(feature, column.statistics)
        distinct = column.statistics.counts.distinct if column.statistics.counts is not None else 0
        remarks = [*remarks_on(feature, distinct, config.features)]
        coded[name] = _Column(
            feature, encode(column, feature), empty, remarks, rewritten(feature), objects(column.cells)
        )
    return coded


def rewritten(feature: object) -> list[str]:
    """Note that a column's values are known under another text than the table's."""
    if not isinstance(feature, CategoricalFeature) or not feature.spellings:
        return []
    given, value = feature.spellings[0]
    return [f"numbers are categories without decimals that say nothing: '{given}' is '{value}'."]


def left_out_for(name: str, declared: bool, feature: object, min_count: int) -> str:
    """Remark that a column is left out, since its training rows tell nothing.

    Raises:
        DataError: if the configuration declares it.
    """
    reason = f"no training row has a number there, or a category that {min_count} training rows share"
    if not isinstance(feature, NumericFeature | CategoricalFeature):
        bag = isinstance(feature, BagFeature) and not feature.buckets
        reason = f"no training row has a value there{f' that {min_count} of them share' * bag}"
    if declared:
        raise DataError(
            f"feature '{name}' tells nothing: {reason}; take it out of features.* or see features.min_count"
        )
    return f"left out: {reason}"


def _columns(columns: Sequence[NDArray[Any]], rows: int, dtype: type[Scalar]) -> NDArray[Scalar]:
    joined: NDArray[Scalar] = np.empty((rows, len(columns)), dtype)
    for place, column in enumerate(columns):
        joined[:, place] = column
    return joined
