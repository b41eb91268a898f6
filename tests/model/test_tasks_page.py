"""The examples of docs/tasks.md train, on clicks of their columns."""

import re
from pathlib import Path

import polars as pl
import pytest

from benchmarks.funnel import made
from scripts.train import main

PAGE = (Path(__file__).parents[2] / "docs/tasks.md").read_text()
EXAMPLES = dict(re.findall(r'```toml\n(name = "(?P<name>\w+)".*?)```', PAGE, re.DOTALL))


@pytest.fixture(scope="module")
def table(tmp_path_factory: pytest.TempPathFactory) -> Path:
    path = tmp_path_factory.mktemp("table") / "clicks.csv"
    clicks, _ = made(3000, seed=0)
    clicks.drop("split").with_columns(pl.col("user") % 20, pl.col("item") % 20).write_csv(path)
    return path


def test_there_is_an_example_of_each() -> None:
    assert sorted(EXAMPLES.values()) == ["calibrated", "own", "sampled", "shop"]


@pytest.mark.parametrize("text", EXAMPLES, ids=EXAMPLES.values())
def test_an_example_trains_and_is_published(text: str, table: Path, tmp_path: Path) -> None:
    (tmp_path / "c.toml").write_text(text.replace("clicks.csv", str(table)))
    arguments = [str(tmp_path / "c.toml"), "--models", str(tmp_path / "models"), "--set", "train.epochs=1"]
    assert main(arguments) == 0
    assert (tmp_path / "models" / EXAMPLES[text] / "1/model.onnx").exists()
