"""The client against a real service: rows of every form, answers in kind, long requests."""

import asyncio
import datetime as dt
import re
import subprocess
import sys
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
import polars as pl
import pytest
from numpy.testing import assert_allclose

from mmoe_client import (
    AsyncClient,
    Client,
    GatesUnavailable,
    InvalidFeatures,
    MalformedRequest,
    ModelNotFound,
    Prediction,
    RequestError,
    RequestTooLarge,
    Unauthorised,
    Unreachable,
)
from tests.support.client_answers import assert_right
from tests.support.hand_model import write_model
from tests.support.hand_weights import HandWeights, make_weights, raw_rows

COUNT = 23


@pytest.fixture(scope="module")
def weights() -> HandWeights:
    return make_weights()


@pytest.fixture(scope="module")
def url(tmp_path_factory: pytest.TempPathFactory, start_service: Callable[..., Any]) -> Iterator[str]:
    models = tmp_path_factory.mktemp("models")
    write_model(models, "hand", 1)
    write_model(models, "plain", 1, kind="plain")
    kept = tmp_path_factory.mktemp("labels")
    with start_service(models, default_model="hand", max_rows="10", label_log=str(kept)) as service:
        yield service.url


@pytest.fixture
def client(url: str) -> Iterator[Client]:
    with Client(url) as client:
        yield client


@pytest.fixture(scope="module")
def columns(weights: HandWeights) -> dict[str, list[Any]]:
    numeric, categorical = raw_rows(weights, COUNT, seed=3)
    assert numeric is not None
    assert categorical is not None
    numbers = {name: numeric[:, i].astype(float).tolist() for i, name in enumerate(weights.names)}
    texts = {name: categorical[:, i].tolist() for i, name in enumerate(weights.vocabularies)}
    return {**{n: [None if np.isnan(v) else v for v in values] for n, values in numbers.items()}, **texts}


@pytest.fixture(scope="module")
def expected(weights: HandWeights) -> dict[str, Any]:
    return weights.answer(*raw_rows(weights, COUNT, seed=3))


def rows_of(columns: dict[str, list[Any]]) -> list[dict[str, Any]]:
    return [dict(zip(columns, row, strict=True)) for row in zip(*columns.values(), strict=True)]


FORMS: dict[str, Callable[[dict[str, list[Any]]], Any]] = {
    "columns": lambda columns: columns,
    "arrays": lambda columns: {
        n: np.array(v, float if n not in ("colour", "city") else object) for n, v in columns.items()
    },
    "dicts": rows_of,
    "dicts without nulls": lambda columns: [
        {n: v for n, v in row.items() if v is not None} for row in rows_of(columns)
    ],
    "lists": lambda columns: [list(row.values()) for row in rows_of(columns)],
    "polars": pl.DataFrame,
    "pandas": pd.DataFrame,
    "pandas categories": lambda columns: pd.DataFrame(columns).astype({"colour": "category", "city": "string"}),
    "polars categories": lambda columns: pl.DataFrame(columns).with_columns(pl.col("colour").cast(pl.Categorical)),
}


@pytest.mark.parametrize("form", FORMS)
def test_rows_of_every_form_are_answered_alike(
    client: Client, columns: dict[str, list[Any]], expected: dict[str, Any], form: str
) -> None:
    answer = client.predict(FORMS[form](columns))
    assert (answer.model, answer.version) == ("hand", 1)
    assert_right(answer, expected, COUNT)


def test_asyncio_says_the_same(url: str, columns: dict[str, list[Any]], expected: dict[str, Any]) -> None:
    async def both() -> tuple[Prediction, ...]:
        async with AsyncClient(url, model="hand") as client:
            assert [entry["name"] for entry in await client.models()] == ["hand", "plain"]
            assert (await client.traffic("1m"))["window"] == "1m"
            assert (await client.metadata()).experts == 4
            return tuple(await asyncio.gather(client.predict(columns), client.predict(rows_of(columns))))

    for answer in asyncio.run(both()):
        assert_right(answer, expected, COUNT)


