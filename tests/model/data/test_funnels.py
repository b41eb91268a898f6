import math

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from model.config.run import Config, TaskConfig
from model.data.funnels import joint_labels
from tables.errors import DataError

NAN = math.nan
CLICK = TaskConfig(name="click", column="click", kind="binary")
CONVERSION = TaskConfig(name="conversion", column="conversion", kind="binary", after="click")
RETURN = TaskConfig(name="return", column="return", kind="binary", after="conversion")


def joint(labels: list[list[float]], *tasks: TaskConfig) -> list[list[float]]:
    found: list[list[float]] = joint_labels(np.array(labels), tasks, np.arange(1, len(labels) + 1)).tolist()
    return found


def test_without_the_task_before_a_label_is_0_whether_it_is_0_or_missing() -> None:
    found = joint([[1, 1], [1, 0], [0, 0], [0, NAN], [1, NAN]], CLICK, CONVERSION)
    assert found[:4] == [[1, 1], [1, 0], [0, 0], [0, 0]]
    assert math.isnan(found[4][1])


def test_a_label_stays_where_the_one_before_is_missing() -> None:
    found = joint([[NAN, 1], [NAN, 0]], CLICK, CONVERSION)
    assert [row[1] for row in found] == [1, 0]


def test_chains_are_followed_in_whatever_order_the_tasks_stand() -> None:
    assert joint([[NAN, NAN, 0]], RETURN, CONVERSION, CLICK) == [[0, 0, 0]]
    assert joint([[0, NAN, NAN]], CLICK, CONVERSION, RETURN) == [[0, 0, 0]]


def test_what_comes_after_without_what_comes_before_is_refused_with_its_row() -> None:
    with pytest.raises(DataError, match=r"row 2 has the first without the second \(1 such row\)"):
        joint([[1, 1], [0, 1]], CLICK, CONVERSION)


def test_other_tasks_are_not_copied() -> None:
    labels = np.zeros((2, 1))
    assert joint_labels(labels, [CLICK], np.arange(2)) is labels


@given(st.lists(st.tuples(st.sampled_from([0, 1, NAN]), st.sampled_from([0, NAN])), min_size=1))
def test_a_joint_label_is_never_above_that_of_the_task_before(rows: list[tuple[float, float]]) -> None:
    found = np.array(joint([list(row) for row in rows], CLICK, CONVERSION))
    known = ~np.isnan(found).any(axis=1)
    assert (found[known, 1] <= found[known, 0]).all()


TASKS = [
    {"name": "click", "column": "click", "kind": "binary"},
    {"name": "conversion", "column": "conversion", "kind": "binary", "after": "click"},
]


@pytest.mark.parametrize(
    ("change", "message"),
    [
        ({1: {"after": "clik"}}, "comes after 'clik', which is not a binary task"),
        ({0: {"kind": "regression"}}, "comes after 'click', which is not a binary task"),
        ({0: {"after": "conversion"}}, "come after each other"),
        ({1: {"negatives_kept": 0.1}}, "'negatives_kept' belongs to the first task of a funnel"),
        ({1: {"kind": "multiclass"}}, "'after' belongs to a binary task"),
        ({0: {"kind": "regression", "calibrate": True}}, "'calibrate' belongs to a binary task"),
        ({0: {"negatives_kept": 0.0}}, "negatives_kept"),
    ],
)
def test_a_funnel_that_cannot_be_is_refused(change: dict[int, dict[str, object]], message: str) -> None:
    tasks = [task | change.get(place, {}) for place, task in enumerate(TASKS)]
    with pytest.raises(ValueError, match=message):
        Config.model_validate({"name": "m", "data": {"kind": "table", "path": "a.csv"}, "tasks": tasks})


def test_a_conditional_s_name_is_taken() -> None:
    tasks = [*TASKS, {"name": "conversion.given.click", "column": "x", "kind": "regression"}]
    with pytest.raises(ValueError, match="the conditional output of task 'conversion'"):
        Config.model_validate({"name": "m", "data": {"kind": "table", "path": "a.csv"}, "tasks": tasks})
