"""Triton's configuration and statistics, and TensorFlow Serving's states of versions."""

from collections.abc import Callable
from pathlib import Path
from typing import Any

import httpx
import pytest

from tests.support.v2 import INFER, inputs, post
from tests.support.v2_answers import assert_error

ROW = {"instances": [{"age": 1.5}, {"age": 2}]}


@pytest.mark.parametrize("path", ["/v2/models/hand/config", "/v2/models/hand/versions/1/config"])
def test_the_configuration_is_that_of_one_row(client: httpx.Client, path: str) -> None:
    config = client.get(path).json()
    assert (config["name"], config["max_batch_size"], config["backend"]) == ("hand", 50, "onnxruntime")
    assert config["version_policy"] == {"latest": {"num_versions": 2}}
    assert config["input"] == [
        {"name": "numeric", "data_type": "TYPE_FP32", "dims": [3]},
        {"name": "categorical", "data_type": "TYPE_STRING", "dims": [2]},
    ]
    outputs = {output["name"]: output["dims"] for output in config["output"]}
    assert outputs == {"price": [1], "sold": [1], "grade": [3], "gate_weights": [3, 4]}
    assert config["output"][0]["reshape"] == {"shape": []}
    assert_error(client.get("/v2/models/nope/config"), 404)


def of(client: httpx.Client, path: str) -> dict[str, Any]:
    (one,) = client.get(path).json()["model_stats"]
    found: dict[str, Any] = one
    return found


def test_statistics_count_inferences_by_version(
    tmp_path: Path, hand_model: Callable[..., Path], start_service: Callable[..., Any]
) -> None:
    hand_model(tmp_path, "hand", 1)
    with start_service(tmp_path) as service, httpx.Client(base_url=service.url, timeout=30) as client:
        path = "/v2/models/hand/versions/1/stats"
        assert client.post("/v1/models/hand:predict", json=ROW).status_code == 200
        assert post(client, {"inputs": inputs()}).status_code == 200
        assert post(client, {"inputs": []}).status_code == 400
        assert client.post("/v1/models/hand:gates", json=ROW).status_code == 200
        found = of(client, path)
        assert found == of(client, "/v2/models/hand/stats") == of(client, "/v2/models/stats")
        assert (found["name"], found["version"], found["inference_count"]) == ("hand", "1", 4)
        times = found["inference_stats"]
        assert {stage: each["count"] for stage, each in times.items()} == {
            "success": 2, "fail": 1, "compute_input": 2, "compute_infer": 2, "compute_output": 2,
        }  # fmt: skip
        parts = sum(times[stage]["ns"] for stage in ("compute_input", "compute_infer", "compute_output"))
        assert parts == pytest.approx(times["success"]["ns"], rel=1e-3)
        assert times["fail"]["ns"] > 0
        assert_error(client.get("/v2/models/nope/stats"), 404)
        assert_error(client.get("/v2/models/hand/versions/7/stats"), 404)


def test_without_telemetry_there_are_none(
    tmp_path: Path, hand_model: Callable[..., Path], start_service: Callable[..., Any]
) -> None:
    hand_model(tmp_path, "hand", 1)
    with start_service(tmp_path, telemetry="false") as service:
        assert "MMOE_TELEMETRY" in assert_error(httpx.get(f"{service.url}/v2/models/stats"), 404)


def test_extensions_are_named(client: httpx.Client) -> None:
    assert client.get("/v2").json()["extensions"][2:] == ["model_configuration", "statistics"]
    assert client.post(INFER, json={"inputs": inputs()}).status_code == 200


def test_versions_have_states_of_tensorflow_serving(client: httpx.Client) -> None:
    state = {"version": "2", "state": "AVAILABLE", "status": {"error_code": "OK", "error_message": ""}}
    assert client.get("/v1/models/hand").json()["model_version_status"][0] == state
    assert client.get("/v1/models/hand/versions/2").json()["model_version_status"] == [state]
