from typing import Any

import numpy as np
import polars as pl
import pytest

from model.config.run import TaskConfig
from model.data.labels import coarse_answers, labelled_rows, read_labels
from model.schema import Task
from tables.errors import DataError
from tables.source import Table

FOLDS = np.tile(np.array([0, 0, 1, 2], np.int8), 6)
"""Rows 0 and 1 of every four are for training, row 2 for validation, row 3 for test."""


def table(values: list[Any], **more: list[Any]) -> Table:
    frame = pl.DataFrame({"label": values, **more})
    return Table(frame, np.arange(1, frame.height + 1))


def task(kind: str, **settings: Any) -> TaskConfig:
    return TaskConfig.model_validate({"name": "t", "column": "label", "kind": kind, **settings})


def read(values: list[Any], kind: str, **settings: Any) -> tuple[list[float | None], Task]:
    """Read one task; a missing label is None."""
    labels, (found,) = read_labels(table(values), [task(kind, **settings)], FOLDS[: len(values)])
    assert labels.dtype == np.float64
    return [None if np.isnan(label) else float(label) for label in labels[:, 0]], found


def refusal(values: list[Any], kind: str, **settings: Any) -> str:
    with pytest.raises(DataError) as caught:
        read(values, kind, **settings)
    assert "\n" not in str(caught.value)
    return str(caught.value)


def test_a_regression_is_described_by_its_training_rows() -> None:
    labels, found = read(["1", "3", "100", None, "5", "7", "100", "-100"], "regression", weight=2.0)
    assert labels == [1.0, 3.0, 100.0, None, 5.0, 7.0, 100.0, -100.0]
    assert found.std == pytest.approx(np.std([1, 3, 5, 7]))
    assert (found.mean, found.weight, found.classes) == (4.0, 2.0, ())


def test_equal_labels_have_deviation_one() -> None:
    assert read(["0.1"] * 8, "regression")[1].std == 1.0


def test_large_labels_close_together_keep_their_deviation_and_the_answers_steps_are_noted() -> None:
    values = [1_700_000_000_000_000 + 1000 * row for row in range(8)]
    labels, found = read(values, "regression")
    assert labels == values
    assert found.std == pytest.approx(np.std([0, 1000, 4000, 5000]))
    (note,) = coarse_answers([found])
    assert note.startswith("Task 't': an answer near 1.700000000e+15 is a float32") or "1.7e+15" in note
    assert "steps by 1.34e+08" in note
    assert coarse_answers([Task("t", "regression", mean=100.0, std=1.0), Task("u", "binary")]) == []


@pytest.mark.parametrize(
    ("yes", "no", "settings", "classes"),
    [
        ("50000+.", "- 50000.", {"positive": "50000+."}, ("- 50000.", "50000+.")),
        ("1", "0", {"positive": 1}, ("0", "1")),
        ("1.0", "0.0", {"positive": 1}, ("0.0", "1.0")),
        ("True", "False", {"positive": True}, ("False", "True")),
        ("1", "0", {}, ("0", "1")),
        ("true", "false", {}, ("false", "true")),
        (True, False, {}, ("false", "true")),
        (1, 0, {}, ("0", "1")),
        (1.0, 0.0, {}, ("0", "1")),
        ("3", "0", {"positive_if": "> 0"}, ("not > 0", "> 0")),
        (3.5, -2, {"positive_if": ">= 3.5"}, ("not >= 3.5", ">= 3.5")),
        ("red", "blue", {"positive_if": "== red"}, ("not == red", "== red")),
        ("red", "blue", {"positive_if": "!= blue"}, ("not != blue", "!= blue")),
        ("red", "blue", {"positive_in": ["red"]}, ("blue", "red")),
        ("red", "blue", {"positive": "red", "classes": ["cold", "warm"]}, ("cold", "warm")),
    ],
)
def test_what_is_positive_can_be_said_in_many_ways(
    yes: Any, no: Any, settings: dict[str, Any], classes: tuple[str, str]
) -> None:
    labels, found = read([yes, no, yes, yes, None, no, no, no], "binary", **settings)
    assert labels == [1.0, 0.0, 1.0, 1.0, None, 0.0, 0.0, 0.0]
    assert found.classes == classes


@pytest.mark.parametrize(
    ("ones", "settings"),
    [
        (["1", "1.0"], {}),
        (["1", "1.0"], {"positive": 1}),
        (["true", "True"], {}),
        (["TRUE", "true"], {"positive": True}),
    ],
)
def test_every_way_to_write_the_positive_value_is_positive(ones: list[str], settings: dict[str, Any]) -> None:
    no = "0" if "1" in ones else "False"
    labels, _ = read([ones[0], no, no, ones[1], no, ones[1], ones[0], no], "binary", **settings)
    assert labels == [1.0, 0.0, 0.0, 1.0, 0.0, 1.0, 1.0, 0.0]


def test_digits_and_words_may_mix() -> None:
    assert read(["0", "true", "1", "0", "false", "1", "0.0", "1"], "binary")[0] == [0, 1, 1, 0, 0, 1, 0, 1]


