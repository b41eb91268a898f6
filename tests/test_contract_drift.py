"""Drift: the service counts rows as the trainer did, names what moved, and is silent otherwise."""

import csv
from collections.abc import Callable, Iterator
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

import httpx
import numpy as np
import pytest

pytest.importorskip("torch", reason="makes a model: needs the trainer's packages")

from model.artifact.export import build_artifact
from model.artifact.judgement import measure
from model.config.run import Config
from model.data.table import read_dataset
from model.network.model import build_model
from service.artifact.manifest import Manifest
from service.gates import Drift
from service.inference.answer import Answer, RunResult
from service.inference.features import Batch, FeatureReader
from service.inference.predictor import Predictor
from service.monitoring.because import gate_causes
from service.monitoring.cells import CellCounter, Sample
from service.monitoring.drift import LEAST_ROWS, FeatureDrift, feature_drifts, prediction_drifts
from service.monitoring.drift_report import drift_report
from service.monitoring.inputs import KEPT_ROWS, RING, Counted, Inputs, InputTraffics
from service.run_directory import RunDirectory

Row = dict[str, Any]

CITIES, TAGS = [f"city {n}" for n in range(30)], [f"tag {n}" for n in range(25)]
FEATURES = {
    "min_count": 2,
    "numeric": ["amount", "visits"],
    "categorical": ["city"],
    "hashed": {"user": 1000},
    "bag": {"tags": {"separator": "|"}, "seen": {"separator": ";", "buckets": 64}},
    "datetime": {"clicked_at": ["hour", "days"]},
}
TASKS = [
    {"name": "price", "column": "price", "kind": "regression"},
    {"name": "grade", "column": "grade", "kind": "multiclass"},
]
KINDS = ("amount", "visits", "city", "user", "tags", "seen", "clicked_at")


def draw(random: np.random.Generator, rows: int) -> list[Row]:
    """Draw rows as a caller sends them."""
    return [
        {
            "amount": None if random.random() < 0.1 else round(float(random.normal(5, 2)), 3),
            "visits": -1 if random.random() < 0.05 else int(random.poisson(2)),
            "city": str(random.choice([*CITIES[: 1 + int(random.integers(30))], "?"])),
            "user": f"u-{int(random.exponential(80))}",
            "tags": [TAGS[int(at)] for at in random.integers(25, size=random.integers(4))],
            "seen": [f"i-{int(at)}" for at in random.integers(90, size=random.integers(4))],
            "clicked_at": int(random.integers(1_700_000_000, 1_710_000_000)),
        }
        for _ in range(rows)
    ]


SHIFTS: dict[str, Callable[[Row], Any]] = {
    "amount": lambda row: None if row["amount"] is None else row["amount"] + 1.5,
    "visits": lambda row: -1 if row["clicked_at"] % 4 == 0 else row["visits"],  # missing more often
    "city": lambda row: "never met" if row["clicked_at"] % 7 == 0 else row["city"],
    "user": lambda row: f"u-{row['clicked_at'] % 3}",
    "tags": lambda row: [*row["tags"], "tag 1"],
    "seen": lambda row: ["i-7"] if row["clicked_at"] % 5 == 0 else row["seen"],
    "clicked_at": lambda row: row["clicked_at"] + 5_000_000,
}


@dataclass(frozen=True)
class Made:
    """Untrained model, its file as the service reads it, and the rows that its baseline is of."""

    path: Path
    predictor: Predictor
    validation: list[Row]

    @property
    def manifest(self) -> Manifest:
        return self.predictor.manifest

    def batch(self, rows: list[Row]) -> Batch:
        return FeatureReader(self.manifest, 10**6).from_instances(rows)

    def inputs(self) -> Inputs:
        made = Inputs.of("drifting", 1, self.manifest)
        assert made is not None
        return made

    def counter(self) -> CellCounter:
        assert self.manifest.baseline is not None
        return CellCounter(self.manifest, self.manifest.baseline)

    def counted(self, batch: Batch, answers: Any) -> Counted:
        counts = self.counter().count(Sample(batch, answers, np.ones(batch.rows)))
        return Counted(batch.rows, batch.rows, np.split(counts, np.cumsum(self.inputs().widths)[:-1]))


