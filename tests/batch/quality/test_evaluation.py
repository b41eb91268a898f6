"""Joined rows and figures are numpy's and scikit-learn's, whatever order records came in."""

import json
import os
import random as python_random
import shutil
import signal
import subprocess
import sys
import threading
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st
from sklearn import metrics as sk

from batch.quality.erase import erase
from batch.quality.errors import EvaluationError
from batch.quality.evaluation import Evaluation, evaluate
from batch.quality.judge import Rules
from batch.quality.logs import opened
from batch.quality.models import Versions
from scripts.evaluate import main
from service.artifact.file import read_model
from service.monitoring.quality import read_quality
from tests.batch.quality.logs_made import label, prediction, write
from tests.support.hand_model import write_model

ROWS = 900


@pytest.fixture(scope="module")
def model(tmp_path_factory: pytest.TempPathFactory) -> Path:
    home = tmp_path_factory.mktemp("models")
    write_model(home, "hand", 2)
    return home / "hand"


@pytest.fixture(scope="module")
def rows() -> list[dict[str, Any]]:
    random = np.random.default_rng(0)
    return [prediction(number, random) for number in range(ROWS)]


@pytest.fixture(scope="module")
def labels(rows: list[dict[str, Any]]) -> list[dict[str, Any]]:
    """Label most rows: grades of the segment `blue` are turned round."""
    random = np.random.default_rng(1)
    made = []
    for number, row in enumerate(rows):
        answers = {task["task"]: task["prediction"] for task in row["tasks"]}
        sold = float(random.random() < answers["sold"][0])
        values = {"price": answers["price"][0] + random.normal(), "sold": 1 - sold if number % 3 == 1 else sold}
        if number % 2:
            values["grade"] = float(random.choice(3, p=np.array(answers["grade"][0:3]) / sum(answers["grade"])))
        if number % 10:
            made.append(label(row, 3600, **values))
    return made


def run(model: Path, home: Path, predictions: list[dict[str, Any]], labels: list[dict[str, Any]]) -> dict[str, Any]:
    given = write(home / "predictions", predictions, files=3), write(home / "labels", labels, files=2)
    rules = Rules(by="hour", min_rows=10)
    return evaluate(Evaluation(Versions(model), [given[0]], [given[1]], home / "out", ("colour", "age"), rules), print)


def truth_of(rows: list[dict[str, Any]], labels: list[dict[str, Any]], task: str) -> tuple[Any, Any, Any]:
    """Join by hand: answers, labels and gate weights of the labelled rows of a task."""
    known = {(r["request_id"], r["row"]): {e["task"]: e["value"] for e in r["labels"]} for r in labels}
    chosen = [
        (next(t for t in row["tasks"] if t["task"] == task), known[(row["request_id"], row["row"])][task])
        for row in rows
        if task in known.get((row["request_id"], row["row"]), {})
    ]
    return (
        np.array([entry["prediction"] for entry, _ in chosen]),
        np.array([value for _, value in chosen]),
        np.array([entry["gate_weights"] for entry, _ in chosen]),
    )


