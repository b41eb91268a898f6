"""A row of weight 2 is the row standing there twice: in what is read, learned and measured."""

from pathlib import Path
from typing import Any

import numpy as np
import polars as pl
import pytest
import torch

from model.config.run import Config
from model.data.table import dataset_of
from model.network.model import predict
from model.schema import Dataset
from model.training.metrics import baselines, evaluate
from tables.config import TableData
from tables.errors import DataError
from tables.source import table_of
from tests.support.training import PLAIN, settings, trained

ROWS = 120


def frame() -> pl.DataFrame:
    random = np.random.default_rng(0)
    size = random.normal(3.0, 2.0, ROWS)
    size[::9] = np.nan
    words = random.choice(["a", "b", "c", "rare"], ROWS, p=[0.5, 0.3, 0.17, 0.03])
    return pl.DataFrame(
        {
            "size": pl.Series(size).fill_nan(None),
            "word": words,
            "user": [f"u{random.integers(30)}" for _ in range(ROWS)],
            "tags": [random.choice(["x", "y", "z"], random.integers(4)).tolist() for _ in range(ROWS)],
            "at": random.integers(0, 10**9, ROWS),
            "price": np.nan_to_num(size) + random.normal(0.0, 0.5, ROWS),
            "sold": (words == "a").astype(int),
            "fold": [("train", "train", "validation", "test")[row % 4] for row in range(ROWS)],
            "times": random.integers(1, 4, ROWS),
        }
    )


def read(table: pl.DataFrame, weight: str | None, **data: Any) -> Dataset:
    config = Config.model_validate(
        {
            "name": "a",
            "data": {
                "kind": "table",
                "path": "x",
                "weight": weight,
                "split": {"kind": "given", "by": "fold"},
                "drop": [] if weight else ["times"],
                **data,
            },
            "features": {
                "min_count": 3,
                "max_values": 3,
                "hashed": {"user": 16},
                "bag": {"tags": {}},
                "datetime": {"at": ["days", "hour"]},
            },
            "model": {"numeric_encoding": "piecewise_linear", "bins": 4},
            "tasks": [
                {"name": "price", "column": "price", "kind": "regression"},
                {"name": "sold", "column": "sold", "kind": "binary"},
            ],
        }
    )
    assert isinstance(config.data, TableData)
    return dataset_of(table_of(table, config.data, True, Path("x")), "", "x", config)


@pytest.fixture(scope="module")
def both() -> tuple[Dataset, Dataset]:
    rows = frame()
    often = rows.select(pl.all().repeat_by("times").explode())
    return read(rows, "times"), read(often, None)


def flat(facts: Any) -> list[float]:
    """List the numbers of nested descriptions."""
    if isinstance(facts, dict):
        return [number for value in facts.values() for number in flat(value)]
    if isinstance(facts, list | tuple):
        return [number for value in facts for number in flat(value)]
    return [facts] if isinstance(facts, int | float) else []


def test_features_and_tasks_are_those_of_the_repeated_rows(both: tuple[Dataset, Dataset]) -> None:
    weighed, often = both
    assert weighed.features.names == often.features.names == ("size", "word", "user", "tags", "at")
    for one, other in zip(weighed.features.texts, often.features.texts, strict=True):
        assert one.__dict__.get("vocabulary") == other.__dict__.get("vocabulary")
    for name in ("numeric", "categorical", "hashed", "bags", "datetimes"):
        pairs = zip(getattr(weighed.features, name), getattr(often.features, name), strict=True)
        assert all(flat(vars(one)) == pytest.approx(flat(vars(other)), rel=1e-5) for one, other in pairs)
    assert [flat(vars(task)) for task in weighed.tasks] == [pytest.approx(flat(vars(task))) for task in often.tasks]
    assert weighed.train.weights is not None
    assert weighed.train.weights.sum() == len(often.train)
    assert any(line.startswith("Rows count by their weight in 'times': 1 to 3, ") for line in weighed.notes)


def test_full_batches_teach_and_measure_as_those_of_the_repeated_rows(both: tuple[Dataset, Dataset]) -> None:
    torch.manual_seed(0)
    runs = [trained(d, settings(epochs=5, batch_size=10_000, learning_rate=0.003), PLAIN) for d in both]
    losses = [[(r.train_loss, r.validation_loss) for r in history.epochs] for _, history in runs]
    np.testing.assert_allclose(losses[0], losses[1], rtol=1e-3)
    found = [evaluate(predict(model, d.test), d.test, d.tasks) for (model, _), d in zip(runs, both, strict=True)]
    for task in ("price", "sold"):
        assert found[0][task] == pytest.approx(found[1][task], rel=1e-3)
    constant = [baselines(d.train, d.test, d.tasks) for d in both]
    assert constant[0]["price"].constant == pytest.approx(constant[1]["price"].constant)


@pytest.mark.parametrize("odd", [None, 0, -1.5, "many", float("inf"), 1e-60])
def test_a_weight_that_is_not_above_0_is_refused_with_its_row(odd: Any) -> None:
    column = pl.Series(["1"] * 6 + [None if odd is None else str(odd)] + ["2"] * (ROWS - 7))
    with pytest.raises(DataError, match=r"data\.weight wants .*numbers.*column 'times' holds .* in row 7;"):
        read(frame().with_columns(times=column), "times")


def test_weights_are_not_a_feature() -> None:
    assert "times" not in read(frame(), "times").features.names
    with pytest.raises(DataError, match=r"data\.weight names the column 'nowhere'"):
        read(frame(), "nowhere")
    with pytest.raises(DataError, match=r"features\.hashed names 'user', which holds the weights of data\.weight"):
        read(frame().with_columns(user="times"), "user")
