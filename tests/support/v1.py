"""Requests to `:predict` and its kin, and their refusals."""

import json
from typing import Any

import httpx

WIDE = [0.5] * 100
JSON = {"content-type": "application/json"}


def post(client: httpx.Client, body: object, path: str = "/v1/predict", **headers: str) -> httpx.Response:
    content = body if isinstance(body, (bytes, str)) else json.dumps(body)
    return client.post(path, content=content, headers=JSON | {k.replace("_", "-"): v for k, v in headers.items()})


def assert_problem(response: httpx.Response, status: int) -> dict[str, Any]:
    assert response.status_code == status, response.text
    assert response.headers["content-type"] == "application/problem+json"
    problem: dict[str, Any] = response.json()
    assert problem["status"] == status
    assert problem["type"] == "about:blank"
    assert problem["title"]
    assert problem["detail"].endswith(".")
    assert response.headers["x-request-id"] == problem["request_id"]
    return problem