def test_a_long_request_is_cut_to_the_server_s_limit_and_put_together(
    client: Client, columns: dict[str, list[Any]], expected: dict[str, Any]
) -> None:
    answer = client.predict(columns, request_id="night")
    assert_right(answer, expected, COUNT)
    assert len(answer.request_ids) > 1
    assert all(name.startswith("night-") for name in answer.request_ids)
    again = client.predict(columns)  # the limit is known by now
    assert len(again.request_ids) <= len(answer.request_ids)
    with pytest.raises(RequestTooLarge):
        client.gates(columns)  # its figures are over all rows, so that it is not cut


@pytest.mark.parametrize("library", [pl, pd])
def test_a_frame_is_answered_by_a_frame(
    client: Client, columns: dict[str, list[Any]], expected: dict[str, Any], library: Any
) -> None:
    frame = library.DataFrame(columns)
    if library is pd:
        frame.index = [f"order {row}" for row in range(COUNT)]
    answer = client.predict_frame(frame)
    assert type(answer) is type(frame)
    assert list(answer.columns)[:5] == ["price", "sold", "grade.low", "grade.middle", "grade.high"]
    assert "grade.expert_3" in answer.columns
    assert_allclose(answer["price"].to_numpy(), expected["price"], rtol=1e-4)
    if library is pd:
        assert list(answer.index) == list(frame.index)
    assert list(client.predict_frame(frame, gates=False).columns)[-1] == "grade.high"


def test_types_of_a_table_arrive_as_the_model_wants_them(client: Client) -> None:
    plain = client.predict([{"age": 3.0, "height": 1.0, "colour": "red"}] * 6)
    typed = [
        {"age": 3, "height": True, "colour": "red"},
        {"age": np.int64(3), "height": np.float32(1), "colour": np.str_("red"), "city": float("nan")},
        {"age": np.float64(3), "height": np.True_, "colour": "red", "balance": pd.NA},
        {"age": 3, "height": 1, "colour": "red", "city": pd.NaT, "balance": None},
        {"age": 3, "height": 1, "colour": "red", "city": dt.date(2026, 1, 1)},
        {"age": 3, "height": 1, "colour": "red", "city": 7},
    ]
    answer = client.predict(typed)
    for task, values in answer.tasks.items():
        assert_allclose(values[:4], plain.tasks[task][:4])
    assert_allclose(answer.tasks["price"][4], answer.tasks["price"][5])  # both cities are unknown ones


def test_labels_are_reported_by_key_or_by_request_in_parts(client: Client) -> None:
    keys = [f"order-{row}" for row in range(COUNT)]
    assert client.predict([{"age": 1.0}] * COUNT, keys=keys).rows == COUNT
    sold = pd.Series([1.0, np.nan, True] * 7 + [0.0, 1.0])
    assert client.labels({"sold": sold, "price": np.arange(COUNT)}, key=keys) == COUNT
    assert client.labels({"price": [2.5]}, request_id=["nightly-0"], row=[3]) == 1
    with pytest.raises(InvalidFeatures) as caught:
        client.labels({"price": [1.0] * 17 + ["dear"]}, key=range(18))
    assert caught.value.problems[0].row == 17
    with pytest.raises(InvalidFeatures, match="differ in length"):
        client.labels({"price": [1.0]}, key=["a", "b"])
    with pytest.raises(MalformedRequest, match="2 keys came for 1 rows"):
        client.predict([{"age": 1.0}], keys=[1, 2])


def test_asyncio_reports_labels_too(url: str) -> None:
    async def ask() -> int:
        async with AsyncClient(url) as client:
            await client.predict([{"age": 1.0}], keys=[7])
            return await client.labels({"price": [0.5]}, key=[7])

    assert asyncio.run(ask()) == 1


def test_gates_are_inspected(client: Client) -> None:
    found = client.gates([{"age": 3, "colour": "red"}], contributions=True, top_k=1, ablation=True)
    task = found["rows"][0]["tasks"]["price"]
    assert len(task["contributions"]) == len(task["gate_weights"]) == len(task["ablation"]) == 4
    assert len(task["contributions"][0]["features"]) == 1


def test_metadata_names_features_and_tasks(client: Client) -> None:
    found = client.metadata()
    assert found.names[0] == "age"
    assert [task.kind for task in found.tasks] == ["regression", "binary", "multiclass"]
    assert {feature.name for feature in found.features if feature.kind == "categorical"} == {"colour", "city"}


