"""Kinds of features: which columns are inputs, and what each of them holds.

Decided by all rows, whatever their split.
"""

import re
from typing import Literal

import numpy as np
import polars as pl

from model.config.names import check_feature_name
from model.config.run import Config
from model.data import remarks
from model.data.coding.shared import check_groups
from model.data.remarks import STRAY_SHARE, Remarks
from tables.columns import parse
from tables.config import TableData
from tables.errors import DataError
from tables.source import Table

Kind = Literal["numeric", "categorical", "hashed", "bag", "datetime"]

PANDAS_INDEX = re.compile(r"__index_level_\d+__|Unnamed: \d+")
"""Names under which pandas writes the index of a frame, into Parquet and into CSV."""


def choose_kinds(table: Table, config: Config) -> tuple[dict[str, Kind], Remarks, list[str]]:
    """Choose the feature columns and the kind of each, in the order of the table.

    Returns:
        Kinds by column, remarks on columns, and notes.

    Raises:
        DataError: for a column that does not exist, is named twice, has a name that no feature may
            have, or holds what no feature can.
    """
    labels = {task.column: task.name for task in config.tasks}
    split = config.data.split.columns if isinstance(config.data, TableData) else ()
    dropped = config.data.drop if isinstance(config.data, TableData) else ()
    weight = config.data.weight if isinstance(config.data, TableData) else None
    declared = declared_kinds(table, config, labels, dropped)
    said, kinds = Remarks(), dict[str, Kind]()
    rest = config.features.rest
    for name in table.frame.columns:
        if name in declared:
            kinds[name] = declared[name]
        elif name in labels or name in dropped or name in split or name == weight or rest == "drop":
            continue
        elif _is_index(table, name):
            said.add(name, "the index that pandas wrote beside the columns: left out; features.* may name it")
        else:
            kinds[name] = infer(table, name, said) if rest == "infer" else rest
    check_groups(kinds, config.features)
    said.add_all(remarks.on_totals(table))
    for column, name in enumerate(table.frame.columns, start=1):
        if name in kinds:
            check_feature_name(name, column)
    guessed = [name for name in kinds if name not in declared]
    if not guessed or rest != "infer" or not isinstance(config.data, TableData):
        return kinds, said, []
    numeric = sum(kinds[name] == "numeric" for name in guessed)
    return kinds, said, [f"Kinds inferred: {numeric} numeric, {len(guessed) - numeric} categorical."]


def names_by_kind(config: Config) -> dict[Kind, tuple[str, ...]]:
    """List the columns that the configuration gives to each kind."""
    features = config.features
    return {
        "numeric": features.numeric,
        "categorical": features.categorical,
        "hashed": tuple(features.hashed),
        "bag": tuple(features.bag),
        "datetime": tuple(features.datetime),
    }


def declared_names(config: Config) -> set[str]:
    """Collect the columns that features.* names, which therefore are not left out."""
    named = {name for names in names_by_kind(config).values() for name in names}
    return named.union(*config.features.share)


def declared_kinds(table: Table, config: Config, labels: dict[str, str], dropped: tuple[str, ...]) -> dict[str, Kind]:
    """Collect the kinds that the configuration gives to columns."""
    weight = config.data.weight if isinstance(config.data, TableData) else None
    declared: dict[str, Kind] = {}
    for kind, names in names_by_kind(config).items():
        for name in names:
            table.column(name, f"features.{kind}")
            if name in labels:
                raise DataError(f"features.{kind} names '{name}', which holds the labels of task '{labels[name]}'")
            if name == weight:
                raise DataError(f"features.{kind} names '{name}', which holds the weights of data.weight; keep one")
            if name in dropped:
                raise DataError(f"'{name}' stands in features.{kind} and in data.drop; keep one")
            declared[name] = kind
    for name in dropped:
        table.column(name, "data.drop")
    return declared


def infer(table: Table, name: str, said: Remarks) -> Kind:
    """Choose between numbers and categories by a column's values.

    Numbers: all present values are numbers, or fewer than STRAY_SHARE of them are not.

    In a file with types, the column's type decides.

    Args:
        table: of R rows, of which all count.
        name: of the column.
        said: takes what is remarkable about it.

    Raises:
        DataError: for a type that no feature has.
    """
    series = table.frame[name]
    if series.dtype.is_temporal() or series.dtype.is_nested() or series.dtype in (pl.Binary, pl.Object):
        raise DataError(f"column '{name}' holds {series.dtype}, which is {_undeclared(name, series.dtype)}")
    if series.dtype == pl.Boolean or (series.dtype == pl.String and table.typed):
        said.add(name, *remarks.on_categories(table, name))
        return "categorical"
    parsed = parse(series, table.numerals)
    assert parsed is not None  # the other types were refused
    other = (parsed.is_null() & series.is_not_null()).to_numpy()
    count, present = int(other.sum()), len(series) - series.null_count()
    kind: Kind = "numeric" if not count or count < STRAY_SHARE * present else "categorical"
    said.add(name, *remarks.on_odd_cells(table, name, other, present - count, kind))
    if kind == "numeric":
        values = parsed.fill_null(float("nan")).to_numpy()
        said.add(name, *remarks.on_numbers(table, name, np.where(np.isinf(values), np.nan, values)))
    else:
        said.add(name, *remarks.on_categories(table, name))
    return kind


def _undeclared(name: str, dtype: pl.DataType) -> str:
    """Say what to do with a column of a type that is a feature only where it is declared."""
    key = name if re.fullmatch(r"[A-Za-z0-9_-]+", name) else f'"{name}"'
    if isinstance(dtype, pl.List | pl.Array) and not (dtype.inner.is_nested() or dtype.inner == pl.Binary):
        way = f'write [features.bag.{key}] and pooling = "mean" below it'
    elif dtype in (pl.Date, pl.Datetime):
        way = f'write {key} = ["hour", "weekday"] below [features.datetime]'
        way = way.replace('"hour"', '"days"') if dtype == pl.Date else way
    else:
        return "not a feature; add it to data.drop"
    return f"a feature only where it is declared: {way}, else add it to data.drop"


def _is_index(table: Table, name: str) -> bool:
    """Check whether a column is an index that pandas wrote.

    It has one of its names, and a different number in each row.
    """
    if not PANDAS_INDEX.fullmatch(name):
        return False
    if name.startswith("__"):
        return True
    parsed = parse(table.frame[name])
    return parsed is not None and not parsed.null_count() and parsed.n_unique() == len(parsed)
