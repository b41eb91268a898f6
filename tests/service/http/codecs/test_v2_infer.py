"""Inference by v2 on a real server: JSON, raw tensors, both at once, and the outputs asked for."""

import json
from itertools import chain
from typing import Any

import httpx
import numpy as np
import pytest

from tests.support.v2 import CATEGORICAL, INFER, LENGTH, NUMERIC, WIDE, binary, inputs, post, post_raw, strings, tensor
from tests.support.v2_answers import arrays, assert_error, assert_expected


@pytest.fixture(scope="module")
def expected(oracle: Any) -> dict[str, Any]:
    answer: dict[str, Any] = oracle.weights.answer(np.array(NUMERIC), np.array(CATEGORICAL, object))
    return answer


def test_nested_and_flat_data_mean_the_same(client: httpx.Client, expected: dict[str, Any]) -> None:
    flat = [
        tensor("numeric", [*chain(*NUMERIC)], shape=[2, 3]),
        tensor("categorical", [*chain(*CATEGORICAL)], "BYTES", [2, 2]),
    ]
    for given in (inputs(), flat, inputs()[::-1]):
        assert_expected(arrays(post(client, {"inputs": given})), expected)


def test_the_answer_carries_name_version_and_id(client: httpx.Client) -> None:
    body = {"id": "call 7", "inputs": inputs(), "model_name": "hand", "parameters": {"anything": 1}}
    answer = post(client, body).json()
    assert list(answer) == ["model_name", "model_version", "id", "outputs"]
    assert (answer["model_name"], answer["model_version"], answer["id"]) == ("hand", "2", "call 7")
    assert "id" not in post(client, {"inputs": inputs()}).json()
    assert post(client, {"inputs": inputs()}, "/v2/models/hand/versions/1/infer").json()["model_version"] == "1"


def test_missing_values_are_null_in_json_and_nan_in_raw_bytes(client: httpx.Client, oracle: Any) -> None:
    numeric = np.array([[np.nan, 2, 3]], np.float32)
    expected = oracle.weights.answer(numeric, np.array([["", "Oslo"]], object))
    as_json = [tensor("numeric", [[None, 2, 3]]), tensor("categorical", [[None, "Oslo"]], "BYTES")]
    assert_expected(arrays(post(client, {"inputs": as_json})), expected)
    raw, text = numeric.tobytes(), strings([["", "Oslo"]])
    header = {"inputs": [binary("numeric", raw, [1, 3]), binary("categorical", text, [1, 2], "BYTES")]}
    assert_expected(arrays(post_raw(client, header, raw + text)), expected)


@pytest.mark.parametrize(
    "datatype", ["FP16", "FP32", "FP64", "INT8", "INT16", "INT32", "INT64", "UINT8", "UINT16", "UINT32", "UINT64"]
)
def test_numbers_of_any_type(client: httpx.Client, oracle: Any, datatype: str) -> None:
    kind = {"F": "<f", "I": "<i", "U": "<u"}[datatype[0]]
    values = np.array([[3, 2, 1], [100, 0, 7]], f"{kind}{int(datatype.lstrip('FPINTU')) // 8}")
    expected = oracle.weights.answer(values.astype(float), np.array(CATEGORICAL, object))
    raw = values.tobytes()
    header = {"inputs": [binary("numeric", raw, [2, 3], datatype), inputs()[1]]}
    assert_expected(arrays(post_raw(client, header, raw)), expected)
    as_json = {"inputs": [tensor("numeric", values.tolist(), datatype), inputs()[1]]}
    if datatype == "FP16":
        assert "FP16" in assert_error(post(client, as_json))
    else:
        assert_expected(arrays(post(client, as_json)), expected)


