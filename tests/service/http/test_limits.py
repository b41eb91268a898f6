"""Every limit of docs/api.md, met by a client of a real service.

What is over it is refused, the next is served.
"""

import gzip
import json
import socket
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import httpx
import pytest

PREDICT, INFER = "/v1/models/hand:predict", "/v2/models/hand/infer"
INSPECT, PIN, INDEX = "/v1/models/hand:gates", "/v1/models/hand:pin", "/v2/repository/index"
JSON = {"Content-Type": "application/json"}
MOST_ROWS, MOST_BYTES, MOST_INFLATED = 5, 2048, 4096


@pytest.fixture(scope="module")
def url(
    tmp_path_factory: pytest.TempPathFactory, hand_model: Callable[..., Path], start_service: Callable[..., Any]
) -> Iterator[str]:
    root = tmp_path_factory.mktemp("limited")
    hand_model(root, "hand", 1)
    sizes = {
        "max_rows": str(MOST_ROWS),
        "max_queue_rows": str(MOST_ROWS),
        "max_body_bytes": str(MOST_BYTES),
        "max_inflated_bytes": str(MOST_INFLATED),
    }
    with start_service(root, keep_alive_s="1", client_timeout_s="0.5", local_admin="true", **sizes) as service:
        yield service.url


@pytest.fixture
def client(url: str) -> Iterator[httpx.Client]:
    with httpx.Client(base_url=url, timeout=30) as made:
        yield made
        assert made.post(PREDICT, json=rows(1)).status_code == 200


def rows(count: int) -> dict[str, Any]:
    return {"instances": [{"age": 1}] * count}


def connect(url: str) -> socket.socket:
    return socket.create_connection(("127.0.0.1", int(url.rpartition(":")[2])), timeout=30)


def status_of(answer: httpx.Response) -> tuple[int, str]:
    body = answer.json()
    return answer.status_code, body["error"] if "error" in body else body["detail"]


def tensor(count: int) -> dict[str, Any]:
    numeric = {"name": "numeric", "datatype": "FP32", "shape": [count, 3], "data": [1] * 3 * count}
    categorical = {"name": "categorical", "datatype": "BYTES", "shape": [count, 2], "data": [""] * 2 * count}
    return {"inputs": [numeric, categorical]}


@pytest.mark.parametrize(
    ("path", "body"),
    [
        (PREDICT, rows(MOST_ROWS + 1)),
        (PREDICT, {"inputs": {"age": [1] * (MOST_ROWS + 1)}}),
        (INSPECT, rows(MOST_ROWS + 1)),
        (INFER, tensor(MOST_ROWS + 1)),
    ],
)
def test_rows(client: httpx.Client, path: str, body: Any) -> None:
    status, sentence = status_of(client.post(path, json=body))
    assert status == 413
    assert f"6 rows; at most {MOST_ROWS} are taken" in sentence


@pytest.mark.parametrize("path", [PREDICT, INSPECT, INFER, PIN, INDEX])
@pytest.mark.parametrize("chunked", [False, True])
def test_bytes_of_a_body(client: httpx.Client, path: str, chunked: bool) -> None:
    body = b" " * (MOST_BYTES + 1)
    pieces = (body[start : start + 500] for start in range(0, len(body), 500))
    status, sentence = status_of(client.post(path, content=pieces if chunked else body, headers=JSON))
    assert status == 413
    assert f"at most {MOST_BYTES} are taken" in sentence
    assert "MMOE_MAX_BODY_BYTES" in sentence


@pytest.mark.parametrize("path", [PREDICT, INSPECT, INFER, PIN, INDEX])
def test_bytes_of_a_body_when_inflated(client: httpx.Client, path: str) -> None:
    bomb = gzip.compress(b" " * 1_000_000)
    assert len(bomb) < MOST_BYTES
    status, sentence = status_of(client.post(path, content=bomb, headers={**JSON, "Content-Encoding": "gzip"}))
    assert status == 413
    assert "MMOE_MAX_INFLATED_BYTES" in sentence


@pytest.mark.parametrize("method", ["GET", "POST"])
@pytest.mark.parametrize("headers", [{"X-Long": "x" * (64 << 10)}, {f"X-{i}": "x" for i in range(101)}])
def test_bytes_and_number_of_headers(client: httpx.Client, method: str, headers: dict[str, str]) -> None:
    path = PREDICT if method == "POST" else "/v1/models"
    assert client.request(method, path, headers=headers).status_code == 431
    fitting = {f"X-{i}": "x" * 500 for i in range(80)}
    body = json.dumps(rows(1)).encode() if method == "POST" else None
    assert client.request(method, path, content=body, headers=JSON | fitting).status_code == 200


def test_the_length_of_a_path_counts_as_a_header(url: str, client: httpx.Client) -> None:
    with connect(url) as connection:
        connection.sendall(b"GET /v1/models/%b HTTP/1.1\r\nhost: localhost\r\n\r\n" % (b"x" * (64 << 10)))
        assert connection.recv(65536).startswith(b"HTTP/1.1 431 ")


@pytest.mark.parametrize(
    "sent",
    [
        b"POST /v1/predict HTTP/1.1\r\nhost",
        b"POST /v1/predict HTTP/1.1\r\nhost: localhost\r\ncontent-length: 9\r\n\r\n{",
        b"POST /v1/gates HTTP/1.1\r\nhost: localhost\r\ncontent-length: 9\r\n\r\n{",
        b"POST /v2/repository/index HTTP/1.1\r\nhost: localhost\r\ntransfer-encoding: chunked\r\n\r\n1\r\n{\r\n",
    ],
)
def test_seconds_until_a_request_has_come(url: str, client: httpx.Client, sent: bytes) -> None:
    with connect(url) as connection:
        connection.sendall(sent)
        assert connection.recv(65536).startswith(b"HTTP/1.1 408 ")


def test_seconds_of_an_idle_connection(url: str, client: httpx.Client) -> None:
    with connect(url) as connection:
        connection.sendall(b"GET /health/live HTTP/1.1\r\nhost: localhost\r\n\r\n")
        while answer := connection.recv(65536):
            assert b"200" in answer or b"live" in answer
