"""Types of JSON data in tensors; the rest of the protocol is tested in test_v2.py."""

import json
from typing import Any

import httpx
import numpy as np
import pytest

HAND, WIDE = 3, 100


def body(width: int, first: object, datatype: str, nested: bool) -> dict[str, Any]:
    row = [first] + [1] * (width - 1)
    inputs = [{"name": "numeric", "datatype": datatype, "shape": [1, width], "data": [row] if nested else row}]
    if width == HAND:
        inputs.append({"name": "categorical", "datatype": "BYTES", "shape": [1, 2], "data": ["red", "Oslo"]})
    return {"inputs": inputs}


@pytest.mark.parametrize("nested", [False, True])
@pytest.mark.parametrize(("name", "width"), [("hand", HAND), ("wide", WIDE)])
@pytest.mark.parametrize(
    ("datatype", "first"),
    [("INT8", 200), ("INT8", -129), ("UINT8", -1), ("UINT8", 256), ("INT32", 1.5), ("INT64", 1e300), ("UINT64", -1)],
)
def test_a_number_beyond_its_declared_type_is_400(
    client: httpx.Client, datatype: str, first: object, name: str, width: int, nested: bool
) -> None:
    response = client.post(f"/v2/models/{name}/infer", content=json.dumps(body(width, first, datatype, nested)))
    assert response.status_code == 400
    assert f"numeric' is {datatype}" in response.json()["error"]


@pytest.mark.parametrize(("name", "width"), [("hand", HAND), ("wide", WIDE)])
@pytest.mark.parametrize("datatype", ["INT8", "UINT8", "INT32", "UINT64"])
def test_the_limits_of_a_type_are_within_it(client: httpx.Client, datatype: str, name: str, width: int) -> None:
    limits = np.iinfo(datatype.lower())
    for first in (int(limits.min), int(limits.max), 3.0, None):
        response = client.post(f"/v2/models/{name}/infer", content=json.dumps(body(width, first, datatype, True)))
        assert response.status_code == 200, response.text
