"""A model with features of every kind, asked in every way: the answer is the closed form's."""

import json
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import httpx
import numpy as np
import pytest

from tests.support.hand_weights import MISSING_TIME, raw_times
from tests.support.v2 import binary, post, post_raw, strings, tensor
from tests.support.v2_answers import arrays, assert_error, assert_expected

NAME, ROWS = "kinds", 12
PREDICT, GATES, INFER = f"/v1/models/{NAME}:predict", f"/v1/models/{NAME}:gates", f"/v2/models/{NAME}/infer"


@pytest.fixture(scope="module")
def log(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return tmp_path_factory.mktemp("log")


@pytest.fixture(scope="module")
def kinds(
    hand_model: Callable[..., Path],
    start_service: Callable[..., Any],
    tmp_path_factory: pytest.TempPathFactory,
    log: Path,
) -> Iterator[httpx.Client]:
    """Serve the model; its golden rows were proved when it was loaded."""
    root = tmp_path_factory.mktemp("kinds")
    hand_model(root, NAME, kind="kinds")
    settings = {"prediction_log": str(log), "prediction_log_features": "true"}
    with start_service(root, **settings) as service, httpx.Client(base_url=service.url, timeout=30) as client:
        yield client


class Case:
    """Raw rows, the same as JSON, and the closed form's answers to them."""

    def __init__(self, weights: Any, raw: Any) -> None:
        self.weights = weights
        self.numeric, self.texts = raw
        times = raw_times(weights, ROWS, seed=7)
        assert times is not None
        self.times = times
        self.expected = weights.answer(self.numeric, self.texts, times=times)
        separators = [None] * 3 + [bag.separator for bag in weights.bags.values()]
        self.names = [*weights.names, *weights.texts, *weights.times]
        self.rows = [
            [
                *(None if np.isnan(number) else float(number) for number in numbers),
                *(cell(text, separator) for text, separator in zip(texts, separators, strict=True)),
                *(None if moment == MISSING_TIME else int(moment) for moment in moments),
            ]
            for numbers, texts, moments in zip(self.numeric, self.texts, times, strict=True)
        ]

    def named(self) -> list[dict[str, Any]]:
        return [dict(zip(self.names, row, strict=True)) for row in self.rows]

    def columns(self) -> dict[str, list[Any]]:
        return dict(zip(self.names, map(list, zip(*self.rows, strict=True)), strict=True))

    def assert_rows(self, answer: httpx.Response) -> None:
        assert answer.status_code == 200, answer.text
        for task in ("price", "sold", "grade"):
            came = [row["tasks"][task] for row in answer.json()["predictions"]]
            np.testing.assert_allclose(came, self.expected[task], rtol=2e-5, atol=1e-6)


def cell(text: str, separator: str | None) -> Any:
    """Return a text as a row of JSON has it."""
    return (text or None) if separator is None else text.split(separator) if text else None


@pytest.fixture(scope="module")
def case(hand_weights: Callable[..., Any], hand_rows: Callable[..., Any]) -> Case:
    weights = hand_weights("kinds")
    return Case(weights, hand_rows(weights, ROWS, seed=7))


def test_rows_by_name_and_in_order(kinds: httpx.Client, case: Case) -> None:
    case.assert_rows(kinds.post(PREDICT, json={"instances": case.named()}))
    case.assert_rows(kinds.post(PREDICT, json={"instances": case.rows}))
    case.assert_rows(kinds.post(PREDICT, json={"instances": [{k: v for k, v in row.items() if v is not None} for row in
                                                             case.named()]}))  # fmt: skip


def test_columns(kinds: httpx.Client, case: Case) -> None:
    answer = kinds.post(PREDICT, json={"inputs": case.columns()})
    assert answer.status_code == 200, answer.text
    for task, came in answer.json()["outputs"]["tasks"].items():
        np.testing.assert_allclose(came, case.expected[task], rtol=2e-5, atol=1e-6)


def test_one_row_at_a_time_even_if_all_is_missing(kinds: httpx.Client, case: Case) -> None:
    for row, expected in zip(case.named(), case.expected["price"], strict=True):
        (answer,) = kinds.post(PREDICT, json={"instances": [row]}).json()["predictions"]
        assert answer["tasks"]["price"] == pytest.approx(expected, rel=2e-5, abs=1e-6)
    nothing = case.weights.answer(
        np.full((1, 3), np.nan), np.full((1, 5), "", object), times=np.full((1, 1), MISSING_TIME)
    )
    (answer,) = kinds.post(PREDICT, json={"instances": [{}]}).json()["predictions"]
    assert answer["tasks"]["price"] == pytest.approx(nothing["price"][0], rel=2e-5, abs=1e-6)


def test_a_moment_as_text_is_the_same_moment(kinds: httpx.Client, case: Case) -> None:
    rows = case.named()
    for row, moment in zip(rows, case.times[:, 0], strict=True):
        if moment != MISSING_TIME:
            row["clicked_at"] = f"{np.datetime64(int(moment), 's')}Z"
    case.assert_rows(kinds.post(PREDICT, json={"instances": rows}))


def test_v2_as_json(kinds: httpx.Client, case: Case) -> None:
    numeric = [row[:3] for row in case.rows]
    moments = [[None if moment == MISSING_TIME else moment] for (moment,) in case.times.tolist()]
    for texts, times in (
        (case.texts.tolist(), moments),
        (case.texts.tolist(), case.times.tolist()),
        (case.texts.ravel().tolist(), case.times.ravel().tolist()),
    ):
        inputs = [
            tensor("numeric", numeric),
            tensor("categorical", texts, "BYTES", [ROWS, 5]),
            tensor("datetime", times, "INT64", [ROWS, 1]),
        ]
        assert_expected(arrays(post(kinds, {"inputs": inputs}, INFER)), case.expected)


def test_v2_as_raw_tensors_and_both_at_once(kinds: httpx.Client, case: Case) -> None:
    raw = [case.numeric.astype("<f4").tobytes(), strings(case.texts), case.times.astype("<i8").tobytes()]
    heads = [
        binary("numeric", raw[0], [ROWS, 3]),
        binary("categorical", raw[1], [ROWS, 5], "BYTES"),
        binary("datetime", raw[2], [ROWS, 1], "INT64"),
    ]
    assert_expected(arrays(post_raw(kinds, {"inputs": heads}, b"".join(raw), INFER)), case.expected)
    moments = tensor("datetime", case.times.tolist(), "INT64")
    mixed = {"inputs": [heads[0], moments, heads[1]]}
    assert_expected(arrays(post_raw(kinds, mixed, b"".join(raw[:2]), INFER)), case.expected)
    header = {"inputs": [tensor("numeric", [row[:3] for row in case.rows]), *heads[1:]]}
    assert_expected(arrays(post_raw(kinds, header, b"".join(raw[1:]), INFER)), case.expected)


def test_v2_with_one_input_per_feature(kinds: httpx.Client, case: Case) -> None:
    numbers = [tensor(name, column.tolist()) for name, column in zip(case.names[:3], case.numeric.T, strict=True)]
    for each in numbers:
        each["data"] = [None if value != value else value for value in each["data"]]
    texts = [tensor(name, c.tolist(), "BYTES") for name, c in zip(case.names[3:8], case.texts.T, strict=True)]
    seconds = case.times[:, 0].tolist()
    iso = [None if at == MISSING_TIME else f"{np.datetime64(int(at), 's')}Z" for at in seconds]
    for moments in (tensor("clicked_at", seconds, "INT64"), tensor("clicked_at", iso, "BYTES", [ROWS, 1])):
        given = {"inputs": [*numbers, *texts, moments]}
        assert_expected(arrays(post(kinds, given, INFER)), case.expected)
    columns = [
        *(
            (name, column.astype("<f4").tobytes(), "FP32")
            for name, column in zip(case.names[:3], case.numeric.T, strict=True)
        ),
        *((name, strings(column), "BYTES") for name, column in zip(case.names[3:8], case.texts.T, strict=True)),
    ]
    for last in (case.times[:, 0].astype("<i8").tobytes(), "INT64"), (strings([at or "" for at in iso]), "BYTES"):
        every = [*columns, ("clicked_at", *last)]
        heads = [binary(name, raw, [ROWS], datatype) for name, raw, datatype in every]
        body = b"".join(raw for _, raw, _ in every)
        assert_expected(arrays(post_raw(kinds, {"inputs": heads}, body, INFER)), case.expected)


def test_v2_takes_whole_numbers_for_ids_and_fractions_for_moments(kinds: httpx.Client, case: Case) -> None:
    def answer(raw: bytes, *given: dict[str, Any]) -> Any:
        return arrays(post_raw(kinds, {"inputs": given}, raw, INFER))["price"]

    ids, (name,) = np.array([7, 1 << 40], "<i8").tobytes(), case.weights.hashed
    expected = answer(b"", tensor(name, ["7", str(1 << 40)], "BYTES"), tensor("clicked_at", [5, 6], "INT64"))
    seconds = tensor("clicked_at", [5.5, 6.0], "FP64")
    np.testing.assert_array_equal(answer(ids, binary(name, ids, [2], "INT64"), seconds), expected)
    np.testing.assert_array_equal(answer(b"", tensor(name, [7, 1 << 40], "UINT64"), seconds), expected)


@pytest.mark.parametrize(
    ("texts", "moments", "datatype", "told"),
    [
        ([["red", "Oslo", "u", ["art"], ""]], [[1]], "INT64", "'categorical' has an array for a bag. Expected a "
         "string, such as 'a|b'"),
        ([["red", "Oslo", "u", "art", 3]], [[1]], "INT64", "'categorical' has the number 3 for a bag"),
        ([["red", "Oslo", "u", "art", ""]], [["2026-11-28T18:30:00Z"]], "INT64", "'datetime' has the string "),
        ([["red", "Oslo", "u", "art", ""]], [[1.5]], "INT64", "'datetime' is INT64 and has the number 1.5"),
        ([["red", "Oslo", "u", "art", ""]], [[True]], "INT64", "'datetime' has true"),
        ([["red", "Oslo", "u", "art", ""]], [[1]], "FP64", "'datetime' has datatype 'FP64'. Expected INT64"),
        ([["red", "Oslo", "u", "art", ""]], [[1795890600000]], "INT64", "'clicked_at': 1795890600000 is not"),
    ],
)  # fmt: skip
def test_what_v2_refuses(kinds: httpx.Client, texts: Any, moments: Any, datatype: str, told: str) -> None:
    inputs = [tensor("numeric", [[1, 2, 3]]), tensor("categorical", texts, "BYTES", [1, 5])]
    inputs.append(tensor("datetime", moments, datatype, [1, 1]))
    assert told in assert_error(post(kinds, {"inputs": inputs}, INFER))


def test_raw_moments_beyond_the_years_are_refused_by_row_and_feature(kinds: httpx.Client, case: Case) -> None:
    times = case.times.copy()
    times[2] = 2**62
    raw = [case.numeric.astype("<f4").tobytes(), strings(case.texts), times.astype("<i8").tobytes()]
    heads = [binary("numeric", raw[0], [ROWS, 3]), binary("categorical", raw[1], [ROWS, 5], "BYTES")]
    heads.append(binary("datetime", raw[2], [ROWS, 1], "INT64"))
    told = assert_error(post_raw(kinds, {"inputs": heads}, b"".join(raw), INFER))
    assert "row 2, feature 'clicked_at': 4611686018427387904 is not in the years" in told
    raw[2] = raw[2][:-8]
    heads[2]["parameters"]["binary_data_size"] -= 8
    assert "Expected 96 for INT64 [12, 1]" in assert_error(post_raw(kinds, {"inputs": heads}, b"".join(raw), INFER))


def test_the_metadata_lists_the_three_inputs(kinds: httpx.Client) -> None:
    assert kinds.get(f"/v2/models/{NAME}").json()["inputs"] == [
        {"name": "numeric", "datatype": "FP32", "shape": [-1, 3]},
        {"name": "categorical", "datatype": "BYTES", "shape": [-1, 5]},
        {"name": "datetime", "datatype": "INT64", "shape": [-1, 1]},
    ]
    manifest = kinds.get(f"/v1/models/{NAME}/metadata").json()
    facts = {feature["name"]: feature for feature in manifest["features"]}
    assert facts["seen"]["table"] == "user"
    assert facts["clicked_at"]["missing_value"] == MISSING_TIME
    assert len(manifest["golden"]["datetime"]) == len(manifest["golden"]["categorical"])


def test_contributions_are_of_every_feature_and_add_up(kinds: httpx.Client, case: Case) -> None:
    answer = kinds.post(GATES, json={"instances": case.named(), "contributions": True}).json()
    for row, inspected in enumerate(answer["rows"]):
        for t, task in enumerate(case.weights.tasks):
            for expert, entry in enumerate(inspected["tasks"][task]["contributions"]):
                came = {each["feature"]: each["contribution"] for each in entry["features"]}
                expected = dict(zip(case.names, case.expected["gate_contributions"][row, t, expert], strict=True))
                assert came == pytest.approx(expected, rel=1e-4, abs=2e-6)
                assert entry["logit"] == pytest.approx(entry["base"] + sum(came.values()), abs=1e-5)


def test_experts_left_out(kinds: httpx.Client, case: Case) -> None:
    answer = kinds.post(GATES, json={"instances": case.named()[:2], "ablation": True})
    mask = np.array([0, 1, 1, 1.0])
    texts, times = case.texts[:2], case.times[:2]
    without = case.weights.answer(case.numeric[:2], texts, mask, times)["price"] - case.expected["price"][:2]
    came = [row["tasks"]["price"]["ablation"][0] for row in answer.json()["rows"]]
    np.testing.assert_allclose(came, without, rtol=1e-4, atol=1e-5)


def test_openapi_describes_each_kind_and_its_examples_work(kinds: httpx.Client) -> None:
    document = kinds.get("/openapi.json").json()
    schemas = document["components"]["schemas"]
    row = schemas[f"{NAME}.Row"]["properties"]
    assert row["user"]["type"] == ["string", "integer", "null"]
    assert row["tags"]["type"] == ["array", "null"]
    assert row["tags"]["items"] == {"type": ["string", "integer"]}
    assert (row["clicked_at"]["type"], row["clicked_at"]["format"]) == (["number", "string", "null"], "date-time")
    assert "from 1938-04-24T22:13:20Z to 2033-05-18T03:33:20Z" in row["clicked_at"]["description"]
    for name, feature in row.items():
        for example in feature.get("examples", []):
            assert kinds.post(PREDICT, json={"instances": [{name: example}]}).status_code == 200
    assert kinds.post(PREDICT, json=schemas[f"{NAME}.Request"]["example"]).status_code == 200
    infer = document["paths"][INFER]["post"]["requestBody"]["content"]["application/json"]["example"]
    assert kinds.post(INFER, json=infer).status_code == 200


def test_the_prediction_log_has_values_of_every_kind(kinds: httpx.Client, log: Path) -> None:
    row = {"age": 1.5, "user": 7, "tags": ["art", "news"], "seen": ["a", 7], "clicked_at": 1.5}
    kinds.post(PREDICT, json={"instances": [row, {}]}, headers={"X-Request-Id": "logged"})
    found: list[dict[str, Any]] = []
    while len(found) < 2:
        lines = [line for path in log.glob("*.jsonl") for line in path.read_text().splitlines(keepends=True)]
        records = [json.loads(line) for line in lines if line.endswith("\n")]
        found = [record for record in records if record["request_id"] == "logged"]
    values = [{each["feature"]: each["value"] for each in record["features"]} for record in found]
    assert values[0] == dict.fromkeys(values[1], "") | {
        **{"age": "1.5", "user": "7", "tags": "art|news", "seen": "a, 7", "clicked_at": "1970-01-01T00:00:01Z"}
    }
    assert set(values[1].values()) == {""}
