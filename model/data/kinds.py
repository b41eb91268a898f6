"""Kinds of features: which columns are inputs, and which of them hold numbers.

Decided by all rows, whatever their split.
"""

import re
from typing import Literal

import numpy as np
import polars as pl

from model.config.names import check_feature_name
from model.config.run import Config
from model.data import remarks
from model.data.remarks import STRAY_SHARE, Remarks
from tables.columns import parse
from tables.config import TableData
from tables.errors import DataError
from tables.source import Table

Kind = Literal["numeric", "categorical"]

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
    declared = declared_kinds(table, config, labels, dropped)
    said, kinds = Remarks(), dict[str, Kind]()
    rest = config.features.rest
    for name in table.frame.columns:
        if name in declared:
            kinds[name] = declared[name]
        elif name in labels or name in dropped or name in split or rest == "drop":
            continue
        elif _is_index(table, name):
            said.add(name, "the index that pandas wrote beside the columns: left out; features.* may name it")
        else:
            kinds[name] = infer(table, name, said) if rest == "infer" else rest
    said.add_all(remarks.on_totals(table))
    for column, name in enumerate(table.frame.columns, start=1):
        if name in kinds:
            check_feature_name(name, column)
    guessed = [name for name in kinds if name not in declared]
    if not guessed or rest != "infer" or not isinstance(config.data, TableData):
        return kinds, said, []
    numeric = sum(kinds[name] == "numeric" for name in guessed)
    return kinds, said, [f"Kinds inferred: {numeric} numeric, {len(guessed) - numeric} categorical."]


def declared_kinds(table: Table, config: Config, labels: dict[str, str], dropped: tuple[str, ...]) -> dict[str, Kind]:
    """Collect the kinds that the configuration gives to columns."""
    declared: dict[str, Kind] = {}
    kinds: tuple[tuple[Kind, tuple[str, ...]], ...] = (
        ("numeric", config.features.numeric),
        ("categorical", config.features.categorical),
    )
    for kind, names in kinds:
        for name in names:
            table.column(name, f"features.{kind}")
            if name in labels:
                raise DataError(f"features.{kind} names '{name}', which holds the labels of task '{labels[name]}'")
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
    if series.dtype.is_temporal() or series.dtype.is_nested() or series.dtype == pl.Binary:
        raise DataError(f"column '{name}' holds {series.dtype}, which is not a feature; add it to data.drop")
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
