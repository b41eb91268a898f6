"""Coding of features: describe them by the training rows, and turn all rows into arrays."""

from collections.abc import Sequence
from dataclasses import dataclass, replace
from typing import Any, TypeVar

import numpy as np
import polars as pl
from numpy.typing import NDArray

from model.config.run import Config
from model.data.kinds import choose_kinds
from model.data.remarks import Remarks, on_constant, on_not_available, on_precision, on_unknown
from model.schema import FIRST_VALUE, MISSING, UNKNOWN, CategoricalFeature, FeatureSchema, NumericFeature
from tables.columns import numbers, texts, without_decimals, written
from tables.errors import DataError
from tables.source import Table

Scalar = TypeVar("Scalar", bound=np.generic)


@dataclass(frozen=True)
class Coded:
    """R rows as arrays in the order of the schema; see `model.schema.Rows`."""

    features: FeatureSchema
    numeric: NDArray[np.float32]
    codes: NDArray[np.int64]
    text: NDArray[np.object_]


@dataclass(frozen=True)
class _Column:
    """One coded column.

    Attributes:
        values: float32 or int64 (R,), numbers or codes.
        empty: whether the training rows tell nothing about it.
        remarks: made on it.
        text: object (R,) of str; None for numbers.
    """

    feature: NumericFeature | CategoricalFeature
    values: NDArray[np.float32] | NDArray[np.int64]
    empty: bool
    remarks: list[str]
    text: NDArray[np.object_] | None = None


def code_features(table: Table, config: Config, training: NDArray[np.bool_]) -> tuple[Coded, Remarks, list[str]]:
    """Describe and encode all features.

    Args:
        table: of R rows.
        config: says which columns are features, and how rare a category may be.
        training: (R,) true for the rows that descriptions are made from.

    Returns:
        The features with the arrays of all rows, remarks on columns, and notes.

    Raises:
        DataError: for a column that does not exist or does not hold what the configuration says.
    """
    kinds, said, notes = choose_kinds(table, config)
    declared = {*config.features.numeric, *config.features.categorical}
    columns = []
    for name, kind in kinds.items():
        code = _number if kind == "numeric" else _encode
        column = code(table, name, training, config)
        if column.empty:
            said.add(name, _without(name, name in declared, config.features.min_count))
            continue
        columns.append(column)
        said.add(name, *column.remarks, *(on_constant(table.frame[name]) if name not in declared else ()))
        notes += _rewritten(column.feature)
    categories = [name for name, kind in kinds.items() if kind == "categorical"]
    labels = [task.column for task in config.tasks if task.kind != "regression"]
    notes += on_not_available(table, dict.fromkeys(categories + labels))
    if not columns:
        raise DataError("the table has no features: every column is a label, dropped or empty; see features.*")
    return _joined(columns, len(table)), said, notes


def _joined(columns: list[_Column], rows: int) -> Coded:
    numeric = [(c.feature, c.values) for c in columns if isinstance(c.feature, NumericFeature)]
    categorical = [
        (c.feature, c.values, c.text)
        for c in columns
        if isinstance(c.feature, CategoricalFeature) and c.text is not None
    ]
    return Coded(
        FeatureSchema(tuple(c[0] for c in numeric), tuple(c[0] for c in categorical)),
        _columns([c[1] for c in numeric], rows, np.float32),
        _columns([c[1] for c in categorical], rows, np.int64),
        _columns([c[2] for c in categorical], rows, np.object_),
    )


def _number(table: Table, name: str, training: NDArray[np.bool_], config: Config) -> _Column:
    """Read a column of numbers and describe it by the training rows.

    Markers are compared as the graph does it.
    """
    odd_cells = config.features.rest == "infer" and name not in config.features.numeric
    exact = numbers(table, name, "features.numeric", odd_cells)
    values = exact.astype(np.float32)
    values[np.isin(values, np.array(table.markers.numbers, np.float64).astype(np.float32))] = np.nan
    bins = config.model.bins if config.model.numeric_encoding == "piecewise_linear" else 0
    feature = replace(_describe(name, values[training], bins), missing_values=table.markers.numbers)
    return _Column(feature, values, bool(np.isnan(values[training]).all()), [*on_precision(table.frame[name], exact)])


def _rewritten(feature: NumericFeature | CategoricalFeature) -> list[str]:
    """Note that a column's values are known under another text than the table's."""
    if isinstance(feature, NumericFeature) or not feature.spellings:
        return []
    given, value = feature.spellings[0]
    return [f"{feature.name}: numbers are categories without decimals that say nothing: '{given}' is '{value}'."]


