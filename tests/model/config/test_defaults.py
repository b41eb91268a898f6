"""Defaults by the table: enough steps for a small one, no needless ones for a large one."""

import math
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest

from model.config.defaults import BIN_COLUMNS, FEWEST_EPOCHS, STEPS, settle
from model.config.run import Config, config_text, load_config
from model.schema import Dataset, FeatureSchema, NumericFeature
from tests.model.conftest import make_rows, make_schema, make_tasks

BASE = {
    "name": "shop",
    "data": {"kind": "table", "path": "shop.csv"},
    "tasks": [{"name": "price", "column": "price", "kind": "regression"}],
}


def config(**sections: object) -> Config:
    return Config.model_validate(BASE | sections)


def dataset(rows: int, numeric: int = 2) -> Dataset:
    """Make a dataset that is known by its row numbers alone, as one whose rows are left out."""
    features = FeatureSchema(numeric=tuple(NumericFeature(f"x_{i}", 0.0, 1.0, 0.0, 1.0) for i in range(numeric)))
    none = make_rows(make_schema(), 0, 0)
    numbers = (np.arange(rows), np.arange(0), np.arange(0))
    return Dataset(features, make_tasks(), none, none, none, "made", "sha256:0", row_numbers=numbers)


@pytest.mark.parametrize("rows", [120, 240, 1_000, 5_000, 70_000])
def test_tables_of_any_size_get_as_many_steps(rows: int) -> None:
    train = settle(config(), dataset(rows)).config.train
    steps = math.ceil(rows / train.batch_size)
    assert STEPS <= train.epochs * steps < STEPS + steps
    assert train.patience * steps < train.epochs * steps
    assert 0 < train.average_steps < STEPS


def test_a_large_table_is_read_a_few_times() -> None:
    train = settle(config(), dataset(3_000_000)).config.train
    assert train.epochs == FEWEST_EPOCHS
    assert train.patience >= FEWEST_EPOCHS


def test_what_the_configuration_holds_always_wins() -> None:
    given = {"epochs": 20, "batch_size": 32, "learning_rate": 1e-3, "weight_decay": 0.0, "patience": 5}
    told = config(train=given | {"average_steps": 0}, model={"numeric_encoding": "standard", "bins": 16})
    settled = settle(told, dataset(240))
    assert settled.config == told
    assert settled.notes == ()


def test_the_rest_follows_what_was_given() -> None:
    train = settle(config(train={"batch_size": 120}), dataset(240)).config.train
    assert train.batch_size == 120
    assert train.epochs == STEPS // 2
    few = settle(config(train={"epochs": 1}), dataset(240)).config.train
    assert few.epochs == 1
    assert few.average_steps < 15 < train.average_steps


def test_what_was_chosen_is_told_in_keys() -> None:
    settled = settle(config(train={"epochs": 7}), dataset(1_240))
    (note,) = settled.notes
    assert note.startswith("Chosen by the 1,240 training rows: model.numeric_encoding = mixed, ")
    for key in ("batch_size", "learning_rate", "patience", "average_steps", "weight_decay"):
        assert f"train.{key} = {getattr(settled.config.train, key)}" in note
    assert "epochs" not in note


def test_bins_fit_rows_and_the_number_of_numbers() -> None:
    assert settle(config(), dataset(10_000)).config.model.bins == 16
    many = settle(config(), dataset(10_000, numeric=40)).config.model
    assert many.numeric_encoding == "mixed"
    assert many.bins * 40 <= BIN_COLUMNS
    for rows, numeric in ((10_000, 200), (30, 2)):
        assert settle(config(), dataset(rows, numeric)).config.model.numeric_encoding == "standard"
    assert settle(config(model={"bins": 5}), dataset(10_000)).config.model.bins == 5


def test_rows_in_memory_count(tmp_path: Path) -> None:
    rows = make_rows(make_schema(), 160, 0)
    held = replace(dataset(5), train=rows)
    assert settle(config(), held).config.train == settle(config(), dataset(160)).config.train


def test_a_settled_configuration_repeats_the_run(tmp_path: Path) -> None:
    settled = settle(config(train={"batch_size": 0}), dataset(500)).config
    path = tmp_path / "config.toml"
    path.write_text(config_text(settled), encoding="utf-8")
    again = settle(load_config(path), dataset(90_000))
    assert again.config == settled
    assert again.notes == ()


def test_keys_still_to_be_chosen_are_not_written_out() -> None:
    text = config_text(config(train={"epochs": 3}))
    assert "epochs = 3" in text
    assert "learning_rate" not in text
    assert "numeric_encoding" not in text
