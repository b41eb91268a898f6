"""ModelInfer answers as v2 over HTTP does: in values, in sentences, in what is counted."""

from typing import Any

import grpc
import httpx
import numpy as np
import pytest

from tests.support.grpc_calls import Caller, both, categorical, numeric, outputs, raw_both
from tests.support.metrics import metric
from tests.support.v2 import CATEGORICAL, NUMERIC, inputs, post, tensor

EVERYTHING = ["price", "sold", "grade", "gate_weights"]


def over_http(client: httpx.Client, body: Any) -> dict[str, Any]:
    answer = post(client, body).json()
    return {output["name"]: np.array(output["data"]).reshape(output["shape"]) for output in answer["outputs"]}


def test_contents_are_answered_in_contents(call: Caller, client: httpx.Client) -> None:
    answer = call("ModelInfer", model_name="hand", id="call 7", inputs=both())
    assert (answer.model_name, answer.model_version, answer.id) == ("hand", "2", "call 7")
    assert not answer.raw_output_contents
    found = outputs(answer)
    assert list(found) == EVERYTHING
    for name, expected in over_http(client, {"inputs": inputs()}).items():
        np.testing.assert_array_equal(found[name], expected.astype(np.float32))


def test_raw_bytes_are_answered_in_raw_bytes(call: Caller) -> None:
    answer = call("ModelInfer", model_name="hand", **raw_both())
    assert len(answer.raw_output_contents) == len(answer.outputs) == 4
    assert not any(output.contents.ByteSize() for output in answer.outputs)
    expected = outputs(call("ModelInfer", model_name="hand", inputs=both()))
    for name, values in outputs(answer).items():
        np.testing.assert_array_equal(values, expected[name])


def test_outputs_versions_and_models_are_chosen(call: Caller) -> None:
    asked: dict[str, Any] = {
        "model_version": "1",
        "inputs": both(),
        "outputs": [{"name": "gate_weights"}, {"name": "price"}],
    }
    assert list(outputs(call("ModelInfer", model_name="hand", **asked))) == ["gate_weights", "price"]
    default = call("ModelInfer", inputs=both())
    assert (default.model_name, default.model_version) == ("hand", "2")
    wide = call("ModelInfer", model_name="wide", inputs=[numeric(np.full((3, 100), 0.5).tolist())])
    assert outputs(wide)["price"].shape == (3,)
    shares = call("ModelInfer", model_name="hand", inputs=both(), outputs=[{"name": "gate_contributions"}])
    assert outputs(shares)["gate_contributions"].ndim == 4


@pytest.mark.parametrize("shape", [[2], [2, 1]])
def test_one_input_per_feature(call: Caller, shape: list[int]) -> None:
    names = ("age", "height", "balance")
    entries = [numeric([[row[place]] for row in NUMERIC], name=name, shape=shape) for place, name in enumerate(names)]
    cities = categorical([[row[1]] for row in CATEGORICAL]) | {"name": "city", "shape": shape}
    colours = categorical([[row[0]] for row in CATEGORICAL]) | {"name": "colour", "shape": shape}
    expected = outputs(call("ModelInfer", model_name="hand", inputs=both()))
    for name, values in outputs(call("ModelInfer", model_name="hand", inputs=[cities, *entries, colours])).items():
        np.testing.assert_array_equal(values, expected[name])


def test_missing_values_are_what_they_are_over_http(call: Caller, client: httpx.Client) -> None:
    rows = [[9.5, np.nan, -3.25], [np.nan, 2.0, 3.0]]
    found = outputs(call("ModelInfer", model_name="hand", inputs=[numeric(rows), categorical()]))
    as_json = [[None if np.isnan(value) else value for value in row] for row in rows]
    body = {"inputs": [tensor("numeric", as_json, shape=[2, 3]), tensor("categorical", CATEGORICAL, "BYTES")]}
    for name, expected in over_http(client, body).items():
        np.testing.assert_array_equal(found[name], expected.astype(np.float32))


