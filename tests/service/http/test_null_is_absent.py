"""Optional fields that are null, as a client's dump of an untouched request writes them, on a
real server.
"""

from typing import Any

import httpx
import pytest

from tests.support.v2 import INFER, WIDE, inputs, post, tensor

ROW = {"age": 1.0, "colour": "red"}
PLAIN = {"inputs": inputs()}
PLAIN_WIDE = {"inputs": [tensor("numeric", [[0.5] * 100])]}
NULL_FLAGS = {"binary_data_output": None, "binary_data_size": None, "shared_memory_region": None}


@pytest.mark.parametrize(
    "more",
    [
        {"id": None},
        {"parameters": None},
        {"outputs": None},
        {"id": None, "parameters": None, "outputs": None},
        {"parameters": NULL_FLAGS},
    ],
)
@pytest.mark.parametrize(("path", "plain"), [(INFER, PLAIN), (WIDE, PLAIN_WIDE)])
def test_of_a_v2_request(client: httpx.Client, path: str, plain: dict[str, Any], more: dict[str, Any]) -> None:
    assert answered(client, path, {**plain, **more}) == answered(client, path, plain)


@pytest.mark.parametrize("parameters", [None, NULL_FLAGS])
@pytest.mark.parametrize(("path", "plain"), [(INFER, PLAIN), (WIDE, PLAIN_WIDE)])
def test_of_a_v2_input(client: httpx.Client, path: str, plain: dict[str, Any], parameters: object) -> None:
    given = {"inputs": [{**each, "parameters": parameters} for each in plain["inputs"]]}
    assert answered(client, path, given) == answered(client, path, plain)


@pytest.mark.parametrize("parameters", [None, {"binary_data": None, "classification": None}])
def test_of_a_v2_output(client: httpx.Client, parameters: object) -> None:
    given = {**PLAIN, "outputs": [{"name": "price", "parameters": parameters}]}
    assert answered(client, INFER, given) == answered(client, INFER, {**PLAIN, "outputs": [{"name": "price"}]})


def test_an_input_without_data_is_still_refused(client: httpx.Client) -> None:
    answer = client.post(INFER, json={"inputs": [{**inputs()[0], "data": None}, inputs()[1]]})
    assert answer.status_code == 400
    assert "has no data" in answer.text


@pytest.mark.parametrize(
    ("path", "plain", "nulls"),
    [
        ("/v1/models/hand:predict", {"instances": [ROW]}, {"inputs": None, "signature_name": None}),
        ("/v1/models/hand:predict", {"inputs": {"age": [1.0]}}, {"instances": None}),
        ("/v1/models/hand:gates", {"instances": [ROW]}, {"contributions": None, "ablation": None, "top_k": None}),
        ("/v2/repository/index", {}, {"ready": None}),
    ],
)
def test_of_the_other_calls(client: httpx.Client, path: str, plain: dict[str, Any], nulls: dict[str, Any]) -> None:
    assert answered(client, path, {**plain, **nulls}) == answered(client, path, plain)


def test_rows_that_are_null_in_both_forms_are_refused(client: httpx.Client) -> None:
    answer = client.post("/v1/models/hand:predict", json={"instances": None, "inputs": None})
    assert answer.status_code == 400
    assert 'neither \\"instances\\" nor \\"inputs\\"' in answer.text


def answered(client: httpx.Client, path: str, body: object) -> object:
    answer = post(client, body, path)
    assert answer.status_code == 200, answer.text
    return answer.json()
