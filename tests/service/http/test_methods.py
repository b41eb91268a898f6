"""Which methods a path answers, and HEAD wherever there is GET, through a real service."""

import httpx
import pytest


@pytest.mark.parametrize(
    "path",
    ["/", "/docs", "/openapi.json", "/metrics", "/health/live", "/health/ready", "/v1/models", "/v1/models/hand",
     "/v2", "/v2/health/live", "/v2/health/ready", "/v2/models/hand/ready", "/v1/gates", "/nothing", "/v2/nothing"],
)  # fmt: skip
def test_head_is_get_without_the_body(client: httpx.Client, path: str) -> None:
    head, got = client.head(path, headers={"x-request-id": "7"}), client.get(path, headers={"x-request-id": "7"})
    assert (head.status_code, head.content) == (got.status_code, b"")
    changing = {"date", "content-length"} if path in ("/metrics", "/v1/gates") else {"date"}
    assert {k: v for k, v in head.headers.items() if k not in changing} == {
        k: v for k, v in got.headers.items() if k not in changing
    }


@pytest.mark.parametrize(
    ("method", "path", "allowed"),
    [
        ("PUT", "/v1/gates", "GET, HEAD, POST"),
        ("DELETE", "/v1/models", "GET, HEAD"),
        ("HEAD", "/v2/repository/index", "POST"),
        ("GET", "/v1/models/hand:gates", "POST"),
        ("PUT", "/v1/models/hand:gates", "POST"),
        ("GET", "/v1/models/hand/versions/1:gates", "POST"),
        ("GET", "/v1/models/hand/versions/2:predict", "POST"),
        ("GET", "/v2/models/hand/infer", "POST"),
        ("DELETE", "/v1/models/hand/versions/1", "GET, HEAD"),
    ],
)
def test_a_refused_method_learns_all_that_are_possible(
    client: httpx.Client, method: str, path: str, allowed: str
) -> None:
    answer = client.request(method, path)
    assert (answer.status_code, answer.headers["allow"]) == (405, allowed)


@pytest.mark.parametrize("path", ["/v1/models/hand:nothing", "/v1/models/hand/versions/1:nothing", "/v1/models/a:b:c"])
def test_a_call_that_is_none_is_404_whatever_the_method(client: httpx.Client, path: str) -> None:
    for method in ("GET", "POST", "PUT"):
        answer = client.request(method, path)
        assert (answer.status_code, answer.json()["code"]) == (404, "not_found")
