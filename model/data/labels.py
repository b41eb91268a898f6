"""Labels of tasks, read from columns.

Also checks that every split can teach and judge them.
"""

from collections.abc import Sequence
from dataclasses import replace

import numpy as np
import polars as pl
from numpy.typing import NDArray

from model.config.run import TaskConfig
from model.data.coding.numeric import Statistics, statistics_of
from model.data.funnels import joint_labels
from model.data.splits import SPLITS, TRAIN, Assignment
from model.data.weights import Weights, check_sampling
from model.schema import Task
from tables.columns import compare, numbers, parse, texts
from tables.config import CONDITION, Value
from tables.errors import DataError
from tables.source import Table
from tables.suggestion import nearest

Labels = NDArray[np.float64]

COARSE = 0.01
"""Step of an answer, in standard deviations of the labels, above which a note warns of it."""


MOST_VALUES = 1000
"""Texts of a binary label's column that the model file keeps; of more it keeps none."""


def labelled_rows(table: Table, tasks: Sequence[TaskConfig]) -> tuple[Table, list[str]]:
    """Drop the rows that have a label for no task.

    Returns:
        The rest of the table, and notes on labels that are missing.

    Raises:
        DataError: if a task has no labels at all.
    """
    held = labels_held(table, tasks)
    keep = np.asarray(held.any(axis=1), np.bool_)
    return table.keep(keep), notes_on_labels(tasks, held.sum(axis=0), int(keep.sum()), len(table))


def labels_held(table: Table, tasks: Sequence[TaskConfig]) -> NDArray[np.bool_]:
    """Check which rows have a label of which task; (R, T)."""
    columns = [table.column(task.column, f"task '{task.name}'").is_not_null().to_numpy() for task in tasks]
    return np.stack(columns, axis=1)


def notes_on_labels(tasks: Sequence[TaskConfig], held: NDArray[np.int64], kept: int, rows: int) -> list[str]:
    """Note which labels are missing.

    Args:
        tasks: T of them.
        held: (T,) rows with a label of each.
        kept: rows with any.
        rows: of the table.

    Raises:
        DataError: if a task has no labels at all.
    """
    notes = []
    for task, count in zip(tasks, held.tolist(), strict=True):
        if not count:
            raise DataError(f"task '{task.name}' has no labels: column '{task.column}' is missing in every row")
        if len(tasks) > 1 and count < rows:
            notes.append(f"Task '{task.name}' has no label in {rows - count:,} of {rows:,} rows.")
    if dropped := rows - kept:
        notes.append(f"Left out: {dropped:,} row{'s' * (dropped > 1)} without any label.")
    return notes


def read_strata(table: Table, configs: Sequence[TaskConfig]) -> dict[str, NDArray[np.float64]]:
    """Read the classes that every split needs rows of, by task.

    (R,), from 0; NaN where the label is missing.

    A regression has one class, that of the rows with a label, and none if all rows have one.

    Raises:
        DataError: for labels of the wrong kind.
    """
    strata, whole = {}, np.full(len(table), TRAIN, np.int8)  # classes of all rows, whatever the split will be
    for config in configs:
        if config.kind == "regression":
            present = table.column(config.column, f"task '{config.name}'").is_not_null().to_numpy()
            if not present.all():
                strata[config.name] = np.where(present, 0.0, np.nan)
        else:
            strata[config.name], _ = {"binary": _binary, "multiclass": _multiclass}[config.kind](table, config, whole)
    return strata


def read_labels(
    table: Table, configs: Sequence[TaskConfig], chosen: Assignment, weights: Weights | None = None
) -> tuple[Labels, tuple[Task, ...]]:
    """Read the labels of every task.

    Args:
        table: of R rows.
        configs: one for each of T tasks.
        chosen: (R,) split of each row; means, deviations and default classes are those of the
            training rows.
        weights: (R,), how often each row counts in means and deviations.

    Returns:
        float64 (R, T): a number, 0 or 1, or the index of a class; NaN where the label is missing.
            And the tasks.

    Raises:
        DataError: for labels of the wrong kind, for a split without labels or without one of the
            classes, and for weights that count sampled negatives already.
    """
    labels = np.empty((len(table), len(configs)), np.float64)
    tasks = []
    for place, config in enumerate(configs):
        labels[:, place], task = read_task(table, config, chosen)
        if task.kind == "regression":
            training = chosen == TRAIN
            found = statistics_of(labels[training, place], None if weights is None else weights[training])
            task = scaled(task, found)
        tasks.append(task)
    labels = joint_labels(labels, configs, table.row_numbers)
    check_sampling(configs, labels, weights)
    for place, task in enumerate(tasks):
        _check(task, labels[:, place], chosen)
    return labels, tuple(tasks)


