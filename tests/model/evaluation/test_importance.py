"""Permutation importance: planted features of every kind, each of one task alone."""

from dataclasses import replace
from pathlib import Path

import numpy as np
import polars as pl
import pytest
import torch

from model.config.run import Config
from model.data.table import dataset_of
from model.evaluation import importance
from model.evaluation.importance import Importance, permutation_importance, permuted
from model.network.inputs import inputs_of
from model.network.model import Model
from model.schema import MISSING_TIME, Dataset
from tables.config import TableData
from tables.source import table_of
from tests.support.training import PLAIN, settings, trained

ROWS = 900
PLANTED = {"by_number": "size", "by_word": "word", "by_id": "user", "by_bag": "tags", "by_hour": "at"}


def read() -> Dataset:
    """Make a table in which each task follows from one column, and some columns tell nothing."""
    random = np.random.default_rng(1)
    size, hour = random.normal(size=ROWS), random.integers(0, 24, ROWS)
    words, users = random.choice(["a", "b", "c", "d"], ROWS), random.integers(0, 12, ROWS)
    tags = [sorted(set(random.choice(["x", "y", "z"], 2).tolist())) for _ in range(ROWS)]
    frame = pl.DataFrame(
        {
            "size": size,
            "noise": random.normal(size=ROWS),
            "word": words,
            "user": [f"u{user}" for user in users],
            "tags": tags,
            "at": 1_600_000_000 // 86_400 * 86_400 + hour * 3_600,
            "by_number": 3.0 * size + random.normal(0.0, 0.1, ROWS),
            "by_word": np.isin(words, ["a", "d"]).astype(int),
            "by_id": users % 3,
            "by_bag": [int("x" in held) for held in tags],
            "by_hour": (hour < 12).astype(int),
        }
    )
    kinds = dict.fromkeys(PLANTED, "binary") | {"by_number": "regression", "by_id": "multiclass"}
    config = Config.model_validate(
        {
            "name": "a",
            "data": {"kind": "table", "path": "x"},
            "features": {"hashed": {"user": 64}, "bag": {"tags": {}}, "datetime": {"at": ["hour"]}},
            "tasks": [{"name": name, "column": name, "kind": kind} for name, kind in kinds.items()],
        }
    )
    assert isinstance(config.data, TableData)
    return dataset_of(table_of(frame, config.data, True, Path("x")), "", "x", config)


@pytest.fixture(scope="module")
def learned() -> tuple[Model, Dataset]:
    dataset = read()
    return trained(dataset, settings(epochs=12, batch_size=32), PLAIN)[0], dataset


def measured(model: Model, dataset: Dataset, seconds: float = 300.0) -> Importance:
    found = permutation_importance(model, dataset, seconds)
    assert found is not None
    return found


def test_a_planted_feature_ranks_first_for_its_task_alone(learned: tuple[Model, Dataset]) -> None:
    found = measured(*learned)
    assert {task: next(iter(ranked)) for task, ranked in found.lost.items()} == PLANTED
    assert found.metrics == {name: "rmse" if name == "by_number" else "log_loss" for name in PLANTED}
    for ranked in found.lost.values():
        (_, (first, spread)), (_, (second, _)) = list(ranked.items())[:2]
        assert first - 2 * spread > second
        assert set(ranked) == set(learned[1].features.names)


def test_a_sample_stands_for_many_rows_and_the_seed_decides(
    learned: tuple[Model, Dataset], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(importance, "ROWS", 120)
    found = measured(*learned)
    assert found.rows == 120
    assert {task: next(iter(ranked)) for task, ranked in found.lost.items()} == PLANTED
    assert measured(*learned) == found


def test_without_time_there_is_none_and_with_too_little_it_says_what_is_missing(
    learned: tuple[Model, Dataset],
) -> None:
    assert permutation_importance(*learned, seconds=0.0) is None
    found = measured(*learned, seconds=1e-9)
    assert found.rounds == 0
    assert set(found.unmeasured) == set(learned[1].features.names)


def test_rows_count_by_their_weight(learned: tuple[Model, Dataset]) -> None:
    """Rows of weight 0 and more: those that count nearly nothing change nothing."""
    model, dataset = learned
    count, half = len(dataset.test), len(dataset.test) // 2
    weights = np.where(np.arange(count) < half, 1.0, 1e-9).astype(np.float32)
    inputs = inputs_of(dataset.test)
    rows = replace(dataset.test, weights=weights)
    first = replace(dataset.test, labels=dataset.test.labels[:half])
    part = inputs_of(dataset.test, slice(0, half))
    whole = importance._scores(model, inputs, rows, dataset.tasks)
    alone = importance._scores(model, part, first, dataset.tasks)
    for name, (metric, score) in whole.items():
        assert metric == alone[name][0]
        assert score == pytest.approx(alone[name][1], rel=1e-4)


@pytest.mark.parametrize("name", PLANTED.values())
def test_one_feature_moves_and_the_others_stay(learned: tuple[Model, Dataset], name: str) -> None:
    features, rows = learned[1].features, learned[1].test
    inputs, order = inputs_of(rows), np.random.default_rng(0).permutation(len(rows))
    moved = permuted(inputs, features, name, order)
    back = permuted(moved, features, name, np.argsort(order))
    held = {
        "numeric": features.numeric,
        "codes": features.single,
        "bags": features.bags,
        "datetimes": features.datetimes,
    }
    for field, kind in held.items():
        for place, feature in enumerate(kind):
            before, after, again = (_column(getattr(each, field), place, field) for each in (inputs, moved, back))
            assert torch.equal(again, before)
            assert torch.equal(after, before[torch.from_numpy(order)] if feature.name == name else before)
    assert MISSING_TIME not in (moved.datetimes if moved.datetimes is not None else [])


def _column(values: torch.Tensor, place: int, field: str) -> torch.Tensor:
    return values[place] if field == "bags" else values[:, place]
