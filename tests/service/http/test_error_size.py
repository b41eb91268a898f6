"""No answer to an error is large, whatever a client or a model file brought.

All errors, and refusals of all calls.
"""

import gzip
import json
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import httpx
import pytest

from service import errors
from service.errors import (
    ArtifactError,
    Forbidden,
    GatesUnavailable,
    InvalidFeatures,
    MalformedRequest,
    ModelNotFound,
    NotReady,
    Overloaded,
    RequestTooLarge,
    ServiceError,
    SettingsError,
    SlowClient,
    Unauthorised,
    UnsupportedMediaType,
    ValueProblem,
    VersionConflict,
)
from service.http.errors import http_error, problem_json, v2_error
from tests.support.error_tree import leaves

MOST_BYTES = 8 << 10
LONG = ["x" * 10**6, "\0" * 10**5, "\U0001f600" * 10**5, '"\\' * 10**5, "é\n" * 10**5]


def instances(text: str) -> list[ServiceError]:
    """Make every error, with a text wherever one can stand."""
    problems = [ValueProblem(10**9, text, text)] * 20
    return [
        MalformedRequest(text, text), InvalidFeatures(problems, 10**6, False), UnsupportedMediaType(text, text, [text]),
        RequestTooLarge(text, 10**9, 10**9, text, text), errors.HeadTooLarge(1, 1), SlowClient(text, 1.0),
        ModelNotFound(text, 10**17, [text] * 10**4, text), ModelNotFound(None, None, [text] * 10**4),
        GatesUnavailable(text, text), VersionConflict(text, text), Unauthorised(text), Forbidden(text, text, text),
        Overloaded(1.0, 1, 1, text), NotReady(text), errors.DeadlineExceeded(1.0), ArtifactError(text, text),
        SettingsError(text, text, text), errors.RunDirectoryGone(text),
        errors.HostNotAllowed(text.encode()), errors.TooManyWrongKeys(1e9),
        errors.UnsupportedTransferCoding(text.encode()),
    ]  # fmt: skip


@pytest.mark.parametrize("text", LONG, ids=lambda text: ascii(text[0]))
def test_no_error_is_written_large(text: str) -> None:
    made = instances(text)
    assert {type(error) for error in made} == set(leaves())
    for error in [*made, KeyError(text)]:
        for answer in (problem_json(error, text, b"r" * 128), v2_error(error, b"r" * 128)):
            head = sum(len(name) + len(value) + 4 for name, value in answer.headers)
            assert len(answer.body) + head < MOST_BYTES, type(error)
            assert json.loads(answer.body)
    for path in (f"/v1/{text}", f"/v2/{text}"):
        assert len(http_error(404, text, path, b"r" * 128, []).body) < MOST_BYTES


def test_problems_that_do_not_fit_are_counted() -> None:
    many = InvalidFeatures([ValueProblem(row, "é" * 90, "ü" * 300) for row in range(20)], 5)
    body = json.loads(problem_json(many, "/v1/predict", b"x").body)
    assert 0 < len(body["errors"]) < 20
    assert len(body["errors"]) + body["more_errors"] == 25


NAME = "\U0001f600" * 900


def long_names(manifest: dict[str, Any]) -> None:
    """Give features names of nearly the most characters that there may be."""
    for feature in manifest["features"]:
        feature["name"] = f"{NAME}{feature['name']}"


@pytest.fixture(scope="module")
def client(
    tmp_path_factory: pytest.TempPathFactory, hand_model: Callable[..., Path], start_service: Callable[..., Any]
) -> Iterator[httpx.Client]:
    root = tmp_path_factory.mktemp("long")
    hand_model(root, "hand", 1, edit=long_names)
    hand_model(root, "plain", 1, kind="plain")
    settings = {"default_model": "hand", "local_admin": "true"}
    with start_service(root, **settings) as service, httpx.Client(base_url=service.url, timeout=30) as made:
        yield made


