"""`:predict` on a real server: right answers in both forms, and the right refusal of every bad one."""

import asyncio
import gzip
import json
import socket
import zlib
from collections.abc import Callable
from typing import Any
from urllib.parse import urlsplit

import httpx
import numpy as np
import pytest

LIST = [9.5, 12, -3.25, "red", "Oslo"]
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


def assert_answers(answer: dict[str, Any], expected: dict[str, Any]) -> None:
    """Compare an answer to rows with the closed form."""
    tasks = [task for task in expected if not task.startswith("gate_")]
    for row, prediction in enumerate(answer["predictions"]):
        assert list(prediction) == ["tasks", "gate_weights"]
        assert list(prediction["tasks"]) == list(prediction["gate_weights"]) == tasks
        for t, task in enumerate(tasks):
            np.testing.assert_allclose(prediction["tasks"][task], expected[task][row], rtol=2e-5, atol=1e-6)
            weights = prediction["gate_weights"][task]
            np.testing.assert_allclose(weights, expected["gate_weights"][row, t], rtol=2e-5, atol=1e-6)
            assert sum(weights) == pytest.approx(1, abs=1e-6)


def test_rows_are_answered_as_the_closed_form_says(client: httpx.Client, oracle: Any, rows: list[Any]) -> None:
    response = post(client, {"instances": rows})
    assert response.status_code == 200
    assert response.headers["content-type"] == "application/json"
    answer = response.json()
    assert list(answer) == ["model", "version", "predictions"]
    assert (answer["model"], answer["version"], len(answer["predictions"])) == ("hand", 2, len(rows))
    assert_answers(answer, oracle.answer(rows))


@pytest.mark.parametrize("path", ["/v1/models/hand:predict", "/v1/models/hand/versions/2:predict"])
def test_a_model_may_be_named(client: httpx.Client, rows: list[Any], path: str) -> None:
    assert post(client, {"instances": rows}, path).json() == post(client, {"instances": rows}).json()


def test_a_version_may_be_named(client: httpx.Client, hand_weights: Callable[..., Any], rows: list[Any]) -> None:
    answer = post(client, {"instances": rows[:1]}, "/v1/models/hand/versions/1:predict").json()
    assert answer["version"] == 1
    expected = hand_weights().answer(np.array([LIST[:3]], float), np.array([LIST[3:]], object))
    assert_answers(answer, expected)


@pytest.mark.parametrize(("version", "path"), [("2", ""), ("1", "/versions/1")])
def test_every_answer_names_its_version_in_the_head(
    client: httpx.Client, rows: list[Any], version: str, path: str
) -> None:
    for call in (":predict", ":gates"):
        response = post(client, {"instances": rows}, f"/v1/models/hand{path}{call}")
        assert response.headers["x-model-version"] == str(response.json()["version"]) == version
    tensors = [
        {"name": "numeric", "datatype": "FP32", "shape": [1, 3], "data": LIST[:3]},
        {"name": "categorical", "datatype": "BYTES", "shape": [1, 2], "data": LIST[3:]},
    ]
    response = post(client, {"inputs": tensors}, f"/v2/models/hand{path}/infer")
    assert response.headers["x-model-version"] == response.json()["model_version"] == version


def test_columns_are_answered_in_columns(client: httpx.Client, rows: list[Any]) -> None:
    names = ("age", "height", "balance", "colour", "city")
    columns = {name: [row.get(name) for row in rows] for name in names}
    by_row = post(client, {"instances": rows}).json()["predictions"]
    answer = post(client, {"inputs": columns}).json()
    assert list(answer) == ["model", "version", "outputs"]
    for part in ("tasks", "gate_weights"):
        for task, values in answer["outputs"][part].items():
            assert values == [row[part][task] for row in by_row]


def test_lists_dicts_and_both_mean_the_same(client: httpx.Client) -> None:
    named = dict(zip(("age", "height", "balance", "colour", "city"), LIST, strict=True))
    answers = post(client, {"instances": [LIST, named, LIST]}).json()["predictions"]
    assert answers[0] == answers[1] == answers[2]


