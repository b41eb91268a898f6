"""Items of one run get their own results, and a bad one fails alone."""

import itertools
from collections.abc import Callable

import pytest

from service.inference.execution import execute


def reversed_each(items: list[str]) -> list[str]:
    """Answer each item with as many characters as it has.

    Refuse an item with an x, and all that run with it.
    """
    if any("x" in item for item in items):
        raise ValueError(",".join(items))
    return [item[::-1] for item in items]


def test_each_item_gets_its_own_result_and_the_time_is_told() -> None:
    ticks = itertools.count(10.0, 2.5)
    done = execute(reversed_each, ["ab", "cde"], [2, 3], lambda: next(ticks))
    assert done.outcomes == done.results == ["ba", "edc"]
    assert (done.started, done.run_s) == (10.0, 2.5)


def test_a_bad_item_fails_alone_with_its_own_error() -> None:
    done = execute(reversed_each, ["ab", "x", "cde"], [2, 1, 3], float)
    assert done.results == ["ba", "edc"]
    first, bad, last = done.outcomes
    assert (first, last) == ("ba", "edc")
    assert isinstance(bad, ValueError)
    assert bad.args == ("x",)


def test_a_single_item_that_fails_is_not_run_twice() -> None:
    runs: list[list[str]] = []

    def failing(items: list[str]) -> list[str]:
        runs.append(items)
        raise ValueError("x")

    (outcome,) = execute(failing, ["x"], [1], float).outcomes
    assert isinstance(outcome, ValueError)
    assert runs == [["x"]]


@pytest.mark.parametrize(
    "run",
    [lambda items: [], lambda items: [item[1:] for item in items], lambda items: [item + "?" for item in items]],
    ids=["none", "too few", "too many"],
)
def test_rows_out_must_be_rows_in(run: Callable[[list[str]], list[str]]) -> None:
    done = execute(run, ["ab", "cde"], [2, 3], float)
    assert list(done.results) == []
    for outcome in done.outcomes:
        assert isinstance(outcome, RuntimeError)
        assert "no answer was given out" in str(outcome)


def test_rows_that_are_mixed_up_reach_nobody_else() -> None:
    done = execute(lambda items: items[::-1], ["ab", "cde"], [2, 3], float)
    assert done.outcomes == ["ab", "cde"]
