"""Funnel against click-only training on made clicks: python -m benchmarks.funnel.

A conversion is drawn for every impression and shown for clicked ones alone. What makes people
click also makes them convert, so that clicked rows are not like the others. A conversion model
that learns from clicked rows alone, and a click model beside it, are compared with one funnel
trained on all rows, by log-loss over all impressions, conversions that nobody saw included.
"""

import argparse
from collections.abc import Mapping, Sequence
from dataclasses import replace
from pathlib import Path

import numpy as np
import polars as pl
from numpy.typing import NDArray

from model.config.run import Config
from model.data.table import dataset_of
from model.network.model import build_model, predict
from model.schema import Dataset, Rows
from model.training.progress import Watcher
from model.training.train import fit
from tables.config import TableData
from tables.source import table_of

COLUMNS, USERS, ITEMS = 6, 1000, 300
CONFIG = {
    "name": "funnel",
    "data": {"kind": "table", "path": "made", "split": {"kind": "given", "by": "split"}},
    "features": {"numeric": [f"x_{i}" for i in range(COLUMNS)], "categorical": ["user", "item"], "rest": "drop"},
    "train": {"epochs": 15, "learning_rate": 3e-3, "patience": 3, "device": "cpu"},
}
CLICK = {"name": "click", "column": "click", "kind": "binary"}
CONVERSION = {"name": "conversion", "column": "conversion", "kind": "binary"}
T_9 = 2.262
"""Of Student's distribution with 9 degrees of freedom, two-sided 95 %."""

Floats = NDArray[np.floating]


def made(rows: int, seed: int) -> tuple[pl.DataFrame, Floats]:
    """Draw impressions; returns the table, and the potential conversion of each row.

    People like items by what both are, and buy by much of the same; a click is rare.
    """
    random = np.random.default_rng(seed)
    x = random.normal(size=(rows, COLUMNS))
    user, item = random.integers(USERS, size=rows), random.integers(ITEMS, size=rows)
    of_user, of_item = random.normal(size=USERS), random.normal(size=ITEMS)
    liking, buying = random.normal(size=(2, COLUMNS)) / np.sqrt(COLUMNS)
    interest = of_user[user] + of_item[item] + x @ liking
    click = random.random(rows) < _sigmoid(interest - 4.0)
    conversion = random.random(rows) < _sigmoid(0.8 * interest + x @ buying - 2.0)
    parts = random.choice(["train", "validation", "test"], rows, p=[0.6, 0.15, 0.25])
    table = pl.DataFrame({f"x_{i}": x[:, i] for i in range(COLUMNS)} | {"user": user, "item": item})
    table = table.with_columns(split=pl.Series(parts.tolist()), click=pl.Series(click.astype(np.int8)))
    seen = pl.when(pl.col("click") == 1).then(pl.Series(conversion.astype(np.int8)))
    return table.with_columns(conversion=seen), conversion.astype(np.float64)


def _sigmoid(x: Floats) -> Floats:
    return np.asarray(1.0 / (1.0 + np.exp(-x)))


def log_loss(probability: Floats, truth: Floats) -> float:
    """Compute the mean log-loss."""
    p = np.clip(probability.astype(np.float64), 1e-7, 1 - 1e-7)
    return float(-np.mean(truth * np.log(p) + (1 - truth) * np.log(1 - p)))


def read(table: pl.DataFrame, after: Mapping[str, str]) -> tuple[Dataset, Config]:
    """Make a dataset of both tasks."""
    config = Config.model_validate(CONFIG | {"tasks": [CLICK, CONVERSION | dict(after)]})
    assert isinstance(config.data, TableData)
    return dataset_of(table_of(table, config.data, True, Path("made")), "", "made", config), config


def only(dataset: Dataset, task: int) -> Dataset:
    """Keep one task, and of training and validation rows those with its label."""

    def kept(rows: Rows, every: bool) -> Rows:
        labels = rows.labels[:, [task]]
        chosen = np.ones(len(rows), np.bool_) if every else ~np.isnan(labels[:, 0])
        return replace(
            rows, numeric=rows.numeric[chosen], codes=rows.codes[chosen], labels=labels[chosen], text=rows.text[chosen]
        )

    return replace(
        dataset,
        tasks=(dataset.tasks[task],),
        train=kept(dataset.train, False),
        validation=kept(dataset.validation, False),
        test=kept(dataset.test, True),
    )


def answers(dataset: Dataset, config: Config, seed: int) -> dict[str, NDArray[np.float32]]:
    """Train, and answer all test rows."""
    model = build_model(dataset.features, dataset.tasks, config.model, seed)
    fit(model, dataset, config.train.model_copy(update={"seed": seed}), watcher=Watcher())
    return predict(model, dataset.test).tasks


def run(rows: int, seed: int) -> dict[str, tuple[float, float]]:
    """Train both ways.

    Returns log-loss of P(conversion | click) and of both together, over all test rows.
    """
    table, potential = made(rows, seed)
    test = (table["split"] == "test").to_numpy()
    truth = potential[test]
    both = table["click"].to_numpy()[test] * truth
    funnel = answers(*read(table, {"after": "click"}), seed)
    apart, config = read(table, {})
    click = answers(only(apart, 0), config, seed)["click"]
    given = answers(only(apart, 1), config, seed)["conversion"]
    return {
        "funnel": (log_loss(funnel["conversion.given.click"], truth), log_loss(funnel["conversion"], both)),
        "click-only": (log_loss(given, truth), log_loss(click * given, both)),
    }


def main(arguments: Sequence[str] | None = None) -> None:
    """Run the seeds and print each pair, and the mean differences with their intervals."""
    parser = argparse.ArgumentParser("python -m benchmarks.funnel", description=__doc__)
    parser.add_argument("--rows", type=int, default=40_000)
    parser.add_argument("--seeds", type=int, default=10)
    options = parser.parse_args(arguments)
    gains = []
    print("seed  P(conversion | click): funnel, click-only   both: funnel, click-only")
    for seed in range(options.seeds):
        losses = run(options.rows, seed)
        (given, both), (given_only, both_only) = losses["funnel"], losses["click-only"]
        gains.append((given_only - given, both_only - both))
        print(f"{seed:4}  {given:.4f} {given_only:.4f}   {both:.4f} {both_only:.4f}", flush=True)
    for place, name in enumerate(("P(conversion | click)", "both")):
        gain = np.array([pair[place] for pair in gains])
        half = T_9 * gain.std(ddof=1) / np.sqrt(len(gain)) if len(gain) > 1 else np.nan
        print(f"{name}: the funnel's log-loss is lower by {gain.mean():.4f} (95 % ± {half:.4f}), in {(gain > 0).sum()}")


if __name__ == "__main__":
    main()
