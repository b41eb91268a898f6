"""Cells through both halves: the graph treats a request's value as the reader does a table's."""

import copy
from dataclasses import replace
from datetime import UTC, date, datetime
from decimal import Decimal
from pathlib import Path
from typing import Any

import numpy as np
import polars as pl
import pytest
from hypothesis import Phase, given, settings
from sklearn.utils import murmurhash3_32

pytest.importorskip("torch", reason="makes a model: needs the trainer's packages")

import torch

from model.artifact.parity import TOLERANCE, check_cells
from model.artifact.serving_module import serve
from model.artifact.text import lookup_table
from model.config.run import Config
from model.data.table import read_dataset
from model.errors import ExportError
from model.network.model import build_model
from model.schema import FIRST_VALUE, MISSING, UNKNOWN, Dataset
from service.inference.features import Batch
from tables.config import TableData
from tables.missing import markers_of
from tables.numerals import Numerals
from tests.support.made_models import TASK, barren_tables_rejected, make
from tests.support.made_tables import MOMENTS, MadeTable, made_tables


def rows(count: int = 60) -> dict[str, list[Any]]:
    return {"z": [row % 11 + 0.5 for row in range(count)], "y": [row % 7 for row in range(count)]}


@pytest.mark.parametrize("parquet", [False, True])
@pytest.mark.parametrize("marker", ["-999", "-999.0"])
def test_number_that_means_missing_in_the_table_means_it_in_a_request(
    tmp_path: Path, parquet: bool, marker: str
) -> None:
    income = [-999.0 if row % 5 == 0 else 50.0 + row for row in range(60)]
    frame = pl.DataFrame({**rows(), "income": income if parquet else [f"{v:g}" for v in income]})
    made = make(tmp_path, frame, parquet, data={"missing": [marker]})
    (income_feature,) = [f for f in made.dataset.features.numeric if f.name == "income"]
    assert income_feature.minimum > 0.0
    assert income_feature.missing_share == pytest.approx(0.2, abs=0.1)
    sent, null, absent, other = made.answer(
        [{"income": -999, "z": 0.5}, {"income": None, "z": 0.5}, {"z": 0.5}, {"income": 51, "z": 0.5}]
    )
    assert sent == null == absent
    assert sent != other
    for count in (1, 40, 2000):  # runs in which no number is missing take another path
        answers = made.answer([{"income": -999, "z": 0.5}] * count)
        np.testing.assert_allclose(answers, null, rtol=1e-5)


@pytest.mark.parametrize("spelling", ["-1", "-1.0", "-1.00", " -1 "])
def test_category_that_means_missing_in_the_table_means_it_in_a_request(tmp_path: Path, spelling: str) -> None:
    frame = pl.DataFrame({**rows(), "segment": [-1 if row % 5 == 0 else row % 3 for row in range(60)]})
    made = make(tmp_path, frame, parquet=True, data={"missing": ["-1"]}, features={"categorical": ["segment"]})
    (segment,) = made.dataset.features.categorical
    assert sorted(segment.vocabulary) == ["0", "1", "2"]
    sent, null, other = made.answer([{"segment": s, "z": 1} for s in (spelling, None, "0")])
    assert sent == null
    assert sent != other


@pytest.mark.parametrize("spelling", ["3", "3.00"])
def test_whole_decimal_is_one_category_however_the_table_writes_it(tmp_path: Path, spelling: str) -> None:
    shops = pl.Series([Decimal(row % 4) for row in range(60)], dtype=pl.Decimal(12, 2))
    made = make(tmp_path, pl.DataFrame({**rows(), "shop": shops}), parquet=True, features={"categorical": ["shop"]})
    (shop,) = made.predictor.manifest.categorical
    assert sorted(shop.vocabulary) == ["0", "1", "2", "3"]
    sent, plain, unknown = made.answer([{"shop": s, "z": 0.5} for s in (spelling, "3", "no such shop")])
    assert sent == plain
    assert sent != unknown


