"""The document names every call with what it answers, whatever is loaded."""

import asyncio
from collections.abc import Callable
from pathlib import Path
from typing import Any

import httpx
import pytest

from service.engine import Engine
from service.http.app import create_app
from service.settings import Settings

ROWS = [
    "/v1/predict", "/v1/gates", "/v1/models/{name}:predict", "/v1/models/{name}:gates",
    "/v1/models/{name}/versions/{version}:predict", "/v1/models/{name}/versions/{version}:gates",
    "/v2/models/{name}/infer", "/v2/models/{name}/versions/{version}/infer",
]  # fmt: skip
WITHOUT_JSON = {"/metrics", "/v2/repository/models/{name}/load", "/v2/repository/models/{name}/unload"}


def openapi(models: Path) -> dict[str, Any]:
    engine = Engine(Settings(models=models))
    engine.scan()

    async def ask() -> dict[str, Any]:
        transport = httpx.ASGITransport(create_app(engine))
        async with httpx.AsyncClient(transport=transport, base_url="http://test") as client:
            document: dict[str, Any] = (await client.get("/openapi.json")).json()
            return document

    try:
        return asyncio.run(ask())
    finally:
        engine.close()


@pytest.fixture(params=["no model", "one", "two, no default"])
def document(request: pytest.FixtureRequest, tmp_path: Path, hand_model: Callable[..., Path]) -> dict[str, Any]:
    for name in {"no model": [], "one": ["hand"], "two, no default": ["hand", "other"]}[request.param]:
        hand_model(tmp_path, name, 1)
    return openapi(tmp_path)


def operations(document: dict[str, Any]) -> list[tuple[str, str, Any]]:
    return [(path, method, found) for path, item in document["paths"].items() for method, found in item.items()]


def test_the_calls_that_take_rows_are_there_whatever_is_loaded(document: dict[str, Any]) -> None:
    for path in ROWS:
        operation = document["paths"][path]["post"]
        assert operation["requestBody"]["content"]["application/json"]["schema"]["$ref"]
        named = {parameter["name"] for parameter in operation["parameters"] if parameter["in"] == "path"}
        assert named == {part for part in ("name", "version") if f"{{{part}}}" in path}


def test_every_call_names_what_it_answers_and_its_errors_in_the_shape_of_its_protocol(document: dict[str, Any]) -> None:
    for path, _, operation in operations(document):
        responses = operation["responses"]
        assert "500" in responses
        if path not in WITHOUT_JSON:
            reference = responses["200"]["content"]["application/json"]["schema"]["$ref"]
            assert reference.rpartition("/")[2] in document["components"]["schemas"], path
        for status, response in responses.items():
            if status >= "400":
                v2 = path.startswith("/v2")
                assert list(response["content"]) == ["application/json" if v2 else "application/problem+json"]
                assert response["description"]
                assert response["headers"]["X-Request-Id"]["required"]


def test_no_two_calls_share_an_identity(document: dict[str, Any]) -> None:
    identities = [operation["operationId"] for _, _, operation in operations(document)]
    assert len(set(identities)) == len(identities)


def test_each_served_model_stands_there_with_its_own_features(tmp_path: Path, hand_model: Callable[..., Path]) -> None:
    hand_model(tmp_path, "hand", 1)
    document = openapi(tmp_path)
    for path in ("/v1/models/hand:predict", "/v1/predict"):
        content = document["paths"][path]["post"]["requestBody"]["content"]["application/json"]
        assert content["schema"]["$ref"] == "#/components/schemas/hand.Request"
    assert document["paths"]["/v2/models/hand/infer"]["post"]["requestBody"]["content"]["application/json"]["example"]
