from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from service.errors import InvalidFeatures
from service.inference.hints import MOST_SEARCHED, spelling
from service.inference.problems import (
    MAX_COUNTED,
    MAX_LISTED,
    Features,
    row_problems,
    unknown_feature,
)
from service.inference.reading.numbers import number_fault
from service.inference.reading.texts import category_fault
from service.inference.reading.values import describe


@pytest.mark.parametrize(
    ("value", "words"),
    [
        (None, "null"),
        (True, "true"),
        (False, "false"),
        (3, "the number 3"),
        (1.5, "the number 1.5"),
        ("a", "the string 'a'"),
        ([1], "an array"),
        ({}, "an object"),
        (b"a", "bytes"),
    ],
)
def test_values_are_described_in_the_words_of_json(value: object, words: str) -> None:
    assert describe(value) == words


def test_long_values_are_cut() -> None:
    assert len(describe("x" * 10_000)) < 80
    assert len(number_fault(10**100) or "") < 160
    assert "digits" in (number_fault(10**10_000) or "")


@pytest.mark.parametrize("value", [None, 0, -1.5, 3.4028234663852886e38, 3.4028235e38])
def test_numbers_that_fit(value: object) -> None:
    assert number_fault(value) is None


def test_a_number_just_beyond_float32() -> None:
    assert number_fault(3.4028236e38) is not None


@pytest.mark.parametrize(
    ("sent", "vocabulary", "named"),
    [
        (3, ["1.00", "3.00"], "3.00"),
        (3, ["3.0", "3"], "3.0"),
        (3.0, ["2", "3"], "3"),
        (1e3, ["1E3"], "1E3"),
        (0.1, ["0.10"], "0.10"),
        (2**60 + 1, [str(2**60), str(2**60 + 1)], str(2**60 + 1)),
        (True, ["False", "True"], "True"),
        (True, ["TRUE"], "TRUE"),
        (False, ["true", "false"], "false"),
        (3, ["4", "33", "3 ", "٣", "3_0", "three"], None),
        (1, ["True", "inf", "nan", ""], None),
        (True, ["1", "yes"], None),
        (10**300, ["1"], None),
        pytest.param(10**5000, ["1"], None, id="huge"),
        (1e308, ["1e999"], None),
        ([3], ["3"], None),
        (3, ["x"] * MOST_SEARCHED + ["3"], None),
    ],
)
def test_a_hint_names_a_value_of_the_vocabulary_or_none(sent: Any, vocabulary: list[str], named: str | None) -> None:
    fault = category_fault(sent, vocabulary)
    assert fault.startswith("expected a string or null, got ")
    assert fault.endswith("" if named is None else f'; send it as a string, "{named}"')
    assert ("send it" in fault) == (named is not None)


@settings(deadline=None)
@given(
    st.one_of(st.booleans(), st.integers(), st.floats(allow_nan=False, allow_infinity=False)),
    st.lists(st.sampled_from(["0", "1", "-1", "0.0", "1.50", "1e2", "100", "true", "True", "FALSE", "", "x", "1_0"])),
)
def test_a_hint_equals_what_was_sent(sent: bool | float, vocabulary: list[str]) -> None:
    named = spelling(sent, vocabulary)
    assert named is None or named in vocabulary
    if named is not None:
        assert named.lower() == str(sent).lower() if isinstance(sent, bool) else float(named) == sent


def test_only_what_is_listed_is_searched_for() -> None:
    vocabulary = [f"value {i}" for i in range(MOST_SEARCHED)]
    listed, more, _ = row_problems([[3]] * 5000, Features(["a"], [vocabulary]))
    assert (len(listed), more) == (MAX_LISTED, MAX_COUNTED - MAX_LISTED)
    assert row_problems([["a", None]], Features(["a", "b"], [[], []]))[0] == []


def test_the_feature_that_was_probably_meant_is_suggested() -> None:
    names = ["age", "class_of_worker"]
    assert unknown_feature("class_of_workr", names) == "unknown feature; did you mean 'class_of_worker'?"
    assert unknown_feature("zzz", names) == "unknown feature; the model has 'age', 'class_of_worker'"
    assert unknown_feature("zzz", list("abcdefg")).endswith("'e', ...")
    assert "unknown" in unknown_feature("z" * 1_000_000, names)


def test_of_many_names_the_nearest_is_suggested_for_the_first_few_that_are_unknown() -> None:
    names = [f"feature_{i}_of_{i % 7}" for i in range(5000)]
    row = {f"{name[:-1]}x": 1 for name in names[123:163]}
    listed, _, _ = row_problems([row], Features(names))
    suggested = [problem.message for problem in listed if "did you mean" in problem.message]
    assert len(listed) == MAX_LISTED
    assert len(suggested) == 3
    assert all(f"'{name[:-1]}" in message for name, message in zip(names[123:], suggested, strict=False))


def test_counting_ends_somewhere() -> None:
    listed, more, all_counted = row_problems([[True, True]] * 10_000, Features(["a", "b"]))
    assert len(listed) == MAX_LISTED
    assert more == MAX_COUNTED - MAX_LISTED
    assert not all_counted
    assert str(InvalidFeatures(listed, more, all_counted)).startswith("More than 1000 problems")
    assert row_problems([[True, True]] * (MAX_COUNTED // 2), Features(["a", "b"]))[1:] == (more, True)


def test_a_name_of_any_length_is_cut() -> None:
    ((problem,), _, _) = row_problems([{"a" * 1_000_000: 1}], Features(["a", "b"]))
    assert len(str(problem)) < 200