def test_several_values_may_be_positive() -> None:
    values = ["a", "c", "b", "a", "c", "d", "d", "c"]
    labels, found = read(values, "binary", positive_in=["a", "b"])
    assert labels == [1.0, 0.0, 1.0, 1.0, 0.0, 0.0, 0.0, 0.0]
    assert found.classes == ("not one of a, b", "one of a, b")


def test_classes_come_from_the_training_rows_in_order() -> None:
    labels, found = read(["b", "a", "a", "b", "a", None, "b", "a"], "multiclass")
    assert found.classes == ("a", "b")
    assert labels == [1.0, 0.0, 0.0, 1.0, 0.0, None, 1.0, 0.0]
    assert read(["10", "9", "9", "10", "9", "9", "10", "9"], "multiclass")[1].classes == ("9", "10")


def test_a_whole_number_is_one_class_however_it_is_written() -> None:
    labels, found = read(["1", "2.0", "1.0", "2", "02", "1", "2", "1"], "multiclass")
    assert found.classes == ("1", "2")
    assert labels == [0, 1, 0, 1, 1, 0, 1, 0]
    labels, found = read([1.0, 2.0, 1.0, 2.0, 2.0, None, 2.0, 1.0], "multiclass", classes=["2.0", "1"])
    assert found.classes == ("2.0", "1")
    assert labels == [1, 0, 1, 0, 0, None, 0, 1]


def test_true_and_false_may_be_classes() -> None:
    assert read([True, False, True, False, False, True, False, True], "multiclass")[1].classes == ("false", "true")


def test_listed_classes_keep_their_order() -> None:
    labels, found = read(["b", "a", "a", "b", "a", "a", "b", "a"], "multiclass", classes=["b", "a"])
    assert found.classes == ("b", "a")
    assert labels[:2] == [0.0, 1.0]


YES_NO, DIGITS, MIXED = ["yes", "no", "yes", "no"], ["1", "0", "1", "0"], ["a", "b", "a", "c"]


@pytest.mark.parametrize(
    ("values", "kind", "settings", "sentence"),
    [
        (["1", "dear"], "regression", {}, "wants numbers, and column 'label' holds 'dear' in row 2"),
        (
            ["1", "inf"],
            "regression",
            {},
            "wants finite numbers within float32, and column 'label' holds 'inf' in row 2",
        ),
        (["1", "2", None, "3"], "regression", {}, "has no labels in the validation split"),
        (YES_NO, "binary", {}, "has no 'positive', and column 'label' holds 'yes' in row 1, expected 0 and 1"),
        (YES_NO, "binary", {"positive": "yse"}, "which column 'label' never holds; did you mean 'yes'?"),
        (
            YES_NO,
            "binary",
            {"positive_in": ["yes", "yup"]},
            "takes 'yup' for positive, which column 'label' never holds",
        ),
        (YES_NO, "binary", {"positive_if": "> 0"}, "wants numbers, and column 'label' holds 'yes' in row 1"),
        (DIGITS, "binary", {"positive": 2}, "takes '2' for positive, which column 'label' never holds"),
        (["1", "0", "0", "1"], "binary", {}, "no row of class '1' is in the validation split (2 in the whole table)"),
        (["1", "1", "1", "1"], "binary", {}, "no row of class 'not 1' is in the training split"),
        (["1.5", "2", "3", "4"], "multiclass", {}, "wants classes, and column 'label' holds '1.5' in row 1; use kind"),
        (MIXED, "multiclass", {}, "column 'label' holds 'c' in row 4, which no training row does; choose another"),
        (MIXED, "multiclass", {"classes": ["a", "b"]}, "holds 'c' in row 4, which 'classes' lacks; known are 'a', 'b'"),
        (["a", "a", "a", "a"], "multiclass", {}, "needs two classes at least"),
        (["a", "b", "a", "b"], "multiclass", {}, "no row of class 'b' is in the validation split"),
    ],
)
def test_labels_of_the_wrong_kind_are_refused(
    values: list[Any], kind: str, settings: dict[str, Any], sentence: str
) -> None:
    message = refusal(values, kind, **settings)
    assert "task 't'" in message
    assert sentence in message


def test_tasks_may_share_a_column() -> None:
    configs = [task("regression"), task("binary", positive_if="> 4").model_copy(update={"name": "much"})]
    labels, _ = read_labels(table(["1", "5", "2", "9", "3", "6", "7", "1"]), configs, FOLDS[:8])
    np.testing.assert_array_equal(labels[:, 1], labels[:, 0] > 4)


def test_rows_without_any_label_are_dropped() -> None:
    configs = [task("regression"), task("regression").model_copy(update={"name": "u", "column": "other"})]
    rest, notes = labelled_rows(table(["1", None, None], other=[None, "2", None]), configs)
    assert rest.row_numbers.tolist() == [1, 2]
    assert notes[-1] == "Left out: 1 row without any label."
    assert [note.partition(" has no label ")[2] for note in notes[:-1]] == ["in 2 of 3 rows.", "in 2 of 3 rows."]


def test_a_task_without_labels_is_refused() -> None:
    with pytest.raises(DataError, match="task 't' has no labels: column 'label' is missing in every row"):
        labelled_rows(table([None, None]), [task("regression")])