def test_marker_written_with_a_decimal_comma_is_one_in_every_spelling(tmp_path: Path) -> None:
    cells = ["-200,0", "-200", "-200,00", "-2e2", "1,5", "2,5"]
    frame = pl.DataFrame({**rows(), "gas": [cells[row % 6] for row in range(60)]})
    made = make(tmp_path, frame, data={"missing": ["-200,0"], "decimal": ","}, features={"categorical": ["z"]})
    (gas,) = made.dataset.features.numeric
    assert (gas.minimum, gas.maximum) == (1.5, 2.5)
    sent, null = made.answer([{"gas": -200, "z": "0.5"}, {"gas": None, "z": "0.5"}])
    assert sent == null


def test_infinities_are_missing_in_the_graph_where_they_are_in_the_table(tmp_path: Path) -> None:
    frame = pl.DataFrame({**rows(), "x": ["inf" if row % 6 == 0 else str(row) for row in range(60)]})
    made = make(tmp_path, frame, data={"missing": ["inf"]})
    numeric = np.array([[1.5, np.inf], [1.5, -np.inf], [1.5, np.nan]], np.float32)
    answers = made.predictor.run(Batch(numeric, None, 3)).tasks["y"]
    assert answers[0] == answers[1] == answers[2]


def test_other_numbers_near_a_marker_are_values(tmp_path: Path) -> None:
    frame = pl.DataFrame({**rows(), "x": ["-1" if row % 6 == 0 else str(row) for row in range(60)]})
    made = make(tmp_path, frame, data={"missing": ["-1"]})
    answers = made.answer([{"z": 1, "x": x} for x in (-1, -1.0001, -0.9999, 1)])
    assert len(set(answers.tolist())) == 4
    assert MISSING not in made.dataset.train.codes


def test_id_and_bag_that_the_graph_takes_otherwise_than_the_reader_did_are_found(tmp_path: Path) -> None:
    columns = {
        "id": [row % 9 for row in range(60)],
        "tags": [[f"t{row % 5}", "t1"][: row % 3] for row in range(60)],
        "at": [datetime(2026, 1, 1 + row % 28, tzinfo=UTC) for row in range(60)],
    }
    features = {"hashed": {"id": 100}, "bag": {"tags": {}}, "datetime": {"at": ["weekday", "days"]}}
    made = make(tmp_path, pl.DataFrame({**rows(), **columns}), parquet=True, features=features)
    cells, file = made.dataset.cells, (tmp_path / "model.onnx").read_bytes()
    assert cells is not None
    check_cells(file, made.module, cells, TOLERANCE)
    (tags,) = cells.read_bags
    assert cells.datetimes is not None
    for changed in (
        replace(cells, read_codes=cells.read_codes + 1),
        replace(cells, read_bags=(replace(tags, values=5 - tags.values),)),
        replace(cells, text=np.where(cells.text == "t1", "t1|t1|t2", cells.text)),
    ):
        with pytest.raises(ExportError, match=r"row \d+ of the table, sent as a request"):
            check_cells(file, made.module, changed, TOLERANCE)


def bucket(text: str, buckets: int) -> int:
    return FIRST_VALUE + int(murmurhash3_32(text.encode(), 0, positive=True)) % buckets


def read_made(folder: Path, made: MadeTable) -> tuple[Dataset, Config]:
    data = {"kind": "table", "path": str(made.write(folder / "table")), **made.data}
    config = Config.model_validate({"name": "made", "data": data, "features": made.features, "tasks": [TASK]})
    with barren_tables_rejected():
        return read_dataset(config), config


