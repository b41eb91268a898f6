"""Schemas of the calls that take rows: the model's features, and examples that work when sent."""

from typing import Any

import httpx
import pytest


@pytest.fixture(scope="module")
def openapi(client: httpx.Client) -> dict[str, Any]:
    document: dict[str, Any] = client.get("/openapi.json").json()
    return document


def schema_of(openapi: dict[str, Any], path: str) -> Any:
    content = openapi["paths"][path]["post"]["requestBody"]["content"]["application/json"]
    name = content["schema"]["$ref"].removeprefix("#/components/schemas/")
    return openapi["components"]["schemas"][name]


def test_docs_are_there(client: httpx.Client) -> None:
    assert "swagger" in client.get("/docs").text.lower()


@pytest.mark.parametrize("path", ["/v1/predict", "/v1/models/{}:predict", "/v1/gates", "/v1/models/{}:gates"])
@pytest.mark.parametrize("name", ["hand", "wide", "plain"])
def test_the_example_works_when_sent(client: httpx.Client, openapi: dict[str, Any], path: str, name: str) -> None:
    if "{}" not in path and name != "hand":
        pytest.skip("the short calls mean the default model")
    if name == "plain" and path.endswith("gates"):
        pytest.skip("it has no gates")
    path = path.format(name)
    answer = client.post(path, json=schema_of(openapi, path)["example"])
    assert answer.status_code == 200, answer.text


def test_the_infer_example_works_when_sent(client: httpx.Client, openapi: dict[str, Any]) -> None:
    for name in ("hand", "wide", "plain"):
        path = f"/v2/models/{name}/infer"
        example = openapi["paths"][path]["post"]["requestBody"]["content"]["application/json"]["example"]
        assert client.post(path, json=example).status_code == 200


def test_features_are_named_with_type_and_range(openapi: dict[str, Any]) -> None:
    row = openapi["components"]["schemas"]["hand.Row"]
    assert list(row["properties"]) == ["age", "height", "balance", "colour", "city"]
    assert row["properties"]["age"]["type"] == ["number", "null"]
    assert "Seen from" in row["properties"]["age"]["description"]
    assert row["properties"]["colour"]["type"] == ["string", "null"]
    assert "'red', 'green', 'blue'" in row["properties"]["colour"]["description"]
    assert row["additionalProperties"] is False
    assert list(row["example"]) == list(row["properties"])


def test_the_answer_is_described_in_the_tasks_own_terms(openapi: dict[str, Any]) -> None:
    answer = openapi["components"]["schemas"]["hand.Prediction"]["properties"]
    assert answer["tasks"]["properties"]["sold"]["description"] == "The probability of 'yes'."
    assert "'low', 'middle', 'high'" in answer["tasks"]["properties"]["grade"]["description"]
    assert answer["gate_weights"]["properties"]["price"]["maxItems"] == 4
    plain = openapi["components"]["schemas"]["plain.Prediction"]["properties"]
    assert plain["gate_weights"]["type"] == "null"


def test_every_reference_leads_somewhere(openapi: dict[str, Any]) -> None:
    def references(value: Any) -> list[str]:
        if isinstance(value, dict):
            own = [value["$ref"]] if "$ref" in value else []
            return own + [found for inner in value.values() for found in references(inner)]
        return [found for inner in value for found in references(inner)] if isinstance(value, list) else []

    schemas = openapi["components"]["schemas"]
    found = references(openapi)
    assert found
    for reference in found:
        assert reference.removeprefix("#/components/schemas/") in schemas


def test_reading_and_sending_share_a_path(openapi: dict[str, Any]) -> None:
    assert set(openapi["paths"]["/v1/gates"]) == {"get", "post"}


def refused(openapi: dict[str, Any], name: str, body: Any) -> bool:
    """Tell whether a schema of the document does not allow a body."""
    jsonschema = pytest.importorskip("jsonschema")
    whole = {"$ref": f"#/components/schemas/{name}", "components": openapi["components"]}
    return not jsonschema.Draft202012Validator(whole).is_valid(body)


@pytest.mark.parametrize(
    "body",
    [
        {}, {"inputs": {}}, {"inputs": {"age": []}}, {"instances": []}, {"instances": [{}], "inputs": {"age": [1]}},
        {"instances": None}, {"instances": [{"age": True}]}, {"instances": [{"nope": 1}]},
        {"instances": [{}], "nope": 1}, {"instances": [{}], "inputs": None}, {"instances": [{"age": None}]},
        {"inputs": {"age": [1]}, "instances": None},
        {"instances": [{}], "signature_name": "a"}, {"inputs": {"age": [1.5, None], "city": ["a", None]}},
        {"instances": [{}], "top_k": 866.0}, {"instances": [{}], "top_k": 0}, {"instances": [{}], "top_k": 1.5},
        {"instances": [{}], "ablation": 1},
    ],
)  # fmt: skip
def test_rows_that_the_schema_refuses_are_refused_and_others_are_not(
    client: httpx.Client, openapi: dict[str, Any], body: Any
) -> None:
    for call, name in (("predict", "hand.Request"), ("gates", "hand.Inspection")):
        answer = client.post(f"/v1/models/hand:{call}", json=body)
        assert (answer.status_code != 200) == refused(openapi, name, body), (call, answer.text)


@pytest.mark.parametrize(
    ("rows", "width", "headers"),
    [
        (1.0, 100.0, {}), (0, 100, {}), (1, 100.5, {}), (1, 100, {"Inference-Header-Content-Length": "0"}),
        (1, 100, {"Inference-Header-Content-Length": "0", "Content-Type": "application/json; charset=utf-8"}),
    ],
)  # fmt: skip
def test_an_inference_that_the_schema_allows_is_answered(
    client: httpx.Client, openapi: dict[str, Any], rows: float, width: float, headers: dict[str, str]
) -> None:
    data = [1.5] * int(rows * 100)
    body = {"inputs": [{"name": "numeric", "datatype": "FP32", "shape": [rows, width], "data": data}]}
    answer = client.post("/v2/models/wide/infer", json=body, headers=headers)
    assert (answer.status_code == 200) == (rows > 0 and width == 100), answer.text
    assert (answer.status_code != 200) == refused(openapi, "InferRequest", body), answer.text
