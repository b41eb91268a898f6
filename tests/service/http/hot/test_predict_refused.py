"""`:predict` on a real server: the right refusal of every bad row and column, and of too many."""

import json

import httpx
import pytest

from tests.support.v1 import WIDE, assert_problem, post

# `hand` has categories (named and listed rows, columns), `wide` only numbers (the fast path).


def hand(value: str, feature: str = "age") -> list[str]:
    position = ["age", "height", "balance", "colour", "city"].index(feature)
    listed = ["9.5", "12", "-3.25", '"red"', '"Oslo"']
    listed[position] = value
    return [
        f'{{"instances": [{{"{feature}": {value}}}]}}',
        f'{{"instances": [[{", ".join(listed)}]]}}',
        f'{{"inputs": {{"{feature}": [{value}]}}}}',
    ]


def wide(value: str) -> str:
    return '{"instances": [[' + ", ".join([value] + ["0.5"] * 99) + "]]}"


def in_every_form(value: str) -> list[tuple[str, str]]:
    return [*(("hand", body) for body in hand(value)), ("wide", wide(value))]


NO_NUMBERS = ("NaN", "Infinity", "-Infinity", "1e999", "-1e999", "01", "+1", "1.")
MALFORMED = [
    *(case for token in NO_NUMBERS for case in in_every_form(token)),
    ("hand", ""),
    ("hand", "{"),
    ("hand", '{"instances": [[1, 2'),
    ("hand", '{"instances": [{"age": 1}]} trailing'),
    ("hand", "null"),
    ("hand", "3"),
    ("hand", '"instances"'),
    ("hand", "[[1, 2]]"),
    ("hand", "{}"),
    ("hand", '{"instances": {"age": 1}}'),
    ("hand", '{"instances": null}'),
    ("hand", '{"inputs": [1, 2]}'),
    ("hand", '{"instances": [{}], "inputs": {}}'),
    ("hand", '{"instances": [{}], "contributions": true}'),
    ("hand", '{"instance": [{}]}'),
    ("hand", b'{"instances": [{"colour": "\xff"}]}'),
    ("hand", b"\x00\x01"),
    ("hand", '{"instances": [{"colour": "\\ud800"}]}'),
    ("hand", "age,height\n1,2"),
    ("hand", '{"instances": [' + "[" * 90_000),
]  # fmt: skip


@pytest.mark.parametrize(("model", "body"), MALFORMED)
def test_what_is_malformed_is_400(client: httpx.Client, model: str, body: str | bytes) -> None:
    problem = assert_problem(post(client, body, f"/v1/models/{model}:predict"), 400)
    assert problem["code"] == "malformed"
    assert problem["errors"] == []


@pytest.mark.parametrize("token", ["NaN", "-Infinity", "None"])
@pytest.mark.parametrize("path", ["/v1/predict", "/v1/gates"])
def test_who_sends_nan_learns_to_send_null(client: httpx.Client, token: str, path: str) -> None:
    detail = assert_problem(post(client, f'{{"instances": [{{"age": {token}}}]}}', path), 400)["detail"]
    assert "a missing value is null" in detail


