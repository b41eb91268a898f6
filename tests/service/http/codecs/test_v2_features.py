"""One input per feature, and codings of data that other servers' clients use, on a real server."""

import base64
from typing import Any

import httpx
import numpy as np
import pytest

from tests.support.v2 import CATEGORICAL, NUMERIC, binary, inputs, post, post_raw, strings, tensor
from tests.support.v2_answers import arrays, assert_error, assert_expected

NAMES = ["age", "height", "balance", "colour", "city"]


@pytest.fixture(scope="module")
def expected(oracle: Any) -> dict[str, Any]:
    answer: dict[str, Any] = oracle.weights.answer(np.array(NUMERIC), np.array(CATEGORICAL, object))
    return answer


def columns(*widths: int) -> list[dict[str, Any]]:
    """Give every feature as an input of shape [rows, *widths]."""
    values = zip(NAMES, [*zip(*NUMERIC, strict=True), *zip(*CATEGORICAL, strict=True)], strict=True)
    datatypes = ["FP64"] * 3 + ["BYTES"] * 2
    return [
        tensor(name, np.reshape(np.array(column, object), (2, *widths)).tolist(), datatype)
        for (name, column), datatype in zip(values, datatypes, strict=True)
    ]


def raw_columns() -> tuple[list[dict[str, Any]], list[bytes]]:
    numbers = [np.array(column, "<f4").tobytes() for column in zip(*NUMERIC, strict=True)]
    texts = [strings(column) for column in zip(*CATEGORICAL, strict=True)]
    heads = [binary(name, part, [2]) for name, part in zip(NAMES[:3], numbers, strict=True)]
    heads += [binary(name, part, [2, 1], "BYTES") for name, part in zip(NAMES[3:], texts, strict=True)]
    return heads, [*numbers, *texts]


@pytest.mark.parametrize("widths", [(), (1,)])
def test_columns_as_json(client: httpx.Client, expected: dict[str, Any], widths: tuple[int, ...]) -> None:
    assert_expected(arrays(post(client, {"inputs": columns(*widths)})), expected)
    assert_expected(
        arrays(post(client, {"inputs": columns(*widths)[::-1], "parameters": {"content_type": "pd"}})), expected
    )


def test_columns_as_raw_bytes_and_both_at_once(client: httpx.Client, expected: dict[str, Any]) -> None:
    heads, parts = raw_columns()
    assert_expected(arrays(post_raw(client, {"inputs": heads}, b"".join(parts))), expected)
    mixed = [heads[0], *columns()[1:4], heads[4]]
    assert_expected(arrays(post_raw(client, {"inputs": mixed}, parts[0] + parts[4])), expected)


def test_columns_beside_a_tensor(client: httpx.Client, expected: dict[str, Any]) -> None:
    assert_expected(arrays(post(client, {"inputs": [inputs()[0], *columns()[3:]]})), expected)
    assert_expected(arrays(post(client, {"inputs": [*columns()[:3], inputs()[1]]})), expected)
    heads, parts = raw_columns()
    whole = np.array(NUMERIC, "<f4").tobytes()
    given = {"inputs": [*heads[3:], binary("numeric", whole, [2, 3])]}
    assert_expected(arrays(post_raw(client, given, b"".join(parts[3:]) + whole)), expected)


def test_a_feature_that_is_left_out_or_null_is_missing(client: httpx.Client, oracle: Any) -> None:
    nothing = oracle.weights.answer(np.array([[1.5, np.nan, np.nan]]), np.array([["", ""]], object))
    assert_expected(arrays(post(client, {"inputs": [tensor("age", [1.5])]})), nothing)
    some = [tensor("age", [1.5]), tensor("height", [None], shape=[1]), tensor("city", [None], "BYTES", [1])]
    assert_expected(arrays(post(client, {"inputs": some})), nothing)
    raw = np.array([1.5], "<f8").tobytes()
    assert_expected(arrays(post_raw(client, {"inputs": [binary("age", raw, [1], "FP64")]}, raw)), nothing)
    integers = [tensor("age", [3], "INT64")]
    three = oracle.weights.answer(np.array([[3, np.nan, np.nan]]), np.array([["", ""]], object))
    assert_expected(arrays(post(client, {"inputs": integers})), three)


def coded(values: Any) -> Any:
    return [[base64.b64encode(value.encode()).decode() for value in row] for row in values]