@pytest.mark.parametrize(
    ("datatype", "field"),
    [
        ("FP64", "fp64_contents"), ("INT8", "int_contents"), ("INT16", "int_contents"), ("INT32", "int_contents"),
        ("INT64", "int64_contents"), ("UINT8", "uint_contents"), ("UINT16", "uint_contents"),
        ("UINT32", "uint_contents"), ("UINT64", "uint64_contents"),
    ],
)  # fmt: skip
def test_every_datatype_of_numbers_has_its_field(call: Caller, datatype: str, field: str) -> None:
    whole: list[list[Any]] = [[9, 12, 100], [1, 2, 3]]
    expected = outputs(call("ModelInfer", model_name="hand", inputs=[numeric(whole), categorical()]))
    found = outputs(call("ModelInfer", model_name="hand", inputs=[numeric(whole, datatype, field), categorical()]))
    for name in EVERYTHING:
        np.testing.assert_array_equal(found[name], expected[name])


@pytest.mark.parametrize(
    "entries",
    [
        [],
        [tensor("numeric", NUMERIC)],
        [tensor("numeric", NUMERIC), tensor("numeric", NUMERIC)],
        [tensor("numeric", [[1.0, 2.0]]), tensor("categorical", [["red", "Oslo"]], "BYTES")],
        [tensor("numeric", [[1.0, 2.0, 3.0]]), tensor("categorical", CATEGORICAL, "BYTES")],
        [tensor("other", NUMERIC), tensor("categorical", CATEGORICAL, "BYTES")],
        [tensor("numeric", NUMERIC, "BOOL"), tensor("categorical", CATEGORICAL, "BYTES")],
        [tensor("numeric", [[1.0] * 3] * 51), tensor("categorical", [["red", "Oslo"]] * 51, "BYTES")],
        [tensor("numeric", NUMERIC, shape=[-2, -3]), tensor("categorical", CATEGORICAL, "BYTES")],
    ],
)
def test_what_is_wrong_is_said_as_over_http(call: Caller, client: httpx.Client, entries: list[Any]) -> None:
    sentence = post(client, {"inputs": entries}).json()["error"]
    made = []
    for entry in entries:
        made.append(numeric(entry["data"]) if entry["datatype"] != "BYTES" else categorical(entry["data"]))
        made[-1] |= {key: entry[key] for key in ("name", "datatype", "shape")}
    assert call("ModelInfer", model_name="hand", inputs=made) is None
    assert (call.code, call.said) == ("INVALID_ARGUMENT", sentence)


def test_a_wrong_value_is_said_as_over_http(call: Caller, client: httpx.Client) -> None:
    raw: dict[str, Any] = {"inputs": [numeric([[1.0, np.inf, 3.0]]), categorical([["red", "Oslo"]])]}
    assert call("ModelInfer", model_name="hand", **raw) is None
    assert call.code == "INVALID_ARGUMENT"
    assert "row 0, feature 'height'" in call.said
    assert call.trailing["x-request-id"]


@pytest.mark.parametrize(
    ("change", "said"),
    [
        ({"raw_input_contents": [bytes(24)]}, "The request has 1 raw_input_contents and 2 inputs."),
        ({"inputs": both()}, "Input 'numeric' has contents, and the request has raw_input_contents."),
        ({"model_version": "7"}, "Version 7 of model 'hand' is not loaded ("),
        ({"model_version": "one"}, "The model's version is 'one'. Expected a whole number from 1, or none."),
        ({"model_version": "0"}, "The model's version is '0'."),
        ({"model_name": "nobody"}, "There is no model 'nobody'. Available: hand, plain, wide."),
        ({"outputs": [{"name": "nothing"}]}, "The output 'nothing' is unknown."),
        (
            {"outputs": [{"name": "price", "parameters": {"classification": {"int64_param": 2}}}]},
            "Output 'price' asks for 'classification'.",
        ),
    ],
)
def test_refusals_that_only_grpc_has(call: Caller, change: dict[str, Any], said: str) -> None:
    assert call("ModelInfer", **({"model_name": "hand"} | raw_both() | change)) is None
    assert call.code == ("NOT_FOUND" if "Available" in call.said else "INVALID_ARGUMENT")
    assert call.said.startswith(said)