def test_an_absent_column_is_missing(client: httpx.Client) -> None:
    columns = post(client, {"inputs": {"age": [9.5, 2.0]}}).json()["outputs"]["tasks"]
    rows = post(client, {"instances": [{"age": 9.5}, {"age": 2.0}]}).json()["predictions"]
    assert columns["price"] == [row["tasks"]["price"] for row in rows]


def test_only_numbers_take_the_fast_path_and_answer_the_same(client: httpx.Client) -> None:
    path = "/v1/models/wide:predict"
    random = np.random.default_rng(3).normal(10, 3, (7, 100)).round(3).tolist()
    fast = post(client, {"instances": random}, path)
    slow = post(
        client, {"instances": [*random[:-1], dict(zip([f"x{i}" for i in range(100)], random[-1], strict=True))]}, path
    )
    assert fast.status_code == 200
    assert fast.content == slow.content


def test_a_model_without_gates_says_null(client: httpx.Client, rows: list[Any]) -> None:
    answer = post(client, {"instances": rows}, "/v1/models/plain:predict").json()
    assert [row["gate_weights"] for row in answer["predictions"]] == [None] * len(rows)
    columns = post(client, {"inputs": {"age": [1.0]}}, "/v1/models/plain:predict").json()
    assert columns["outputs"]["gate_weights"] is None


def test_numbers_print_as_the_shortest_float32(client: httpx.Client, rows: list[Any]) -> None:
    for text in _numbers(post(client, {"instances": rows}).text):
        value = np.float32(text)
        assert abs(float(text) - float(str(value))) <= 1e-12 * abs(float(text))
        assert len(text.replace(".", "").replace("-", "").lstrip("0").partition("e")[0]) <= 9


def _numbers(text: str) -> list[str]:
    found: list[str] = []
    json.loads(text, parse_float=found.append)
    return found


# SERVING.md's table of bad input, and more. `hand` has categories (named and listed rows, columns), `wide` only
# numbers (which take the fast path).


def hand(value: str, feature: str = "age") -> list[str]:
    position = ["age", "height", "balance", "colour", "city"].index(feature)
    listed = ["9.5", "12", "-3.25", '"red"', '"Oslo"']
    listed[position] = value
    return [
        f'{{"instances": [{{"{feature}": {value}}}]}}',
        f'{{"instances": [[{", ".join(listed)}]]}}',
        f'{{"inputs": {{"{feature}": [{value}]}}}}',
    ]


def wide(value: str) -> str:
    return '{"instances": [[' + ", ".join([value] + ["0.5"] * 99) + "]]}"


def in_every_form(value: str) -> list[tuple[str, str]]:
    return [*(("hand", body) for body in hand(value)), ("wide", wide(value))]


NO_NUMBERS = ("NaN", "Infinity", "-Infinity", "1e999", "-1e999", "01", "+1", "1.")
MALFORMED = [
    *(case for token in NO_NUMBERS for case in in_every_form(token)),
    ("hand", ""),
    ("hand", "{"),
    ("hand", '{"instances": [[1, 2'),
    ("hand", '{"instances": [{"age": 1}]} trailing'),
    ("hand", "null"),
    ("hand", "3"),
    ("hand", '"instances"'),
    ("hand", "[[1, 2]]"),
    ("hand", "{}"),
    ("hand", '{"instances": {"age": 1}}'),
    ("hand", '{"instances": null}'),
    ("hand", '{"inputs": [1, 2]}'),
    ("hand", '{"instances": [{}], "inputs": {}}'),
    ("hand", '{"instances": [{}], "contributions": true}'),
    ("hand", '{"instance": [{}]}'),
    ("hand", b'{"instances": [{"colour": "\xff"}]}'),
    ("hand", b"\x00\x01"),
    ("hand", '{"instances": [{"colour": "\\ud800"}]}'),
    ("hand", "age,height\n1,2"),
    ("hand", '{"instances": [' + "[" * 90_000),
]  # fmt: skip


@pytest.mark.parametrize(("model", "body"), MALFORMED)
def test_what_is_malformed_is_400(client: httpx.Client, model: str, body: str | bytes) -> None:
    problem = assert_problem(post(client, body, f"/v1/models/{model}:predict"), 400)
    assert problem["code"] == "malformed"
    assert problem["errors"] == []


