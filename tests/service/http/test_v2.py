"""The Open Inference Protocol v2 on a real server: JSON, raw tensors, both at once, and every refusal."""

import json
import struct
from itertools import chain
from typing import Any

import httpx
import numpy as np
import pytest

LENGTH = "inference-header-content-length"
NUMERIC = [[9.5, 12.0, -3.25], [1.0, 2.0, 3.0]]
CATEGORICAL = [["red", "Oslo"], ["", "Å never seen"]]
INFER = "/v2/models/hand/infer"
WIDE = "/v2/models/wide/infer"


def tensor(name: str, data: Any, datatype: str = "FP32", shape: Any = None) -> dict[str, Any]:
    return {"name": name, "datatype": datatype, "shape": shape or list(np.shape(data)), "data": data}


def inputs() -> list[dict[str, Any]]:
    return [tensor("numeric", NUMERIC), tensor("categorical", CATEGORICAL, "BYTES")]


def post(client: httpx.Client, body: object, path: str = INFER, **headers: str) -> httpx.Response:
    content = body if isinstance(body, (bytes, str)) else json.dumps(body)
    return client.post(path, content=content, headers={k.replace("_", "-"): v for k, v in headers.items()})


def post_raw(client: httpx.Client, header: object, raw: bytes, path: str = INFER, **more: str) -> httpx.Response:
    text = json.dumps(header).encode()
    return post(client, text + raw, path, **{LENGTH: str(len(text))} | more)


def strings(values: Any) -> bytes:
    encoded = [str(value).encode() for value in np.ravel(values)]
    return b"".join(struct.pack("<I", len(each)) + each for each in encoded)


def binary(name: str, raw: bytes, shape: list[int], datatype: str = "FP32") -> dict[str, Any]:
    return {"name": name, "datatype": datatype, "shape": shape, "parameters": {"binary_data_size": len(raw)}}


def arrays(response: httpx.Response) -> dict[str, Any]:
    """Read the outputs of an answer, whichever way they came."""
    assert response.status_code == 200, response.text
    size = int(response.headers.get(LENGTH, len(response.content)))
    rest, answer = response.content[size:], json.loads(response.content[:size])
    found = {}
    for output in answer["outputs"]:
        assert output["datatype"] == "FP32"
        if "data" in output:
            assert all(not isinstance(value, list) for value in output["data"])
            values = np.array(output["data"], np.float32)
        else:
            count = output["parameters"]["binary_data_size"]
            values, rest = np.frombuffer(rest[:count], "<f4"), rest[count:]
        found[output["name"]] = values.reshape(output["shape"])
    assert not rest
    return found


def assert_error(response: httpx.Response, status: int = 400) -> str:
    assert response.status_code == status, response.text
    assert response.headers["content-type"] == "application/json"
    assert list(response.json()) == ["error"]
    sentence: str = response.json()["error"]
    assert sentence.endswith(".")
    return sentence


@pytest.fixture(scope="module")
def expected(oracle: Any) -> dict[str, Any]:
    answer: dict[str, Any] = oracle.weights.answer(np.array(NUMERIC), np.array(CATEGORICAL, object))
    return answer


def assert_expected(found: dict[str, Any], expected: dict[str, Any], names: list[str] | None = None) -> None:
    assert list(found) == (names or ["price", "sold", "grade", "gate_weights"])
    for name, values in found.items():
        np.testing.assert_allclose(values, expected[name], rtol=2e-5, atol=1e-6)


@pytest.mark.parametrize("path", ["/v2", "/v2/"])
def test_the_server_names_itself_without_a_redirect(client: httpx.Client, path: str) -> None:
    answer = client.get(path)
    assert answer.status_code == 200
    assert answer.json() == {
        "name": "mmoe-serve",
        "version": answer.json()["version"],
        "extensions": ["binary_tensor_data", "model_repository"],
    }


def test_health(client: httpx.Client) -> None:
    for probe in ("live", "ready"):
        assert client.get(f"/v2/health/{probe}").json() == {"live": True, "ready": True}