@pytest.fixture(scope="module")
def made(tmp_path_factory: pytest.TempPathFactory) -> Made:
    folder, random = tmp_path_factory.mktemp("drift"), np.random.default_rng(0)
    rows = draw(random, 8000)
    with (folder / "table.csv").open("w", newline="", encoding="utf-8") as file:
        table = csv.DictWriter(file, [*rows[0], "price", "grade"])
        table.writeheader()
        for row in rows:
            cells = {name: "" if value is None else value for name, value in row.items()}
            cells |= {"tags": "|".join(row["tags"]), "seen": ";".join(row["seen"])}
            table.writerow({**cells, "price": random.normal(), "grade": random.choice(["a", "b", "c"])})
    data = {"kind": "table", "path": str(folder / "table.csv"), "missing": ["?", "-1"]}
    sizes = {"experts": 3, "embedding_dim": 4}
    config = Config.model_validate(
        {"name": "drifting", "data": data, "features": FEATURES, "tasks": TASKS, "model": sizes}
    )
    dataset = read_dataset(config)
    model = build_model(dataset.features, dataset.tasks, config.model, seed=0)
    content, _ = build_artifact(model, dataset, config, measure(model, dataset))
    (folder / "model.onnx").write_bytes(content)
    validation = [rows[number - 1] for number in dataset.row_numbers[1]]
    return Made(folder / "model.onnx", Predictor.load(folder / "model.onnx"), validation)


def test_rows_of_the_validation_split_are_counted_as_in_the_baseline(made: Made) -> None:
    batch = made.batch(made.validation)
    counted = made.counted(batch, made.predictor.run(batch).tasks)
    assert made.inputs().rows == batch.rows
    for drift in feature_drifts(made.inputs(), counted):
        np.testing.assert_allclose(drift.distance.now, drift.distance.was, atol=1e-5, err_msg=drift.feature.name)
    predictions = dict(prediction_drifts(made.inputs(), counted))
    assert list(predictions) == ["price", "grade"]
    for distance in predictions.values():
        np.testing.assert_allclose(distance.now, distance.was, atol=2e-3)
        assert distance.level == "stable"


@pytest.mark.parametrize("shifted", KINDS)
def test_a_feature_that_moves_is_named_and_no_other(made: Made, shifted: str) -> None:
    rows = [row | {shifted: SHIFTS[shifted](row)} for row in draw(np.random.default_rng(5), 1500)]
    batch = made.batch(rows)
    drifts = feature_drifts(made.inputs(), made.counted(batch, made.predictor.run(batch).tasks))
    assert [d.feature.name for d in drifts if d.distance.level != "stable"] == [shifted]
    assert drifts[0].feature.name == shifted


@pytest.mark.parametrize("rows", [LEAST_ROWS, 2000])
def test_no_window_of_rows_that_did_not_move_raises_an_alarm(
    made: Made, rows: int, measured: Callable[[str], None]
) -> None:
    random, windows = np.random.default_rng(7), 200
    pool = made.batch(draw(random, 20_000))
    answers, inputs, counter = made.predictor.run(pool).tasks, made.inputs(), made.counter()
    ends = np.cumsum(inputs.widths)[:-1]
    alarms: list[FeatureDrift | str] = []
    for _ in range(windows):
        chosen = random.integers(pool.rows, size=rows)
        assert pool.numeric is not None
        assert pool.categorical is not None
        assert pool.datetime is not None
        some = Batch(pool.numeric[chosen], pool.categorical[chosen], rows, datetime=pool.datetime[chosen])
        counts = counter.count(Sample(some, {n: v[chosen] for n, v in answers.items()}, np.ones(rows)))
        counted = Counted(rows, rows, np.split(counts, ends))
        alarms += [d for d in feature_drifts(inputs, counted) if d.distance.level != "stable"]
        alarms += [name for name, found in prediction_drifts(inputs, counted) if found.level != "stable"]
    measured(f"{len(alarms)} alarms in {windows} windows of {rows} rows, {len(inputs.widths)} distributions each")
    assert alarms == []


@pytest.fixture
def directory(tmp_path: Path) -> Iterator[RunDirectory]:
    with RunDirectory.create(2, tmp_path / "run") as opened:
        yield opened


class Clock:
    """Clock that is set by hand."""

    def __init__(self) -> None:
        self.now = 1000.0

    def __call__(self) -> float:
        return self.now


def test_all_workers_rows_are_reported_and_a_sample_stands_for_all(made: Made, directory: RunDirectory) -> None:
    clock, inputs = Clock(), made.inputs()
    workers = [InputTraffics(directory, place, clock) for place in range(2)]
    traffics = [worker.open(inputs) for worker in workers]
    samplers = [traffic.begin(made.manifest) for traffic in traffics]
    batch = made.batch(draw(np.random.default_rng(9), 4000))
    tasks = made.predictor.run(batch).tasks
    sent = 0
    for second in range(40):
        clock.now += 1.0
        for place in range(100 if second < 2 else 8):
            start, stop = (place, place + 1) if second < 2 else (500 * place, 500 * (place + 1))
            part = RunResult(Answer(tasks, None).slice(start, stop), stop - start, batch=batch.slice(start, stop))
            samplers[second % 2](part)
            sent += stop - start
        for worker in workers:
            worker.fold()
    reader = InputTraffics(directory, 1, clock).find("drifting", 1)
    assert reader is not None
    report = drift_report(reader, "1m")
    assert report["rows"] == pytest.approx(sent, rel=0.1)
    assert LEAST_ROWS < report["effective_rows"] < sent / 5
    assert report["level"] == "stable"
    assert report["drifted"] == []
    assert set(report["features"]) == set(KINDS)
    assert report["features"]["city"]["unknown"] is not None
    assert report["features"]["amount"]["unknown"] is None
    assert report["features"]["amount"]["out_of_range"] is not None
    kept = traffics[0].kept_rows(RING.tiers[0])
    assert kept is not None
    assert kept.rows > KEPT_ROWS
    clock.now += 1000.0
    later = drift_report(reader, "5m")
    assert (later["rows"], later["level"], later["features"]) == (0, "too_few_rows", {})


