"""Train tiny -> serve: rows as they stand in the table are answered as what the trainer reads."""

import json
from pathlib import Path
from typing import Any

import numpy as np
import pytest

pytest.importorskip("torch", reason="trains a model: needs the trainer's packages")

from model.artifact.export import export
from model.config.run import load_config
from model.data.table import read_dataset
from model.network.model import build_model
from model.training.train import fit
from service.engine import Engine
from service.http.app import create_app
from service.settings import Settings
from tests.support.calls import ask

CONFIG = """
name = "own_rows"
[data]
kind = "table"
path = '{table}'
missing = ["?", "-1"]
drop = ["id"]
weight = "w"
[data.split]
kind = "time"
by = "month"
[features]
numeric = ["age"]
categorical = ["level", "flag"]
[[tasks]]
name = "price"
column = "paid"
kind = "regression"
[model]
experts = 2
expert_hidden = [4]
tower_hidden = []
embedding_dim = 2
[train]
epochs = 1
device = "cpu"
"""


@pytest.fixture(scope="module")
def models(tmp_path_factory: pytest.TempPathFactory) -> Path:
    home = tmp_path_factory.mktemp("own_rows")
    random = np.random.default_rng(0)
    lines = ["id,w,month,age,level,flag,paid"]
    for row in range(300):
        age = ["?", "-1", ""][row // 7 % 3] if row % 7 == 0 else f"{random.uniform(20, 60):.1f}"
        flag, level = row % 3 == 0, random.integers(1, 4)
        lines.append(f"{row},{1 + row % 2},{row // 30},{age},{level},{flag},{random.normal():.2f}")
    (home / "table.csv").write_text("\n".join(lines))
    (home / "own.toml").write_text(CONFIG.format(table=home / "table.csv"))
    config = load_config(home / "own.toml")
    dataset = read_dataset(config)
    model = build_model(dataset.features, dataset.tasks, config.model, seed=0)
    export(model, dataset, config, fit(model, dataset, config.train), home / "models")
    return home / "models"


def test_rows_of_the_table_are_answered_with_notes(models: Path) -> None:
    engine = Engine(Settings(models=models, log_requests="off"))
    loose: list[dict[str, Any]] = [
        {"id": 5, "w": 1, "month": 3, "age": "?", "level": 2, "flag": True, "paid": 9.5},
        {"id": 6, "w": 2, "month": 3, "age": "-1", "level": 3.0, "flag": False, "paid": None},
        {"id": 7, "w": 2, "month": 3, "age": 31.5, "level": "1", "flag": "True", "paid": 1},
    ]
    tight = [
        {"level": "2", "flag": "True"},
        {"level": "3", "flag": "False"},
        {"age": 31.5, "level": "1", "flag": "True"},
    ]
    try:
        engine.catalogue.scan()
        manifest = engine.get().manifest
        call = "/v1/models/own_rows:predict"
        strict, lenient, refused = ask(
            create_app(engine),
            ("POST", call, {"instances": tight}),
            ("POST", call, {"instances": loose, "lenient": True}),
            ("POST", call, {"instances": loose}),
        )
    finally:
        engine.close()
    assert manifest.training_table.dropped == ("id", "month", "w")
    assert {"", "NA", "?", "-1"} <= set(manifest.training_table.missing)
    assert refused.status_code == 422
    answer = lenient.json()
    assert {note["feature"] for note in answer.pop("notes")} == {"id", "w", "month", "paid", "age", "level", "flag"}
    assert json.dumps(answer) == json.dumps(strict.json())