@pytest.mark.parametrize("path", ["/v2/models/hand", "/v2/models/hand/versions/2"])
def test_model_metadata(client: httpx.Client, path: str) -> None:
    assert client.get(path).json() == {
        "name": "hand",
        "versions": ["2", "1"],
        "platform": "onnx_onnxv1",
        "inputs": [
            {"name": "numeric", "datatype": "FP32", "shape": [-1, 3]},
            {"name": "categorical", "datatype": "BYTES", "shape": [-1, 2]},
        ],
        "outputs": [
            {"name": "price", "datatype": "FP32", "shape": [-1]},
            {"name": "sold", "datatype": "FP32", "shape": [-1]},
            {"name": "grade", "datatype": "FP32", "shape": [-1, 3]},
            {"name": "gate_weights", "datatype": "FP32", "shape": [-1, 3, 4]},
        ],
    }


def test_models_and_their_readiness(client: httpx.Client) -> None:
    assert client.get("/v2/models").json() == {"models": ["hand", "plain", "wide"]}
    for path in ("/v2/models/hand/ready", "/v2/models/hand/versions/1/ready"):
        assert client.get(path).json() == {"name": "hand", "ready": True}


def test_a_model_without_gates_has_no_such_output(client: httpx.Client) -> None:
    outputs = client.get("/v2/models/plain").json()["outputs"]
    assert [output["name"] for output in outputs] == ["price", "sold", "grade"]


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


ROW = [0.5] * 100


def numbers(value: str) -> list[tuple[str, str]]:
    """Put a value into a JSON request: flat, nested, and beside categories."""
    row = ", ".join([value] + ["0.5"] * 99)
    head = '{"inputs": [{"name": "numeric", "datatype": "FP32", "shape": '
    few = f'[1, 3], "data": [[{value}, 1, 2]]}}, {json.dumps(tensor("categorical", [["", ""]], "BYTES"))}]}}'
    return [
        (WIDE, f'{head}[1, 100], "data": [{row}]}}]}}'),
        (WIDE, f'{head}[1, 100], "data": [[{row}]]}}]}}'),
        (INFER, head + few),
    ]


