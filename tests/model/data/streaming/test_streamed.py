"""Tables that memory need not hold: what is read from them is what is read from them whole."""

from collections.abc import Callable
from pathlib import Path

import numpy as np
import polars as pl
import pytest

from model.config.run import Config
from model.data.table import read_dataset
from model.schema import Dataset, FeatureSchema, Rows
from tables import blocks

ROWS = 3_000


def made(rows: int = ROWS) -> pl.DataFrame:
    """Make a table with every kind of column, missing cells, markers and several labels."""
    draw = np.random.default_rng(5)
    words = np.array(["ash", "birch", "cedar", "dögwood", " elm ", "NA"])
    lists = [[f"t{n}" for n in draw.integers(0, 30, size)] for size in draw.integers(0, 5, rows)]
    shares = draw.random(rows)
    return pl.DataFrame(
        {
            "width": np.where(draw.random(rows) < 0.1, np.nan, draw.normal(3.0, 2.0, rows)),
            "height": pl.Series(draw.integers(-999, -990, rows) + 0).cast(pl.Int32),
            "tree": words[draw.integers(0, 6, rows)],
            "grade": pl.Series(draw.integers(1, 9, rows).astype(float)).set(pl.Series(shares < 0.05), None),
            "user": draw.integers(0, 400, rows),
            "item": pl.Series(draw.integers(0, 90, rows)).cast(pl.String),
            "last_item": pl.Series(draw.integers(0, 95, rows)).cast(pl.String),
            "tags": lists,
            "more": pl.Series([",".join(tags[:2]) for tags in lists]),
            "seen": pl.Series(1_600_000_000 + draw.integers(0, 10**8, rows)).cast(pl.Int64),
            "split": np.where(shares < 0.6, "train", np.where(shares < 0.8, "validation", "test")),
            "times": draw.integers(1, 4, rows),
            "bought": pl.Series(draw.integers(0, 2, rows)).set(pl.Series(draw.random(rows) < 0.1), None),
            "stars": draw.integers(1, 6, rows),
            "spent": np.where(draw.random(rows) < 0.2, np.nan, draw.gamma(2.0, 20.0, rows)),
        },
        strict=False,
    )


def config_of(path: Path, data: dict[str, object], **features: object) -> Config:
    """Configure a table with the columns of `made`."""
    split = {"kind": "given", "by": "split"}
    told = {"kind": "table", "path": str(path), "missing": ["-999"], "keep": ["grade >= 2"], "split": split} | data
    kinds = {
        "hashed": {"user": 300, "item": 64, "last_item": 64},
        "bag": {"tags": {}, "more": {"separator": ",", "buckets": 16}},
        "datetime": {"seen": ["hour", "days"]},
        "share": [["item", "last_item"]],
        "categorical": ["grade"],
    }
    tasks = [
        {"name": "bought", "column": "bought", "kind": "binary"},
        {"name": "many", "column": "stars", "kind": "binary", "positive_if": "> 3"},
        {"name": "stars", "column": "stars", "kind": "multiclass"},
        {"name": "spent", "column": "spent", "kind": "regression", "weight": 0.5},
    ]
    model = {"numeric_encoding": "piecewise_linear", "bins": 6}
    return Config.model_validate(
        {"name": "made", "data": told, "features": kinds | features, "tasks": tasks, "model": model}
    )


def streamed(config: Config, work: Path) -> Dataset:
    """Read a table in two passes, however small it is."""
    data = config.data.model_copy(update={"stream_above_rows": 0})
    return read_dataset(config.model_copy(update={"data": data}), work)


@pytest.fixture
def small_blocks(monkeypatch: pytest.MonkeyPatch) -> None:
    """Cut the table into many blocks."""
    monkeypatch.setattr(blocks, "BLOCK_ROWS", 256)
    monkeypatch.setattr(blocks.blocks_of, "__defaults__", (256,))


def assert_same_features(one: FeatureSchema, other: FeatureSchema) -> None:
    """Compare all that is known of features; means and deviations up to the order of sums."""
    assert one.names == other.names
    for mine, theirs in zip(
        (*one.numeric, *one.texts, *one.datetimes), (*other.numeric, *other.texts, *other.datetimes), strict=True
    ):
        assert type(mine) is type(theirs)
        for name, value in vars(mine).items():
            held = getattr(theirs, name)
            assert value == (pytest.approx(held, rel=1e-12) if isinstance(value, float) else held), (mine.name, name)


def assert_same_rows(one: Rows, other: Rows) -> None:
    """Compare all arrays of rows but their text."""
    np.testing.assert_array_equal(one.numeric, other.numeric)
    np.testing.assert_array_equal(one.codes, other.codes)
    np.testing.assert_array_equal(one.labels, other.labels)
    for mine, theirs in zip(one.bags, other.bags, strict=True):
        np.testing.assert_array_equal(mine.values, theirs.values)
        np.testing.assert_array_equal(mine.offsets, theirs.offsets)
    for here, there in ((one.datetimes, other.datetimes), (one.weights, other.weights)):
        assert (here is None) == (there is None)
        if here is not None:
            np.testing.assert_array_equal(here, there)


Write = Callable[[pl.DataFrame, Path], None]


def as_csv(frame: pl.DataFrame, path: Path) -> None:
    """Write text, with the lists joined."""
    frame.with_columns(pl.col("tags").list.join("|")).write_csv(path)


@pytest.mark.usefixtures("small_blocks")
@pytest.mark.parametrize("weight", [None, "times"])
@pytest.mark.parametrize("kind", ["parquet", "csv"])
def test_a_streamed_table_is_the_table_in_memory(tmp_path: Path, kind: str, weight: str | None) -> None:
    """A split that a column names is the same in both ways, and so must be all that follows."""
    path = tmp_path / f"t.{kind}"
    as_csv(made(), path) if kind == "csv" else made().write_parquet(path)
    config = config_of(path, {"weight": weight} if weight else {"drop": ["times"]})
    whole, cut = read_dataset(config), streamed(config, tmp_path / "work")
    assert_same_features(cut.features, whole.features)
    assert cut.tasks[:3] == whole.tasks[:3]
    scale = {"mean": pytest.approx(whole.tasks[3].mean), "std": pytest.approx(whole.tasks[3].std)}
    assert vars(cut.tasks[3]) == vars(whole.tasks[3]) | scale
    for part in ("train", "validation", "test"):
        assert_same_rows(getattr(cut, part), getattr(whole, part))
    for mine, theirs in zip(cut.row_numbers, whole.row_numbers, strict=True):
        np.testing.assert_array_equal(mine, theirs)
    assert cut.digest == whole.digest
    assert cut.source == whole.source
    assert sorted(cut.remarks) == sorted(whole.remarks)
    assert sorted(cut.notes) == sorted(whole.notes)
