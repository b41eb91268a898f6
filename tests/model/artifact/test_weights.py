from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
import torch

from model.artifact.weights import FORMAT, load_model, save_model
from model.config.run import Config
from model.network.model import build_model, predict
from model.schema import FeatureSchema
from tests.support.every_kind import SCHEMA, make_dataset


def test_file_of_another_format_says_what_to_do(tmp_path: Path) -> None:
    torch.save({"format": 99}, tmp_path / "checkpoint.pt")
    with pytest.raises(ValueError, match=f"format 99, expected {FORMAT}: train and export it again"):
        load_model(tmp_path / "checkpoint.pt")


def some_config() -> Config:
    task = {"name": "y", "column": "y", "kind": "regression"}
    return Config.model_validate({"name": "a", "data": {"kind": "table", "path": "t"}, "tasks": [task]})


def test_every_kind_of_feature_comes_back(tmp_path: Path) -> None:
    dataset = make_dataset()
    config = some_config()
    model = build_model(dataset.features, dataset.tasks, config.model, seed=0)
    save_model(tmp_path / "checkpoint.pt", model, dataset, config)
    loaded, features = load_model(tmp_path / "checkpoint.pt")
    assert features == dataset.features
    for name, value in predict(model, dataset.test).tasks.items():
        np.testing.assert_array_equal(predict(loaded, dataset.test).tasks[name], value)


def test_file_of_the_second_format_is_read(tmp_path: Path) -> None:
    """It had neither kinds beside numbers and categories, nor buffers that only these need."""
    features = FeatureSchema(SCHEMA.numeric, SCHEMA.categorical[:2])
    dataset = replace(make_dataset(), features=features)
    config = some_config()
    model = build_model(features, dataset.tasks, config.model, seed=0)
    save_model(tmp_path / "checkpoint.pt", model, dataset, config)
    held = torch.load(tmp_path / "checkpoint.pt", weights_only=True)
    for kind in ("hashed", "bags", "datetimes"):
        del held[kind]
    for entry in held["categorical"]:
        del entry["table"]
    buffers = {"column_feature", "offsets", "fill", "source", "start", "size", "low", "high", "indicated"}
    assert {name.removeprefix("encoder.") for name in held["weights"] if name.startswith("encoder.")} == {
        *buffers,
        "embedding.weight",
    }
    torch.save(held | {"format": 2}, tmp_path / "old.pt")
    assert load_model(tmp_path / "old.pt")[1] == features