def read_task(table: Table, config: TaskConfig, chosen: Assignment) -> tuple[NDArray[np.float64], Task]:
    """Read the labels of one task (R,), as `read_labels` does.

    No split is checked, and a regression has no scale yet.
    """
    read = {"regression": _regression, "binary": _binary, "multiclass": _multiclass}[config.kind]
    labels, task = read(table, config, chosen)
    column, positive_if = config.column, config.positive_if or ""
    return labels, replace(
        task,
        after=config.after or "",
        negatives_kept=config.negatives_kept,
        column=column,
        positive_if=positive_if,
    )


def _regression(table: Table, config: TaskConfig, chosen: Assignment) -> tuple[NDArray[np.float64], Task]:
    values = numbers(table, config.column, f"regression task '{config.name}'")
    return values, Task(config.name, "regression", weight=config.weight)


def scaled(task: Task, statistics: Statistics) -> Task:
    """Give a regression task the scale of its training labels."""
    return replace(task, mean=statistics.mean, std=statistics.std)


def coarse_answers(tasks: Sequence[Task]) -> list[str]:
    """Note the regression tasks whose answers step coarsely.

    Answers are float32 in the label's units, and may step by a share of the labels' spread.
    """
    notes = []
    for task in tasks:
        step = float(np.spacing(np.float32(abs(task.mean)))) if task.kind == "regression" else 0.0
        if step > COARSE * task.std:
            notes.append(
                f"Task '{task.name}': an answer near {task.mean:.10g} is a float32, which steps by {step:.3g} there, "
                f"beside labels with a standard deviation of {task.std:.3g}; take a constant such as the least label "
                "off the column for finer answers."
            )
    return notes


def _binary(table: Table, config: TaskConfig, chosen: Assignment) -> tuple[NDArray[np.float64], Task]:
    key = f"task '{config.name}'"
    meanings: tuple[tuple[str, int], ...] = ()
    if config.positive_if is not None:
        match = CONDITION.match(config.positive_if)
        assert match is not None  # the configuration was checked
        values = compare(table, config.column, match["operator"], match["value"], key)
        words = (f"not {config.positive_if}", config.positive_if)
    else:
        given = config.positive_in or ((config.positive,) if config.positive is not None else ())
        text = texts(table, config.column, key)
        found = [t for value in given for t in _find(value, text, config)] or _usual_positive(text, table, config)
        values = _among(text, found)
        words, meanings = _words(text, found), _meanings(text, found)
    return values, Task(config.name, "binary", config.classes or words, weight=config.weight, values=meanings)


def _find(value: Value, column: pl.Series, config: TaskConfig) -> list[str]:
    """List the texts by which a configured value stands in the column.

    1 finds "1" and "1.0", true finds "True".
    """
    known: list[str] = column.drop_nulls().unique().sort().to_list()
    wanted = str(value).lower() if isinstance(value, bool) else str(value)
    if isinstance(value, bool):
        found = [text for text in known if text.lower() == wanted]
    elif isinstance(value, int | float):
        found = [text for text in known if _number(text) == value]
    else:
        found = [text for text in known if text == wanted]
    if not found:
        raise DataError(
            f"task '{config.name}' takes {wanted!r} for positive, which column '{config.column}' never holds"
            f"{nearest(wanted, known)}"
        )
    return found


def _number(text: str) -> float | None:
    try:
        return float(text)
    except ValueError:
        return None


def _usual_positive(text: pl.Series, table: Table, config: TaskConfig) -> list[str]:
    """Find the positive values of a column of 0 and 1, or of false and true.

    However these are written.
    """
    said = {str(value): _as_bool(value) for value in text.drop_nulls().unique().sort()}
    if None not in said.values():
        return [value for value, positive in said.items() if positive] or ["1" if "0" in said else "true"]
    odd = next(row for row, value in enumerate(text) if value is not None and said[value] is None)
    raise DataError(
        f"binary task '{config.name}' has no 'positive', and column '{config.column}' holds {text[odd]!r} in row "
        f"{table.row_numbers[odd]}, expected 0 and 1; give 'positive', 'positive_in' or 'positive_if'"
    )


def _as_bool(text: str) -> bool | None:
    """Read 0 or false, 1 or true; None for anything else."""
    number = {"false": 0.0, "true": 1.0}.get(text.lower(), _number(text))
    return bool(number) if number in (0.0, 1.0) else None


def _among(text: pl.Series, positive: Sequence[str]) -> NDArray[np.float64]:
    held = text.is_in(list(positive)).cast(pl.Float64).set(text.is_null(), float("nan"))
    return np.asarray(held.to_numpy(), np.float64)