L = "\\\u00e9" * 200_000
PREDICT, INFER, GATES = "/v1/models/hand:predict", "/v2/models/hand/infer", "/v1/models/hand:gates"
TENSOR = {"name": "numeric", "datatype": "FP32", "shape": [1, 3], "data": [1, 2, 3]}
COUNTLESS: dict[str, Any] = {str(i): [] for i in range(30_000)}
ROWS: list[Any] = [
    {L: 1}, {"instances": L}, {"instances": [L]}, {"instances": [{L: 1}]}, {"instances": [{}], L: 1}, {"inputs": L},
    {"instances": [{f"{i}{L[:999]}": L} for i in range(40)]},
    {"instances": [{f"{NAME}age": L, f"{NAME}colour": 5}] * 30},
    {"instances": [[L] * 5] * 30}, {"instances": [[1]]}, {"inputs": {L: L}}, {"inputs": {f"{NAME}age": [L]}},
    {"inputs": {f"{NAME}age": [1], f"{NAME}height": [1, 2]}}, {"inputs": COUNTLESS}, {"instances": [COUNTLESS]},
]  # fmt: skip
TENSORS: list[Any] = [
    L, [{"name": L}], [TENSOR | {"datatype": L}], [TENSOR | {"datatype": [[L]]}], [TENSOR | {"shape": [L]}],
    [TENSOR | {"shape": L}], [TENSOR | {"shape": [1] * 9999}], [TENSOR | {"data": L}], [TENSOR | {"parameters": L}],
    [TENSOR | {"data": None, "parameters": {"binary_data_size": L}}], [TENSOR | COUNTLESS],
]  # fmt: skip
OUTPUTS: list[Any] = [
    L, [L], [{"name": L}], [{"name": "price", "parameters": L}], [{"name": "price", "parameters": {"binary_data": L}}],
    [{"name": "price"}] * 9999,
]  # fmt: skip
BOTH = [TENSOR, {"name": "categorical", "datatype": "BYTES", "shape": [1, 2], "data": ["", ""]}]
BODIES: list[tuple[str, Any]] = [
    *((path, body) for path in (PREDICT, GATES) for body in ROWS),
    *((GATES, {"instances": [{}], key: [L]}) for key in ("contributions", "ablation", "top_k")),
    *((INFER, {"inputs": inputs}) for inputs in TENSORS),
    *((INFER, {"inputs": BOTH, "outputs": outputs}) for outputs in OUTPUTS),
    (INFER, {"inputs": BOTH, "id": [L]}),
    (INFER, {"inputs": BOTH, "parameters": L}),
    *((f"/v1/models/hand:{call}", body) for call in ("pin", "shadow") for body in ({"version": L}, {L: L}, [L])),
    ("/v1/models/hand:shadow", {"version": 1, "share": L}),
    ("/v2/repository/index", {"ready": L}),
    ("/v2/repository/index", {"ready": [[L]]}),
    ("/v2/repository/index", L),
]


def assert_small(answer: httpx.Response) -> None:
    assert 400 <= answer.status_code < 500, answer.text[:300]
    head = sum(len(name) + len(value) + 4 for name, value in answer.headers.raw)
    assert len(answer.content) + head < MOST_BYTES
    body = answer.json()
    assert body["error"] if "error" in body else body["detail"]


@pytest.mark.parametrize(("path", "body"), BODIES)
def test_no_refusal_of_a_body_is_large(client: httpx.Client, path: str, body: Any) -> None:
    content = json.dumps(body).encode()
    headers = {"content-type": "application/json", "x-request-id": "r" * 128}
    assert_small(client.post(path, content=content, headers=headers))
    assert_small(client.post(path, content=gzip.compress(content), headers=headers | {"content-encoding": "gzip"}))


DEEP = b"[" * 1000 + b"]" * 1000


@pytest.mark.parametrize(
    ("path", "body"),
    [
        (INFER, b'{"inputs": [{"name": "numeric", "datatype": "FP32", "shape": %b, "data": [1]}]}' % DEEP),
        (INFER, b'{"inputs": [{"name": "numeric", "datatype": %b}]}' % DEEP),
        (GATES, b'{"instances": [{}], "top_k": %b}' % DEEP),
        (PREDICT, b'{"instances": [{"a": %b}]}' % DEEP),
        ("/v1/models/hand:pin", b'{"version": %b}' % DEEP),
        ("/v1/models/hand:shadow", b'{"version": 1, "share": %b}' % DEEP),
        ("/v2/repository/index", b'{"ready": %b}' % DEEP),
    ],
)
def test_deep_values_are_refused_as_shallow_ones(client: httpx.Client, path: str, body: bytes) -> None:
    assert_small(client.post(path, content=body, headers={"content-type": "application/json"}))


W = "%C3%A9%00" * 5000


@pytest.mark.parametrize(
    "call", ["", ":predict", ":gates", ":pin", ":shadow", ":rollback", ":nothing", "/gates", "/metadata", "/shadow"]
)
@pytest.mark.parametrize("stem", ["/v1/models/{}", "/v1/models/hand/versions/{}", "/v1/models/{}/versions/1"])
@pytest.mark.parametrize("method", ["GET", "POST", "DELETE"])
def test_no_refusal_of_a_path_is_large(client: httpx.Client, call: str, stem: str, method: str) -> None:
    assert_small(client.request(method, stem.format(W) + call, json={"instances": [{}], "version": 1}))


OTHERS = [
    f"/{W}", f"/v2/{W}", f"/v2/models/{W}", f"/v2/models/{W}/ready", f"/v2/models/hand/versions/{W}/infer",
    f"/v2/repository/models/{W}/load", f"/v2/repository/models/{W}/unload",
]  # fmt: skip


@pytest.mark.parametrize("path", OTHERS)
def test_no_refusal_of_another_path_is_large(client: httpx.Client, path: str) -> None:
    assert_small(client.get(path))
    assert_small(client.post(path, json={}))


def test_no_refusal_of_a_query_is_large(client: httpx.Client) -> None:
    assert_small(client.get(f"/v1/models/hand/gates?window={W}"))


@pytest.mark.parametrize(
    "name", ["content-type", "content-encoding", "x-request-timeout-ms", "inference-header-content-length", "origin"]
)
@pytest.mark.parametrize("path", [PREDICT, INFER, GATES, "/v1/models/hand:pin"])
def test_no_refusal_of_a_header_is_large(client: httpx.Client, name: str, path: str) -> None:
    answer = client.post(
        path, content=b"{}", headers={b"content-type": b"application/json", name.encode(): b"\xe9" * 30_000}
    )
    assert_small(answer)