def _without(name: str, declared: bool, min_count: int) -> str:
    reason = f"no training row has a number there, or a category that {min_count} training rows share"
    if declared:
        raise DataError(
            f"feature '{name}' tells nothing: {reason}; take it out of features.* or see features.min_count"
        )
    return f"left out: {reason}"


def _describe(name: str, values: NDArray[np.float32], bins: int) -> NumericFeature:
    """Describe a numeric column by its training values, in float64.

    A constant one has deviation 1.
    """
    known = values[~np.isnan(values)].astype(np.float64)
    if not known.size:
        return NumericFeature(name, mean=0.0, std=1.0, minimum=0.0, maximum=0.0, missing_share=1.0)
    mean, std, low, high = float(known.mean()), float(known.std()), float(known.min()), float(known.max())
    edges: tuple[float, ...] = ()
    if bins:
        quantiles = bin_edges(known, bins)
        edges = tuple(quantiles.tolist()) if quantiles.size > 1 else (low, float(np.nextafter(low + 1, np.inf)))
    return NumericFeature(
        name,
        mean=mean,
        std=1.0 if low == high else std,
        minimum=low,
        maximum=high,
        missing_share=1 - known.size / values.size,
        bin_edges=edges,
    )


def bin_edges(known: NDArray[np.float64], bins: int) -> NDArray[np.float32]:
    """Choose at most bins + 1 rising edges by quantiles of present values.

    A value that fills a bin or more by itself is one edge, and the other edges are quantiles of
    the other rows: plain quantiles of a column that is zero in nine rows of ten would all be zero.
    """
    values, counts = np.unique(known, return_counts=True)
    if len(values) <= bins + 1:
        return values.astype(np.float32)
    heavy = values[counts * bins > len(known)]
    rest = known[~np.isin(known, heavy)]
    quantiles = np.quantile(rest, np.linspace(0, 1, bins + 1 - len(heavy)))  # fewer than `bins` can be heavy
    return np.unique(np.concatenate([heavy, quantiles]).astype(np.float32))


def _encode(table: Table, name: str, training: NDArray[np.bool_], config: Config) -> _Column:
    """Assign each value a code by how often the training rows have it."""
    key, min_count = "features.categorical", config.features.min_count
    text = without_decimals(texts(table, name, key), table.numerals.decimal)
    column = text.fill_null("")
    values = column.unique().sort()
    index = column.replace_strict(values, np.arange(len(values)), return_dtype=pl.Int64).to_numpy()
    distinct = np.array(values.to_list(), np.object_)
    counts = np.bincount(index[training], minlength=len(distinct))
    present = distinct != ""
    frequent = np.flatnonzero(present & (counts >= min_count))
    frequent = frequent[np.argsort(-counts[frequent], kind="stable")]
    code = np.full(len(distinct), UNKNOWN, np.int64)
    code[~present] = MISSING
    code[frequent] = FIRST_VALUE + np.arange(len(frequent))
    rows = int(training.sum())
    vocabulary = tuple(distinct[frequent].tolist())
    feature = CategoricalFeature(
        name,
        vocabulary=vocabulary,
        missing_share=float(counts[~present].sum() / rows),
        unknown_share=float(counts[code == UNKNOWN].sum() / rows),
        spellings=_spellings(written(table, name, key), text, vocabulary),
    )
    remarks = [*on_unknown(feature.unknown_share, min_count)]
    text_of_rows = distinct[index]  # each text is one object however many rows hold it
    return _Column(feature, code[index], not vocabulary, remarks, text_of_rows)


def _spellings(given: pl.Series, text: pl.Series, vocabulary: tuple[str, ...]) -> tuple[tuple[str, str], ...]:
    """List the table's spellings of known values that the vocabulary writes otherwise."""
    other = (given != text).fill_null(False)
    if not other.any():
        return ()
    pairs = pl.DataFrame({"given": given.filter(other), "text": text.filter(other)}).unique().sort("given")
    return tuple(pairs.filter(pl.col("text").is_in(list(vocabulary))).rows())


def _columns(columns: Sequence[NDArray[Any]], rows: int, dtype: type[Scalar]) -> NDArray[Scalar]:
    joined: NDArray[Scalar] = np.empty((rows, len(columns)), dtype)
    for place, column in enumerate(columns):
        joined[:, place] = column
    return joined
