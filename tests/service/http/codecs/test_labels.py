"""Bodies of labels, from bytes to labelled rows."""

import json
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from service.artifact.entries import Task, TrainingTable
from service.errors import InvalidFeatures, MalformedRequest, RequestTooLarge
from service.http.codecs.labels import MOST_PROBLEMS, MOST_ROW, read_labels
from service.inference.labels import LabelReader
from service.logs.labels import LabelledRow

ROWS = 30


class TwoTasks:
    """Manifest of two tasks alone."""

    training_table = TrainingTable(missing=("?",))
    tasks = (Task(name="income", kind="binary", classes=("no", "yes")), Task(name="price", kind="regression"))


READER = LabelReader(TwoTasks())  # type: ignore[arg-type]


def read(document: object) -> list[LabelledRow]:
    return read_labels(json.dumps(document).encode(), READER, ROWS)


NAMES = st.text("abcdefgh-0123456789", min_size=1, max_size=20)
LABELLED = st.fixed_dictionaries(
    {
        "request_id": NAMES,
        "row": st.integers(0, MOST_ROW - 1),
        "income": st.sampled_from([0, 1]),
        "price": st.floats(-9, 9),
    }
)


@given(st.lists(LABELLED, min_size=1, max_size=ROWS))
def test_rows_and_columns_are_the_same_labels(given_rows: list[dict[str, Any]]) -> None:
    rows = [
        {"request_id": row["request_id"], "row": row["row"], "tasks": {"income": row["income"], "price": row["price"]}}
        for row in given_rows
    ]
    columns = {name: [row[name] for row in given_rows] for name in ("request_id", "row")}
    tasks = {task: [row[task] for row in given_rows] for task in ("income", "price")}
    found = read({"labels": rows})
    assert found == read({**columns, "tasks": tasks})
    assert [row.labels for row in found] == [row["tasks"] for row in rows]
    assert [(row.request_id, row.key, row.row) for row in found] == [(r["request_id"], "", r["row"]) for r in rows]


def test_a_row_is_named_by_its_key_and_a_label_may_be_missing() -> None:
    (row,) = read({"labels": [{"key": 17, "tasks": {"income": "yes", "price": "?"}}]})
    assert row == LabelledRow("", "17", 0, {"income": 1.0})
    assert read({"key": ["a", "b"], "tasks": {"price": [None, 2.5], "income": [0, None]}}) == [
        LabelledRow("", "a", 0, {"income": 0.0}),
        LabelledRow("", "b", 0, {"price": 2.5}),
    ]


@pytest.mark.parametrize(
    ("document", "came"),
    [
        ([], "The body is an array"),
        ({"labels": [], "tasks": {}}, '"labels" and'),
        ({"labels": []}, '"labels" is'),
        ({"labels": {"key": "a"}}, '"labels" is'),
        ({"request": ["a"], "tasks": {"price": [1]}}, "unknown key"),
        ({"key": ["a"]}, '"tasks" is null'),
        ({"key": ["a"], "tasks": {"price": [1, 2]}}, "not arrays of one length"),
        ({"key": "a", "tasks": {"price": [1]}}, "not arrays of one length"),
        ({"key": [], "tasks": {"price": []}}, "not arrays of one length"),
    ],
)
def test_other_bodies_are_refused_with_what_came(document: object, came: str) -> None:
    with pytest.raises(MalformedRequest) as refused:
        read(document)
    assert came in str(refused.value)


@pytest.mark.parametrize(
    ("row", "said"),
    [
        ("a", "is not a row of labels"),
        ({"key": "a", "tasks": {"price": 1}, "when": 3}, "is not a row of labels"),
        ({"tasks": {"price": 1}}, 'expected either "request_id"'),
        ({"request_id": "r", "key": "a", "tasks": {"price": 1}}, 'expected either "request_id"'),
        ({"request_id": "r", "row": -1, "tasks": {"price": 1}}, '"row" is -1'),
        ({"request_id": "r", "row": "first", "tasks": {"price": 1}}, '"row" is'),
        ({"key": "a", "row": 2, "tasks": {"price": 1}}, "none beside"),
        ({"key": "", "tasks": {"price": 1}}, "its key is"),
        ({"key": "a", "tasks": {"price": "dear"}}, "the label of task"),
        ({"key": "a", "tasks": {"height": 1}}, "is not a task of the model"),
        ({"key": "a", "tasks": {"price": None}}, "it has no label"),
    ],
)
def test_a_wrong_row_is_named_with_what_was_expected(row: object, said: str) -> None:
    with pytest.raises(InvalidFeatures) as refused:
        read({"labels": [{"key": "right", "tasks": {"price": 1}}, row]})
    (problem,) = refused.value.problems
    assert problem.row == 1
    assert said in problem.message


def test_rows_beyond_the_limit_are_refused_and_many_wrong_ones_counted() -> None:
    with pytest.raises(RequestTooLarge, match=f"{ROWS + 1} rows"):
        read({"labels": [{"key": "a", "tasks": {"price": 1}}] * (ROWS + 1)})
    with pytest.raises(InvalidFeatures) as refused:
        read({"labels": [{}] * ROWS})
    assert len(refused.value.problems) == MOST_PROBLEMS
    assert str(refused.value).startswith(f"{ROWS} problems")
