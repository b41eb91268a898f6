"""Answers of the service about its models and itself."""

import json
from collections.abc import Callable
from pathlib import Path
from typing import Any

import httpx

from service.artifact.file import read_model


def test_models_are_listed_with_their_versions(client: httpx.Client) -> None:
    listed = {model["name"]: model for model in client.get("/v1/models").json()["models"]}
    assert list(listed) == ["hand", "plain", "wide"]
    assert listed["hand"] == {
        "name": "hand",
        "ready": True,
        "default": True,
        "version": 2,
        "pinned": None,
        "shadow": None,
        "canary": None,
        "note": None,
        "versions": [
            {"version": 2, "state": "loaded", "reason": None},
            {"version": 1, "state": "loaded", "reason": None},
        ],
    }
    assert [model["default"] for model in listed.values()] == [True, False, False]


def test_one_model_and_one_version(client: httpx.Client) -> None:
    assert client.get("/v1/models/wide").json()["version"] == 1
    assert client.get("/v1/models/hand/versions/1").json() == {
        "name": "hand",
        "ready": True,
        "version": 1,
        "state": "loaded",
        "reason": None,
        "model_version_status": [
            {"version": "1", "state": "AVAILABLE", "status": {"error_code": "OK", "error_message": ""}}
        ],
    }


def test_what_is_not_there_is_404_with_what_is(client: httpx.Client) -> None:
    for path, fragment in (
        ("/v1/models/nope", "hand, plain, wide"),
        ("/v1/models/nope/metadata", "hand, plain, wide"),
        ("/v1/models/hand/versions/7", "2, 1"),
        ("/v1/models/hand/versions/7/metadata", "2, 1"),
    ):
        response = client.get(path)
        assert response.status_code == 404
        assert fragment in response.json()["detail"]
    detail = client.get("/v1/models/hand/versions/x").json()["detail"]
    assert detail == "The parameter 'version' is 'x'. Expected a valid integer."
    assert client.get("/v1/models/hand/versions/0").status_code == 400


def test_metadata_is_the_manifest(client: httpx.Client, models: Path) -> None:
    for path, version in (("/v1/models/hand/metadata", 2), ("/v1/models/hand/versions/1/metadata", 1)):
        _, manifest = read_model(models / "hand" / str(version) / "model.onnx")
        assert client.get(path).json() == json.loads(manifest.model_dump_json())


def test_probes(client: httpx.Client) -> None:
    for path, answer in (("/health/live", {"live": True}), ("/health/ready", {"ready": True})):
        assert client.get(path).json() == answer


def test_without_telemetry_its_figures_are_not_found(start_service: Callable[..., Any], models: Path) -> None:
    with start_service(models, telemetry="false", default_model="hand") as service:
        for path in ("/v1/gates", "/v1/models/hand/gates", "/v1/models/hand/versions/2/gates", "/metrics"):
            answer = httpx.get(service.url + path)
            assert answer.status_code == 404, path
            assert "MMOE_TELEMETRY" in answer.json()["detail"]
        assert httpx.post(f"{service.url}/v1/gates", json={"instances": [{}]}).status_code == 200


def test_a_browser_gets_the_dashboard_and_a_client_a_word(client: httpx.Client) -> None:
    page = client.get("/", headers={"accept": "text/html,application/xhtml+xml,*/*;q=0.8"})
    assert page.headers["content-type"].startswith("text/html")
    for accept in ("application/json", "*/*"):
        answer = client.get("/", headers={"accept": accept})
        assert answer.json() == {"status": "alive"}
        assert answer.headers["vary"] == page.headers["vary"] == "accept"


def test_an_asset_that_is_not_there_is_a_problem(client: httpx.Client) -> None:
    answer = client.get("/assets/nothing.js")
    assert (answer.status_code, answer.headers["content-type"]) == (404, "application/problem+json")
    assert answer.json()["instance"] == "/assets/nothing.js"


def test_a_refused_version_is_told_and_harms_no_other(
    start_service: Callable[..., Any], tmp_path: Path, hand_model: Callable[..., Path]
) -> None:
    hand_model(tmp_path, "hand", 1)
    hand_model(tmp_path, "hand", 2, fault="wrong_golden")
    with start_service(tmp_path) as service:
        assert any("hand 2 is not served" in line for line in service.lines)
        state = httpx.get(f"{service.url}/v1/models/hand").json()
        assert (state["ready"], state["version"]) == (True, 1)
        refused = state["versions"][0]
        assert (refused["version"], refused["state"]) == (2, "refused")
        assert "Golden row" in refused["reason"]
        index = httpx.post(f"{service.url}/v2/repository/index").json()
        assert [(entry["version"], entry["state"]) for entry in index] == [("2", "UNAVAILABLE"), ("1", "READY")]
        only = httpx.post(f"{service.url}/v2/repository/index", json={"ready": True}).json()
        assert [entry["version"] for entry in only] == ["1"]
        gone = httpx.post(f"{service.url}/v1/models/hand/versions/2:predict", json={"instances": [{}]})
        assert gone.status_code == 404
        assert "Golden row" in gone.json()["detail"]


def test_without_a_model_it_is_alive_but_not_ready(start_service: Callable[..., Any], tmp_path: Path) -> None:
    with start_service(tmp_path) as service:
        assert httpx.get(f"{service.url}/health/live").status_code == 200
        for path in ("/health/ready", "/v2/health/ready", "/v1/models/x/metadata"):
            answer = httpx.get(service.url + path)
            assert answer.status_code == 503, path
            assert answer.headers["retry-after"] == "1"
        assert httpx.get(f"{service.url}/v2/health/live").json() == {"live": True, "ready": False}
        answer = httpx.post(f"{service.url}/v1/predict", json={"instances": [{}]})
        assert answer.status_code == 503
        assert answer.json()["code"] == "not_ready"
        assert httpx.get(f"{service.url}/v1/models").json() == {"models": []}
        assert httpx.get(f"{service.url}/openapi.json").status_code == 200


def test_without_a_default_the_short_calls_say_what_to_name(start_service: Callable[..., Any], models: Path) -> None:
    with start_service(models) as service:
        answer = httpx.post(f"{service.url}/v1/predict", json={"instances": [{}]})
        assert answer.status_code == 404
        assert "hand, plain, wide" in answer.json()["detail"]
        assert httpx.get(f"{service.url}/health/ready").status_code == 200


def test_a_model_copied_in_later_can_be_loaded(
    start_service: Callable[..., Any], tmp_path: Path, hand_model: Callable[..., Path]
) -> None:
    with start_service(tmp_path, local_admin="true") as service:
        hand_model(tmp_path, "hand", 1)
        assert httpx.post(f"{service.url}/v2/repository/models/hand/load").status_code == 200
        assert httpx.get(f"{service.url}/health/ready").status_code == 200
        assert httpx.post(f"{service.url}/v1/predict", json={"instances": [{}]}).status_code == 200
        hand_model(tmp_path, "bad", 1, fault="truncated")
        refused = httpx.post(f"{service.url}/v2/repository/models/bad/load")
        assert refused.status_code == 409
        assert "truncated" in refused.json()["error"]
