"""The prediction log.

Every row of the share once, equal to the answer, in one shape whatever the model.
"""

import json
import shutil
from collections import Counter
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from service.engine import Engine
from service.inference.answer import RunResult, RunSlice
from service.logs.prediction_lines import ModelVersion
from service.logs.predictions import ROOM_ROWS, PredictionLog
from service.logs.record_files import RETRY_S
from service.settings import Settings

FIELDS = ["time_utc", "request_id", "trace_id", "key", "model", "version", "row", "tasks"]


@pytest.fixture
def engine(models: Path) -> Iterator[Engine]:
    made = Engine(Settings(models=models))
    made.catalogue.scan()
    yield made
    made.close()


def records_of(directory: Path) -> list[dict[str, Any]]:
    paths = sorted(directory.glob("*.jsonl"))
    return [json.loads(line) for path in paths for line in path.read_text().splitlines()]


class Log:
    """Prediction log with its counts."""

    def __init__(self, directory: Path, engine: Engine, **settings: Any) -> None:
        self.directory, self.engine = directory, engine
        self.counts: Counter[str] = Counter()
        given = Settings(prediction_log=directory, **settings)
        self.log = PredictionLog(given, lambda record, count: self.counts.update({record: count}))

    def note(self, name: str, rows: list[Any], request_id: str = "r", trace_id: str = "") -> RunSlice:
        """Predict rows and note the answer."""
        model = self.engine.get(name)
        batch = model.reader.from_instances(rows)
        part = RunSlice(RunResult(model.predictor.run(batch), batch.rows), 0, batch.rows)
        self.log.note(request_id.encode(), trace_id, ModelVersion(name, model.version, model.manifest), batch, part)
        return part

    def records(self) -> list[dict[str, Any]]:
        """End the log and read it."""
        self.log.close()
        return records_of(self.directory)


def test_a_record_holds_what_was_answered(tmp_path: Path, engine: Engine) -> None:
    log = Log(tmp_path, engine)
    answer = log.note("hand", [{"age": 9.5, "colour": "red"}, {}], 'order "7"', "ab" * 16).answer()
    records = log.records()
    assert [list(record) for record in records] == [FIELDS, FIELDS]
    assert [(r["request_id"], r["trace_id"], r["model"], r["version"], r["row"]) for r in records] == [
        ('order "7"', "ab" * 16, "hand", 2, 0),
        ('order "7"', "ab" * 16, "hand", 2, 1),
    ]
    assert answer.gate_weights is not None
    for row, record in enumerate(records):
        assert [task["task"] for task in record["tasks"]] == ["price", "sold", "grade"]
        for t, task in enumerate(record["tasks"]):
            assert np.float32(task["prediction"]).tolist() == np.atleast_1d(answer.tasks[task["task"]][row]).tolist()
            assert np.float32(task["gate_weights"]).tolist() == answer.gate_weights[row, t].tolist()
    assert log.counts == {"prediction_rows_written": 2}


def test_without_gates_one_network_has_all_the_weight(tmp_path: Path, engine: Engine) -> None:
    log = Log(tmp_path, engine)
    log.note("plain", [{}])
    (record,) = log.records()
    assert [task["gate_weights"] for task in record["tasks"]] == [[1.0]] * 3


def test_features_are_recorded_only_if_allowed(tmp_path: Path, engine: Engine) -> None:
    row = {"age": 9.5, "balance": None, "colour": 'r"%d\n', "city": ""}
    Log(tmp_path / "without", engine).records()
    without, log = Log(tmp_path / "without", engine), Log(tmp_path / "with", engine, prediction_log_features=True)
    without.note("hand", [row])
    log.note("hand", [row, {"height": 1e-7}])
    assert "features" not in without.records()[0]
    first, second = log.records()
    assert first["features"] == [
        {"feature": "age", "value": "9.5"},
        {"feature": "height", "value": ""},
        {"feature": "balance", "value": ""},
        {"feature": "colour", "value": 'r"%d\n'},
        {"feature": "city", "value": ""},
    ]
    assert second["features"][1]["value"] == "1e-7"


def test_rows_of_large_requests_stay_in_order(tmp_path: Path, engine: Engine) -> None:
    log = Log(tmp_path, engine, prediction_log_features=True)
    log.note("hand", [{"age": float(number)} for number in range(500)])
    log.note("wide", [{"x0": float(number)} for number in range(3)])
    records = log.records()
    assert [record["row"] for record in records] == [*range(500), *range(3)]
    assert [float(record["features"][0]["value"]) for record in records] == [record["row"] for record in records]