def test_a_model_without_gates_has_none(client: Client) -> None:
    answer = client.predict([{"age": 3}], model="plain")
    assert answer.gate_weights is None
    with pytest.raises(KeyError, match="no gates"):
        answer.top_expert("price")
    with pytest.raises(GatesUnavailable):
        client.gates([{"age": 3}], model="plain")


def test_an_error_names_row_and_feature_as_the_caller_counts_them(client: Client) -> None:
    rows: list[dict[str, Any]] = [{"age": 1.0}] * 17 + [{"age": "old"}]
    with pytest.raises(InvalidFeatures, match="expected a number or null") as caught:
        client.predict(rows)
    assert (caught.value.problems[0].row, caught.value.problems[0].feature) == (17, "age")
    assert (caught.value.code, caught.value.status) == ("invalid_features", 422)
    assert caught.value.request_id


@pytest.mark.parametrize(
    ("rows", "error", "message"),
    [
        ([{"hieght": 1.0}], InvalidFeatures, "did you mean 'height'"),
        ([[1.0, 2.0]], InvalidFeatures, "has 2 values; expected 5"),
        ({"age": [1.0, 2.0], "height": [1.0]}, InvalidFeatures, "differ in length"),
        ([{"age": float("inf")}], InvalidFeatures, "row 0, feature 'age': inf"),
        (np.zeros((2, 3)), MalformedRequest, "has 3 columns; expected 5"),
        ("age", MalformedRequest, "came as str"),
        ([{"age": 1.0}, [1.0]], MalformedRequest, "a mixture"),
        ([], RequestError, "no rows"),
    ],
)
def test_rows_that_are_wrong_are_refused_in_a_sentence(
    client: Client, rows: Any, error: type[Exception], message: str
) -> None:
    with pytest.raises(error, match=message):
        client.predict(rows)


def test_columns_that_are_not_features_may_be_left_out(url: str) -> None:
    frame = pl.DataFrame({"age": [1.0], "label": [1], "id": ["x"]})
    with Client(url) as strict, pytest.raises(InvalidFeatures, match="unknown feature"):
        strict.predict(frame)
    with Client(url, extra="ignore") as lenient:
        assert lenient.predict(frame).rows == 1


def test_a_model_that_is_not_there(client: Client) -> None:
    with pytest.raises(ModelNotFound) as caught:
        client.predict([{"age": 1.0}], model="nobody")
    assert caught.value.status == 404


def test_a_key_is_sent(tmp_path: Path, start_service: Callable[..., Any]) -> None:
    write_model(tmp_path / "models", "hand", 1)
    command = [sys.executable, "-m", "service.keys", "new", "--role", "predict", "--name", "tester"]
    made = subprocess.run(command, capture_output=True, text=True, check=True, cwd=Path(__file__).parents[2])
    (tmp_path / "keys").write_text(made.stdout)
    key = re.search(r"mmoe_\S+", made.stderr)[0]  # type: ignore[index]
    with start_service(tmp_path / "models", keys_file=str(tmp_path / "keys")) as service:
        with Client(service.url) as without, pytest.raises(Unauthorised):
            without.predict([{"age": 1.0}])
        with Client(service.url, api_key=key) as client:
            assert client.predict([{"age": 1.0}]).rows == 1


def test_nobody_at_the_address() -> None:
    with Client("http://127.0.0.1:9", model="hand", tries=2, timeout_s=5) as client, pytest.raises(Unreachable):
        client.predict([{"age": 1.0}])


def test_a_lenient_client_sends_rows_as_they_stand_in_the_table(url: str, columns: dict[str, list[Any]]) -> None:
    ages = [*columns["age"][:-1], "NA"]
    table = {**columns, "age": ages, "row_id": list(range(COUNT))}
    with Client(url) as strict, Client(url, lenient=True) as client:
        with pytest.raises(InvalidFeatures):
            strict.predict(table)
        answer = client.predict(table)
        expected = strict.predict({**columns, "age": [*columns["age"][:-1], None]})
        assert "notes" in client.gates({"age": ["NA"]})
    for name, values in answer.tasks.items():
        assert_allclose(values, expected.tasks[name])
    notes = sorted((note.feature, note.row, note.rows) for note in answer.notes)
    assert notes == [("age", COUNT - 1, 1), ("row_id", 0, COUNT)]
    assert expected.notes == ()
