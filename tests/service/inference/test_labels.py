"""Labels in the table's own terms -> numbers."""

from typing import Any

import pytest

from service.artifact.entries import LabelRule, Task, TrainingTable
from service.inference.labels import LabelReader


class Tasks:
    """Manifest of tasks alone."""

    training_table = TrainingTable(missing=("?", "-9"))

    def __init__(self, *tasks: Task) -> None:
        self.tasks = tasks


def reader(kind: Any, classes: tuple[str, ...] = (), **rule: Any) -> LabelReader:
    label = LabelRule(column="column", **rule) if rule else None
    return LabelReader(Tasks(Task(name="task", kind=kind, classes=classes, label=label)))  # type: ignore[arg-type]


INCOME = {"values": {"- 50000.": 0, "50000+.": 1}}
CODES = {"values": {"1": 0, "2": 1}}


@pytest.mark.parametrize(
    ("made", "raw", "number"),
    [
        (reader("regression"), 3.5, 3.5),
        (reader("regression"), "-1e3", -1000.0),
        (reader("binary", ("no", "yes"), **INCOME), " 50000+. ", 1.0),
        (reader("binary", ("no", "yes"), **INCOME), "- 50000.", 0.0),
        (reader("binary", ("no", "yes"), **INCOME), "yes", 1.0),
        (reader("binary", ("no", "yes"), **INCOME), True, 1.0),
        (reader("binary", ("no", "yes"), **INCOME), 0, 0.0),
        (reader("binary", ("1", "2"), **CODES), 1, 0.0),  # the table's own terms win over 0 and 1
        (reader("binary", ("1", "2"), **CODES), "2.0", 1.0),
        (reader("binary", ("no", "yes")), "TRUE", 1.0),
        (reader("binary", ("not > 5", "> 5"), positive_if="> 5"), 5.5, 1.0),
        (reader("binary", ("not > 5", "> 5"), positive_if="> 5"), "5", 0.0),
        (reader("binary", ("a", "b"), positive_if="== true"), "True", 1.0),
        (reader("binary", ("a", "b"), positive_if="!= low"), " low ", 0.0),
        (reader("multiclass", ("0", "1", "2")), 2, 2.0),
        (reader("multiclass", ("red", "blue")), "blue", 1.0),
    ],
)
def test_a_label_is_read_as_the_table_has_it(made: LabelReader, raw: object, number: float) -> None:
    assert made.read("task", raw) == number


@pytest.mark.parametrize("raw", [None, "", " ", "?", "-9", -9, -9.0])
@pytest.mark.parametrize(
    "made", [reader("regression"), reader("binary", ("a", "b"), positive_if="!= low"), reader("multiclass", ("x", "y"))]
)
def test_what_is_missing_in_the_table_is_no_label(made: LabelReader, raw: object) -> None:
    assert made.read("task", raw) is None


@pytest.mark.parametrize(
    ("made", "raw", "expected"),
    [
        (reader("regression"), "much", "expected a number"),
        (reader("regression"), True, "expected a number"),
        (reader("regression"), "1_000", "expected a number"),
        (reader("regression"), 10**400, "expected a number"),
        (reader("binary", ("no", "yes"), **INCOME), "50000", "'- 50000.' or '50000+.'"),
        (reader("binary", ("1", "2"), **CODES), 0, "'1' or '2'"),
        (reader("binary", ("1", "2"), **CODES), True, "'1' or '2'"),
        (reader("binary", ("no", "yes")), 0.5, "0 or 1"),
        (reader("binary", ("a", "b"), positive_if="> 5"), "many", "positive if > 5"),
        (reader("multiclass", ("red", "blue")), 1, "one of 'red', 'blue'"),
        (reader("multiclass", ("red", "blue")), [], "one of 'red', 'blue'"),
    ],
)
def test_what_is_not_a_label_says_what_is(made: LabelReader, raw: object, expected: str) -> None:
    with pytest.raises(ValueError, match="task 'task'") as raised:
        made.read("task", raw)
    assert expected in str(raised.value)


def test_a_task_of_another_model_is_named() -> None:
    with pytest.raises(ValueError, match="'incme' is not a task of the model; its tasks are 'task'"):
        reader("regression").read("incme", 1)
