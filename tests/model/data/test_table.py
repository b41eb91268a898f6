from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import polars as pl
import pytest

from model.config.run import Config
from model.data.table import read_dataset
from model.schema import FIRST_VALUE, MISSING, UNKNOWN, Dataset
from tables.errors import DataError

Read = Callable[..., Dataset]
PRICE = {"name": "price", "column": "price", "kind": "regression"}


def columns(rows: int = 40) -> dict[str, list[Any]]:
    """Return a table that every default accepts.

    A number, a category, a price and the split each row is in.
    """
    return {
        "size": [float(row % 7) for row in range(rows)],
        "colour": [("red", "green", "blue")[row % 3] for row in range(rows)],
        "price": [10.0 + row for row in range(rows)],
        "fold": [("train", "train", "validation", "test")[row % 4] for row in range(rows)],
    }


@pytest.fixture
def read(tmp_path: Path) -> Read:
    """Write a table as CSV and read it; sections of the configuration are given by keyword."""

    def reader(table: dict[str, list[Any]] | bytes, tasks: list[Any] | None = None, **sections: Any) -> Dataset:
        path = tmp_path / "table.csv"
        path.write_bytes(table if isinstance(table, bytes) else pl.DataFrame(table, strict=False).write_csv().encode())
        given = {"kind": "given", "by": "fold"}
        data = {"kind": "table", "path": str(path), "split": given, **sections.pop("data", {})}
        features = {"min_count": 1, **sections.pop("features", {})}
        return read_dataset(
            Config.model_validate(
                {"name": "a", "data": data, "features": features, "tasks": tasks or [PRICE], **sections}
            )
        )

    return reader


def refusal(read: Read, *args: Any, **sections: Any) -> str:
    with pytest.raises(DataError) as caught:
        read(*args, **sections)
    assert "\n" not in str(caught.value)
    return str(caught.value)


def test_a_table_becomes_arrays_in_the_order_of_its_columns(read: Read) -> None:
    dataset = read(columns())
    assert dataset.features.names == ("size", "colour")
    assert [len(rows) for rows in (dataset.train, dataset.validation, dataset.test)] == [20, 10, 10]
    np.testing.assert_array_equal(dataset.validation.numeric[:3, 0], [2.0, 6.0, 3.0])
    assert dataset.validation.text[:3, 0].tolist() == ["blue", "red", "green"]
    np.testing.assert_array_equal(dataset.validation.labels[:3, 0], [12.0, 16.0, 20.0])
    assert [a.dtype for a in (dataset.test.numeric, dataset.test.codes, dataset.test.labels)] == [
        np.float32,
        np.int64,
        np.float64,
    ]
    assert dataset.source == "table.csv"
    assert dataset.digest.startswith("sha256:")


def test_codes_point_into_the_vocabulary_most_frequent_first(read: Read) -> None:
    table = columns()
    table["colour"] = ["red" if row < 30 else "green" for row in range(40)]
    dataset = read(table)
    (colour,) = dataset.features.categorical
    assert colour.vocabulary == ("red", "green")
    for rows in (dataset.train, dataset.validation, dataset.test):
        assert [colour.vocabulary[code - FIRST_VALUE] for code in rows.codes[:, 0]] == rows.text[:, 0].tolist()


def test_a_value_that_only_a_test_row_holds_is_unknown(read: Read) -> None:
    table = columns()
    table["colour"][3] = "violet"  # row 3 is for test
    dataset = read(table)
    assert "violet" not in dataset.features.categorical[0].vocabulary
    assert dataset.test.codes[0, 0] == UNKNOWN
    assert dataset.test.text[0, 0] == "violet"
    assert dataset.features.categorical[0].unknown_share == 0.0


def test_rows_outside_the_training_split_change_no_statistic(read: Read) -> None:
    plain, table = read(columns()), columns()
    for row in range(40):
        if table["fold"][row] != "train":
            table["size"][row], table["colour"][row], table["price"][row] = 1e6 + row, f"odd {row}", -5.0
    table["size"][3] = None
    changed = read(table)
    assert changed.features == plain.features
    assert changed.tasks == plain.tasks
    np.testing.assert_array_equal(changed.train.numeric, plain.train.numeric)
    np.testing.assert_array_equal(changed.train.codes, plain.train.codes)


def test_statistics_are_those_of_the_present_training_values(read: Read) -> None:
    table = columns()
    training = [row for row in range(40) if table["fold"][row] == "train"]
    table["size"][training[0]] = None
    (size,) = read(table).features.numeric
    known = np.array([table["size"][row] for row in training[1:]])
    assert (size.mean, size.std, size.minimum, size.maximum) == pytest.approx(
        (known.mean(), known.std(), known.min(), known.max())
    )
    assert size.missing_share == pytest.approx(1 / 20)