WRONG = [
    *((*case, 0, "infinite as float32") for case in in_every_form("1e39")),
    *((*case, 0, "infinite as float32") for case in in_every_form("-1e300")),
    *((*case, 0, "the string '1.5'") for case in in_every_form('"1.5"')),
    *((*case, 0, "true") for case in in_every_form("true")),
    *((*case, 0, "false") for case in in_every_form("false")),
    *((*case, 0, "an array") for case in in_every_form("[1]")),
    *((*case, 0, "an object") for case in in_every_form("{}")),
    *((*case, 0, "the string ''") for case in in_every_form('""')),
    *(("hand", body, 0, "expected a string or null") for body in hand("5", "colour")),
    *(("hand", body, 0, "expected a string or null") for body in hand("true", "city")),
    *(("hand", body, 0, "expected a string or null") for body in hand("[]", "colour")),
    ("hand", '{"instances": [{"age": 1, "agee": 2}]}', 0, "did you mean 'age'"),
    ("hand", '{"inputs": {"agee": [2]}}', None, "did you mean 'age'"),
    ("hand", '{"instances": [[1, 2, 3, "red"]]}', 0, "has 4 values; expected 5"),
    ("hand", '{"instances": [[1, 2, 3, "red", "Oslo", 1]]}', 0, "has 6 values; expected 5"),
    ("wide", json.dumps({"instances": [WIDE[:99]]}), 0, "has 99 values; expected 100"),
    ("wide", json.dumps({"instances": [[*WIDE, 1]]}), 0, "has 101 values; expected 100"),
    ("wide", json.dumps({"instances": [WIDE, WIDE[:99]]}), 1, "has 99 values; expected 100"),
    ("wide", json.dumps({"instances": [WIDE[:50], WIDE + WIDE[:50]]}), 0, "has 50 values; expected 100"),
    ("wide", json.dumps({"instances": [[*WIDE[:98], [0.5, 0.5]]]}), 0, "has 99 values; expected 100"),
    ("wide", json.dumps({"instances": [[*WIDE[:98], [0.5, 0.5], []]]}), 0, "an array"),
    ("wide", json.dumps({"instances": [WIDE, 5]}), 1, "expected an object"),
    ("hand", '{"instances": [{"age": 1}, [1, 2]]}', 1, "has 2 values"),
    ("hand", '{"instances": [1, 2]}', 0, "expected an object"),
    ("hand", '{"instances": [null]}', 0, "null"),
    ("hand", '{"inputs": {"age": [1, 2], "height": [1]}}', None, "has 1 rows"),
    ("hand", '{"inputs": {"age": 5}}', None, "expected an array"),
    ("hand", '{"inputs": {"age": null}}', None, "expected an array"),
    ("hand", '{"instances": []}', None, "no rows"),
    ("wide", '{"instances": []}', None, "no rows"),
    ("hand", '{"inputs": {}}', None, "no rows"),
    ("hand", '{"inputs": {"age": []}}', None, "no rows"),
    ("wide", '{"instances": [[]]}', 0, "has 0 values"),
]  # fmt: skip


@pytest.mark.parametrize(("model", "body", "row", "message"), WRONG)
def test_what_is_wrong_is_422_and_says_where(
    client: httpx.Client, model: str, body: str, row: int | None, message: str
) -> None:
    problem = assert_problem(post(client, body, f"/v1/models/{model}:predict"), 422)
    assert problem["code"] == "invalid_features"
    first = problem["errors"][0]
    assert list(first) == ["row", "feature", "message"]
    assert first["row"] == row
    assert message in first["message"]


def test_every_problem_is_listed_with_its_place(client: httpx.Client) -> None:
    rows = [{"age": "x"}, {"colour": 1, "height": 2}, {"nope": 1}]
    problem = assert_problem(post(client, {"instances": rows}), 422)
    places = [(error["row"], error["feature"]) for error in problem["errors"]]
    assert places == [(0, "age"), (1, "colour"), (2, "nope")]


def test_numbers_too_extreme_for_the_model_are_wrong_too(client: httpx.Client) -> None:
    rows = [WIDE, [3e38] * 100]
    problem = assert_problem(post(client, {"instances": rows}, "/v1/models/wide:predict"), 422)
    assert problem["errors"][0]["row"] == 1
    assert "not finite" in problem["errors"][0]["message"]


def test_too_many_rows_are_refused(client: httpx.Client) -> None:
    assert post(client, {"instances": [{}] * 50}).status_code == 200
    assert "MMOE_MAX_ROWS" in assert_problem(post(client, {"instances": [{}] * 51}), 413)["detail"]
    assert_problem(post(client, {"inputs": {"age": [1] * 51}}), 413)
    assert_problem(post(client, {"instances": [WIDE] * 51}, "/v1/models/wide:predict"), 413)
