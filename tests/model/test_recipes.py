"""The configurations that are shipped reach the quality that is claimed for them."""

import os
from pathlib import Path

import numpy as np
import pytest

from model.config.run import load_config
from model.data.table import read_dataset
from model.network.model import build_model, predict
from model.training.metrics import evaluate
from model.training.progress import ProgressBar
from model.training.train import fit

CONFIGS = Path(__file__).parents[2] / "scripts" / "configs"


@pytest.fixture
def tables() -> None:
    root = os.environ.get("MMOE_DATA")
    if not root or not (Path(root) / "census" / "census-income.test.gz").is_file():
        pytest.skip("set MMOE_DATA to the directory that holds census/census-income.test.gz")


@pytest.mark.data
@pytest.mark.usefixtures("tables")
def test_census_income_reaches_its_auc_as_the_mean_of_three_seeds() -> None:
    found = []
    for seed in range(3):
        config = load_config(CONFIGS / "census_income.toml", [f"train.seed={seed}", "train.device=cpu"])
        dataset = read_dataset(config)
        model = build_model(dataset.features, dataset.tasks, config.model, seed)
        fit(model, dataset, config.train, watcher=ProgressBar(config.train.epochs, len(dataset.train)))
        metrics = evaluate(predict(model, dataset.test), dataset.test, dataset.tasks)
        found.append((metrics["income"]["auc"], metrics["never_married"]["auc"]))
    income, never_married = np.mean(found, axis=0)
    assert income >= 0.947
    assert never_married >= 0.994