def test_rare_categories_fold_into_unknown(read: Read) -> None:
    table = columns()
    table["colour"][0] = table["colour"][1] = "violet"  # two training rows
    dataset = read(table, features={"min_count": 3})
    (colour,) = dataset.features.categorical
    assert "violet" not in colour.vocabulary
    assert dataset.train.codes[:2, 0].tolist() == [UNKNOWN, UNKNOWN]
    assert colour.unknown_share == pytest.approx(2 / 20)
    assert "violet" in read(table, features={"min_count": 2}).features.categorical[0].vocabulary


def test_missing_markers_and_blanks(read: Read) -> None:
    table = columns()
    table["colour"][:4] = ["?", " ? ", "", " red "]
    table["size"][:2] = ["?", " 3.5 "]
    dataset = read(table, data={"missing": ["?"]})
    assert dataset.train.codes[:2, 0].tolist() == [MISSING, MISSING]
    assert dataset.validation.text[0, 0] == ""
    assert dataset.test.text[0, 0] == "red"
    assert np.isnan(dataset.train.numeric[0, 0])
    assert dataset.train.numeric[1, 0] == 3.5


def test_blanks_stay_when_told_so(read: Read) -> None:
    table = columns()
    table["colour"][3] = " red "
    assert read(table, data={"strip": False}).test.text[0, 0] == " red "


def test_declared_kinds_win_over_inferred_ones(read: Read) -> None:
    dataset = read(columns(), features={"categorical": ["size"]})
    assert dataset.features.names == ("size", "colour")
    assert dataset.features.numeric == ()
    assert read(columns(), features={"rest": "drop", "numeric": ["size"]}).features.names == ("size",)
    assert read(columns(), features={"rest": "categorical"}).features.numeric == ()


def test_numeric_features_come_first_and_labels_never(read: Read) -> None:
    table = {"colour": columns()["colour"], **columns(), "weight": list(range(40))}
    assert read(table).features.names == ("size", "weight", "colour")
    sentence = refusal(read, table, features={"numeric": ["price"]})
    assert sentence == "features.numeric names 'price', which holds the labels of task 'price'"


def test_a_column_to_split_by_is_a_feature_only_when_named(read: Read) -> None:
    assert "fold" not in read(columns()).features.names
    named = read(columns(), features={"categorical": ["fold"]})
    assert named.features.names == ("size", "colour", "fold")


def test_dropped_columns_are_no_features(read: Read) -> None:
    assert read(columns(), data={"drop": ["colour"]}).features.names == ("size",)
    sentence = refusal(read, columns(), data={"drop": ["colour"]}, features={"categorical": ["colour"]})
    assert sentence == "'colour' stands in features.categorical and in data.drop; keep one"


def test_constant_columns_get_deviation_one(read: Read) -> None:
    table = {**columns(), "one": [0.1] * 40}
    one = read(table).features.numeric[1]
    assert one.mean == pytest.approx(0.1)
    assert one.std == 1.0


def test_columns_without_a_value_are_left_out_with_a_note(read: Read) -> None:
    table = {**columns(), "empty": [None] * 40, "id": [f"row {row}" for row in range(40)]}
    dataset = read(table, features={"min_count": 2})
    assert dataset.features.names == ("size", "colour")
    assert [line.partition(": left out: ")[0] for line in dataset.remarks] == ["empty", "id"]
    assert refusal(read, table, features={"numeric": ["empty"]}).startswith("feature 'empty' tells nothing")


@pytest.mark.parametrize("days", [["2024-01-31", "2024-2-1"], ["31.01.2024", "1.2.2024"], ["2024/01/31 10:00", None]])
def test_dates_taken_as_categories_are_pointed_out(read: Read, days: list[Any]) -> None:
    table = {**columns(), "day": days * 20, "code": ["2024-13", "10-11-12"] * 20}
    (line,) = [line for line in read(table).remarks if "looks like dates" in line]
    assert line.startswith(f"day: looks like dates ('{days[0]}'): taken as categories")
    assert not any("day" in line for line in read(table, features={"categorical": ["day"]}).remarks)


def test_piecewise_linear_models_get_rising_bin_edges(read: Read) -> None:
    table = {**columns(), "one": [3.0] * 40}
    dataset = read(table, model={"numeric_encoding": "piecewise_linear", "bins": 4})
    for feature in dataset.features.numeric:
        assert len(feature.bin_edges) >= 2
        assert all(low < high for low, high in zip(feature.bin_edges, feature.bin_edges[1:], strict=False))
    assert read(table).features.numeric[0].bin_edges == ()