def test_base64_is_decoded(client: httpx.Client, expected: dict[str, Any]) -> None:
    """MLServer's clients may send text so."""
    mark = {"content_type": "base64"}
    whole = {**tensor("categorical", coded(CATEGORICAL), "BYTES"), "parameters": mark}
    assert_expected(arrays(post(client, {"inputs": [inputs()[0], whole]})), expected)
    flat = {**whole, "data": np.ravel(coded(CATEGORICAL)).tolist()}
    assert_expected(arrays(post(client, {"inputs": [inputs()[0], flat]})), expected)
    raw = strings(coded(CATEGORICAL))
    head = binary("categorical", raw, [2, 2], "BYTES")
    head["parameters"] |= mark
    assert_expected(arrays(post_raw(client, {"inputs": [inputs()[0], head]}, raw)), expected)
    cities = {**tensor("city", [row[1] for row in coded(CATEGORICAL)], "BYTES"), "parameters": mark}
    assert_expected(arrays(post(client, {"inputs": [*columns()[:4], cities]})), expected)


@pytest.mark.parametrize("kind", ["np", "str"])
def test_a_content_type_that_changes_nothing_is_taken(
    client: httpx.Client, expected: dict[str, Any], kind: str
) -> None:
    texts = {**inputs()[1], "parameters": {"content_type": kind, "mine": 1}}
    given = {"inputs": [{**inputs()[0], "parameters": {"content_type": "np"}}, texts]}
    given["outputs"] = [{"name": "price", "parameters": {"content_type": "np"}}]
    assert_expected(arrays(post(client, given)), expected, ["price"])


def of_texts(**parameters: Any) -> Any:
    return {"inputs": [inputs()[0], {**inputs()[1], "parameters": parameters}]}


@pytest.mark.parametrize(
    ("body", "words"),
    [
        (of_texts(content_type="base64"), "not base64"),
        (of_texts(content_type="pickle"), "content type 'pickle'"),
        (of_texts(content_type=5), "content type 5"),
        ({"inputs": [{**inputs()[0], "parameters": {"content_type": "base64"}}, inputs()[1]]}, "'np'"),
        ({"inputs": inputs(), "parameters": {"content_type": "hg_jsonlist"}}, "hg_jsonlist"),
        ({"inputs": inputs(), "parameters": {"shared_memory_region": "a"}}, "shared memory"),
        ({"inputs": inputs(), "parameters": {"lenient": True}}, ":predict of v1"),
        ({"inputs": inputs(), "outputs": [{"name": "sold", "parameters": {"content_type": "base64"}}]}, "base64"),
        ({"inputs": [tensor("agee", [1.5])]}, "did you mean 'age'"),
        ({"inputs": [tensor("age", [1.5]), tensor("age", [1.5])]}, "twice"),
        ({"inputs": [*inputs(), tensor("age", [1.5, 1.5])]}, "'age' is an input and in a tensor too"),
        ({"inputs": [tensor("age", [1.5]), tensor("height", [1.5, 2])]}, "different numbers of rows"),
        ({"inputs": [tensor("age", [[1.5, 2]])]}, "[rows] or [rows, 1]"),
        ({"inputs": [tensor("age", [1.5], shape=[1, 1, 1])]}, "[rows] or [rows, 1]"),
        ({"inputs": [tensor("age", 1.5, shape=[])]}, "[rows] or [rows, 1]"),
        ({"inputs": [tensor("age", [], shape=[0])]}, "no rows"),
        ({"inputs": [tensor("age", ["1.5"])]}, "without quotes"),
        ({"inputs": [tensor("age", ["x"], "BYTES")]}, "datatype"),
        ({"inputs": [tensor("age", [True], "BOOL")]}, "datatype"),
        ({"inputs": [tensor("colour", [3], "INT64")]}, "datatype"),
        ({"inputs": [tensor("colour", [3], "BYTES")]}, "row 0, feature 'colour'"),
        ({"inputs": [tensor("age", [1.5, 2], shape=[1])]}, "elements"),
    ],
)  # fmt: skip
def test_what_is_refused(client: httpx.Client, body: Any, words: str) -> None:
    assert words in assert_error(post(client, body))


def test_a_feature_in_a_raw_tensor_too_is_refused(client: httpx.Client) -> None:
    whole, one = np.array(NUMERIC, "<f4").tobytes(), np.array([1, 2], "<f4").tobytes()
    given = {"inputs": [binary("numeric", whole, [2, 3]), binary("age", one, [2])]}
    assert "'age' is an input and in a tensor too" in assert_error(post_raw(client, given, whole + one))
