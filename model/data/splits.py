"""Divide rows into training, validation and test."""

import re
from collections.abc import Sequence
from typing import Any

import numpy as np
import polars as pl
from numpy.typing import NDArray

from model.data.placement import key_places
from model.data.stratify import Strata, lacking, stratify
from tables.columns import parse, texts
from tables.config import Split
from tables.errors import DataError
from tables.source import Table

SPLITS = ("training", "validation", "test")
TRAIN, VALIDATION, TEST = range(3)

Assignment = NDArray[np.int8]
"""(R,): TRAIN, VALIDATION or TEST for every row."""

MONTHS = ("jan", "feb", "mar", "apr", "may", "jun", "jul", "aug", "sep", "oct", "nov", "dec")
ISO_DATE = r"^\d{4}-\d{2}(-\d{2}([T ]\d{2}:\d{2}(:\d{2}(\.\d+)?)?Z?)?)?$"


def assign(table: Table, split: Split, strata: Strata | None = None) -> tuple[Assignment, list[str]]:
    """Choose a split for every row.

    Args:
        table: of R rows.
        split: how to divide them.
        strata: (R,) classes of each task, for a stratified split; see
            `model.data.labels.read_strata`.

    Returns:
        The assignment, and notes that say how it was made.

    Raises:
        DataError: if a `by` column cannot be used, or a split stays empty.
    """
    check_columns(table, split)
    if split.keys:
        chosen = by_place(key_places(table, split.keys, split.seed, "data.split.key"), split)
        note = f"at random, by a hash of {named(split.keys)}"
    elif split.kind == "random":
        blocks = np.random.default_rng(split.seed).permutation(len(table))
        chosen, how = _stratified(np.argsort(blocks), by_block(blocks, split), split, strata or {})
        note = f"at random{how}"
    elif split.kind == "given":
        chosen, how = _given(table, split, strata or {})
        note = f"as column '{split.columns[0]}' says{how}"
    elif split.kind == "group":
        groups = _groups(table, split)
        order = np.random.default_rng(split.seed).permutation(int(groups.max()) + 1)
        chosen, note = (
            by_block(order[groups], split),
            f"by groups of {named(split.columns)}, none of them in two splits",
        )
    else:
        ranks = ranks_in_time(table, split)
        chosen, note = by_block(ranks, split), f"by time ({named(split.columns)}), the latest rows for test"
    return chosen, [note_on_split(note, np.bincount(chosen, minlength=3).tolist())]


def check_columns(table: Table, split: Split) -> None:
    """Refuse a `by` or `key` column of a type that has no order and no text."""
    for key, names in (("data.split.by", split.columns), ("data.split.key", split.keys)):
        for name in names:
            held = table.column(name, key).dtype
            if held.is_nested() or held in (pl.Binary, pl.Object):
                raise DataError(
                    f"{key} names column '{name}', which holds {held}, expected numbers, text or dates; split by "
                    "another column"
                )


def note_on_split(how: str, counts: Sequence[int]) -> str:
    """Say how rows were split, and how many there are of each.

    Raises:
        DataError: if a split is empty.
    """
    for name, count in zip(SPLITS, counts, strict=True):
        if not count:
            raise DataError(f"data.split leaves no row for {name}; change its shares, or give more rows")
    shown = ", ".join(f"{count:,} {name}" for name, count in zip(SPLITS, counts, strict=True))
    return f"Rows were split {how}: {shown}."


def by_block(blocks: NDArray[np.int64], split: Split, counts: NDArray[np.int64] | None = None) -> Assignment:
    """Fill training, then validation, then test with whole ascending blocks.

    As near to the shares as these allow.

    Args:
        blocks: (R,) number of the block that each row belongs to, dense from 0.
        split: holds the shares.
        counts: (R,) how often each row counts; once by default.
    """
    ends = np.cumsum(np.bincount(blocks, counts))  # rows up to and with each block
    rows = ends[-1]
    bounds = np.concatenate([[0], ends])
    test = int(np.argmin(np.abs(bounds - rows * (1 - split.test))))
    validation = int(np.argmin(np.abs(bounds - rows * (1 - split.test - split.validation))))
    chosen: Assignment = ((blocks >= validation).astype(np.int8) + (blocks >= test)).astype(np.int8)
    return chosen


def by_place(places: NDArray[np.float64], split: Split) -> Assignment:
    """Cut places (R,) in [0, 1) into training, validation and test, in this order."""
    test, validation = 1 - split.test, 1 - split.test - split.validation
    chosen: Assignment = ((places >= validation).astype(np.int8) + (places >= test)).astype(np.int8)
    return chosen


def _stratified(order: NDArray[np.int64], chosen: Assignment, split: Split, strata: Strata) -> tuple[Assignment, str]:
    """Stratify a random split where that is asked for, or where it lacks a class.

    Args:
        order: (R,) the row numbers, shuffled.
        chosen: (R,) the random split; it stays as it is where nothing is to be done.
        split: says whether to stratify.
        strata: of these rows.

    Returns:
        The assignment, and what to add to the note on how it was made.
    """
    if split.stratify is False or not strata:
        return chosen, ""
    sizes = np.bincount(chosen, minlength=3)
    found = lacking(chosen, sizes, strata)
    if split.stratify is None and found is None:
        return chosen, ""
    why = "" if found is None else f", since the {SPLITS[found[1]]} split would lack a class of task '{found[0]}'"
    return stratify(order, sizes, strata), f", stratified by class{why}"


