"""Choose the features of a table, describe them by the training rows, and turn all rows into arrays."""

from dataclasses import dataclass, replace
from typing import TypeVar

import numpy as np
import polars as pl
from numpy.typing import NDArray

from model.columns import holds_dates, numbers, parse, texts
from model.config import Config
from model.data_config import TableData
from model.errors import DataError
from model.schema import FIRST_VALUE, MISSING, UNKNOWN, CategoricalFeature, FeatureSchema, NumericFeature
from model.source import Table

Scalar = TypeVar("Scalar", bound=np.generic)


@dataclass(frozen=True)
class Coded:
    """Hold R rows as arrays in the order of the schema; see `model.schema.Rows`."""

    features: FeatureSchema
    numeric: NDArray[np.float32]
    codes: NDArray[np.int64]
    text: NDArray[np.object_]


def code_features(table: Table, config: Config, training: NDArray[np.bool_]) -> tuple[Coded, list[str]]:
    """Describe and encode all features.

    Args:
        table: of R rows.
        config: says which columns are features, and how rare a category may be.
        training: (R,) true for the rows that descriptions are made from.

    Returns:
        The features with the arrays of all rows, and notes on columns that were left out or look like another kind.

    Raises:
        DataError: for a column that does not exist or does not hold what the configuration says.
    """
    kinds, notes = _kinds(table, config, training)
    numeric: list[tuple[NumericFeature, NDArray[np.float32]]] = []
    categorical: list[tuple[CategoricalFeature, NDArray[np.int64], NDArray[np.object_]]] = []
    bins = config.model.bins if config.model.numeric_encoding == "piecewise_linear" else 0
    markers = np.array(table.markers.numbers, np.float64).astype(np.float32)
    for name, kind in kinds.items():
        if kind == "numeric":
            values = numbers(table, name, "features.numeric").astype(np.float32)
            values[np.isin(values, markers)] = np.nan  # as the graph sees them: in float32
            described = _describe(name, values[training], bins)
            numeric.append((replace(described, missing_values=table.markers.numbers), values))
        else:
            categorical.append(_encode(table, name, training, config.features.min_count))
    declared = {*config.features.numeric, *config.features.categorical}
    empty = [f.name for f, v in numeric if np.isnan(v[training]).all()]
    empty += [f.name for f, _, _ in categorical if not f.vocabulary]
    notes += [_without(name, name in declared, config.features.min_count) for name in empty]
    numeric = [n for n in numeric if n[0].name not in empty]
    categorical = [c for c in categorical if c[0].name not in empty]
    if not numeric and not categorical:
        raise DataError("the table has no features: every column is a label, dropped or empty; see features.*")
    features = FeatureSchema(tuple(n[0] for n in numeric), tuple(c[0] for c in categorical))
    undeclared = [f.name for f in features.categorical if f.name not in declared]
    notes += [_dates(name) for name in undeclared if holds_dates(table.frame[name])]
    rows = len(table)
    return Coded(
        features,
        _columns([n[1] for n in numeric], rows, np.float32),
        _columns([c[1] for c in categorical], rows, np.int64),
        _columns([c[2] for c in categorical], rows, np.object_),
    ), notes


def _kinds(table: Table, config: Config, training: NDArray[np.bool_]) -> tuple[dict[str, str], list[str]]:
    """Say which columns are features and of which kind, in the order of the table."""
    labels = {task.column: task.name for task in config.tasks}
    split = config.data.split.columns if isinstance(config.data, TableData) else ()
    dropped = config.data.drop if isinstance(config.data, TableData) else ()
    declared = {}
    for kind in ("numeric", "categorical"):
        for name in getattr(config.features, kind):
            table.column(name, f"features.{kind}")
            if name in labels:
                raise DataError(f"features.{kind} names '{name}', which holds the labels of task '{labels[name]}'")
            if name in dropped:
                raise DataError(f"'{name}' stands in features.{kind} and in data.drop; keep one")
            declared[name] = kind
    for name in dropped:
        table.column(name, "data.drop")
    kinds, notes = {}, []
    for name in table.frame.columns:
        if name in declared:
            kinds[name] = declared[name]
        elif name in labels or name in dropped or name in split or config.features.rest == "drop":
            continue
        else:
            kinds[name] = _infer(table, name, training) if config.features.rest == "infer" else config.features.rest
    guessed = [name for name in kinds if name not in declared]
    if guessed and config.features.rest == "infer" and isinstance(config.data, TableData):
        numeric = sum(kinds[name] == "numeric" for name in guessed)
        notes.append(f"Kinds inferred: {numeric} numeric, {len(guessed) - numeric} categorical.")
    return kinds, notes


def _infer(table: Table, name: str, training: NDArray[np.bool_]) -> str:
    series = table.frame[name]
    if series.dtype.is_temporal() or series.dtype.is_nested() or series.dtype == pl.Binary:
        raise DataError(f"column '{name}' holds {series.dtype}, which is no feature; add it to data.drop")
    if series.dtype == pl.Boolean or (series.dtype == pl.String and table.typed):
        return "categorical"
    parsed = parse(series, table.numerals)
    wrong = np.zeros(len(series), bool) if parsed is None else (parsed.is_null() & series.is_not_null()).to_numpy()
    return "categorical" if (wrong & training).any() else "numeric"


def _without(name: str, declared: bool, min_count: int) -> str:
    reason = f"no training row has a number there, or a category that {min_count} training rows share"
    if declared:
        raise DataError(
            f"feature '{name}' tells nothing: {reason}; take it out of features.* or see features.min_count"
        )
    return f"Column '{name}' was left out: {reason}."


def _dates(name: str) -> str:
    return (
        f"Column '{name}' looks like dates and is taken as categories, so a day that training has not met is unknown. "
        "Put a number in its place, such as days since a first one, or add it to data.drop."
    )


def _describe(name: str, values: NDArray[np.float32], bins: int) -> NumericFeature:
    """Describe a numeric column by its training values, in float64; a constant one has deviation 1."""
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

    A value that fills a bin or more by itself is one edge, and the other edges are quantiles of the other rows:
    plain quantiles of a column that is zero in nine rows of ten would all be zero.
    """
    values, counts = np.unique(known, return_counts=True)
    if len(values) <= bins + 1:
        return values.astype(np.float32)
    heavy = values[counts * bins > len(known)]
    rest = known[~np.isin(known, heavy)]
    quantiles = np.quantile(rest, np.linspace(0, 1, bins + 1 - len(heavy)))  # fewer than `bins` can be heavy
    return np.unique(np.concatenate([heavy, quantiles]).astype(np.float32))


def _encode(
    table: Table, name: str, training: NDArray[np.bool_], min_count: int
) -> tuple[CategoricalFeature, NDArray[np.int64], NDArray[np.object_]]:
    """Give each value a code by how often the training rows hold it; return the feature, codes (R,) and texts (R,)."""
    column = texts(table, name, "features.categorical").fill_null("")
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
    feature = CategoricalFeature(
        name,
        vocabulary=tuple(distinct[frequent].tolist()),
        missing_share=float(counts[~present].sum() / rows),
        unknown_share=float(counts[code == UNKNOWN].sum() / rows),
    )
    return feature, code[index], distinct[index]  # each text is one object however many rows hold it


def _columns(columns: list[NDArray[Scalar]], rows: int, dtype: type[Scalar]) -> NDArray[Scalar]:
    joined: NDArray[Scalar] = np.empty((rows, len(columns)), dtype)
    for place, column in enumerate(columns):
        joined[:, place] = column
    return joined
