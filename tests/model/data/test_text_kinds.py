"""Ids, bags, moments and shared tables from a table in memory."""

from collections.abc import Callable
from datetime import UTC, date, datetime
from pathlib import Path
from typing import Any

import numpy as np
import polars as pl
import pytest
from sklearn.utils import murmurhash3_32

from model.config.run import Config
from model.data.table import dataset_of
from model.schema import FIRST_VALUE, MISSING, MISSING_TIME, UNKNOWN, Bags, Dataset
from tables.config import TableData
from tables.errors import DataError
from tables.source import table_of

Read = Callable[..., Dataset]
ROWS = 40
FOLDS = [("train", "train", "validation", "test")[row % 4] for row in range(ROWS)]


@pytest.fixture
def read() -> Read:
    """Read columns of a typed file beside a label; features are given by keyword."""

    def reader(columns: dict[str, Any], data: dict[str, Any] | None = None, **features: Any) -> Dataset:
        frame = pl.DataFrame({**columns, "price": [10.0 + row for row in range(ROWS)], "fold": FOLDS}, strict=False)
        config = Config.model_validate(
            {
                "name": "a",
                "data": {"kind": "table", "path": "x", "split": {"kind": "given", "by": "fold"}, **(data or {})},
                "features": {"min_count": 1, **features},
                "tasks": [{"name": "price", "column": "price", "kind": "regression"}],
            }
        )
        assert isinstance(config.data, TableData)
        return dataset_of(table_of(frame, config.data, True, Path("x")), "", "x", config)

    return reader


def bucket(text: str, buckets: int) -> int:
    return FIRST_VALUE + int(murmurhash3_32(text.encode(), 0, positive=True)) % buckets


def cells(bags: Bags) -> list[list[int]]:
    return [bags.values[a:b].tolist() for a, b in zip(bags.offsets[:-1], bags.offsets[1:], strict=True)]


def refusal(read: Read, *args: Any, **sections: Any) -> str:
    with pytest.raises(DataError) as caught:
        read(*args, **sections)
    assert "\n" not in str(caught.value)
    return str(caught.value)


@pytest.mark.parametrize(
    ("ids", "text"),
    [
        (pl.Series([7, None, 12], dtype=pl.Int32), ["7", "", "12"]),
        (pl.Series([7.0, None, 12.0]), ["7", "", "12"]),
        (pl.Series(["3.0", "NA", " caf\u00e9 "]), ["3.0", "", "caf\u00e9"]),
        (pl.Series(["3.0", "?", "cafe\u0301"]), ["3.0", "", "caf\u00e9"]),
        (pl.Series([True, None, False]), ["true", "", "false"]),
        (pl.Series([date(2026, 11, 1), None, date(2026, 1, 2)]), ["2026-11-01", "", "2026-01-02"]),
    ],
)
def test_an_id_is_the_bucket_of_its_text(read: Read, ids: pl.Series, text: list[str]) -> None:
    series = pl.concat([ids] * ROWS).head(ROWS)
    dataset = read({"user": series, "size": range(ROWS)}, data={"missing": ["?"]}, hashed={"user": 1000})
    expected = np.array([bucket(text[row % 3], 1000) if text[row % 3] else MISSING for row in range(ROWS)])
    assert dataset.test.codes[:, 0].tolist() == expected[np.array(FOLDS) == "test"].tolist()
    assert dataset.test.text[:, 0].tolist() == [text[row % 3] for row in range(ROWS) if FOLDS[row] == "test"]
    (feature,) = dataset.features.hashed
    assert (feature.buckets, feature.seed, feature.table) == (1000, 0, "")
    assert feature.missing_share == pytest.approx(np.mean([row % 3 == 1 for row in range(ROWS) if row % 4 < 2]))


LISTS = [["b", "a"], [], ["a", "", None], None, [" a "], ["new"] * 2]
TEXTS = ["b|a", "", "a||NA", None, " a ", "new|new"]


