"""The study of the defaults: its tables, one run of each model, and the verdicts of its page."""

from dataclasses import replace
from pathlib import Path

import numpy as np
import polars as pl
import pytest

from model.config.run import Config
from model.data.table import read_dataset
from model.study.defaults.page import behind, meets_bar, write_defaults
from model.study.defaults.runs import HIST, LIGHTGBM, NETWORK, Run, run_table
from model.study.defaults.tables import StudyTable, study_tables

KINDS = {"sold": "binary", "price": "regression"}


def run(network: tuple[float, float], lightgbm: tuple[float, float], hist: tuple[float, float]) -> Run:
    values = {NETWORK: network, LIGHTGBM: lightgbm, HIST: hist}
    named = {name: dict(zip(KINDS, pair, strict=True)) for name, pair in values.items()}
    return Run(KINDS, (70, 10, 20), "Chosen by the 70 training rows: nothing.", 1.0, (100, 2000), named)


def runs(aucs: list[float], errors: list[float]) -> list[Run]:
    """Set networks beside trees of which LightGBM has AUC .9, and HistGradientBoosting RMSE 10."""
    return [run((a, e), (0.9, 12.0), (0.8, 10.0)) for a, e in zip(aucs, errors, strict=True)]


def test_the_better_kind_of_trees_is_the_yardstick_of_each_task() -> None:
    found = runs([0.88, 0.90], [11.0, 12.0])
    name, gap = behind(found, "sold")
    assert name == LIGHTGBM
    assert gap.effect == pytest.approx(0.01)
    name, gap = behind(found, "price")
    assert name == HIST
    assert gap.effect == pytest.approx(0.15)


@pytest.mark.parametrize(
    ("aucs", "errors", "sold", "price"),
    [
        ([0.91, 0.92, 0.93], [9.0, 9.1, 9.2], True, True),
        ([0.885, 0.886, 0.887], [10.3, 10.31, 10.32], False, False),
        ([0.85, 0.89, 0.93], [10.0, 10.5, 11.0], True, True),  # wide intervals reach the margin
    ],
)
def test_only_an_interval_wholly_beyond_the_margin_misses(
    aucs: list[float], errors: list[float], sold: bool, price: bool
) -> None:
    found = runs(aucs, errors)
    assert meets_bar(found, "sold") == sold
    assert meets_bar(found, "price") == price


def test_the_page_names_what_was_missed(tmp_path: Path) -> None:
    table = StudyTable("shop", "sales of a shop", 3, lambda split, folder: pytest.fail("nothing is run"))
    write_defaults(tmp_path / "new" / "page.md", [(table, runs([0.88, 0.881, 0.882], [9.0, 9.1, 9.2]))], "python -m x")
    text = (tmp_path / "new" / "page.md").read_text()
    assert "1 of 2 tasks meet the bar." in text
    assert "- **shop, sold** misses the bar: " in text
    assert "**shop, price**" not in text
    assert "| shop | 100 | sold | AUC | 0.8810 | **0.9000** | 0.8000 | 0.0190 [" in text
    assert "sales of a shop" in text


def test_a_mean_beyond_the_margin_is_told_where_the_bar_is_met(tmp_path: Path) -> None:
    table = StudyTable("shop", "sales of a shop", 3, lambda split, folder: pytest.fail("nothing is run"))
    write_defaults(tmp_path / "page.md", [(table, runs([0.85, 0.89, 0.92], [9.0, 9.1, 9.2]))], "python -m x")
    text = " ".join((tmp_path / "page.md").read_text().split())
    assert "2 of 2 tasks meet the bar." in text
    assert "The mean alone is beyond the margin" in text
    assert text.count("shop, sold.") == 1


def test_every_small_table_is_read_and_leaves_the_model_open(tmp_path: Path) -> None:
    small = [table for table in study_tables() if table.splits == 10]
    assert len(small) >= 6
    for table in small:
        config = table.configured(3, tmp_path)
        assert not config.model.model_fields_set
        assert config.train.model_fields_set == {"seed"}
        dataset = read_dataset(config)
        assert len(dataset.train) > 100
        assert not set(dataset.features.names) & {task.column for task in config.tasks}


def test_all_models_learn_from_the_same_rows_and_are_not_run_twice(tmp_path: Path) -> None:
    random = np.random.default_rng(0)
    x, city = random.normal(size=300), random.choice(["rome", "oslo"], 300)
    frame = pl.DataFrame({"x": x, "city": city, "price": 5 * x + 10 * (city == "oslo"), "sold": (x > 0).astype(int)})
    frame.write_csv(tmp_path / "t.csv")
    tasks = [{"name": name, "column": name, "kind": kind} for name, kind in KINDS.items()]
    told: list[int] = []

    def configured(split: int, folder: Path) -> Config:
        data = {"kind": "table", "path": str(tmp_path / "t.csv"), "split": {"kind": "random", "seed": split}}
        train = {"seed": split, "epochs": 20}
        return Config.model_validate({"name": "t", "data": data, "tasks": tasks, "train": train})

    table = StudyTable("t", "made rows", 2, configured)
    first = run_table(table, 1, tmp_path / "work", 1, told.append)
    assert sum(told) == 1
    assert run_table(table, 1, tmp_path / "work", 1, told.append) == first
    assert sum(told) == 2
    for values in first[0].values.values():
        assert values["sold"] > 0.9
        assert values["price"] < 5.0
    assert first[0].rows == (210, 30, 60)
    assert replace(first[0], seconds=0.0).chosen.startswith("Chosen by the 210 training rows")
