"""Tables for training from logs: every labelled row once, in the terms of the first table."""

import csv
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from batch.quality.errors import EvaluationError
from batch.quality.logs import opened
from batch.quality.training_table import write_training_table
from service.artifact.entries import LabelRule
from service.artifact.file import read_model
from service.artifact.manifest import Manifest
from tests.batch.quality.logs_made import START, label, prediction, write
from tests.support.hand_model import write_model

SOLD = LabelRule(column="was sold", values={"no": 0, "yes": 1})


@pytest.fixture(scope="module")
def manifest(tmp_path_factory: pytest.TempPathFactory) -> Manifest:
    home = tmp_path_factory.mktemp("models")
    write_model(home, "hand", 2)
    return read_model(home / "hand/2/model.onnx")[1]


def with_rule(manifest: Manifest, rule: LabelRule) -> Manifest:
    tasks = tuple(task.model_copy(update={"label": rule}) if task.name == "sold" else task for task in manifest.tasks)
    return manifest.model_copy(update={"tasks": tasks})


def table(home: Path, manifest: Manifest, rows: list[Any], labels: list[Any], since: float = 0) -> list[dict[str, str]]:
    logs = [write(home / "predictions", rows, files=2)], [write(home / "labels", labels)]
    with opened("hand", *logs, home, since) as joined:
        count = write_training_table(joined, {2: manifest, 3: manifest}, home / "table.csv", home)
    with (home / "table.csv").open(newline="", encoding="utf-8") as file:
        lines = list(csv.DictReader(file))
    assert len(lines) == count
    return lines


def test_labelled_rows_stand_once_with_features_and_labels_as_the_first_table_had_them(
    tmp_path: Path, manifest: Manifest
) -> None:
    random = np.random.default_rng(0)
    rows = [prediction(number, random) for number in range(6)]
    rows[1]["features"][0]["value"] = 'a "b", c'
    rows.append(
        {**prediction(7, random), "request_id": "r0", "row": 2, "version": 3}
    )  # row 2 again, by another version
    labels = [label(rows[1], 60, sold=1.0, price=2.5), label(rows[2], 60, grade=2.0), label(rows[4], 60, sold=0.0)]
    found = table(tmp_path, with_rule(manifest, SOLD), rows, labels)
    assert [*found[0]] == [*manifest.feature_names, "price", "was sold", "grade"]
    classes = next(task.classes for task in manifest.tasks if task.name == "grade")
    told = [(line["colour"], line["age"], line["price"], line["was sold"], line["grade"]) for line in found]
    assert told == [('a "b", c', "1", "2.5", "yes", ""), ("blue", "4", "", "no", ""), ("blue", "7", "", "", classes[2])]


def test_rows_from_before_a_moment_do_not_count(tmp_path: Path, manifest: Manifest) -> None:
    rows = [prediction(number, np.random.default_rng(0)) for number in range(6)]
    labels = [label(row, 600, price=1.0) for row in rows]
    assert [line["age"] for line in table(tmp_path, manifest, rows, labels, START + 240)] == ["4", "5"]


def test_what_logs_do_not_tell_is_refused(tmp_path: Path, manifest: Manifest) -> None:
    rows = [prediction(number, np.random.default_rng(0)) for number in range(3)]
    labels = [label(row, 60, sold=1.0) for row in rows]
    compared = with_rule(manifest, LabelRule(column="sales", positive_if="> 0"))
    with pytest.raises(EvaluationError, match="task 'sold' cannot be written as its table had them"):
        table(tmp_path, compared, rows, labels)
    with pytest.raises(EvaluationError, match="column 'price' has labels of several tasks"):
        table(tmp_path, with_rule(manifest, LabelRule(column="price", values={"0": 0, "5": 1})), rows, labels)
    with pytest.raises(EvaluationError, match="MMOE_PREDICTION_LOG_FEATURES"):
        table(tmp_path, manifest, [{**row, "features": []} for row in rows], labels)