@pytest.mark.parametrize("given", [LISTS, TEXTS])
@pytest.mark.parametrize("buckets", [0, 50])
def test_a_bag_is_the_same_as_list_and_as_text(read: Read, given: list[Any], buckets: int) -> None:
    column = [given[row % 5] for row in range(ROWS)]
    column[3] = given[5]  # of a test row
    dataset = read({"tags": column, "size": range(ROWS)}, bag={"tags": {"buckets": buckets}})
    (feature,) = dataset.features.bags
    code = {"a": FIRST_VALUE, "b": FIRST_VALUE + 1, "new": UNKNOWN}
    code = {value: bucket(value, 50) for value in code} if buckets else code
    values = [["b", "a"], [], ["a"], [], ["a"], ["new", "new"]]
    kept = [values[row % 5] if row != 3 else values[5] for row in range(ROWS) if FOLDS[row] == "test"]
    assert cells(dataset.test.bags[0]) == [[code[value] for value in cell] for cell in kept]
    assert dataset.test.text[:, 0].tolist() == ["|".join(cell) for cell in kept]
    assert feature.vocabulary == (() if buckets else ("a", "b"))
    assert feature.missing_share == pytest.approx(0.4)
    assert feature.unknown_share == 0.0
    assert feature.mean_values == pytest.approx(4 / 3)


