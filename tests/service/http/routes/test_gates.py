"""`:gates` on a real server, against the closed form of the hand-made model."""

from collections.abc import Callable
from typing import Any

import httpx
import numpy as np
import pytest

from service import gates

TASKS = ["price", "sold", "grade"]
FEATURES = ["age", "height", "balance", "colour", "city"]


def inspect(client: httpx.Client, body: dict[str, Any], path: str = "/v1/gates") -> dict[str, Any]:
    response = client.post(path, json=body)
    assert response.status_code == 200, response.text
    answer: dict[str, Any] = response.json()
    return answer


def assert_refused(response: httpx.Response, status: int, fragment: str) -> None:
    assert response.status_code == status, response.text
    assert response.headers["content-type"] == "application/problem+json"
    assert fragment in response.json()["detail"]


@pytest.mark.parametrize("path", ["/v1/gates", "/v1/models/hand:gates", "/v1/models/hand/versions/2:gates"])
def test_weights_entropy_and_top_expert_of_each_row(
    client: httpx.Client, oracle: Any, rows: list[Any], path: str
) -> None:
    answer = inspect(client, {"instances": rows}, path)
    weights = oracle.answer(rows)["gate_weights"]
    assert (answer["model"], answer["version"], answer["task_names"]) == ("hand", 2, TASKS)
    assert len(answer["rows"]) == len(rows)
    for r, row in enumerate(answer["rows"]):
        assert list(row["tasks"]) == TASKS
        for t, task in enumerate(TASKS):
            said = row["tasks"][task]
            assert list(said) == ["gate_weights", "normalised_entropy", "top_expert"]
            np.testing.assert_allclose(said["gate_weights"], weights[r, t], rtol=2e-5, atol=1e-6)
            entropy = -(weights[r, t] * np.log(weights[r, t])).sum() / np.log(4)
            assert said["normalised_entropy"] == pytest.approx(entropy, abs=1e-5)
            assert said["top_expert"] == weights[r, t].argmax()


def test_utilisation_and_similarity_over_the_rows(client: httpx.Client, oracle: Any, rows: list[Any]) -> None:
    answer = inspect(client, {"instances": rows})
    weights = oracle.answer(rows)["gate_weights"]
    for t, task in enumerate(TASKS):
        np.testing.assert_allclose(answer["tasks"][task]["utilisation"], weights[:, t].mean(axis=0), atol=1e-6)
        assert sum(answer["tasks"][task]["utilisation"]) == pytest.approx(1, abs=1e-6)
        each = [row["tasks"][task]["normalised_entropy"] for row in answer["rows"]]
        assert answer["tasks"][task]["normalised_entropy"] == pytest.approx(np.mean(each), abs=1e-6)
    np.testing.assert_allclose(answer["similarity"], gates.similarity(weights), atol=1e-5)


def test_columns_are_inspected_too(client: httpx.Client) -> None:
    columns = inspect(client, {"inputs": {"age": [1.0, 2.0], "colour": ["red", None]}})
    rows = inspect(client, {"instances": [{"age": 1.0, "colour": "red"}, {"age": 2.0}]})
    assert columns == rows


def test_contributions_and_the_base_add_up_to_the_logit(client: httpx.Client, oracle: Any, rows: list[Any]) -> None:
    answer = inspect(client, {"instances": rows, "contributions": True})
    expected = oracle.answer(rows)
    for r, row in enumerate(answer["rows"]):
        for t, task in enumerate(TASKS):
            logits = []
            for e, logit in enumerate(row["tasks"][task]["contributions"]):
                assert list(logit) == ["base", "logit", "features"]
                shares = {share["feature"]: share["contribution"] for share in logit["features"]}
                np.testing.assert_allclose(
                    [shares[name] for name in FEATURES], expected["gate_contributions"][r, t, e], atol=1e-5
                )
                seen = [
                    shares_of["contribution"]
                    for other in row["tasks"][task]["contributions"]
                    for shares_of in other["features"]
                    if shares_of["feature"] == logit["features"][0]["feature"]
                ]
                first = logit["features"][0]
                np.testing.assert_allclose(first["centred"], first["contribution"] - np.mean(seen), atol=1e-5)
                sizes = [abs(share["contribution"]) for share in logit["features"]]
                assert sizes == sorted(sizes, reverse=True)
                assert logit["base"] + sum(shares.values()) == pytest.approx(logit["logit"], abs=1e-5)
                logits.append(logit["logit"])
            softmax = np.exp(logits) / np.exp(logits).sum()
            np.testing.assert_allclose(softmax, row["tasks"][task]["gate_weights"], atol=1e-5)


def test_top_k_lists_the_largest_and_sums_up_the_rest(client: httpx.Client, rows: list[Any]) -> None:
    full = inspect(client, {"instances": rows[:1], "contributions": True})
    short = inspect(client, {"instances": rows[:1], "contributions": True, "top_k": 2})
    for task in TASKS:
        pairs = zip(*(a["rows"][0]["tasks"][task]["contributions"] for a in (full, short)), strict=True)
        for whole, part in pairs:
            assert part["features"] == whole["features"][:2]
            rest = sum(share["contribution"] for share in whole["features"][2:])
            assert part["rest"] == pytest.approx(rest, abs=1e-5)
    assert inspect(client, {"instances": rows[:1], "contributions": True, "top_k": 99}) == full
    assert inspect(client, {"instances": rows[:1], "contributions": True, "top_k": 866.0}) == full