@pytest.mark.parametrize("token", ["NaN", "-Infinity", "None"])
@pytest.mark.parametrize("path", ["/v1/predict", "/v1/gates"])
def test_who_sends_nan_learns_to_send_null(client: httpx.Client, token: str, path: str) -> None:
    detail = assert_problem(post(client, f'{{"instances": [{{"age": {token}}}]}}', path), 400)["detail"]
    assert "a missing value is null" in detail


WRONG = [
    *((*case, 0, "infinite as float32") for case in in_every_form("1e39")),
    *((*case, 0, "infinite as float32") for case in in_every_form("-1e300")),
    *((*case, 0, "the string '1.5'") for case in in_every_form('"1.5"')),
    *((*case, 0, "true") for case in in_every_form("true")),
    *((*case, 0, "false") for case in in_every_form("false")),
    *((*case, 0, "an array") for case in in_every_form("[1]")),
    *((*case, 0, "an object") for case in in_every_form("{}")),
    *((*case, 0, "the string ''") for case in in_every_form('""')),
    *(("hand", body, 0, "expected a string or null") for body in hand("5", "colour")),
    *(("hand", body, 0, "expected a string or null") for body in hand("true", "city")),
    *(("hand", body, 0, "expected a string or null") for body in hand("[]", "colour")),
    ("hand", '{"instances": [{"age": 1, "agee": 2}]}', 0, "did you mean 'age'"),
    ("hand", '{"inputs": {"agee": [2]}}', None, "did you mean 'age'"),
    ("hand", '{"instances": [[1, 2, 3, "red"]]}', 0, "has 4 values; expected 5"),
    ("hand", '{"instances": [[1, 2, 3, "red", "Oslo", 1]]}', 0, "has 6 values; expected 5"),
    ("wide", json.dumps({"instances": [WIDE[:99]]}), 0, "has 99 values; expected 100"),
    ("wide", json.dumps({"instances": [[*WIDE, 1]]}), 0, "has 101 values; expected 100"),
    ("wide", json.dumps({"instances": [WIDE, WIDE[:99]]}), 1, "has 99 values; expected 100"),
    ("wide", json.dumps({"instances": [WIDE[:50], WIDE + WIDE[:50]]}), 0, "has 50 values; expected 100"),
    ("wide", json.dumps({"instances": [[*WIDE[:98], [0.5, 0.5]]]}), 0, "has 99 values; expected 100"),
    ("wide", json.dumps({"instances": [[*WIDE[:98], [0.5, 0.5], []]]}), 0, "an array"),
    ("wide", json.dumps({"instances": [WIDE, 5]}), 1, "expected an object"),
    ("hand", '{"instances": [{"age": 1}, [1, 2]]}', 1, "has 2 values"),
    ("hand", '{"instances": [1, 2]}', 0, "expected an object"),
    ("hand", '{"instances": [null]}', 0, "null"),
    ("hand", '{"inputs": {"age": [1, 2], "height": [1]}}', None, "has 1 rows"),
    ("hand", '{"inputs": {"age": 5}}', None, "expected an array"),
    ("hand", '{"inputs": {"age": null}}', None, "expected an array"),
    ("hand", '{"instances": []}', None, "no rows"),
    ("wide", '{"instances": []}', None, "no rows"),
    ("hand", '{"inputs": {}}', None, "no rows"),
    ("hand", '{"inputs": {"age": []}}', None, "no rows"),
    ("wide", '{"instances": [[]]}', 0, "has 0 values"),
]  # fmt: skip


@pytest.mark.parametrize(("model", "body", "row", "message"), WRONG)
def test_what_is_wrong_is_422_and_says_where(
    client: httpx.Client, model: str, body: str, row: int | None, message: str
) -> None:
    problem = assert_problem(post(client, body, f"/v1/models/{model}:predict"), 422)
    assert problem["code"] == "invalid_features"
    first = problem["errors"][0]
    assert list(first) == ["row", "feature", "message"]
    assert first["row"] == row
    assert message in first["message"]


def test_every_problem_is_listed_with_its_place(client: httpx.Client) -> None:
    rows = [{"age": "x"}, {"colour": 1, "height": 2}, {"nope": 1}]
    problem = assert_problem(post(client, {"instances": rows}), 422)
    places = [(error["row"], error["feature"]) for error in problem["errors"]]
    assert places == [(0, "age"), (1, "colour"), (2, "nope")]


