"""A funnel with sampled negatives, calibration and own experts, from its table to real answers."""

from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import numpy as np
import polars as pl
import pytest
from numpy.testing import assert_allclose

from mmoe_client import Client
from model.artifact.weights import load_model
from model.network.inputs import inputs_of
from model.network.model import predict
from scripts.train import main

KEPT = 0.25
CONFIG = f"""
name = "shop"
[data]
kind = "table"
path = "clicks.csv"
[[tasks]]
name = "click"
column = "click"
kind = "binary"
negatives_kept = {KEPT}
calibrate = true
[[tasks]]
name = "conversion"
column = "conversion"
kind = "binary"
after = "click"
calibrate = true
[[tasks]]
name = "basket"
column = "basket"
kind = "regression"
[model]
architecture = "cgc"
experts = 2
own_experts = 1
expert_hidden = [8]
tower_hidden = [4]
[train]
epochs = 8
learning_rate = 0.01
"""


def write_clicks(path: Path) -> float:
    """Write impressions, a quarter of those without a click; returns the true click rate."""
    random = np.random.default_rng(0)
    x, colour = random.normal(size=(9000, 2)), random.choice(["red", "green"], 9000)
    chance = 1 / (1 + np.exp(-(x[:, 0] + (colour == "red") - 2.5)))
    click = random.random(9000) < chance
    conversion = np.where(click, (random.random(9000) < 0.4 + 0.2 * np.tanh(x[:, 1])).astype(float), np.nan)
    kept = click | (random.random(9000) < KEPT)
    table = pl.DataFrame({"x": x[:, 0], "y": x[:, 1], "colour": colour, "click": click.astype(int)})
    table = table.with_columns(conversion=pl.Series(conversion).fill_nan(None), basket=x[:, 0] * 3 + 10)
    table.filter(pl.Series(kept)).write_csv(path)
    return float(click.mean())


@pytest.fixture(scope="module")
def home(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return tmp_path_factory.mktemp("shop")


@pytest.fixture(scope="module")
def click_rate(home: Path) -> float:
    rate = write_clicks(home / "clicks.csv")
    (home / "shop.toml").write_text(CONFIG.replace("clicks.csv", str(home / "clicks.csv")))
    assert main([str(home / "shop.toml"), "--models", str(home / "models")]) == 0
    return rate


@pytest.fixture(scope="module")
def url(home: Path, click_rate: float, start_service: Callable[..., Any]) -> Iterator[str]:
    with start_service(home / "models") as service:
        yield service.url


@pytest.fixture(scope="module")
def frame(home: Path, click_rate: float) -> pl.DataFrame:
    return pl.read_csv(home / "clicks.csv").select("x", "y", "colour", "click")


def test_the_joint_is_the_product_and_the_conditional_stands_beside_it(url: str, frame: pl.DataFrame) -> None:
    with Client(url, extra="ignore") as client:
        tasks = client.predict(frame).tasks
        answer = client.predict_frame(frame)
    assert list(tasks) == ["click", "conversion", "basket", "conversion.given.click"]
    assert_allclose(tasks["conversion"], tasks["click"] * tasks["conversion.given.click"], rtol=1e-5)
    assert (tasks["conversion"] <= tasks["click"]).all()
    assert "conversion.given.click" in answer.columns
    assert "conversion.given.click.expert_0" not in answer.columns


def test_the_service_answers_as_torch_does(home: Path, url: str, frame: pl.DataFrame) -> None:
    from model.config.run import load_config
    from model.data.table import read_dataset

    model, _ = load_model(home / "models/shop/1/checkpoint.pt")
    dataset = read_dataset(load_config(home / "shop.toml"))
    expected = predict(model, dataset.test, gates=True)
    with Client(url, extra="ignore") as client:
        answer = client.predict(frame[dataset.row_numbers[2] - 1])
    for name, values in answer.tasks.items():
        assert_allclose(values, expected.tasks[name], rtol=1e-4, atol=1e-5)
    assert answer.gate_weights is not None
    assert expected.gate_weights is not None
    assert_allclose(np.stack(list(answer.gate_weights.values()), axis=1), expected.gate_weights, atol=1e-5)
    assert len(inputs_of(dataset.test, slice(0, 3)).numeric) == 3


def test_probabilities_are_those_of_the_whole_table(url: str, frame: pl.DataFrame, click_rate: float) -> None:
    with Client(url, extra="ignore") as client:
        click = client.predict(frame).tasks["click"]
    times = np.where(frame["click"].to_numpy() == 1, 1.0, 1.0 / KEPT)
    assert np.average(click, weights=times) == pytest.approx(click_rate, rel=0.15)


def test_gates_see_shared_experts_and_their_own(url: str, frame: pl.DataFrame) -> None:
    with Client(url, extra="ignore") as client:
        found = client.gates(frame[:5], contributions=True, ablation=True)
        described = client.metadata().manifest
    assert described["own_experts"] == {"click": [2], "conversion": [3], "basket": [4]}
    for row in found["rows"]:
        click = row["tasks"]["click"]
        assert click["gate_weights"][3:] == [0, 0]
        assert click["contributions"][3:] == [None, None]
        assert click["ablation"][3:] == pytest.approx([0, 0], abs=1e-6)
        for expert in click["contributions"][:3]:
            shares = sum(feature["contribution"] for feature in expert["features"])
            assert expert["base"] + shares == pytest.approx(expert["logit"], abs=1e-4)
    conversion = next(task for task in described["tasks"] if task["name"] == "conversion")
    assert conversion["given"]["output"] == "conversion.given.click"
    assert conversion["given"]["metrics"]["auc"] > 0.5