def _given(table: Table, split: Split, strata: Strata) -> tuple[Assignment, str]:
    chosen = named_splits(table, split)
    if (chosen == VALIDATION).any():
        return chosen, ""
    training = np.flatnonzero(chosen == TRAIN)
    shuffled = np.random.default_rng(split.seed).permutation(training)
    chosen[shuffled[: round(split.validation * len(training))]] = VALIDATION
    order = np.searchsorted(training, shuffled)
    of_training = {task: classes[training] for task, classes in strata.items()}
    chosen[training], how = _stratified(order, chosen[training], split, of_training)
    return chosen, f", validation rows taken from training at random{how}"


def named_splits(table: Table, split: Split) -> Assignment:
    """Read the split that a column names for each row."""
    name = split.columns[0]
    named = {split.train_value: TRAIN, split.validation_value: VALIDATION, split.test_value: TEST}
    values = texts(table, name, "data.split.by")
    chosen = values.replace_strict(list(named), list(named.values()), default=None, return_dtype=pl.Int8)
    if chosen.null_count():
        wrong = int(chosen.is_null().arg_max() or 0)
        raise DataError(
            f"column '{name}' names no split in row {table.row_numbers[wrong]}: it holds "
            f"{'nothing' if values[wrong] is None else repr(values[wrong])}, expected one of "
            f"{', '.join(named)}; see data.split.train_value"
        )
    return np.array(chosen.to_numpy(), np.int8)


def _groups(table: Table, split: Split) -> NDArray[np.int64]:
    """Number the groups; a row without a group is a group of its own."""
    columns = [texts(table, name, "data.split.by") for name in split.columns]
    groups = _combined([column.fill_null("").to_numpy() for column in columns])
    alone = np.logical_and.reduce([column.is_null().to_numpy() for column in columns])
    groups[alone] = groups.max() + 1 + np.arange(alone.sum())
    return np.unique(groups, return_inverse=True)[1].astype(np.int64)


def ranks_in_time(table: Table, split: Split) -> NDArray[np.int64]:
    """Number the distinct moments in order of time."""
    columns = [table.column(name, "data.split.by") for name in split.columns]
    for column in columns:
        missing = np.flatnonzero(column.is_null().to_numpy())
        if missing.size:
            raise DataError(
                f"column '{column.name}' of data.split.by is missing in row {table.row_numbers[missing[0]]}, "
                "which has no place in time so; fill it in, or split in another way"
            )
    if split.format is None:
        return _combined([_times(table, column) for column in columns])
    joined = pl.select(
        pl.concat_str([texts(table, n, "data.split.by") for n in split.columns], separator=" ")
    ).to_series()
    times = _dated(joined, split.format)
    wrong = np.flatnonzero(times.is_null().to_numpy())
    if wrong.size:
        raise DataError(
            f"data.split.format is '{split.format}', and {named(split.columns)} in row "
            f"{table.row_numbers[wrong[0]]} is '{joined[int(wrong[0])]}'; see the directives of strptime"
        )
    return _combined([times.to_physical().to_numpy()])


def _dated(text: pl.Series, form: str) -> pl.Series:
    try:
        return text.str.to_datetime(form, strict=False)
    except pl.exceptions.PolarsError as error:
        reason = str(error).partition("\n")[0]
        raise DataError(f"data.split.format is '{form}', by which no date can be read: {reason}") from None


def _times(table: Table, column: pl.Series) -> NDArray[Any]:
    """Turn a column into values that sort by time."""
    if column.dtype.is_temporal():
        return column.to_physical().to_numpy()
    values = parse(column, table.numerals)
    if values is not None and not values.is_null().any():
        return values.to_numpy()
    months = column.str.to_lowercase().str.slice(0, 3)
    spelt = column.str.contains(r"^[A-Za-z]+$")
    if bool((months.is_in(MONTHS) & spelt).all()):
        return months.replace_strict(list(MONTHS), list(range(12)), return_dtype=pl.Int64).to_numpy()
    wrong = next((row for row, value in enumerate(column) if not re.match(ISO_DATE, value)), None)
    if wrong is None:
        return column.to_numpy()
    raise DataError(
        f"column '{column.name}' of data.split.by holds {column[wrong]!r} in row {table.row_numbers[wrong]}, "
        "which is not a number, month name or ISO date as the others are; set data.split.format"
    )


def _combined(keys: list[NDArray[Any]]) -> NDArray[np.int64]:
    """Number the distinct combinations of keys.

    Ordered by the first key, then the second, and so on.
    """
    combined = np.zeros(len(keys[0]), np.int64)
    for key in keys:
        values, codes = np.unique(key, return_inverse=True)
        combined = np.unique(combined * len(values) + codes, return_inverse=True)[1].astype(np.int64)
    return combined


def named(names: Sequence[str]) -> str:
    """Show columns in a sentence."""
    return ", ".join(f"'{name}'" for name in names)
