"""`:predict` on a real server: right answers in both forms, whoever asks beside."""

import asyncio
import json
from collections.abc import Callable
from typing import Any

import httpx
import numpy as np
import pytest

from tests.support.v1 import WIDE, post

LIST = [9.5, 12, -3.25, "red", "Oslo"]


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