@settings(max_examples=40, deadline=None)
@given(made=made_tables())
def test_graph_takes_every_cell_of_any_table_as_its_reader_did(
    tmp_path_factory: pytest.TempPathFactory, made: MadeTable
) -> None:
    """Compare arrays.

    The graph's two steps before the encoder, on cells as a caller sends them, and the reader's.
    """
    dataset, config = read_made(tmp_path_factory.mktemp("made"), made)
    cells, features = dataset.cells, dataset.features
    assert cells is not None
    assert len(cells.row_numbers) == len(dataset.test)
    assert isinstance(config.data, TableData)
    markers = sorted(markers_of(config.data).texts)
    tables = lookup_table(features, markers)
    single, hashed = len(features.single), features.hashed
    codes = [[table.get(text, UNKNOWN) for text, table in zip(row, tables, strict=False)] for row in cells.text]
    for row, texts in zip(codes, cells.text[:, len(tables) : single], strict=True):
        row += [MISSING if t in markers else bucket(t, f.buckets) for t, f in zip(texts, hashed, strict=True)]
    np.testing.assert_array_equal(np.array(codes, np.int64).reshape(cells.read_codes.shape), cells.read_codes)
    for column, (bag, read) in enumerate(zip(features.bags, cells.read_bags, strict=True), start=single):
        values = [[v for v in text.split(bag.separator) if v not in markers] for text in cells.text[:, column]]
        known = {value: code for code, value in enumerate(bag.vocabulary, FIRST_VALUE)}
        found = [bucket(v, bag.buckets) if bag.buckets else known.get(v, UNKNOWN) for cell in values for v in cell]
        assert read.values.tolist() == found
        assert np.diff(read.offsets).tolist() == [len(cell) for cell in values]
    model = build_model(features, dataset.tasks, config.model, seed=0)
    numbers = serve(model, dataset).without_markers(torch.from_numpy(cells.numeric)).numpy()
    np.testing.assert_array_equal(numbers, cells.read_numeric)


@settings(max_examples=4, deadline=None, phases=(Phase.explicit, Phase.reuse, Phase.generate))  # seconds each
@given(made=made_tables())
def test_service_takes_every_cell_of_any_table_as_its_reader_did(
    tmp_path_factory: pytest.TempPathFactory, made: MadeTable
) -> None:
    """Compare answers.

    The service's, to JSON made of the cells, and torch's, to what the reader made of them.
    """
    folder = tmp_path_factory.mktemp("made")
    with barren_tables_rejected():
        made_table = make(folder, made.frame, made.parquet, data=made.data, features=made.features)
    dataset, exact_module = made_table.dataset, copy.deepcopy(made_table.module).double()
    expected, exact = (made_table.trained_answers(module)["y"] for module in (None, exact_module))
    noise = float(np.abs(expected - exact).max())  # of float32, for values far beyond the training rows
    numerals = Numerals(made.data["decimal"], made.data["thousands"])
    requests = requests_of(made.frame[made_table.order], dataset, numerals)
    np.testing.assert_allclose(made_table.answer(requests), expected, rtol=1e-5, atol=1e-5 + 4.0 * noise)


def requests_of(frame: pl.DataFrame, dataset: Dataset, numerals: Numerals) -> list[dict[str, Any]]:
    """Write cells as JSON.

    A number where the cell is one, its text for a category, an id or a value of a bag, digits of
    whole ones as an integer, a moment with its zone, null where there is nothing.
    """
    columns: dict[str, list[Any]] = {}
    for feature in dataset.features.numeric:
        series = frame[feature.name]
        numbers = numerals.read(series) if series.dtype == pl.String else series.cast(pl.Float64)
        columns[feature.name] = [None if v is None or not np.isfinite(v) else v for v in numbers]
    for category in dataset.features.categorical:
        series = frame[category.name]
        series = series.fill_nan(None) if series.dtype.is_float() else series
        columns[category.name] = series.cast(pl.String).to_list()
    for hashed in dataset.features.hashed:
        columns[hashed.name] = [id_sent(value) for value in frame[hashed.name]]
    for bag in dataset.features.bags:
        cells = frame[bag.name]
        arrays = cells.str.split(bag.separator) if cells.dtype == pl.String else cells
        columns[bag.name] = [
            array and [id_sent(value) for value in array if value is not None] for array in arrays.to_list()
        ]
    for moment in dataset.features.datetimes:
        columns[moment.name] = [moment_sent(value) for value in frame[moment.name]]
    return [dict(zip(columns, row, strict=True)) for row in zip(*columns.values(), strict=True)]


def id_sent(value: Any) -> Any:
    """Write an id: a whole float as an integer, as JSON has nothing else for it."""
    if isinstance(value, float):
        return None if np.isnan(value) else int(value)
    return value


def moment_sent(value: Any) -> Any:
    """Write a moment with its zone."""
    if isinstance(value, datetime):
        return (value if value.tzinfo else value.replace(tzinfo=UTC)).isoformat()
    if isinstance(value, date):
        return f"{value.isoformat()}T00:00:00Z"
    return None if value is None else MOMENTS.get(value.strip(), None)