def test_figures_are_those_of_scikit_learn(
    model: Path, tmp_path: Path, rows: list[dict[str, Any]], labels: list[dict[str, Any]]
) -> None:
    report = run(model, tmp_path, rows, labels)
    (version,) = report["versions"]
    assert (version["version"], version["rows"]) == (2, ROWS)
    price, sold, grade = version["tasks"]
    answers, truth, gates = truth_of(rows, labels, "sold")
    expected = {
        "auc": sk.roc_auc_score(truth, answers[:, 0]),
        "pr_auc": sk.average_precision_score(truth, answers[:, 0]),
        "log_loss": sk.log_loss(truth, answers[:, 0]),
        "accuracy": sk.accuracy_score(truth, answers[:, 0] >= 0.5),
    }
    for name, value in expected.items():
        assert sold["metrics"][name]["value"] == pytest.approx(value)
        assert sold["metrics"][name]["low"] < value < sold["metrics"][name]["high"]
    assert sold["labelled"] == len(truth) == ROWS * 0.9
    assert sold["verdict"] == {"state": "not comparable"}  # a manifest by hand has no test metrics
    assert sold["label_delay_s"] == {"p5": 3600, "p50": 3600, "p95": 3600}
    assert sum(bin["rows"] for bin in sold["reliability"]) == pytest.approx(len(truth))
    top = gates.argmax(axis=1)
    for entry in sold["by_expert"]:
        mine = top == entry["expert"]
        assert entry["rows"] == mine.sum()
        assert entry["metrics"]["auc"]["value"] == pytest.approx(sk.roc_auc_score(truth[mine], answers[mine, 0]))
        correct = (answers[:, 0] >= 0.5) == (truth == 1)
        assert entry["mean_weight_right"] == pytest.approx(gates[correct, entry["expert"]].mean(), abs=1e-6)
    answers, truth, _ = truth_of(rows, labels, "price")
    assert price["metrics"]["rmse"]["value"] == pytest.approx(sk.root_mean_squared_error(truth, answers[:, 0]))
    assert price["metrics"]["mae"]["value"] == pytest.approx(sk.mean_absolute_error(truth, answers[:, 0]))
    answers, truth, _ = truth_of(rows, labels, "grade")
    shares = answers / answers.sum(axis=1, keepdims=True)
    assert grade["metrics"]["log_loss"]["value"] == pytest.approx(sk.log_loss(truth, shares, labels=[0, 1, 2]))
    assert sum(entry["rows"] for entry in grade["by_time"]) == len(truth)


def test_the_segment_in_which_a_task_fails_stands_out(
    model: Path, tmp_path: Path, rows: list[dict[str, Any]], labels: list[dict[str, Any]]
) -> None:
    sold = run(model, tmp_path, rows, labels)["versions"][0]["tasks"][1]
    by_value = {entry["value"]: entry for entry in sold["segments"] if entry["feature"] == "colour"}
    assert by_value["blue"]["metrics"]["auc"]["high"] < 0.5 < by_value["re|d"]["metrics"]["auc"]["low"]
    assert {entry["expert"] for entry in by_value["blue"]["by_expert"]} == {0, 1, 2, 3}
    ages = [entry for entry in sold["segments"] if entry["feature"] == "age"]
    assert sum(entry["rows"] for entry in ages) == sold["labelled"]
    page = (tmp_path / "out/hand/report.md").read_text()
    assert "| colour = re\\|d | 2" in page
    assert json.loads(read_quality(tmp_path / "out", "hand"))["versions"][0]["tasks"][1] == sold  # to the service too
    assert all((tmp_path / "out/hand" / name).exists() for name in ("2-sold.png", "rows-2.parquet", "quality.json"))


