"""A table of every kind of feature -> trained -> served: raw cells are answered as by torch."""

import json
import math
from collections.abc import Callable
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta, timezone
from typing import TYPE_CHECKING, Any

import httpx
import numpy as np
import polars as pl
import pytest

pytest.importorskip("torch", reason="trains a model: needs the trainer's packages")

from model.artifact.export import export
from model.config.run import Config
from model.data.table import read_dataset
from model.network.model import build_model, predict
from model.training.train import fit
from tests.support.v2 import tensor
from tests.support.v2_answers import arrays

if TYPE_CHECKING:
    from model.network.model import Predictions
    from model.schema import Dataset

ROWS, NAME = 400, "kinds"
TAGS = ["new", "sale", "São Paulo", " padded", "cafe\u0301", "rare"]
FEATURES: dict[str, Any] = {
    "min_count": 3,
    "categorical": ["colour"],
    "hashed": {"user": 50, "item": 40, "last_item": 40},
    "share": [["item", "last_item"]],
    "bag": {"tags": {}, "seen": {"buckets": 30, "pooling": "sum", "separator": ", "}},
    "datetime": {"clicked_at": ["hour", "weekday", "day_of_year", "days"]},
}
TASKS = [
    {"name": "price", "column": "price", "kind": "regression"},
    {"name": "sold", "column": "sold", "kind": "binary", "positive": "yes"},
]
NETWORK = {"architecture": "mmoe", "experts": 3, "expert_hidden": [8], "tower_hidden": [4], "embedding_dim": 3}
TRAIN = {"epochs": 2, "batch_size": 64, "learning_rate": 0.01, "device": "cpu"}


def make_frame() -> pl.DataFrame:
    """Make rows with missing cells, empty bags, ids as numbers, and moments before 1970."""
    random = np.random.default_rng(3)
    columns: dict[str, list[Any]] = {
        name: [] for name in ("age", "colour", "user", "item", "last_item", "tags", "seen")
    }
    columns |= {name: [] for name in ("clicked_at", "price", "sold")}
    for row in range(ROWS):
        hidden = float(random.normal())
        columns["age"].append(None if row % 9 == 0 else round(40 + 10 * hidden, 2))
        columns["colour"].append(str(random.choice(["red", "green", "blue"])) if row % 11 else None)
        columns["user"].append(int(random.integers(10**15)) if row % 7 else None)
        columns["item"].append(f"item {random.integers(30)}")
        columns["last_item"].append(f"item {random.integers(30)}" if row % 5 else None)
        columns["tags"].append([str(tag) for tag in random.choice(TAGS, random.integers(4))] if row % 6 else None)
        columns["seen"].append([int(value) for value in random.integers(0, 99, random.integers(4))])
        moment = datetime(1969, 1, 1, tzinfo=UTC) + timedelta(seconds=int(random.integers(0, 2 * 10**9)))
        columns["clicked_at"].append(moment if row % 8 else None)
        columns["price"].append(100 + 10 * hidden + len(columns["seen"][-1]))
        columns["sold"].append("yes" if hidden > 0 else "no")
    return pl.DataFrame(columns)


def as_csv(frame: pl.DataFrame) -> pl.DataFrame:
    """Write bags as text with their separators, and moments as ISO 8601."""
    bags = {"tags": "|", "seen": ", "}
    joined = [pl.col(name).cast(pl.List(pl.String)).list.join(separator) for name, separator in bags.items()]
    return frame.with_columns(*joined, pl.col("clicked_at").dt.strftime("%Y-%m-%dT%H:%M:%SZ"))


@dataclass(frozen=True)
class Served:
    """Model in both halves: torch's answers to the test rows, and a service that has its file."""

    client: httpx.Client
    dataset: "Dataset"
    expected: "Predictions"
    rows: list[dict[str, Any]]

    def assert_tasks(self, tasks: dict[str, Any]) -> None:
        for task in ("price", "sold"):
            np.testing.assert_allclose(tasks[task], self.expected.tasks[task], rtol=1e-5, atol=1e-5)