def test_two_rows_are_compared_by_what_contributes_otherwise(client: httpx.Client, oracle: Any) -> None:
    pair = [{"age": 9.0, "colour": "red"}, {"age": 14.0, "colour": "red", "city": "Oslo"}]
    body = {"instances": pair, "contributions": True, "predictions": True, "compared_with": 0, "top_k": 2}
    before, after = inspect(client, body)["rows"]
    expected = oracle.answer(pair)
    for name in TASKS:
        np.testing.assert_allclose(after["predictions"][name], expected[name][1], rtol=1e-4, atol=1e-5)
    shares = expected["gate_contributions"]  # (B, T, E, F)
    centred = shares - shares.mean(axis=2, keepdims=True)
    change = centred[1] - centred[0]
    for t, task in enumerate(TASKS):
        for e, entry in enumerate(after["tasks"][task]["contributions"]):
            ranked = np.argsort(-np.abs(change[t, e]))[:2]
            assert [listed["feature"] for listed in entry["features"]] == [FEATURES[f] for f in ranked]
            np.testing.assert_allclose([one["change"] for one in entry["features"]], change[t, e, ranked], atol=1e-5)
            assert {listed["feature"] for listed in entry["features"]} == {"age", "city"}
        assert all("change" not in one for entry in before["tasks"][task]["contributions"] for one in entry["features"])


def test_ablation_is_the_change_when_an_expert_is_left_out(client: httpx.Client, oracle: Any, rows: list[Any]) -> None:
    answer = inspect(client, {"instances": rows, "ablation": True})
    with_all = oracle.answer(rows)
    numeric = np.array([[row.get(name) for name in FEATURES[:3]] for row in rows], float)
    texts = np.array([[row.get(name) or "" for name in FEATURES[3:]] for row in rows], object)
    for expert in range(4):
        without = oracle.weights.answer(numeric, texts, 1.0 - np.eye(4)[expert])
        for r, row in enumerate(answer["rows"]):
            for task in TASKS:
                moved = row["tasks"][task]["ablation"][expert]
                np.testing.assert_allclose(moved, without[task][r] - with_all[task][r], rtol=1e-4, atol=1e-5)


def test_everything_at_once(client: httpx.Client, rows: list[Any]) -> None:
    both = inspect(client, {"instances": rows, "contributions": True, "ablation": True, "top_k": 1})
    assert list(both["rows"][0]["tasks"]["price"]) == [
        "gate_weights",
        "normalised_entropy",
        "top_expert",
        "contributions",
        "ablation",
    ]


def test_a_model_without_gates_is_409(client: httpx.Client) -> None:
    assert_refused(client.post("/v1/models/plain:gates", json={"instances": [{}]}), 409, "without gates")
    assert_refused(client.get("/v1/models/plain/gates"), 409, "without gates")


@pytest.mark.parametrize(
    ("body", "status", "fragment"),
    [
        ({"instances": [{"age": "x"}]}, 422, "row 0, feature 'age'"),
        ({"instances": []}, 422, "no rows"),
        ({"instances": [{}] * 51}, 413, "MMOE_MAX_ROWS"),
        ({}, 400, "neither"),
        ({"instances": [{}], "contributions": 1}, 400, '"contributions" is 1'),
        ({"instances": [{}], "ablation": "yes"}, 400, "\"ablation\" is 'yes'"),
        ({"instances": [{}], "predictions": 1}, 400, '"predictions" is 1'),
        ({"instances": [{}], "compared_with": 0}, 400, '"contributions": true'),
        ({"instances": [{}], "contributions": True, "compared_with": 1}, 400, "from 0 to 0"),
        ({"instances": [{}], "contributions": True, "compared_with": -1}, 400, '"compared_with" is -1'),
        ({"instances": [{}], "top_k": 0}, 400, '"top_k" is 0'),
        ({"instances": [{}], "top_k": True}, 400, '"top_k" is true'),
        ({"instances": [{}], "top_k": 1.5}, 400, '"top_k" is 1.5'),
        ({"instances": [{}], "topk": 1}, 400, "'topk'"),
    ],
)
def test_wrong_inspections_are_refused(client: httpx.Client, body: Any, status: int, fragment: str) -> None:
    assert_refused(client.post("/v1/gates", json=body), status, fragment)


def test_unknown_models_and_methods(client: httpx.Client) -> None:
    assert_refused(client.post("/v1/models/nope:gates", json={"instances": [{}]}), 404, "nope")
    assert client.get("/v1/models/hand:gates").status_code == 405


def test_an_inspection_that_would_answer_too_much_is_refused(
    start_service: Callable[..., Any], tmp_path: Any, hand_model: Callable[..., Any]
) -> None:
    hand_model(tmp_path, "wide", kind="wide")
    with start_service(tmp_path) as service:
        body = {"inputs": {"x0": [1.0] * 900}, "contributions": True}
        assert_refused(httpx.post(f"{service.url}/v1/gates", json=body, timeout=60), 413, "at most 833")


def test_inspections_are_no_traffic(client: httpx.Client, rows: list[Any]) -> None:
    before = client.get("/v1/gates?window=1h").json()["rows"]
    inspect(client, {"instances": rows, "contributions": True, "ablation": True})
    assert client.get("/v1/gates?window=1h").json()["rows"] == before
    client.post("/v1/predict", json={"instances": rows})
    assert client.get("/v1/gates?window=1h").json()["rows"] == before + len(rows)
