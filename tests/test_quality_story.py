"""Census by two replicas: a segment arrives, drift names it, labels show where the model fails."""

import json
import os
import urllib.error
import urllib.request
from collections.abc import Callable
from datetime import datetime, timedelta
from pathlib import Path
from typing import Any

import numpy as np
import pytest

pytest.importorskip("torch", reason="trains a model: needs the trainer's packages")
pytest.importorskip("duckdb", reason="the extra evaluate is not installed")

from sklearn import metrics as sk

from batch.quality.evaluation import Evaluation, evaluate
from batch.quality.judge import Rules
from batch.quality.models import Versions
from service.artifact.file import read_model
from tests.support.metrics import awaited
from tests.support.server import running
from tests.support.shifted_census import ask, send, trained

SEGMENT = ("tax_filer_status", "Joint both 65+")
USUAL, FEW, SHIFTED = 1500, 200, 600


def ready(url: str) -> bool:
    try:
        with urllib.request.urlopen(f"{url}/health/ready"):
            return True
    except urllib.error.HTTPError:
        return False


@pytest.fixture(scope="module")
def census(tmp_path_factory: pytest.TempPathFactory) -> tuple[Path, list[dict[str, str]]]:
    """Train on the census table; returns the directory of models and the file's rows as text."""
    data = os.environ.get("MMOE_DATA", "")
    if not (Path(data) / "census").is_dir():
        pytest.skip("MMOE_DATA names no directory that holds census/")
    models = tmp_path_factory.mktemp("census")
    return models, trained(Path(data), models, epochs=2)


def an_hour_later(labels: Path) -> None:
    """Turn the clock of the label log: what came within seconds came after an hour."""
    for path in labels.glob("rows-*.jsonl"):
        records = [json.loads(line) for line in path.read_text().splitlines()]
        for record in records:
            at = datetime.fromisoformat(record["time_utc"]) + timedelta(hours=1)
            record["time_utc"] = at.strftime("%Y-%m-%d %H:%M:%S.%f")
        path.write_text("".join(json.dumps(record) + "\n" for record in records))


@pytest.mark.data
def test_a_segment_is_found_explained_and_judged(
    census: tuple[Path, list[dict[str, str]]], tmp_path: Path, measured: Callable[[str], None]
) -> None:
    models, lines = census
    random = np.random.default_rng(0)
    usual = [lines[place] for place in random.choice(len(lines), USUAL, replace=False)]
    shifted = [{**lines[place], SEGMENT[0]: SEGMENT[1]} for place in random.choice(len(lines), SHIFTED, replace=False)]
    logs = {"prediction_log": str(tmp_path / "predictions"), "label_log": str(tmp_path / "labels")}
    settings = {**logs, "prediction_log_features": "true", "quality": str(tmp_path / "quality")}
    _, manifest = read_model(models / "census_income/1/model.onnx")
    positive = {task.name: task.label for task in manifest.tasks}["income"]
    assert positive is not None
    assert positive.values is not None
    rich, poor = (next(t for t, c in positive.values.items() if c == k) for k in (1, 0))

    with running(models, **settings) as one, running(models, **settings) as two:
        for service in (one, two):
            awaited(lambda url=service.url: ready(url), True)  # type: ignore[misc]
        send(one.url, manifest, usual, 0)
        send(two.url, manifest, usual[:FEW], USUAL)
        send(two.url, manifest, shifted, USUAL + FEW)
        path = f"{two.url}/v1/models/census_income"
        awaited(lambda: ask(f"{path}/gates?window=5m")["rows"], FEW + SHIFTED)
        assert awaited(lambda: ask(f"{path}/drift?window=5m")["drifted"], [SEGMENT[0]]) == [SEGMENT[0]]
        drift = ask(f"{path}/drift?window=5m")
        calm = ask(f"{one.url}/v1/models/census_income/drift?window=5m")
        assert SEGMENT[0] not in calm["drifted"]
        moved = {task: gate["because"] for task, gate in drift["gates"].items() if gate["because"] is not None}
        assert "never_married" in moved
        for task, because in moved.items():
            assert because[0]["feature"] == SEGMENT[0]
            measured(f"gate of {task}: {drift['gates'][task]['level']}, because of {because[:2]}")
        measured(f"{SEGMENT[0]}: {drift['features'][SEGMENT[0]]['population_stability_index']}")

        everyone = [*usual, *usual[:FEW], *shifted]
        labels = [line[positive.column] for line in everyone]
        labels[USUAL + FEW :] = [
            poor if label == rich else rich for label in labels[USUAL + FEW :]
        ]  # the world has changed
        for start in range(0, len(labels), 1000):
            keys = [f"person-{place}" for place in range(start, min(start + 1000, len(labels)))]
            body = {"key": keys, "tasks": {"income": labels[start : start + 1000]}}
            ask(f"{(one if start else two).url}/v1/models/census_income/labels", body)
    an_hour_later(tmp_path / "labels")

    logs_of = [tmp_path / "predictions"], [tmp_path / "labels"]
    rules = Rules(by="hour")
    evaluation = Evaluation(Versions(models / "census_income"), *logs_of, tmp_path / "quality", (SEGMENT[0],), rules)
    (version,) = evaluate(evaluation, print)["versions"]
    income = next(task for task in version["tasks"] if task["task"] == "income")
    assert income["labelled"] == USUAL + FEW + SHIFTED
    assert income["label_delay_s"]["p5"] > 3500
    assert income["verdict"]["state"] == "worse than test rows"
    values = {entry["value"]: entry for entry in income["segments"]}
    failing = values[SEGMENT[1]]
    assert failing["metrics"]["auc"]["high"] < 0.5
    assert all(e["metrics"]["auc"]["low"] > 0.5 for v, e in values.items() if v != SEGMENT[1] and auc_of(e))
    measured_experts = [entry for entry in failing["by_expert"] if auc_of(entry) is not None]
    assert measured_experts
    assert all(entry["metrics"]["auc"]["high"] < 0.5 for entry in measured_experts)
    measured(f"income: {income['metrics']['auc']}, {income['verdict']}; {failing['rows']} rows of the segment:")
    measured(f"{failing['metrics']['auc']}; by expert {[(e['expert'], e['metrics']['auc']) for e in measured_experts]}")
    assert income["metrics"]["auc"]["value"] == pytest.approx(by_hand(tmp_path / "predictions", labels, rich))


def auc_of(entry: dict[str, Any]) -> float | None:
    """Return the AUC of a part; None with too few rows or one class."""
    found = (entry["metrics"] or {}).get("auc")
    return None if found is None or entry["rows"] < 200 else float(found["value"])


def by_hand(predictions: Path, labels: list[str], rich: str) -> float:
    """Compute the AUC of income from the lines of the log, by scikit-learn."""
    lines = [json.loads(line) for path in predictions.glob("rows-*.jsonl") for line in path.read_text().splitlines()]
    chances = {line["key"]: line["tasks"][0]["prediction"][0] for line in lines}
    assert lines[0]["tasks"][0]["task"] == "income"
    truth = [label == rich for label in labels]
    return float(sk.roc_auc_score(truth, [chances[f"person-{place}"] for place in range(len(labels))]))
