"""Refusals of v2, on a real server, and their shape."""

import json
import struct
from typing import Any

import httpx
import numpy as np
import pytest

from tests.support.v2 import CATEGORICAL, INFER, LENGTH, NUMERIC, WIDE, binary, inputs, post, post_raw, strings, tensor
from tests.support.v2_answers import assert_error

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
    (WIDE, {"inputs": [tensor("numeric", [ROW], shape=[1.5, 100])]}),
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