BAD_NUMBERS = ("NaN", "Infinity", "-Infinity", "1e999", "1e39", '"1.5"', "true", "[1]", "{}")
BAD: list[tuple[str, Any]] = [
    *(case for value in BAD_NUMBERS for case in numbers(value)),
    (INFER, ""),
    (INFER, "{"),
    (INFER, "[]"),
    (INFER, {}),
    (INFER, {"inputs": []}),
    (INFER, {"inputs": {"numeric": NUMERIC}}),
    (INFER, {"inputs": [5]}),
    (INFER, {"inputs": [{"name": 5}]}),
    (INFER, {"inputs": inputs()[:1]}),
    (INFER, {"inputs": [*inputs(), inputs()[0]]}),
    (INFER, {"inputs": [*inputs(), tensor("more", NUMERIC)]}),
    (INFER, {"inputs": [tensor("numeric", NUMERIC), tensor("categorical", CATEGORICAL[:1], "BYTES")]}),
    (INFER, {"inputs": [tensor("numeric", NUMERIC), tensor("categorical", [["red", 5], ["a", "b"]], "BYTES")]}),
    (INFER, {"inputs": [tensor("numeric", NUMERIC, "BOOL"), inputs()[1]]}),
    (INFER, {"inputs": [tensor("numeric", NUMERIC, "BYTES"), inputs()[1]]}),
    (INFER, {"inputs": [tensor("numeric", NUMERIC), tensor("categorical", CATEGORICAL, "FP32")]}),
    (INFER, {"inputs": inputs(), "id": 5}),
    (INFER, {"inputs": inputs(), "parameters": 5}),
    (INFER, {"inputs": inputs(), "parameters": {"binary_data_output": "yes"}}),
    (INFER, {"inputs": inputs(), "outputs": 5}),
    (INFER, {"inputs": inputs(), "outputs": [5]}),
    (INFER, {"inputs": inputs(), "outputs": [{"name": "nope"}]}),
    (INFER, {"inputs": inputs(), "outputs": [{"name": "price"}, {"name": "price"}]}),
    (INFER, {"inputs": inputs(), "outputs": [{"name": "price", "parameters": {"classification": 3}}]}),
    (INFER, {"inputs": inputs(), "outputs": [{"name": "price", "parameters": {"binary_data": 1}}]}),
    (INFER, {"inputs": [{**inputs()[0], "parameters": {"shared_memory_region": "x"}}, inputs()[1]]}),
    (WIDE, {"inputs": [tensor("numeric", [ROW[:99]])]}),
    (WIDE, {"inputs": [tensor("numeric", [[*ROW, 1]])]}),
    (WIDE, {"inputs": [tensor("numeric", [ROW], shape=[2, 100])]}),
    (WIDE, {"inputs": [tensor("numeric", ROW, shape=[100])]}),
    (WIDE, {"inputs": [tensor("numeric", [ROW], shape=[-1, 100])]}),
    (WIDE, {"inputs": [tensor("numeric", [ROW], shape=[1 << 62, 100])]}),
    (WIDE, {"inputs": [tensor("numeric", [ROW], shape=[1.0, 100])]}),
    (WIDE, {"inputs": [tensor("numeric", [ROW], shape="1x100")]}),
    (WIDE, {"inputs": [tensor("numeric", [], shape=[0, 100])]}),
    (WIDE, {"inputs": [tensor("numeric", [[]], shape=[0, 100])]}),
    (WIDE, {"inputs": [tensor("numeric", [ROW, ROW[:99]], shape=[2, 100])]}),
    (WIDE, {"inputs": [tensor("numeric", [[*ROW[:98], [0.5, 0.5], []]], shape=[1, 100])]}),
    (WIDE, {"inputs": [tensor("numeric", [*ROW[:98], [0.5, 0.5], []], shape=[1, 100])]}),
    (WIDE, {"inputs": [tensor("numeric", [*ROW[:50], ROW[:50]], shape=[1, 100])]}),
    (WIDE, {"inputs": [tensor("numeric", 5, shape=[1, 100])]}),
    (WIDE, {"inputs": [{"name": "numeric", "datatype": "FP32", "shape": [1, 100]}]}),
]  # fmt: skip


@pytest.mark.parametrize(("path", "body"), BAD)
def test_bad_bodies_are_400(client: httpx.Client, path: str, body: Any) -> None:
    assert_error(post(client, body, path))


GOOD = np.array([ROW], "<f4").tobytes()
STRINGS = strings([["red", "Oslo"]])
FEW = np.zeros((1, 3), "<f4").tobytes()


def raw_strings(raw: bytes, announced: int | None = None) -> tuple[str, Any, bytes]:
    entry = binary("categorical", raw, [1, 2], "BYTES")
    if announced is not None:
        entry["parameters"]["binary_data_size"] = announced
    return INFER, {"inputs": [binary("numeric", FEW, [1, 3]), entry]}, FEW + raw


