import pytest

from service.errors import InvalidFeatures
from service.problems import (
    MAX_COUNTED,
    MAX_LISTED,
    category_fault,
    describe,
    number_fault,
    row_problems,
    unknown_feature,
)


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


def test_strings_and_null_are_categories() -> None:
    assert category_fault("") is None
    assert category_fault(None) is None
    assert category_fault(2) == 'expected a string or null, got the number 2; send it as a string, "2"'


def test_the_feature_that_was_probably_meant_is_suggested() -> None:
    names = ["age", "class_of_worker"]
    assert unknown_feature("class_of_workr", names) == "unknown feature; did you mean 'class_of_worker'?"
    assert unknown_feature("zzz", names) == "unknown feature; the model has 'age', 'class_of_worker'"
    assert unknown_feature("zzz", list("abcdefg")).endswith("'e', ...")
    assert "unknown" in unknown_feature("z" * 1_000_000, names)


def test_counting_ends_somewhere() -> None:
    listed, more, all_counted = row_problems([[True, True]] * 10_000, ["a", "b"], 2)
    assert len(listed) == MAX_LISTED
    assert more == MAX_COUNTED - MAX_LISTED
    assert not all_counted
    assert str(InvalidFeatures(listed, more, all_counted)).startswith("More than 1000 problems")
    assert row_problems([[True, True]] * (MAX_COUNTED // 2), ["a", "b"], 2)[1:] == (more, True)


def test_a_name_of_any_length_is_cut() -> None:
    ((problem,), _, _) = row_problems([{"a" * 1_000_000: 1}], ["a", "b"], 2)
    assert len(str(problem)) < 200