def _words(text: pl.Series, positive: Sequence[str]) -> tuple[str, str]:
    """Derive the names of the two classes from values, where a class is one value."""
    others = text.drop_nulls().unique().to_list()
    others = [value for value in others if value not in positive]
    yes = positive[0] if len(positive) == 1 else "one of " + ", ".join(positive)
    return (others[0] if len(others) == 1 else f"not {yes}"), yes


def _meanings(text: pl.Series, positive: Sequence[str]) -> tuple[tuple[str, int], ...]:
    """Pair each text of a column with its class; nothing where there are too many to list."""
    known = text.drop_nulls().unique().sort().to_list()
    return tuple((value, int(value in positive)) for value in known) if len(known) <= MOST_VALUES else ()


def _multiclass(table: Table, config: TaskConfig, chosen: Assignment) -> tuple[NDArray[np.float64], Task]:
    key = f"multiclass task '{config.name}'"
    text = texts(table, config.column, key)
    numeric = _whole_numbers(table, config, key)
    if numeric is not None:  # 1 and 1.0 are one class
        text = numeric.cast(pl.Int64).cast(pl.String)
    classes = config.classes
    if not classes:
        known = text.filter(pl.Series(chosen == TRAIN)).drop_nulls().unique().to_list()
        classes = tuple(sorted(known, key=int if numeric is not None else None))
        if len(classes) < 2:
            raise DataError(
                f"{key} needs two classes at least, and the training rows of '{config.column}' hold {known}"
            )
    index = {(value if numeric is None else _plain(value)): float(place) for place, value in enumerate(classes)}
    codes = text.replace_strict(index, default=None, return_dtype=pl.Float64)
    odd = np.flatnonzero((codes.is_null() & text.is_not_null()).to_numpy())
    if odd.size:
        value = text[int(odd[0])]
        raise DataError(
            f"{key}: column '{config.column}' holds {value!r} in row {table.row_numbers[odd[0]]}, which "
            + (f"'classes' lacks{nearest(value, list(classes))}" if config.classes else "no training row does; choose ")
            + ("" if config.classes else "another data.split, or drop the row by data.keep")
        )
    values = np.asarray(codes.fill_null(float("nan")).to_numpy(), np.float64)
    return values, Task(config.name, "multiclass", classes=classes, weight=config.weight)


def _whole_numbers(table: Table, config: TaskConfig, key: str) -> pl.Series | None:
    """Read a column as whole numbers.

    None if it holds something else, or numbers too large to be told apart.

    Raises:
        DataError: for numbers with a fraction, which are not classes.
    """
    series = table.column(config.column, key)
    parsed = None if series.dtype == pl.Boolean else parse(series, table.numerals)
    if parsed is None or bool((parsed.is_null() & series.is_not_null()).any()):
        return None
    parsed = parsed.fill_nan(None)
    fractional = np.flatnonzero((parsed != parsed.round()).fill_null(False).to_numpy())
    if fractional.size:
        raise DataError(
            f"{key} wants classes, and column '{config.column}' holds {series[int(fractional[0])]!r} in row "
            f"{table.row_numbers[fractional[0]]}; use kind = 'regression' for such numbers"
        )
    return parsed if bool((parsed.abs() < 2**53).all()) else None


def _plain(value: str) -> str:
    """Write a whole number without a decimal point, "1" for "1.0".

    Anything else stays as it is.
    """
    number = _number(value)
    return str(int(number)) if number is not None and number.is_integer() else value


def _check(task: Task, labels: Labels, chosen: Assignment) -> None:
    """Refuse a split from which a task, or one of its classes, is absent."""
    here = [labels[(chosen == number) & ~np.isnan(labels)] for number in range(len(SPLITS))]
    of_class = [[int((held == index).sum()) for index in range(len(task.classes))] for held in here]
    check_presence(task, [len(held) for held in here], of_class)


class AbsentError(DataError):
    """A split lacks a task, or one of its classes."""


def check_presence(task: Task, labelled: Sequence[int], of_class: Sequence[Sequence[int]]) -> None:
    """Refuse a split from which a task, or one of its classes, is absent.

    Args:
        task: to look for.
        labelled: rows with its label in each split.
        of_class: rows of each split and class.
    """
    for split, count, classes in zip(SPLITS, labelled, of_class, strict=True):
        if not count:
            raise AbsentError(f"task '{task.name}' has no labels in the {split} split; choose another data.split")
        for index, name in enumerate(task.classes):
            if not classes[index]:
                total = sum(counts[index] for counts in of_class)
                do = "choose another data.split or other classes"
                if 0 < total < len(SPLITS):
                    do = "every split needs one: give more rows, or leave these out by data.keep"
                raise AbsentError(
                    f"task '{task.name}': no row of class '{name}' is in the {split} split ({total:,} in the whole "
                    f"table); {do}"
                )