BAD_RAW: list[tuple[str, Any, bytes]] = [
    (WIDE, {"inputs": [binary("numeric", GOOD, [1, 100])]}, GOOD[:-4]),
    (WIDE, {"inputs": [binary("numeric", GOOD, [1, 100])]}, GOOD + b"\0"),
    (WIDE, {"inputs": [binary("numeric", GOOD, [2, 100])]}, GOOD),
    (WIDE, {"inputs": [binary("numeric", b"", [0, 100])]}, b""),
    (WIDE, {"inputs": [{**binary("numeric", GOOD, [1, 100]), "parameters": {"binary_data_size": -1}}]}, GOOD),
    (WIDE, {"inputs": [{**binary("numeric", GOOD, [1, 100]), "parameters": {"binary_data_size": "400"}}]}, GOOD),
    (WIDE, {"inputs": [{**binary("numeric", GOOD, [1, 100]), "parameters": []}]}, GOOD),
    (WIDE, {"inputs": [{**binary("numeric", GOOD, [1, 100]), "data": [ROW]}]}, GOOD),
    (WIDE, {"inputs": [binary("numeric", GOOD, [1, 100])]}, np.full((1, 100), np.inf, "<f4").tobytes()),
    (WIDE, {"inputs": [binary("numeric", GOOD * 2, [1, 100], "FP64")]}, np.full((1, 100), 1e39).tobytes()),
    raw_strings(STRINGS[:-1]),
    raw_strings(STRINGS + b"\0"),
    raw_strings(strings(["red"])),
    raw_strings(strings(["red", "Oslo", "more"])),
    raw_strings(struct.pack("<I", 1 << 31) + b"red"),
    raw_strings(struct.pack("<I", 1) + b"\xff" + strings(["x"])),
    raw_strings(b""),
    raw_strings(STRINGS, len(STRINGS) + 1),
]  # fmt: skip


@pytest.mark.parametrize(("path", "header", "raw"), BAD_RAW)
def test_bad_raw_bytes_are_400(client: httpx.Client, path: str, header: Any, raw: bytes) -> None:
    assert_error(post_raw(client, header, raw, path))


@pytest.mark.parametrize("length", ["-1", "1.5", "x", "", "999999", "9" * 30])
def test_a_wrong_header_length_is_400(client: httpx.Client, length: str) -> None:
    assert "Inference-Header-Content-Length" in assert_error(post(client, {"inputs": inputs()}, **{LENGTH: length}))


def test_other_errors_have_the_same_shape(client: httpx.Client) -> None:
    assert "hand, plain, wide" in assert_error(post(client, {}, "/v2/models/nope/infer"), 404)
    assert_error(client.get("/v2/models/nope"), 404)
    assert_error(client.get("/v2/models/hand/versions/9"), 404)
    assert_error(client.get("/v2/models/hand/versions/x"))
    assert_error(client.get("/v2/nothing"), 404)
    assert_error(client.get(INFER), 405)
    assert_error(client.delete("/v2"), 405)
    assert_error(post(client, " " * 100_001), 413)
    assert_error(post(client, {"inputs": [tensor("numeric", [ROW] * 51)]}, WIDE), 413)
    assert_error(post(client, "", content_encoding="br"), 415)
    gates = {"inputs": inputs(), "outputs": [{"name": "gate_weights"}]}
    assert_error(post(client, gates, "/v2/models/plain/infer"))


def test_repository_index(client: httpx.Client) -> None:
    for body in ("", "{}", '{"ready": true}', '{"ready": false}'):
        index = client.post("/v2/repository/index", content=body).json()
        assert [(entry["name"], entry["version"], entry["state"], entry["reason"]) for entry in index] == [
            ("hand", "2", "READY", ""),
            ("hand", "1", "READY", ""),
            ("plain", "1", "READY", ""),
            ("wide", "1", "READY", ""),
        ]
    assert_error(client.post("/v2/repository/index", content='{"ready": 1}'))


def test_loading_what_is_loaded_changes_nothing(client: httpx.Client) -> None:
    response = client.post("/v2/repository/models/hand/load", content="{}")
    assert (response.status_code, response.content) == (200, b"")
    assert_error(client.post("/v2/repository/models/nope/load"), 404)


def test_v2_agrees_with_v1(client: httpx.Client) -> None:
    found = arrays(post(client, {"inputs": inputs()}))
    rows = [[*numbers, *texts] for numbers, texts in zip(NUMERIC, CATEGORICAL, strict=True)]
    predictions = client.post("/v1/predict", json={"instances": rows}).json()["predictions"]
    for row, prediction in enumerate(predictions):
        for t, (task, value) in enumerate(prediction["tasks"].items()):
            np.testing.assert_array_equal(np.float32(value), found[task][row])
            np.testing.assert_array_equal(np.float32(prediction["gate_weights"][task]), found["gate_weights"][row, t])
