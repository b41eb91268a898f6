"""The document names every call with what it answers, whatever is loaded."""

from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest

from service.engine import Engine
from service.http.app import create_app
from tests.support.calls import ask

Document = Callable[[Path], dict[str, Any]]

ROWS = [
    "/v1/predict", "/v1/gates", "/v1/models/{name}:predict", "/v1/models/{name}:gates",
    "/v1/models/{name}/versions/{version}:predict", "/v1/models/{name}/versions/{version}:gates",
    "/v2/models/{name}/infer", "/v2/models/{name}/versions/{version}/infer",
]  # fmt: skip
WITHOUT_JSON = {"/metrics", "/v2/repository/models/{name}/load", "/v2/repository/models/{name}/unload"}


@pytest.fixture
def openapi(open_engine: Callable[..., Engine]) -> Document:
    """Give a function that asks a service of these models for its document."""

    def get(models: Path) -> dict[str, Any]:
        (answer,) = ask(create_app(open_engine(models)), ("GET", "/openapi.json", None))
        document: dict[str, Any] = answer.json()
        return document

    return get


@pytest.fixture(params=["no model", "one", "two, no default"])
def document(
    request: pytest.FixtureRequest, tmp_path: Path, hand_model: Callable[..., Path], openapi: Document
) -> dict[str, Any]:
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


def parts(value: Any) -> Iterator[dict[str, Any]]:
    """Give every object of a document, itself included."""
    if isinstance(value, dict):
        yield value
    for inner in value.values() if isinstance(value, dict) else value if isinstance(value, list) else ():
        yield from parts(inner)


def test_every_array_says_what_it_holds(document: dict[str, Any]) -> None:
    arrays = [part for part in parts(document) if "array" in (part.get("type"), *part.get("type", ()))]
    assert len(arrays) > 20
    assert [array for array in arrays if "items" not in array] == []


def test_no_typed_answer_has_a_title_that_names_another_class(document: dict[str, Any]) -> None:
    schemas = document["components"]["schemas"]
    assert {name for name, schema in schemas.items() if schema.get("title", name) != name} == set()


def test_no_two_calls_share_an_identity(document: dict[str, Any]) -> None:
    identities = [operation["operationId"] for _, _, operation in operations(document)]
    assert len(set(identities)) == len(identities)


def test_each_served_model_stands_there_with_its_own_features(own_hand: Path, openapi: Document) -> None:
    document = openapi(own_hand)
    for path in ("/v1/models/hand:predict", "/v1/predict"):
        content = document["paths"][path]["post"]["requestBody"]["content"]["application/json"]
        assert content["schema"]["$ref"] == "#/components/schemas/hand.Request"
    assert document["paths"]["/v2/models/hand/infer"]["post"]["requestBody"]["content"]["application/json"]["example"]


def test_every_call_that_reads_a_body_says_what_it_takes(document: dict[str, Any]) -> None:
    schemas, taken = document["components"]["schemas"], {}
    for path, _, operation in operations(document):
        assert ("requestBody" in operation) == ("413" in operation["responses"]), path
        if "requestBody" in operation:
            taken[path] = operation["requestBody"]["content"]["application/json"]["schema"]["$ref"].rpartition("/")[2]
            assert taken[path] in schemas
    assert taken["/v1/models/{name}:pin"] == "PinRequest"
    assert taken["/v1/models/{name}:shadow"] == "ShadowRequest"
    assert taken["/v1/models/{name}:canary"] == "CanaryRequest"
    assert schemas["PinRequest"]["required"] == schemas["ShadowRequest"]["required"] == ["version"]
    assert schemas["ShadowRequest"]["properties"].keys() == {"version", "share"}
    assert not document["paths"]["/v2/repository/index"]["post"]["requestBody"]["required"]