@pytest.mark.parametrize("share", [0.01, 0.3, 1.0])
def test_the_share_is_of_requests_and_hangs_on_their_ids(tmp_path: Path, engine: Engine, share: float) -> None:
    found = []
    for replica in ("a", "b"):
        log = Log(tmp_path / replica, engine, prediction_log_share=share)
        for number in range(3000):
            log.note("wide", [{}, {}], f"0123456789ab-{number:x}")
        records = log.records()
        found.append([record["request_id"] for record in records])
        assert Counter(record["row"] for record in records)[0] * 2 == len(records), "all rows of a request or none"
    assert found[0] == found[1]
    assert len(found[0]) / 6000 == pytest.approx(share, abs=0.02)


def test_what_predicts_nothing_is_not_recorded(tmp_path: Path, engine: Engine) -> None:
    log, model = Log(tmp_path, engine), engine.get("hand")
    batch = model.reader.from_instances([{}])
    part = RunSlice(RunResult(model.predictor.run(batch, frozenset({"gate_weights"})), 1), 0, 1)
    log.log.note(b"r", "", ModelVersion("hand", 2, model.manifest), batch, part)
    assert log.records() == []


def test_what_finds_no_room_in_the_queue_is_counted(tmp_path: Path, engine: Engine) -> None:
    log = Log(tmp_path, engine)
    part = log.note("wide", [{}])
    many = RunSlice(RunResult(part.run.answer, ROOM_ROWS), 0, ROOM_ROWS)
    model = engine.get("wide")
    batch = model.reader.from_instances([{}])
    log.log.note(b"r", "", ModelVersion("wide", 1, model.manifest), batch, many)
    assert len(log.records()) == 1
    assert log.counts == {"prediction_rows_written": 1, "prediction_rows_dropped_queue": ROOM_ROWS}


def test_a_disk_that_fails_costs_rows_is_told_once_and_is_used_again(
    tmp_path: Path, engine: Engine, caplog: pytest.LogCaptureFixture, monkeypatch: pytest.MonkeyPatch
) -> None:
    caplog.set_level("INFO")
    monkeypatch.setattr("service.logs.record_files.RETRY_S", 0.0)
    assert RETRY_S > 0
    place = tmp_path / "log"
    place.write_text("a file where a directory should be")
    log = Log(place, engine)
    for number in range(3):
        log.note("wide", [{}, {}])
        while log.counts["prediction_rows_dropped_disk"] < 2 * (number + 1):
            pass
    place.unlink()
    log.note("wide", [{}], "kept")
    while not log.counts["prediction_rows_written"]:
        pass
    shutil.rmtree(place)
    log.note("wide", [{}], "kept too")
    assert [record["request_id"] for record in log.records()] == ["kept too"]
    assert log.counts == {"prediction_rows_written": 2, "prediction_rows_dropped_disk": 6}
    told = [(record.levelname, record.event) for record in caplog.records if hasattr(record, "event")]
    assert [line for line in told if "prediction" in line[1]] == [
        ("ERROR", "prediction_log_failed"),
        ("WARNING", "prediction_log_resumed"),
    ]


def read_by_polars(pattern: str) -> list[dict[str, Any]]:
    polars = pytest.importorskip("polars", reason="polars is not installed")
    return list(polars.read_ndjson(pattern).to_dicts())


def read_by_duckdb(pattern: str) -> list[dict[str, Any]]:
    duckdb = pytest.importorskip("duckdb", reason="DuckDB is not installed")
    with duckdb.connect() as database:
        found = database.sql(f"select * from '{pattern}'")
        rows = [dict(zip(found.columns, row, strict=True)) for row in found.fetchall()]
    return [row | {"time_utc": row["time_utc"].strftime("%Y-%m-%d %H:%M:%S.%f")} for row in rows]


@pytest.mark.parametrize("read", [read_by_polars, read_by_duckdb])
@pytest.mark.parametrize("first", ["plain", "wide"])
def test_all_files_are_read_in_one_call_whatever_came_first(
    tmp_path: Path, engine: Engine, read: Callable[[str], list[dict[str, Any]]], first: str
) -> None:
    rotated = {"prediction_log_file_bytes": 1 << 16, "prediction_log_files": 100}  # none is deleted, however they fill
    logs = [Log(tmp_path, engine, prediction_log_features=True, **rotated) for _ in range(2)]
    for _ in range(150):  # more than polars looks at to find the types
        logs[0].note(first, [{}])
    for number in range(20):
        logs[0].note("hand", [{"age": 1.5, "colour": "red"}], f"order-{number}", "ab" * 16)
        logs[1].note("wide", [{"x0": 2.0}])
        logs[1].note("plain", [{"city": "Oslo"}])
    for log in logs:
        log.log.close()
    written = records_of(tmp_path)
    assert len(written) == 210
    assert sorted(map(json.dumps, read(f"{tmp_path}/*.jsonl"))) == sorted(map(json.dumps, written))