def test_conditions_keep_rows_and_those_whose_value_is_missing(read: Read) -> None:
    table = columns()
    table["size"][0] = None
    dataset = read(table, data={"keep": ["size <= 4", "colour != blue"]})
    sizes = np.concatenate([rows.numeric[:, 0] for rows in (dataset.train, dataset.validation, dataset.test)])
    assert np.nanmax(sizes) == 4.0
    assert np.isnan(sizes).sum() == 1
    assert "blue" not in dataset.features.categorical[0].vocabulary
    assert dataset.notes[0].startswith("Left out: 10 rows that did not meet 'size <= 4'")
    assert refusal(read, table, data={"keep": ["price > 1e6"]}) == "no row meets the conditions of data.keep"


@pytest.mark.parametrize(
    ("change", "sections", "sentence"),
    [
        (
            {},
            {"features": {"numeric": ["sise"]}},
            "features.numeric names the column 'sise', which the table lacks; did",
        ),
        (
            {},
            {"data": {"drop": ["color"]}},
            "data.drop names the column 'color', which the table lacks; did you mean 'c",
        ),
        ({}, {"data": {"keep": ["sizes > 1"]}}, "data.keep names the column 'sizes', which the table lacks; did you"),
        ({}, {"data": {"split": {"kind": "group", "by": "shop"}}}, "data.split.by names the column 'shop', which the"),
        (
            {},
            {"tasks": [{**PRICE, "column": "prize"}]},
            "task 'price' names the column 'prize', which the table lacks;",
        ),
        (
            {"size": [*range(39), "big"]},
            {"features": {"numeric": ["size"]}},
            "features.numeric wants numbers, and column 'size' holds 'big' in row 40; choose another kind for it",
        ),
        (
            {"size": [*range(39), "inf"]},
            {},
            "features.numeric wants finite numbers within float32, and column 'size' holds 'inf' in row 40",
        ),
        ({"size": [*range(39), 1e39]}, {}, "features.numeric wants finite numbers within float32, and column 'size'"),
        ({}, {"data": {"keep": ["colour > red"]}}, "data.keep compares with 'red'; '>' needs a number"),
        ({}, {"features": {"rest": "drop"}}, "the table has no features"),
    ],
)
def test_a_table_that_does_not_fit_is_refused_in_one_sentence(
    read: Read, change: dict[str, list[Any]], sections: dict[str, Any], sentence: str
) -> None:
    table = {name: [str(v) for v in values] for name, values in {**columns(), **change}.items()}
    assert refusal(read, table, **sections).startswith(sentence)


def test_infinities_are_missing_when_told_so(read: Read) -> None:
    table = {**columns(), "size": ["-inf", *map(str, range(39))]}
    assert np.isnan(read(table, data={"missing": ["inf"]}).train.numeric[0, 0])


def test_parquet_types_decide_the_kinds(tmp_path: Path) -> None:
    frame = pl.DataFrame(columns()).with_columns(
        code=pl.Series([str(row % 4) for row in range(40)]), old=pl.Series([row % 2 == 0 for row in range(40)])
    )
    frame.write_parquet(tmp_path / "table.parquet")
    data = {"kind": "table", "path": str(tmp_path / "table.parquet"), "split": {"kind": "given", "by": "fold"}}
    config = Config.model_validate({"name": "a", "data": data, "features": {"min_count": 1}, "tasks": [PRICE]})
    dataset = read_dataset(config)
    assert dataset.features.names == ("size", "colour", "code", "old")
    assert [feature.name for feature in dataset.features.numeric] == ["size"]
    assert set(dataset.features.categorical[2].vocabulary) == {"true", "false"}
    dated = frame.with_columns(day=pl.lit("2020-01-01").str.to_date())
    dated.write_parquet(tmp_path / "table.parquet")
    with pytest.raises(DataError, match=r"column .day. holds Date, which is a feature only where"):
        read_dataset(config)


def test_synthetic_data_takes_the_same_way(read: Read) -> None:
    config = Config.model_validate({"name": "a", "data": {"kind": "synthetic", "rows": 100, "dims": 5}})
    dataset = read_dataset(config)
    assert dataset.features.names == ("x_1", "x_2", "x_3", "x_4", "x_5")
    assert [task.name for task in dataset.tasks] == ["task_1", "task_2"]
    assert [len(rows) for rows in (dataset.train, dataset.validation, dataset.test)] == [80, 10, 10]
    assert (
        dataset.digest
        != read_dataset(config.model_copy(update={"data": config.data.model_copy(update={"seed": 1})})).digest
    )