def test_numbers_in_lists_are_their_digits(read: Read) -> None:
    whole = read({"ids": [[7, 12], [7]] * (ROWS // 2)}, bag={"ids": {}})
    floats = read({"ids": [[7.0, 12.0], [7.0]] * (ROWS // 2)}, bag={"ids": {}})
    assert whole.features == floats.features
    assert whole.features.bags[0].vocabulary == ("7", "12")


def test_a_separator_inside_a_list_is_refused_with_row_and_value(read: Read) -> None:
    column = [["a", "b"]] * ROWS
    column[5] = ["a", "b|c"]
    said = refusal(read, {"tags": column}, bag={"tags": {}})
    assert "features.bag.tags" in said
    assert "'b|c' in the list of row 6" in said
    assert read({"tags": column}, bag={"tags": {"separator": ";"}}).features.bags[0].separator == ";"


@pytest.mark.parametrize(
    "given",
    [
        ["2026-11-01T12:30:00Z", None, "1969-12-31T23:59:59+00:00"],
        [1793536200.9, None, -1.0],
        [datetime(2026, 11, 1, 12, 30), None, datetime(1969, 12, 31, 23, 59, 59)],
        [datetime(2026, 11, 1, 12, 30, tzinfo=UTC), None, datetime(1969, 12, 31, 23, 59, 59, tzinfo=UTC)],
    ],
)
def test_moments_are_epoch_seconds_however_written(read: Read, given: list[Any]) -> None:
    column = pl.Series([given[row % 3] for row in range(ROWS)])
    dataset = read({"at": column}, datetime={"at": ["hour", "days"]})
    expected = [(1793536200, MISSING_TIME, -1)[row % 3] for row in range(ROWS)]
    assert dataset.test.datetimes is not None
    assert dataset.test.datetimes[:, 0].tolist() == [
        s for s, fold in zip(expected, FOLDS, strict=True) if fold == "test"
    ]
    (feature,) = dataset.features.datetimes
    assert (feature.parts, feature.minimum, feature.maximum) == (("hour", "days"), -1, 1793536200)
    known = np.array([s for s, fold in zip(expected, FOLDS, strict=True) if fold == "train" and s != MISSING_TIME])
    assert feature.mean_days == pytest.approx(known.mean() / 86_400)
    assert feature.std_days == pytest.approx(known.std() / 86_400)
    naive = isinstance(given[0], datetime) and given[0].tzinfo is None
    assert ("at: moments without a zone are taken for UTC." in dataset.notes) == naive


def test_shared_columns_have_one_vocabulary_of_all_their_values(read: Read) -> None:
    table = {"last": ["b", "c"] * (ROWS // 2), "item": ["a", "b"] * (ROWS // 2), "tags": [["b", "d"], []] * (ROWS // 2)}
    dataset = read(table, bag={"tags": {}}, share=[["tags", "item", "last"]])
    last, item = dataset.features.categorical
    (tags,) = dataset.features.bags
    assert last.vocabulary == item.vocabulary == tags.vocabulary == ("b", "a", "c", "d")
    assert (last.table, item.table, tags.table) == ("", "last", "last")
    assert dataset.test.codes[0].tolist() == [FIRST_VALUE + 2, FIRST_VALUE]
    limited = read(table, bag={"tags": {}}, share=[["tags", "item", "last"]], max_values=1)
    assert all(f.vocabulary == ("b",) for f in limited.features.categorical)
    assert limited.features.bags[0].vocabulary == ("b",)
    assert limited.features.bags[0].unknown_share == pytest.approx(0.5)


def test_shared_buckets_count_the_values_of_all_columns_once(read: Read) -> None:
    table = {"item": [f"i{row}" for row in range(ROWS)], "last": [f"i{row + 1}" for row in range(ROWS)]}
    dataset = read(table, hashed={"item": 64, "last": 64}, share=[["last", "item"]])
    item, last = dataset.features.hashed
    assert (item.table, last.table) == ("", "item")
    assert item.collision_share == last.collision_share == pytest.approx(1 - (1 - 1 / 64) ** 29)


@pytest.mark.parametrize(
    ("features", "said"),
    [
        ({"share": [["size", "user"]]}, "features.share names 'size', which is of kind 'numeric'"),
        ({"share": [["user", "nowhere"]]}, "features.share names 'nowhere', which is not a feature"),
        ({"share": [["user", "price"]]}, "features.share names 'price', which is not a feature"),
        ({"share": [["user", "item"]], "hashed": {"user": 8}}, "joins 'user' with 8 buckets and 'item' with a vocab"),
        ({"share": [["user", "item"]], "hashed": {"user": 8, "item": 9}}, "'user' with 8 buckets and 'item' with 9"),
        ({"hashed": {"price": 8}}, "features.hashed names 'price', which holds the labels"),
        ({"bag": {"nowhere": {}}}, "features.bag names the column 'nowhere'"),
        ({"hashed": {"empty": 8}}, "feature 'empty' tells nothing: no training row has a value there"),
        ({"bag": {"empty": {}}}, "feature 'empty' tells nothing: no training row has a value there"),
        ({"datetime": {"user": ["hour"]}}, "features.datetime wants moments, and column 'user' holds 'u0' in row 1"),
    ],
)
def test_declarations_that_do_not_fit_are_refused(read: Read, features: dict[str, Any], said: str) -> None:
    table = {"user": [f"u{row % 3}" for row in range(ROWS)], "item": ["a", "b"] * (ROWS // 2), "size": range(ROWS)}
    assert said in refusal(read, {**table, "empty": pl.Series([None] * ROWS, dtype=pl.String)}, **features)


def test_few_ids_and_crowded_buckets_are_remarked(read: Read) -> None:
    ids = [f"u{row}" for row in range(ROWS)]
    (few,) = read({"user": ids}, hashed={"user": 100_000}).remarks
    assert few.startswith("user: 20 different values are hashed into 100,000 buckets")
    (crowded,) = read({"user": ids}, hashed={"user": 16}).remarks
    assert crowded.startswith("user: 71% of 20 different values share one of 16 buckets")


def test_values_beyond_the_most_frequent_are_unknown(read: Read) -> None:
    words = ["a"] * 20 + [f"w{row}" for row in range(20)]
    dataset = read({"word": words, "tags": [[word] for word in words]}, bag={"tags": {}}, max_values=1)
    assert dataset.features.categorical[0].vocabulary == dataset.features.bags[0].vocabulary == ("a",)
    assert all("none of the 1 most frequent" in line and "features.max_values" in line for line in dataset.remarks)
    assert len(dataset.remarks) == 2
