"""Untrained models of made tables, in both halves."""

import json
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import polars as pl
from hypothesis import reject

from model.artifact.export import build_artifact
from model.artifact.judgement import measure
from model.artifact.serving_module import ServingModule, serve
from model.config.run import Config
from model.data.table import read_dataset
from model.network.inputs import inputs_of
from model.network.model import build_model
from model.schema import Dataset
from service.inference.features import FeatureReader
from service.inference.predictor import Predictor
from tables.errors import DataError

TASK = {"name": "y", "column": "y", "kind": "regression"}


@dataclass(frozen=True)
class Made:
    """Untrained model in both halves.

    Weights are random, so that different inputs differ.
    """

    dataset: Dataset
    predictor: Predictor
    reader: FeatureReader
    module: ServingModule

    def answer(self, rows: Sequence[Mapping[str, Any]]) -> Any:
        """Answer rows as the service does."""
        return self.predictor.run(self.reader.from_instances(list(rows))).tasks["y"]

    def trained_answers(self, module: ServingModule | None = None) -> dict[str, Any]:
        """Answer every row as training does, in the order of the splits."""
        splits = (self.dataset.train, self.dataset.validation, self.dataset.test)
        answers = [(module or self.module).answer(inputs_of(split)) for split in splits]
        return {name: np.concatenate([answer[name] for answer in answers]) for name in answers[0]}

    @property
    def order(self) -> Any:
        """Places of the rows of all splits in the table, from 0."""
        return np.concatenate(self.dataset.row_numbers) - 1


def make(folder: Path, frame: pl.DataFrame, parquet: bool = False, **sections: Any) -> Made:
    """Read a table, make a network of random weights, and load its file as the service does."""
    path = folder / "table"
    separator = sections.get("data", {}).get("separator", ",")
    frame.write_parquet(path) if parquet else frame.write_csv(path, separator=separator)
    data = {"kind": "table", "path": str(path), **sections.pop("data", {})}
    features = {"min_count": 1, **sections.pop("features", {})}
    config = Config.model_validate({"name": "made", "data": data, "features": features, "tasks": [TASK], **sections})
    dataset = read_dataset(config)
    model = build_model(dataset.features, dataset.tasks, config.model, seed=0)
    content, manifest = build_artifact(model, dataset, config, measure(model, dataset))
    assert json.dumps(manifest, allow_nan=False)
    (folder / "model.onnx").write_bytes(content)
    predictor = Predictor.load(folder / "model.onnx")
    return Made(dataset, predictor, FeatureReader(predictor.manifest, max_rows=10_000), serve(model, dataset))


@contextmanager
def barren_tables_rejected() -> Iterator[None]:
    """Draw another table where a declared column has no value that is known."""
    try:
        yield
    except DataError as error:
        if "tells nothing" in str(error):
            reject()
        raise
