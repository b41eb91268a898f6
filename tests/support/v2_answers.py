"""Answers of the Open Inference Protocol v2, compared with what is expected."""

import json
from typing import Any

import httpx
import numpy as np

from tests.support.v2 import LENGTH

METADATA = {
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
"""Answers of a service about the hand-made model `hand` with versions 1 and 2."""


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


def assert_expected(found: dict[str, Any], expected: dict[str, Any], names: list[str] | None = None) -> None:
    assert list(found) == (names or ["price", "sold", "grade", "gate_weights"])
    for name, values in found.items():
        np.testing.assert_allclose(values, expected[name], rtol=2e-5, atol=1e-6)
