"""Tables with every kind of column, and what is read from them in two passes."""

from collections.abc import Mapping
from pathlib import Path

import numpy as np
import polars as pl

from model.config.run import Config
from model.data.table import read_dataset
from model.schema import Dataset, Rows

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


def config_of(path: Path, data: Mapping[str, object] | None = None, **features: object) -> Config:
    """Configure a table with the columns of `made`; a weight in `data` replaces the drop of it."""
    split = {"kind": "given", "by": "split"}
    told: dict[str, object] = {"kind": "table", "path": str(path), "missing": ["-999"], "keep": ["grade >= 2"]}
    told |= {"split": split} | dict(data or {})
    told |= {} if "weight" in told else {"drop": ["times"]}
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
    report = {"by": ["tree", "user", "grade"]}
    told |= {"group_metric": "item"}
    return Config.model_validate(
        {"name": "made", "data": told, "features": kinds | features, "tasks": tasks, "model": model, "report": report}
    )


def streamed(config: Config, work: Path | None, rows: bool = True) -> Dataset:
    """Read a table in two passes, however small it is."""
    data = config.data.model_copy(update={"stream_above_rows": 0})
    return read_dataset(config.model_copy(update={"data": data}), work, rows)


def assert_same_rows(one: Rows, other: Rows) -> None:
    """Compare all arrays of rows but their text."""
    np.testing.assert_array_equal(one.numeric, other.numeric)
    np.testing.assert_array_equal(one.codes, other.codes)
    np.testing.assert_array_equal(one.labels, other.labels)
    for mine, theirs in zip(one.bags, other.bags, strict=True):
        np.testing.assert_array_equal(mine.values, theirs.values)
        np.testing.assert_array_equal(mine.offsets, theirs.offsets)
    for name in ("datetimes", "weights", "groups", "segments"):
        here, there = getattr(one, name), getattr(other, name)
        assert (here is None) == (there is None)
        if here is not None and there is not None:
            np.testing.assert_array_equal(here, there)


def assert_same(one: Dataset, other: Dataset) -> None:
    """Compare two datasets but for their digests and sources."""
    for name in ("features", "tasks", "notes", "remarks", "segments"):
        assert getattr(one, name) == getattr(other, name)
    for part in ("train", "validation", "test"):
        assert_same_rows(getattr(one, part), getattr(other, part))
    for mine, theirs in zip(one.row_numbers, other.row_numbers, strict=True):
        np.testing.assert_array_equal(mine, theirs)
    assert one.sample is not None
    assert other.sample is not None
    assert_same_rows(one.sample, other.sample)
    np.testing.assert_array_equal(one.sample.text, other.sample.text)
    assert one.cells is not None
    assert other.cells is not None
    np.testing.assert_array_equal(one.cells.text, other.cells.text)
