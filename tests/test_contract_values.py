"""What the reader of a table does to a value, the graph does to a request's: cells through both halves."""

import json
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import polars as pl
import pytest

pytest.importorskip("torch", reason="makes a model: needs the trainer's packages")

from model.config import Config
from model.export import build_artifact
from model.predict import build_model, predict
from model.schema import MISSING, Dataset
from model.serving_module import ServingModule, serve
from model.table import read_dataset
from service.features import Batch, FeatureReader
from service.predictor import Predictor

TASK = {"name": "y", "column": "y", "kind": "regression"}


@dataclass(frozen=True)
class Made:
    """A model that was never trained, in both halves: weights are random, so that different inputs differ."""

    dataset: Dataset
    predictor: Predictor
    reader: FeatureReader
    module: ServingModule

    def answer(self, rows: Sequence[Mapping[str, Any]]) -> Any:
        """Answer rows as the service does."""
        return self.predictor.run(self.reader.from_instances(list(rows))).tasks["y"]


def make(folder: Path, frame: pl.DataFrame, parquet: bool = False, **sections: Any) -> Made:
    """Read a table, make a network of random weights, write its file and load that as the service does."""
    path = folder / "table"
    frame.write_parquet(path) if parquet else frame.write_csv(path, quote_style="necessary")
    data = {"kind": "table", "path": str(path), **sections.pop("data", {})}
    features = {"min_count": 1, **sections.pop("features", {})}
    settings = {"name": "made", "data": data, "features": features, "tasks": [TASK], **sections}
    config = Config.model_validate(settings)
    dataset = read_dataset(config)
    model = build_model(dataset.features, dataset.tasks, config.model, seed=0)
    content, manifest = build_artifact(model, dataset, config, predict(model, dataset.test))
    assert json.dumps(manifest, allow_nan=False)
    (folder / "model.onnx").write_bytes(content)
    predictor = Predictor.load(folder / "model.onnx")
    return Made(dataset, predictor, FeatureReader(predictor.manifest, max_rows=10_000), serve(model, dataset))


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


@pytest.mark.parametrize("spelling", ["-1", "-1.0", "-1.00", " -1 "])
def test_category_that_means_missing_in_the_table_means_it_in_a_request(tmp_path: Path, spelling: str) -> None:
    frame = pl.DataFrame({**rows(), "segment": [-1 if row % 5 == 0 else row % 3 for row in range(60)]})
    made = make(tmp_path, frame, parquet=True, data={"missing": ["-1"]}, features={"categorical": ["segment"]})
    (segment,) = made.dataset.features.categorical
    assert sorted(segment.vocabulary) == ["0", "1", "2"]
    sent, null, other = made.answer([{"segment": s, "z": 1} for s in (spelling, None, "0")])
    assert sent == null
    assert sent != other


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