def test_numbers_too_extreme_for_the_model_are_wrong_too(client: httpx.Client) -> None:
    rows = [WIDE, [3e38] * 100]
    problem = assert_problem(post(client, {"instances": rows}, "/v1/models/wide:predict"), 422)
    assert problem["errors"][0]["row"] == 1
    assert "not finite" in problem["errors"][0]["message"]


def test_too_many_rows_are_refused(client: httpx.Client) -> None:
    assert post(client, {"instances": [{}] * 50}).status_code == 200
    assert "MMOE_MAX_ROWS" in assert_problem(post(client, {"instances": [{}] * 51}), 413)["detail"]
    assert_problem(post(client, {"inputs": {"age": [1] * 51}}), 413)
    assert_problem(post(client, {"instances": [WIDE] * 51}, "/v1/models/wide:predict"), 413)


def test_a_body_over_the_limit_is_refused_before_it_is_sent(service: Any) -> None:
    address = urlsplit(service.url)
    with socket.create_connection((address.hostname, address.port), timeout=30) as connection:
        head = (
            "POST /v1/predict HTTP/1.1\r\nhost: x\r\ncontent-type: application/json\r\ncontent-length: 100001\r\n\r\n"
        )
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
        ("gzip", gzip.compress(b'{"instances": [{}]}')[:-5]),
        ("gzip", gzip.compress(b'{"instances": [{}]}') + b"rest"),
        ("gzip", gzip.compress(b"") * 20),
        ("deflate", b"not deflate"),
        ("gzip", b""),
    ],
)
def test_broken_compression_is_400(client: httpx.Client, encoding: str, body: bytes) -> None:
    assert_problem(post(client, body, content_encoding=encoding), 400)


def test_other_encodings_are_415(client: httpx.Client) -> None:
    for encoding in ("br", "gzip, gzip"):
        assert "Content-Encoding" in assert_problem(post(client, {}, content_encoding=encoding), 415)["detail"]


@pytest.mark.parametrize("kind", ["application/x-www-form-urlencoded", "text/plain", "application/octet-stream"])
def test_other_content_types_are_415(client: httpx.Client, kind: str) -> None:
    response = client.post("/v1/predict", content='{"instances": [{}]}', headers={"content-type": kind})
    assert "application/json" in assert_problem(response, 415)["detail"]


@pytest.mark.parametrize("kind", ["application/json; charset=utf-8", "Application/JSON", "application/ld+json"])
def test_json_may_be_named_in_many_ways(client: httpx.Client, kind: str) -> None:
    response = client.post("/v1/predict", content='{"instances": [{}]}', headers={"content-type": kind})
    assert response.status_code == 200


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


def test_one_wrong_row_beside_good_requests_harms_none(service: Any) -> None:
    """Send good and bad requests together, over and over: each gets its own answer."""
    good = [{"instances": [[float(i + j) for j in range(100)]]} for i in range(30)]
    bad = [{"instances": [WIDE, [3e38] * 100]}, {"instances": [WIDE[:99]]}, {"instances": [["x", *WIDE[1:]]]}]
    path = "/v1/models/wide:predict"

    async def play() -> None:
        async with httpx.AsyncClient(base_url=service.url, timeout=60) as client:
            alone = [(await client.post(path, json=body)).json() for body in good]

            async def ask(number: int, body: Any) -> None:
                response = await client.post(path, json=body)
                if number < len(good):
                    assert response.status_code == 200
                    assert_close(response.json(), alone[number])
                else:
                    assert response.status_code == 422
                    assert response.json()["errors"]

            for _ in range(5):
                await asyncio.gather(*(ask(number, body) for number, body in enumerate([*good, *bad])))

    asyncio.run(play())


def assert_close(one: dict[str, Any], other: dict[str, Any]) -> None:
    """Compare answers whose last digit may depend on how many rows ran together."""
    for a, b in zip(one["predictions"], other["predictions"], strict=True):
        assert a["tasks"] == pytest.approx(b["tasks"], rel=1e-5)
        for task, weights in a["gate_weights"].items():
            assert weights == pytest.approx(b["gate_weights"][task], rel=1e-4, abs=1e-6)
