"""Counts, samples and progress that do not depend on how many rows there are."""

import io

import numpy as np
import polars as pl
import pytest

from model.data.streaming import distinct, samples
from model.data.streaming.distinct import Distinct
from model.data.streaming.progress import PassProgress
from model.data.streaming.samples import LowestRows, NumberSample
from model.data.streaming.splits import places
from tests.support.text_blocks import LINUX, held_mb


def test_places_are_even_and_those_of_a_seed() -> None:
    rows = np.arange(1, 100_001)
    assert np.histogram(places(rows, 0), 10, (0, 1))[0] == pytest.approx([10_000] * 10, rel=0.05)
    assert (places(rows, 0) != places(rows, 1)).all()
    np.testing.assert_array_equal(places(rows[50:60], 7), places(rows, 7)[50:60])


def test_few_distinct_values_are_counted_exactly_and_many_within_a_few_per_cent(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setattr(distinct, "EXACT", 10_000)
    count, other = Distinct(), Distinct()
    count.add(pl.Series(range(6_000)))
    other.add(pl.Series(range(3_000, 9_000)))
    count.merge(other)
    assert count.count == 9_000
    for start in range(0, 200_000, 20_000):
        count.add(pl.Series(range(start, start + 20_000)))
    assert count.count == pytest.approx(200_000, rel=0.04)
    other.merge(count)
    assert other.count == count.count


@pytest.mark.parametrize("pending", [0, 25, 10_000])
@pytest.mark.parametrize("values", [80, 2_000])
def test_a_count_does_not_depend_on_when_blocks_are_joined(
    monkeypatch: pytest.MonkeyPatch, pending: int, values: int
) -> None:
    whole = Distinct()
    monkeypatch.setattr(distinct, "EXACT", 500)
    whole.add(pl.Series(range(values)))
    monkeypatch.setattr(distinct, "PENDING", pending)
    count, other = Distinct(), Distinct()
    for start in range(0, values, 20):
        (count if start % 40 else other).add(pl.Series(range(start, start + 20)))
    count.merge(other)
    assert count.count == whole.count


@pytest.mark.parametrize("block", [7, 100, 1_000])
def test_a_sample_of_rows_is_the_same_in_blocks_of_any_size(block: int) -> None:
    rows = np.arange(1, 1_001)
    sample = LowestRows(50, salt=3)
    for start in range(0, 1_000, block):
        sample.add(rows[start : start + block])
    np.testing.assert_array_equal(sample.rows(), np.sort(np.argsort(places(rows, 3))[:50] + 1))


def test_quantiles_are_of_all_rows_while_these_are_few_and_then_of_a_sample(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(samples, "QUANTILE_ROWS", 400)
    rows = np.arange(1, 2_001)
    values = rows[:, None].astype(np.float32)
    few, many = NumberSample(1), NumberSample(1)
    few.add(rows[:300], values[:300], None)
    for start in range(0, 2_000, 90):
        here = slice(start, start + 90)
        many.add(rows[here], values[here], rows[here].astype(np.float32))
    np.testing.assert_array_equal(few.columns()[0], values[:300])
    lowest = np.sort(np.argsort(places(rows, samples.QUANTILE_SALT))[:400])
    np.testing.assert_array_equal(many.columns()[0], values[lowest])
    np.testing.assert_array_equal(many.columns()[1], rows[lowest])


def test_progress_says_which_pass_how_fast_and_how_long_it_takes_yet() -> None:
    out = io.StringIO()
    progress = PassProgress("Pass 1 of 2, counting", 1_000, out, every_s=0.0)
    progress.add(250)
    progress.add(750)
    progress.end()
    begin, first, last = out.getvalue().splitlines()
    assert begin == "Pass 1 of 2, counting: 1,000 rows"
    assert first.startswith("Pass 1 of 2, counting: 250 of 1,000 rows, ")
    assert first.endswith(" s left")
    assert " rows/s, " in first
    assert last.startswith("Pass 1 of 2, counting: 1,000 rows in ")


HOLDERS = {
    "categories": """
from model.data.streaming.text_columns import CategoryColumn
holder = CategoryColumn("text")
for block in blocks():
    holder.add(block, np.ones(ROWS, bool), None)
""",
    "bags": """
from model.data.streaming.text_columns import BagColumn
holder = BagColumn("text", ",", None)
for block in blocks():
    holder.add(block, np.ones(ROWS, bool), None)
""",
    "classes": """
from model.config.run import TaskConfig
from model.data.streaming.labels import ClassLabels
holder = ClassLabels(TaskConfig(name="text", kind="multiclass", column="text"))
for block in blocks():
    holder.add(block, np.zeros(ROWS, np.int8), None)
""",
    "rare classes": """
from model.config.run import TaskConfig
from model.data.streaming.strata import _RareRows
holder = _RareRows(TaskConfig(name="text", kind="multiclass", column="text"))
for block in blocks():
    holder.add(block)
""",
    "moments": """
from types import SimpleNamespace
from model.config.run import Config
from model.data.streaming.splits import plan_of
def dated(columns):
    for number, block in enumerate(blocks()):
        year = pl.when(pl.col("row") == 0).then(2000 + number).otherwise(1900 + pl.col("row") % 50)
        text = pl.concat_str(year, pl.lit(" text" * 20))
        yield Table(block.frame.with_columns(text=text), block.row_numbers)
split = {"kind": "time", "by": ["text"], "format": "%Y" + " text" * 20}
data = {"kind": "table", "path": "none", "split": split}
tasks = [{"name": "row", "kind": "regression", "column": "row"}]
config = Config.model_validate({"name": "none", "data": data, "tasks": tasks})
holder = plan_of(SimpleNamespace(blocks=dated, dtypes={}), config)
""",
}


@LINUX
@pytest.mark.parametrize("name", HOLDERS)
def test_what_is_counted_holds_no_text_of_other_rows(name: str) -> None:
    """Each block has a new value; where the text of its block stays with it, that is 125 MB."""
    assert held_mb(HOLDERS[name]) < 60