def test_raw_and_json_inputs_may_be_mixed_in_any_order(client: httpx.Client, expected: dict[str, Any]) -> None:
    raw, text = np.array(NUMERIC, "<f4").tobytes(), strings(CATEGORICAL)
    for given, rest in (
        ([binary("numeric", raw, [2, 3]), inputs()[1]], raw),
        ([binary("categorical", text, [2, 2], "BYTES"), inputs()[0]], text),
        ([binary("categorical", text, [2, 2], "BYTES"), binary("numeric", raw, [2, 3])], text + raw),
    ):
        assert_expected(arrays(post_raw(client, {"inputs": given}, rest)), expected)


def test_outputs_as_raw_bytes_by_wish(client: httpx.Client, expected: dict[str, Any]) -> None:
    everything = {"inputs": inputs(), "parameters": {"binary_data_output": True}}
    response = post(client, everything)
    assert response.headers["content-type"] == "application/octet-stream"
    assert_expected(arrays(response), expected)
    mixed = [{"name": "sold", "parameters": {"binary_data": False}}, {"name": "price"}]
    response = post(client, {**everything, "outputs": mixed})
    answer = json.loads(response.content[: int(response.headers[LENGTH])])
    assert ["data" in output for output in answer["outputs"]] == [True, False]
    assert_expected(arrays(response), expected, ["sold", "price"])
    one = [{"name": "price", "parameters": {"binary_data": True}}, {"name": "sold"}]
    assert_expected(arrays(post(client, {"inputs": inputs(), "outputs": one})), expected, ["price", "sold"])


@pytest.mark.parametrize(
    "names",
    [["gate_weights"], ["grade", "gate_weights"], ["price"], ["gate_contributions"], ["gate_contributions", "price"]],
)
def test_only_the_outputs_asked_for(client: httpx.Client, expected: dict[str, Any], names: list[str]) -> None:
    body = {"inputs": inputs(), "outputs": [{"name": name} for name in names]}
    assert_expected(arrays(post(client, body)), expected, names)


def test_no_outputs_means_all(client: httpx.Client, expected: dict[str, Any]) -> None:
    assert_expected(arrays(post(client, {"inputs": inputs(), "outputs": []})), expected)


def test_a_header_of_no_bytes_makes_the_body_the_one_input(client: httpx.Client) -> None:
    rows = np.random.default_rng(0).normal(10, 3, (3, 100)).astype("<f4")
    as_json = arrays(post(client, {"inputs": [tensor("numeric", rows.tolist())]}, WIDE))
    as_raw = arrays(post(client, rows.tobytes(), WIDE, **{LENGTH: "0"}))
    for name, values in as_json.items():
        np.testing.assert_array_equal(as_raw[name], values)
    assert "multiple of 400" in assert_error(post(client, rows.tobytes()[:-1], WIDE, **{LENGTH: "0"}))
    assert "'numeric' and 'categorical'" in assert_error(post(client, rows.tobytes(), INFER, **{LENGTH: "0"}))


def test_compressed_requests(client: httpx.Client, expected: dict[str, Any]) -> None:
    import gzip
    import zlib

    raw = np.array(NUMERIC, "<f4").tobytes()
    header = json.dumps({"inputs": [binary("numeric", raw, [2, 3]), inputs()[1]]}).encode()
    for encoding, compress in (("gzip", gzip.compress), ("deflate", zlib.compress)):
        more = {LENGTH: str(len(header)), "content-encoding": encoding}
        assert_expected(arrays(post(client, compress(header + raw), **more)), expected)


def test_v2_agrees_with_v1(client: httpx.Client) -> None:
    found = arrays(post(client, {"inputs": inputs()}))
    rows = [[*numbers, *texts] for numbers, texts in zip(NUMERIC, CATEGORICAL, strict=True)]
    predictions = client.post("/v1/predict", json={"instances": rows}).json()["predictions"]
    for row, prediction in enumerate(predictions):
        for t, (task, value) in enumerate(prediction["tasks"].items()):
            np.testing.assert_array_equal(np.float32(value), found[task][row])
            np.testing.assert_array_equal(np.float32(prediction["gate_weights"][task]), found["gate_weights"][row, t])
