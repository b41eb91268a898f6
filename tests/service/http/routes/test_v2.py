"""The Open Inference Protocol v2 on a real server: what it says of itself and of its models."""

import httpx
import pytest

from tests.support.v2_answers import METADATA, assert_error


@pytest.mark.parametrize("path", ["/v2", "/v2/"])
def test_the_server_names_itself_without_a_redirect(client: httpx.Client, path: str) -> None:
    answer = client.get(path)
    assert answer.status_code == 200
    assert answer.json() == {
        "name": "mmoe-serve",
        "version": answer.json()["version"],
        "extensions": ["binary_tensor_data", "model_repository", "model_configuration", "statistics"],
    }


def test_health(client: httpx.Client) -> None:
    for probe in ("live", "ready"):
        assert client.get(f"/v2/health/{probe}").json() == {"live": True, "ready": True}


@pytest.mark.parametrize("path", ["/v2/models/hand", "/v2/models/hand/versions/2"])
def test_model_metadata(client: httpx.Client, path: str) -> None:
    assert client.get(path).json() == METADATA


def test_models_and_their_readiness(client: httpx.Client) -> None:
    assert client.get("/v2/models").json() == {"models": ["hand", "plain", "wide"]}
    for path in ("/v2/models/hand/ready", "/v2/models/hand/versions/1/ready"):
        assert client.get(path).json() == {"name": "hand", "ready": True}


def test_a_model_without_gates_has_no_such_output(client: httpx.Client) -> None:
    outputs = client.get("/v2/models/plain").json()["outputs"]
    assert [output["name"] for output in outputs] == ["price", "sold", "grade"]


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
