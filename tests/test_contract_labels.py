"""Labels in the table's own terms mean to the service what they meant to the trainer."""

from typing import Any

import numpy as np
import polars as pl

from service.artifact.file import read_model
from service.inference.labels import LabelReader


def test_every_label_of_the_table(artifact: Any) -> None:
    reader = LabelReader(read_model(artifact.path / "model.onnx")[1])
    table = pl.read_csv(artifact.config.data.path, infer_schema=False)
    columns = {task.name: task.column for task in artifact.config.tasks}
    told = np.array([[reader.read(task, raw) for raw in table[column]] for task, column in columns.items()]).T
    splits = [artifact.dataset.train, artifact.dataset.validation, artifact.dataset.test]
    known = np.concatenate([split.labels for split in splits])
    assert sorted(map(tuple, told.astype(np.float32))) == sorted(map(tuple, known.astype(np.float32)))
