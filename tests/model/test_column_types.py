"""Columns of every type of every file format, wherever a configuration can name one.

Each is used, or refused in a sentence.
"""

import datetime as dt
from decimal import Decimal
from pathlib import Path
from typing import Any

import polars as pl
import pytest

from model.config.run import Config
from model.data.table import dataset_of
from tables.config import TableData
from tables.errors import DataError
from tables.source import table_of

ROWS = 60
START = dt.datetime(2024, 1, 1)

COLUMNS: dict[str, pl.Series] = {
    "int": pl.Series(range(ROWS)),
    "uint64": pl.Series([2**64 - 1 - row for row in range(ROWS)], dtype=pl.UInt64),
    "int128": pl.Series([2**100 + row for row in range(ROWS)], dtype=pl.Int128),
    "float": pl.Series([row / 2 if row % 3 else None for row in range(ROWS)]),
    "float32": pl.Series([row / 2 for row in range(ROWS)], dtype=pl.Float32),
    "nan": pl.Series([float("nan")] * ROWS),
    "decimal": pl.Series([Decimal(row) / 4 for row in range(ROWS)], dtype=pl.Decimal(12, 2)),
    "boolean": pl.Series([row % 2 == 0 for row in range(ROWS)]),
    "text": pl.Series([("red", "green", "")[row % 3] for row in range(ROWS)]),
    "digits": pl.Series([str(row % 2) for row in range(ROWS)]),
    "categorical": pl.Series([("red", "green")[row % 2] for row in range(ROWS)], dtype=pl.Categorical),
    "enum": pl.Series([("red", "green")[row % 2] for row in range(ROWS)], dtype=pl.Enum(["red", "green"])),
    "null": pl.Series([None] * ROWS),
    "empty text": pl.Series([None] * ROWS, dtype=pl.String),
    "date": pl.Series([START.date() + dt.timedelta(row) for row in range(ROWS)]),
    "datetime": pl.Series([START + dt.timedelta(row) if row else None for row in range(ROWS)]),
    "zoned": pl.Series([START + dt.timedelta(row) for row in range(ROWS)]).dt.replace_time_zone("UTC"),
    "time": pl.Series([dt.time(row % 24) for row in range(ROWS)]),
    "duration": pl.Series([dt.timedelta(row) for row in range(ROWS)]),
    "list": pl.Series([[row] for row in range(ROWS)]),
    "array": pl.Series([[row, row] for row in range(ROWS)], dtype=pl.Array(pl.Int64, 2)),
    "struct": pl.Series([{"a": row} for row in range(ROWS)]),
    "binary": pl.Series([bytes([row]) for row in range(ROWS)]),
}

TASK = {"name": "y", "column": "y", "kind": "regression"}

USES: dict[str, dict[str, Any]] = {
    "feature": {},
    "numeric": {"features": {"numeric": ["c"]}},
    "categorical": {"features": {"categorical": ["c"]}},
    "dropped": {"data": {"drop": ["c"]}},
    "time": {"data": {"split": {"kind": "time", "by": "c"}}},
    "time with a format": {"data": {"split": {"kind": "time", "by": "c", "format": "%Y"}}},
    "group": {"data": {"split": {"kind": "group", "by": "c"}}},
    "given": {"data": {"split": {"kind": "given", "by": "c"}}},
    "two columns of a group": {"data": {"split": {"kind": "group", "by": ["z", "c"]}}},
    "kept by number": {"data": {"keep": ["c >= 1"]}},
    "kept by text": {"data": {"keep": ["c != red"]}},
    "kept by truth": {"data": {"keep": ["c == true"]}},
    "regression": {"tasks": [TASK | {"column": "c"}]},
    "binary": {"tasks": [TASK | {"column": "c", "kind": "binary"}]},
    "binary of one value": {"tasks": [TASK | {"column": "c", "kind": "binary", "positive": "red"}]},
    "binary of a truth": {"tasks": [TASK | {"column": "c", "kind": "binary", "positive": True}]},
    "binary by a condition": {"tasks": [TASK | {"column": "c", "kind": "binary", "positive_if": "> 3"}]},
    "multiclass": {"tasks": [TASK | {"column": "c", "kind": "multiclass"}]},
    "marked missing": {"data": {"missing": ["1", "red", "true", "2024-01-01"]}},
}


@pytest.mark.parametrize("use", USES)
@pytest.mark.parametrize("column", COLUMNS)
def test_a_column_is_used_or_refused_in_one_sentence(column: str, use: str) -> None:
    tenths = [row * 0.1 for row in range(ROWS)]
    frame = pl.DataFrame({"c": COLUMNS[column], "x": tenths, "z": tenths, "y": tenths})
    sections: dict[str, Any] = {"name": "m", "tasks": [TASK], "features": {"min_count": 1}, **USES[use]}
    data = {"kind": "table", "path": "t.parquet", **USES[use].get("data", {})}
    config = Config.model_validate(sections | {"data": data})
    assert isinstance(config.data, TableData)
    said, used = "", False
    try:
        table = table_of(frame, config.data, True, Path("t.parquet"))
        used = len(dataset_of(table, "sha256:0", "t.parquet", config).train) > 0
    except DataError as error:
        said = str(error)
    assert used != bool(said)
    assert "\n" not in said
    assert used or any(words in said for words in ("'c'", "task 'y'", "data.split leaves no row", "data.keep")), said
    if use == "dropped":
        assert used
    elif COLUMNS[column].dtype.is_nested():
        assert "'c'" in said
        assert str(COLUMNS[column].dtype) in said