@pytest.mark.parametrize(
    ("entry", "said"),
    [
        (numeric(field="fp64_contents"), "Input 'numeric' is FP32 and has fp64_contents. Expected its values in fp32_"),
        (
            numeric([[300, 1, 2]], "INT8", "int_contents", shape=[1, 3]),
            "Input 'numeric' is INT8 and has the number 300",
        ),
        (numeric(shape=[2, 4]), "Input 'numeric' has 6 values. Expected as many as its shape [2, 4] says."),
        (numeric(datatype="FP16"), "Input 'numeric' is FP16 without raw bytes."),
        (
            numeric(parameters={"shared_memory_region": {"string_param": "x"}}),
            "Input 'numeric' asks for 'shared_memory",
        ),
    ],
)
def test_contents_fit_their_datatype(call: Caller, entry: dict[str, Any], said: str) -> None:
    assert call("ModelInfer", model_name="hand", inputs=[entry, categorical()]) is None
    assert call.code == "INVALID_ARGUMENT"
    assert call.said.startswith(said)


def test_what_is_not_a_message_is_refused(call: Caller) -> None:
    assert call.send("/inference.GRPCInferenceService/ModelInfer", b"\xff\xff") is None
    assert (call.code, call.said[:48]) == ("INVALID_ARGUMENT", "The message is not a inference.ModelInferRequest"[:48])


def test_a_message_beyond_the_limit_is_refused_by_grpc(call: Caller) -> None:
    assert call.send("/inference.GRPCInferenceService/ModelInfer", bytes(100_001)) is None
    assert call.code == "RESOURCE_EXHAUSTED"
    assert "larger than max (100001 vs. 100000)" in call.said
    zeros = bytes(10 << 20)
    assert call.send("/inference.GRPCInferenceService/ModelInfer", zeros, compression=grpc.Compression.Gzip) is None
    assert call.code == "RESOURCE_EXHAUSTED"


def test_compressed_messages_are_taken(call: Caller) -> None:
    assert call("ModelInfer", model_name="hand", inputs=both(), compression=grpc.Compression.Gzip) is not None


def test_requests_count_as_those_over_http(call: Caller, service: Any) -> None:
    def counted(status: str) -> float:
        return metric(service.url, "mmoe_requests_total", route="grpc_infer", model="hand", status=status)

    before, rows = (counted("200"), counted("400")), metric(service.url, "mmoe_rows_total", model="hand")
    call("ModelInfer", model_name="hand", inputs=both())
    call("ModelInfer", model_name="hand", inputs=[numeric()])
    assert (counted("200"), counted("400")) == (before[0] + 1, before[1] + 1)
    assert metric(service.url, "mmoe_rows_total", model="hand") == rows + 2


def test_rows_are_live_traffic_of_the_gates(call: Caller, client: httpx.Client) -> None:
    def rows() -> int:
        return int(client.get("/v1/models/hand/gates?window=1h").json()["rows"])

    before = rows()
    call("ModelInfer", model_name="hand", **raw_both())
    assert rows() == before + 2


def test_ids_and_traces_are_sent_back(call: Caller) -> None:
    trace = "00-4bf92f3577b34da6a3ce929d0e0e4736-00f067aa0ba902b7-01"
    call("ModelInfer", (("x-request-id", "mine"), ("traceparent", trace)), model_name="hand", inputs=both())
    assert (call.trailing["x-request-id"], call.trailing["traceparent"]) == ("mine", trace)
    call("ModelInfer", model_name="hand", inputs=both())
    assert call.trailing == {}
