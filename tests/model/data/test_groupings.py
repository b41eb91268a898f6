from pathlib import Path
from typing import Any

import numpy as np
import polars as pl
import pytest

from model.config.run import Config
from model.data import groupings
from model.data.groupings import Groupings, groups_of
from model.data.table import dataset_of
from model.schema import Dataset, Rows
from tables.config import TableData
from tables.errors import DataError
from tables.source import Table, table_of

LAND = ["fr", None, "de", "fr", "it", "de"]
FRAME = pl.DataFrame(
    {
        "size": np.arange(18.0),
        "land": LAND * 3,
        "user": [7, 7, None, 8, None, 8] * 3,
        "sold": [0, 1, 1, 0, 1, 0] * 3,
        "fold": ["train"] * 6 + ["validation"] * 6 + ["test"] * 6,
    }
)


def config_of(**changes: Any) -> Config:
    data = {"kind": "table", "path": "x", "drop": ["user"], "split": {"kind": "given", "by": "fold"}}
    tasks = [{"name": "sold", "column": "sold", "kind": "binary"}]
    base: dict[str, Any] = {"name": "a", "data": data, "tasks": tasks}
    return Config.model_validate(base | changes | {"data": data | changes.get("data", {})})


def table(frame: pl.DataFrame = FRAME) -> Table:
    data = config_of().data
    assert isinstance(data, TableData)
    return table_of(frame, data, True, Path("x"))


def read(config: Config) -> Dataset:
    return dataset_of(table(), "", "x", config)


def test_rows_have_what_they_are_judged_by_and_training_rows_have_not() -> None:
    dataset = read(config_of(data={"group_metric": "user"}, report={"by": ["land", "fold"]}))
    assert (dataset.train.groups, dataset.train.segments, dataset.validation.segments) == (None, None, None)
    assert dataset.validation.groups is not None
    assert dataset.test.groups is not None
    assert dataset.test.segments is not None
    first, second = dataset.segments
    assert [first.values[code] for code in dataset.test.segments[:, 0]] == ["fr", "", "de", "fr", "it", "de"]
    assert second.values == ("test",)
    assert "user" not in dataset.features.names  # dropped, and not by its use as a group


def test_rows_without_a_group_are_groups_of_their_own() -> None:
    groups = groups_of(table(), "user")
    assert groups[0] == groups[1] == groups[6]
    assert groups[3] == groups[5]
    assert len(set(groups.tolist())) == 2 + 6  # two users, and six rows without one


def test_values_behind_the_first_ones_count_together(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(groupings, "MOST_VALUES", 2)
    empty = np.empty((6, 0))
    rows = Rows(empty.astype(np.float32), empty.astype(np.int64), empty, empty.astype(object))
    reader, chosen = Groupings(config_of(report={"by": ["land"]})), np.ones(6, bool)
    codes = [reader.judged(rows, table(FRAME[:6]), chosen, test=True).segments for _ in range(2)]
    assert reader.segments()[0].values == ("fr", "")
    for found in codes:
        assert found is not None
        assert found[:, 0].tolist() == [0, 1, -1, 0, -1, -1]


@pytest.mark.parametrize(
    ("changes", "sentence"),
    [
        ({"data": {"group_metric": "usr"}}, "data.group_metric names the column 'usr', which the table lacks"),
        ({"report": {"by": ["lands"]}}, "report.by names the column 'lands', which the table lacks"),
    ],
)
def test_a_column_that_is_not_there_is_named(changes: dict[str, Any], sentence: str) -> None:
    with pytest.raises(DataError, match=sentence):
        read(config_of(**changes))
    with pytest.raises(DataError, match=sentence):
        Groupings(config_of(**changes)).check(table())


def test_gauc_is_a_metric_where_there_are_groups_alone() -> None:
    with pytest.raises(
        ValueError, match=r"train.monitor is 'sold.gauc', expected loss or one of sold.auc, sold.pr_auc"
    ):
        config_of(train={"monitor": "sold.gauc"})
    assert config_of(data={"group_metric": "user"}, train={"monitor": "sold.gauc"}).train.monitor == "sold.gauc"
    regression = [{"name": "sold", "column": "sold", "kind": "regression"}]
    with pytest.raises(ValueError, match=r"data\.group_metric is 'user', and no task is binary"):
        config_of(data={"group_metric": "user"}, tasks=regression)