@settings(max_examples=4, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(seed=st.integers(0, 2**32 - 1))
def test_order_repetitions_and_foreign_labels_change_nothing_but_counts(
    model: Path, tmp_path: Path, rows: list[dict[str, Any]], labels: list[dict[str, Any]], seed: int
) -> None:
    shutil.rmtree(tmp_path)
    few, of_few = rows[:120], labels[:108]
    base = run(model, tmp_path / "base", few, of_few)
    random = python_random.Random(seed)
    earlier = [label(row, 60, sold=0.0, price=-99.0) for row in random.sample(few, 30) if row in few]
    known = {(r["request_id"], r["row"]) for r in of_few}
    earlier = [record for record in earlier if (record["request_id"], record["row"]) in known]
    foreign = [{**record, "request_id": "somebody's"} for record in of_few[:1]]
    repeated = [{**row, "time_utc": "2020-01-01 00:00:00.000000"} for row in random.sample(few, 7)]
    mixed_rows, mixed_labels = [*few, *repeated], [*of_few, *earlier, *foreign, *random.sample(of_few, 5)]
    random.shuffle(mixed_rows)
    random.shuffle(mixed_labels)
    mixed = run(model, tmp_path / "mixed", mixed_rows, mixed_labels)
    assert mixed["versions"] == base["versions"]
    assert mixed["records"]["repeated_predictions"] == 7
    assert mixed["records"]["foreign_labels"] == len(foreign[0]["labels"])
    assert mixed["records"]["replaced_labels"] > 0


def test_a_key_names_a_row_and_the_later_label_stands(model: Path, tmp_path: Path) -> None:
    random = np.random.default_rng(2)
    made = [prediction(n, random, key=f"order-{n}", request_id=f"q{n}", row=0) for n in range(3)]
    again = {**made[2], "request_id": "a retry"}
    told = [
        label(made[0], 10, by_key=True, sold=1.0),
        label(made[1], 20, by_key=True, sold=1.0),
        label(made[1], 30, sold=0.0),
        label(made[2], 30, by_key=True, sold=1.0),
        label(made[2], 20, sold=0.0),
    ]
    given = write(tmp_path / "predictions", [*made, again]), write(tmp_path / "labels", told)
    _, manifest = read_model(model / "2/model.onnx")
    with opened("hand", [given[0]], [given[1]], tmp_path) as logs:
        joined = logs.joined(2, manifest, [], tmp_path / "joined.parquet")
    assert sorted(zip(joined.times.tolist(), joined.labels["sold"].tolist(), strict=True)) == [
        (1_790_000_000, 1.0), (1_790_000_060, 0.0), (1_790_000_120, 1.0)
    ]  # fmt: skip


def test_a_killed_evaluation_leaves_the_earlier_result_and_the_next_is_the_same(
    model: Path, tmp_path: Path, rows: list[dict[str, Any]], labels: list[dict[str, Any]]
) -> None:
    report = run(model, tmp_path, rows, labels)
    command = [
        sys.executable, "-m", "scripts.evaluate", str(model), "--predictions", str(tmp_path / "predictions"),
        "--labels", str(tmp_path / "labels"), "--out", str(tmp_path / "out"), "--by", "hour", "--min-rows", "10",
        "--segment", "colour", "--segment", "age",
    ]  # fmt: skip
    for turn in (0, 2):
        begun = subprocess.Popen(command, stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL)
        while begun.poll() is None and len(list((tmp_path / "out").glob(".hand-*/*"))) < turn:
            pass
        begun.send_signal(signal.SIGKILL)
        begun.wait()
        held = json.loads((tmp_path / "out/hand/quality.json").read_text())
        assert held["versions"] == report["versions"]
    assert subprocess.run(command, check=True, capture_output=True, text=True).stdout.count("labelled rows") == 3
    assert json.loads((tmp_path / "out/hand/quality.json").read_text())["versions"] == report["versions"]
    assert sorted(path.name for path in (tmp_path / "out").iterdir()) == [".lock", "hand"]


def test_half_lines_and_files_that_vanish_change_nothing(
    model: Path, tmp_path: Path, rows: list[dict[str, Any]], labels: list[dict[str, Any]]
) -> None:
    few, of_few = rows[:60], labels[:54]
    base = run(model, tmp_path / "base", few, of_few)
    given = write(tmp_path / "predictions", few), write(tmp_path / "labels", of_few)
    for directory, record in zip(given, (rows[61], labels[55]), strict=True):  # services that were killed
        (directory / "rows-7-00000001.jsonl").write_text(json.dumps(record)[:-9])
    old = [given[0] / f"rows-8-{number:08d}.jsonl" for number in range(40)]
    for path in old:
        path.touch()

    def delete() -> None:
        for path in old:
            path.unlink()

    service = threading.Thread(target=delete)
    service.start()
    with opened("hand", [given[0]], [given[1]], tmp_path) as logs:
        assert logs.counts()._asdict() == base["records"] | {"unreadable": 2}
    service.join()


def test_rows_of_an_earlier_model_of_the_same_number_are_left_out(
    model: Path, tmp_path: Path, rows: list[dict[str, Any]], capsys: pytest.CaptureFixture[str]
) -> None:
    made = [dict(row, request_id=f"earlier {number}") for number, row in enumerate(rows[:30])]
    for number, row in enumerate(made):
        first, *others = row["tasks"]
        changed = {"gate_weights": [0.5, 0.5]} if number % 2 else {"task": "cost"}
        row["tasks"] = [first | changed, *others]
    told = [label(row, 5, sold=1.0) for row in (*rows[:12], *made)]
    (version,) = run(model, tmp_path, [*rows[:40], *made], told)["versions"]
    assert (version["rows"], version["tasks"][1]["labelled"]) == (40, 12)
    assert "Version 2: 30 rows are left out" in capsys.readouterr().out
    with pytest.raises(EvaluationError, match="no prediction of a version of hand"):
        run(model, tmp_path / "alone", made, [])


def test_erased_rows_are_gone_from_logs_that_are_still_written(tmp_path: Path) -> None:
    random = np.random.default_rng(3)
    made = [prediction(n, random, key=f"k{n}") for n in range(4)]
    told = [label(made[1], 5, by_key=True, sold=1.0), label(made[1], 6, sold=0.0), label(made[2], 5, sold=1.0)]
    predictions, labels = write(tmp_path / "p", made), write(tmp_path / "l", told)
    with next(predictions.glob("*.jsonl")).open("a") as service:
        assert erase("k1", [predictions], [labels]) == (1, 2)
        service.write(json.dumps(prediction(9, random, key="k9")) + "\n")
    text = "".join(path.read_text() for path in (*predictions.glob("*"), *labels.glob("*")))
    assert '"k1"' not in text
    kept = [json.loads(line) for line in next(predictions.glob("*.jsonl")).read_text().splitlines()]
    assert [record.get("key") for record in kept] == ["k0", None, "k2", "k3", "k9"]
    assert erase("k1", [predictions], [labels]) == (0, 0)


def test_erased_rows_are_gone_from_results_too_and_files_keep_their_age(
    model: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    """Also if nothing is left to be evaluated."""
    random = np.random.default_rng(3)
    made = [prediction(n, random, key="k1") for n in range(3)]
    run(model, tmp_path, made, [label(made[0], 5, sold=1.0)])
    (tmp_path / "out/other").mkdir()
    for name in ("hand/rows-1.parquet", "other/rows-1.parquet"):
        shutil.copy(tmp_path / "out/hand/rows-2.parquet", tmp_path / "out" / name)
    logs = [path for name in ("predictions", "labels") for path in (tmp_path / name).glob("*")]
    for path in logs:
        os.utime(path, (1000, 1000))
    given = [f"--{name}={tmp_path / name}" for name in ("predictions", "labels", "out")]
    assert main([f"{model.parent}/*", *given, "--erase", "k1"]) == 2
    said = capsys.readouterr()
    assert "no prediction of a version" in said.err
    assert said.out.startswith("Erased 3 predictions and 1 rows of labels.\nDeleted ")
    assert list((tmp_path / "out").glob("*/*.parquet")) == []
    assert {path.stat().st_mtime for path in logs} == {1000}
    assert "k1" not in "".join(path.read_text() for path in logs)


@pytest.mark.parametrize(
    ("arguments", "told"),
    [
        (["nowhere", "--predictions", "none"], "no file rows-*.jsonl"),
        (["nowhere/*", "--predictions", "none"], "no directory fits 'nowhere/*'"),
        (["{model}", "--predictions", "{logs}", "--segment", "size"], "'size' is not a feature"),
        (["other", "--predictions", "{logs}"], "no prediction of a version of other"),
    ],
)
def test_what_cannot_be_evaluated_is_told(
    model: Path,
    tmp_path: Path,
    rows: list[dict[str, Any]],
    arguments: list[str],
    told: str,
    capsys: pytest.CaptureFixture[str],
) -> None:
    logs = write(tmp_path / "logs", rows[:10])
    filled = [text.format(model=model, logs=logs) for text in arguments]
    assert main([*filled, "--out", str(tmp_path / "out")]) == 2
    assert told in capsys.readouterr().err