def test_features_are_ranked_by_their_part_in_the_drift_of_a_gate(made: Made) -> None:
    rows = made.batch([row | {"amount": 11.0} for row in draw(np.random.default_rng(3), 300)])
    drifted = Drift(0.1, 0.5, np.zeros(3), 0.0, 0.0, "major")
    stable = replace(drifted, level="stable")
    found = gate_causes({"price": drifted, "grade": stable}, rows, made.predictor)
    assert found["grade"] == {"level": "stable", "rows": 0, "jensen_shannon": None, "because": None}
    because = found["price"]["because"]
    assert because is not None
    assert found["price"]["rows"] == 300
    assert because[0]["feature"] == "amount"
    assert because[0]["moved_weight"] > 3 * because[1]["moved_weight"]
    # With the feature as it was, what is left is what other features moved.
    assert found["price"]["jensen_shannon"] is not None
    assert because[0]["jensen_shannon_without"] < found["price"]["jensen_shannon"] / 5
    assert because[-1]["jensen_shannon_without"] == pytest.approx(found["price"]["jensen_shannon"], rel=0.2)
    # All shifts add up to that of the weights' logarithms: the logits less what all share.
    assert made.manifest.gates is not None
    used = np.array(made.manifest.gates.tasks["price"].utilisation)
    shifts = []
    for batch in (rows, made.batch(made.validation)):
        weights = made.predictor.run(batch).gate_weights
        assert weights is not None
        logits = np.log(weights[:, 0].astype(np.float64)).mean(axis=0)
        shifts.append(logits - used @ logits)
    total = np.array([cause["logit_shift"] for cause in because], np.float64).sum(axis=0)
    np.testing.assert_allclose(total, shifts[0] - shifts[1], atol=1e-3)
    assert gate_causes({"price": drifted}, rows, None)["price"]["because"] is None


def test_a_service_of_two_workers_tells_what_moved(
    made: Made, tmp_path: Path, start_service: Callable[..., Any]
) -> None:
    folder = tmp_path / "models" / "drifting" / "1"
    folder.mkdir(parents=True)
    (folder / "model.onnx").write_bytes(made.path.read_bytes())
    with start_service(tmp_path / "models", workers="2") as service, httpx.Client(base_url=service.url) as client:
        for at in range(30):
            rows = [row | {"amount": 11.0} for row in draw(np.random.default_rng(at), 10)]
            assert client.post("/v1/models/drifting:predict", json={"instances": rows}).status_code == 200

        def report() -> Any:
            return client.get("/v1/models/drifting/versions/1/drift?window=1h").json()

        # The other worker publishes what it took every second.
        answer = next(found for found in iter(report, None) if found["rows"] == 300)
        assert (answer["level"], answer["drifted"]) == ("major", ["amount"])
        assert next(iter(answer["features"])) == "amount"
        assert set(answer["gates"]) == {"price", "grade"}
        metrics = client.get("/metrics").text
        assert 'mmoe_drift_features{level="major",model="drifting",version="1"} 1.0' in metrics
        assert 'mmoe_feature_out_of_range_share{feature="amount",model="drifting",version="1"}' in metrics
        assert client.get("/v1/models/drifting/drift?window=2h").status_code == 400


def test_few_rows_give_no_verdict(made: Made, directory: RunDirectory) -> None:
    traffic = InputTraffics(directory, 0).open(made.inputs())
    sample = traffic.begin(made.manifest)
    rows = [row | {"amount": 99.0} for row in draw(np.random.default_rng(1), LEAST_ROWS - 1)]
    for row in rows:
        batch = made.batch([row])
        sample(RunResult(made.predictor.run(batch), 1, batch=batch))
        traffic.fold()
    report = drift_report(traffic)
    assert report["effective_rows"] < LEAST_ROWS
    assert report["level"] == "too_few_rows"
    assert {found["level"] for found in report["features"].values()} == {"too_few_rows"}
    assert report["features"]["amount"]["out_of_range"] == {"now": 1.0, "baseline": pytest.approx(0.0, abs=0.01)}