@pytest.fixture(scope="module", params=["parquet", "csv"])
def served(
    request: pytest.FixtureRequest, tmp_path_factory: pytest.TempPathFactory, start_service: Callable[..., Any]
) -> Any:
    folder, frame = tmp_path_factory.mktemp(request.param), make_frame()
    path = folder / f"table.{request.param}"
    frame.write_parquet(path) if request.param == "parquet" else as_csv(frame).write_csv(path)
    sections = {"features": FEATURES, "tasks": TASKS, "model": NETWORK, "train": TRAIN}
    config = Config.model_validate({"name": NAME, "data": {"kind": "table", "path": str(path)}, **sections})
    dataset = read_dataset(config)
    model = build_model(dataset.features, dataset.tasks, config.model, seed=0)
    export(model, dataset, config, fit(model, dataset, config.train), folder / "models")
    places = (dataset.row_numbers[2] - 1).tolist()
    rows = [as_sent(row, order) for order, row in enumerate(frame[places].to_dicts())]
    with start_service(folder / "models") as service, httpx.Client(base_url=service.url, timeout=30) as client:
        expected = predict(model, dataset.test, gates=True)
        yield Served(client, dataset, expected, rows)


def as_sent(row: dict[str, Any], order: int) -> dict[str, Any]:
    """Turn raw cells of the table into a row of JSON, missing ones left out or null."""
    moment = row["clicked_at"]
    if moment is not None:
        in_oslo = moment.astimezone(timezone(timedelta(hours=1))).isoformat()
        row["clicked_at"] = [moment.timestamp(), in_oslo, moment.timestamp() + 0.75][order % 3]
    row["user"] = row["user"] if order % 2 or row["user"] is None else str(row["user"])
    row["seen"] = [value if order % 2 else str(value) for value in row["seen"]] or [None, []][order % 2]
    sent = {name: value for name, value in row.items() if name not in ("price", "sold")}
    return {name: value for name, value in sent.items() if value is not None or order % 2}


def test_rows_are_answered_as_torch_does(served: Served) -> None:
    answer = served.client.post(f"/v1/models/{NAME}:predict", json={"instances": served.rows})
    assert answer.status_code == 200, answer.text
    predictions = answer.json()["predictions"]
    served.assert_tasks({task: [one["tasks"][task] for one in predictions] for task in ("price", "sold")})
    assert served.expected.gate_weights is not None
    for t, task in enumerate(("price", "sold")):
        weights = [one["gate_weights"][task] for one in predictions]
        np.testing.assert_allclose(weights, served.expected.gate_weights[:, t], atol=1e-5)


def test_columns_are_answered_as_torch_does(served: Served) -> None:
    columns = {name: [row.get(name) for row in served.rows] for name in served.dataset.features.names}
    answer = served.client.post(f"/v1/models/{NAME}:predict", json={"inputs": columns})
    assert answer.status_code == 200, answer.text
    served.assert_tasks(answer.json()["outputs"]["tasks"])


def test_v2_is_answered_as_torch_does(served: Served) -> None:
    test = served.dataset.test
    assert test.datetimes is not None
    numeric = [[None if math.isnan(value) else value for value in row] for row in test.numeric.tolist()]
    inputs = [
        tensor("numeric", numeric),
        tensor("categorical", test.text.tolist(), "BYTES", list(test.text.shape)),
        tensor("datetime", test.datetimes.tolist(), "INT64"),
    ]
    answer = served.client.post(f"/v2/models/{NAME}/infer", content=json.dumps({"inputs": inputs}))
    served.assert_tasks(arrays(answer))


def test_contributions_add_up_to_the_logits_of_the_gates(served: Served) -> None:
    body = {"instances": served.rows[:20], "contributions": True}
    answer = served.client.post(f"/v1/models/{NAME}:gates", json=body).json()
    assert served.expected.gate_weights is not None
    names = set(served.dataset.features.names)
    for row, weights in zip(answer["rows"], served.expected.gate_weights, strict=False):
        for t, task in enumerate(("price", "sold")):
            entries = row["tasks"][task]["contributions"]
            assert all({each["feature"] for each in entry["features"]} == names for entry in entries)
            logits = np.array([entry["logit"] for entry in entries])
            softmax = np.exp(logits - logits.max()) / np.exp(logits - logits.max()).sum()
            np.testing.assert_allclose(softmax, weights[t], atol=1e-5)


def test_what_training_never_saw_is_answered(served: Served) -> None:
    row = {"colour": "mauve", "user": 2**64 - 1, "item": "\x00 new", "tags": ["never", "seen"], "clicked_at": -(10**10)}
    for sent in ({}, row, dict.fromkeys(served.dataset.features.names)):
        assert served.client.post(f"/v1/models/{NAME}:predict", json={"instances": [sent]}).status_code == 200
