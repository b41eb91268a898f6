"""`:predict` on a real server.

What requests may be besides their rows, from the size of a body to the deadline.
"""

import gzip
import json
import socket
import zlib
from collections.abc import Callable
from typing import Any
from urllib.parse import urlsplit

import httpx
import pytest

from tests.support.v1 import JSON, assert_problem, post


def test_a_body_over_the_limit_is_refused_before_it_is_sent(service: Any) -> None:
    address = urlsplit(service.url)
    with socket.create_connection((address.hostname, address.port), timeout=30) as connection:
        kind, length = "content-type: application/json", "content-length: 100001"
        head = f"POST /v1/predict HTTP/1.1\r\nhost: localhost\r\n{kind}\r\n{length}\r\n\r\n"
        connection.sendall(head.encode() + b"{")  # and no more
        assert connection.recv(100).startswith(b"HTTP/1.1 413 ")


def test_a_body_in_chunks_is_counted_while_it_comes(client: httpx.Client) -> None:
    rows = json.dumps({"instances": [{"age": 1}]}).encode()
    split = client.post("/v1/predict", content=iter([rows[:5], rows[5:]]), headers=JSON)
    assert split.status_code == 200
    endless = client.post("/v1/predict", content=iter([b" " * 30_000] * 4), headers=JSON)
    assert_problem(endless, 413)


@pytest.mark.parametrize(
    ("encoding", "compress"),
    [
        ("gzip", gzip.compress),
        ("x-gzip", gzip.compress),
        ("GZIP", lambda body: gzip.compress(body[:9]) + gzip.compress(body[9:])),
        ("deflate", zlib.compress),
        ("deflate", lambda body: zlib.compress(body)[2:-4]),
        ("identity", bytes),
    ],
)
def test_bodies_may_be_compressed(client: httpx.Client, encoding: str, compress: Callable[[bytes], bytes]) -> None:
    body = json.dumps({"instances": [{"age": 1}]}).encode()
    response = post(client, compress(body), content_encoding=encoding)
    assert response.json() == post(client, body).json()


def test_a_body_is_not_inflated_beyond_the_limit(client: httpx.Client) -> None:
    assert (
        "MMOE_MAX_INFLATED_BYTES"
        in assert_problem(post(client, gzip.compress(b" " * 10_000_000), content_encoding="gzip"), 413)["detail"]
    )


@pytest.mark.parametrize(
    ("encoding", "body"),
    [
        ("gzip", b"not gzip"),
        ("gzip", gzip.compress(b'{"instances": [{}]}', mtime=0)[:-5]),
        ("gzip", gzip.compress(b'{"instances": [{}]}', mtime=0) + b"rest"),
        ("gzip", gzip.compress(b"", mtime=0) * 20),
        ("deflate", b"not deflate"),
        ("gzip", b""),
    ],
)
def test_broken_compression_is_400(client: httpx.Client, encoding: str, body: bytes) -> None:
    assert_problem(post(client, body, content_encoding=encoding), 400)


def test_other_encodings_are_415(client: httpx.Client) -> None:
    for encoding in ("br", "gzip, gzip"):
        assert "Content-Encoding" in assert_problem(post(client, {}, content_encoding=encoding), 415)["detail"]


@pytest.mark.parametrize(
    "kind",
    ["application/x-www-form-urlencoded", "text/plain", "application/json; charset=utf-8", "application/octet-stream"],
)
def test_json_may_be_called_anything(client: httpx.Client, kind: str) -> None:
    """The examples of TensorFlow Serving send it as curl's default, a form."""
    for path in ("/v1/predict", "/v1/gates"):
        response = client.post(path, content='{"instances": [{}]}', headers={"content-type": kind})
        assert response.status_code == 200


def test_what_is_not_json_is_refused_whatever_it_is_called(client: httpx.Client) -> None:
    for path in ("/v1/predict", "/v1/gates"):
        response = client.post(path, content="age=1", headers={"content-type": "application/x-www-form-urlencoded"})
        assert "is not JSON" in assert_problem(response, 400)["detail"]


def test_no_content_type_is_taken_for_json(client: httpx.Client) -> None:
    assert client.post("/v1/predict", content=b'{"instances": [{}]}').status_code == 200


def test_signature_name_of_tensorflow_serving_is_ignored(client: httpx.Client) -> None:
    assert post(client, {"signature_name": "serving_default", "instances": [{}]}).status_code == 200


@pytest.mark.parametrize(
    ("path", "available"),
    [
        ("/v1/models/nope:predict", "hand, plain, wide"),
        ("/v1/models/hand/versions/3:predict", "2, 1"),
    ],
)
def test_unknown_models_and_versions_are_404(client: httpx.Client, path: str, available: str) -> None:
    problem = assert_problem(post(client, {"instances": [{}]}, path), 404)
    assert available in problem["detail"]


@pytest.mark.parametrize("path", ["/v1/models/:predict", "/v1/models/hand/versions/x:predict", "/v1/predict/", "/v3"])
def test_paths_that_are_none_are_404(client: httpx.Client, path: str) -> None:
    assert_problem(post(client, {"instances": [{}]}, path), 404)


@pytest.mark.parametrize("method", ["GET", "PUT", "DELETE", "OPTIONS", "HEAD"])
def test_other_methods_are_405(client: httpx.Client, method: str) -> None:
    response = client.request(method, "/v1/predict")
    assert response.status_code == 405
    assert response.headers["allow"] == "POST"


def test_the_callers_request_id_comes_back(client: httpx.Client) -> None:
    for body, path in (("[{}]", "/v1/predict"), ("", "/v1/predict"), ("", "/nope"), ("", "/v1/gates")):
        response = post(client, f'{{"instances": {body}}}', path, x_request_id="mine-1")
        assert response.headers["x-request-id"] == "mine-1"
    assert client.get("/health/live", headers={"x-request-id": "mine-2"}).headers["x-request-id"] == "mine-2"
    assert "x-request-id" not in post(client, {"instances": [{}]}).headers


def test_an_unfit_request_id_is_replaced(client: httpx.Client) -> None:
    replaced = assert_problem(post(client, {}, x_request_id="x" * 200), 400)["request_id"]
    other = assert_problem(post(client, {}), 400)["request_id"]
    assert "x" * 200 != replaced != other


@pytest.mark.parametrize("timeout", ["0", "-1", "1.5", "soon", "", "9" * 30])
def test_a_wrong_timeout_is_400(client: httpx.Client, timeout: str) -> None:
    detail = assert_problem(post(client, {"instances": [{}]}, x_request_timeout_ms=timeout), 400)["detail"]
    assert "X-Request-Timeout-Ms" in detail


def test_a_long_enough_timeout_changes_nothing(client: httpx.Client) -> None:
    assert post(client, {"instances": [{}]}, x_request_timeout_ms="60000").status_code == 200


def test_a_connection_serves_on_after_a_refusal(client: httpx.Client) -> None:
    for _ in range(3):
        assert_problem(post(client, "x" * 150_000), 413)
        assert_problem(post(client, "{"), 400)
        assert post(client, {"instances": [{}]}).status_code == 200
