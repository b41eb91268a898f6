from typing import Any

import pytest

from service.system.quoting import MOST_LISTED, MOST_QUOTED, cut, listed, quote, quotes


def nested(depth: int) -> list[Any]:
    value: list[Any] = []
    for _ in range(depth):
        value = [value]
    return value


def test_short_values_are_shown_as_they_are() -> None:
    assert (quote("red"), quote(b"x/y"), quote(None), quote(True), quote(1.5)) == (
        "'red'",
        "'x/y'",
        "null",
        "true",
        "1.5",
    )
    assert quote({"a": [1, "é"]}) == '{"a": [1, "é"]}'
    assert quote("x" * MOST_QUOTED) == repr("x" * MOST_QUOTED)


@pytest.mark.parametrize(
    "value",
    [
        "x" * 10**6,
        "\0" * 1000,
        "\U000e0001" * 1000,
        b"\xff" * 1000,
        "'\"" * 500,
        ["y" * 10**6],
        [1] * 10**6,
        nested(1000),
        nested(100_000),
        {"k" * 10**6: 1},
        10**5000,
        object(),
        [b"bytes"],
    ],
    ids=lambda value: type(value).__name__,
)
def test_no_quotation_is_long(value: object) -> None:
    assert len(quote(value)) <= MOST_QUOTED + 5
    assert len(quote(value, 40)) <= 45


def test_of_many_values_the_first_few_are_shown() -> None:
    assert quotes("ab", " and ") == "'a' and 'b'"
    assert listed([3, 2]) == "3, 2"
    assert listed([]) == ""
    assert listed(range(MOST_LISTED)).endswith(f", {MOST_LISTED - 1}")
    assert listed(range(10**6)).endswith(f", {MOST_LISTED - 1}, ...")
    assert len(quotes(["n" * 10**6] * 10**4)) < MOST_LISTED * (MOST_QUOTED + 10)


def test_a_text_is_cut_where_it_is_longer() -> None:
    assert cut("abc", 3) == "abc"
    assert cut("abcd", 3) == "abc..."
