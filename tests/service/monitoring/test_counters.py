"""Metrics are one answer over all workers, exact, with a bounded number of series."""

import json
import re
import shutil
import subprocess
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import NamedTuple

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from numpy.testing import assert_allclose
from prometheus_client import generate_latest
from prometheus_client.core import Metric
from prometheus_client.parser import text_string_to_metric_families

from service import gates as gate_mathematics
from service.artifact.entries import GateBaseline, TaskGate
from service.monitoring.counters import Metrics
from service.monitoring.drift_metrics import drift_metrics
from service.monitoring.inputs import InputTraffics
from service.monitoring.instruments import MODELS, SECONDS, VERSIONS
from service.monitoring.prometheus import registry
from service.monitoring.quality_metrics import QualityMetrics
from service.monitoring.recording import Gates
from service.monitoring.traffic import Traffic
from service.monitoring.version_metrics import ServingFigures, serving_metrics, version_metrics
from service.run_directory import RunDirectory
from service.versions.store_status import StoreStatusFile

DOCUMENT = Path(__file__).parents[3] / "docs" / "metrics.md"
needs_promtool = pytest.mark.skipif(
    shutil.which("promtool") is None, reason="promtool is not installed (Debian package prometheus)"
)
Samples = dict[tuple[str, frozenset[tuple[str, str]]], float]


class Clock:
    now = 5000.0

    def __call__(self) -> float:
        return self.now


@pytest.fixture
def clock() -> Clock:
    return Clock()


@pytest.fixture
def directory(tmp_path: Path) -> Iterator[RunDirectory]:
    with RunDirectory.create(3, tmp_path) as made:
        yield made


@pytest.fixture
def worker(directory: RunDirectory, clock: Clock) -> Callable[[int], Metrics]:
    """Start worker `index`, with 100 + index for a process id."""
    return lambda index: Metrics(directory, index, 100 + index, clock, wall_clock=lambda: 1.7e9 + clock.now)


class Served(NamedTuple):
    name: str
    version: int


def load(metrics: Metrics, name: str, version: int, load_s: float) -> Served:
    metrics.loaded(name, version, load_s)
    return Served(name, version)


def text(metrics: Metrics, directory: RunDirectory) -> str:
    metrics.fold()
    made = registry(metrics, Traffic(directory, 2), lambda: [("hand", 4)], list, lambda: others(metrics, directory))
    return generate_latest(made).decode()


def others(metrics: Metrics, directory: RunDirectory) -> list[Metric]:
    """Return the metrics that are not the workers' own counts."""
    versions = [*version_metrics(metrics.version_sums()), *serving_metrics([ServingFigures("census", 4, 0.5, False)])]
    quality = [*QualityMetrics(directory.path).collect(), *StoreStatusFile(directory.path).metrics()]
    return [*drift_metrics(InputTraffics(directory, 2).all()), *quality, *versions]


def samples(metrics: Metrics, directory: RunDirectory) -> Samples:
    """Scrape, and parse with Prometheus' own client; a sample that comes twice is a fault."""
    found: Samples = {}
    for family in text_string_to_metric_families(text(metrics, directory)):
        for sample in family.samples:
            key = sample.name, frozenset(sample.labels.items())
            assert key not in found
            found[key] = sample.value
    return found


def value(found: Samples, name: str, **labels: str) -> float | None:
    return found.get((name, frozenset(labels.items())))


def test_requests_are_counted_over_all_workers_whichever_answers(
    worker: Callable[[int], Metrics], directory: RunDirectory
) -> None:
    workers = [worker(0), worker(1)]
    for metrics in workers:
        census = load(metrics, "census", 3, load_s=0.5)
        metrics.request("predict", 200, census, rows=10)
        metrics.request("predict", 422, census)
        metrics.request("predict", 404)
    workers[0].request("predict", 200, load(workers[0], "hotel", 1, load_s=0.1), rows=1)
    for metrics in workers:
        metrics.fold()
    answers = [samples(metrics, directory) for metrics in workers]
    assert answers[0] == answers[1]
    counted = answers[0]
    assert value(counted, "mmoe_requests_total", route="predict", status="200", model="census") == 2
    assert value(counted, "mmoe_requests_total", route="predict", status="422", model="census") == 2
    assert value(counted, "mmoe_requests_total", route="predict", status="404", model="") == 2
    assert value(counted, "mmoe_requests_total", route="predict", status="200", model="hotel") == 1
    assert value(counted, "mmoe_rows_total", model="census", version="3") == 20
    assert value(counted, "mmoe_rows_total", model="hotel", version="1") == 1
    assert value(counted, "mmoe_model_workers", model="census", version="3") == 2
    assert value(counted, "mmoe_model_load_duration_seconds", model="census", version="3") == 0.5


def test_what_is_not_listed_makes_no_series(worker: Callable[[int], Metrics], directory: RunDirectory) -> None:
    metrics = worker(0)
    metrics.request("/etc/passwd", 418)
    metrics.request("predict", 299)
    metrics.rejected("full moon")
    for number in range(100):
        metrics.request("predict", 200, load(metrics, f"model {number}", 1, load_s=0), rows=1)
    found = samples(metrics, directory)
    assert value(found, "mmoe_requests_total", route="other", status="other", model="") == 1
    assert value(found, "mmoe_requests_total", route="predict", status="other", model="") == 1
    assert value(found, "mmoe_rejected_requests_total", reason="other") == 1
    names = {dict(labels)["model"] for name, labels in found if name == "mmoe_requests_total"}
    assert len(names) == MODELS
    assert value(found, "mmoe_requests_total", route="predict", status="200", model="other") == 100 - (MODELS - 2)


DURATIONS = st.floats(0, 20, width=32) | st.sampled_from([float(np.float32(second)) for second in SECONDS])


@settings(max_examples=40, deadline=None)
@given(st.lists(st.tuples(st.integers(0, 1), st.booleans(), DURATIONS, DURATIONS), max_size=30))
def test_histograms_equal_numpy_on_the_same_durations(
    tmp_path_factory: pytest.TempPathFactory, noted: list[tuple[int, bool, float, float]]
) -> None:
    with RunDirectory.create(3, tmp_path_factory.mktemp("run")) as directory:
        workers = [Metrics(directory, index, 100 + index) for index in (0, 1)]
        for index, folds, parse_s, run_s in noted:
            workers[index].request("predict", 200, parse_s=parse_s)
            workers[index].ran(requests=2, rows=3, queue_s=0, run_s=run_s)
            if folds:
                workers[index].fold()
        workers[1].fold()
        found = samples(workers[0], directory)
    for stage, column in (("parse", 2), ("run", 3)):
        durations = np.array([entry[column] for entry in noted])
        assert value(found, "mmoe_stage_duration_seconds_count", stage=stage) == len(noted)
        total = value(found, "mmoe_stage_duration_seconds_sum", stage=stage)
        assert total is not None
        assert_allclose(total, durations.sum(), rtol=1e-6)
        for bound in SECONDS:
            below = value(found, "mmoe_stage_duration_seconds_bucket", stage=stage, le=f"{bound:.10g}")
            assert below == (durations <= bound).sum(), f"{stage}, at most {bound} s"
    assert value(found, "mmoe_stage_duration_seconds_count", stage="render") == 0, "not measured is not zero seconds"
    assert value(found, "mmoe_batch_rows_sum") == 3 * len(noted)
    assert value(found, "mmoe_batch_requests_bucket", le="1") == 0
    assert value(found, "mmoe_batch_requests_bucket", le="2") == len(noted)


def test_very_many_events_between_two_folds_are_all_counted(
    worker: Callable[[int], Metrics], directory: RunDirectory
) -> None:
    metrics = worker(0)
    for _ in range(10_000):
        metrics.request("predict", 200)
        metrics.ran(1, 1, 0, 0)
    found = samples(metrics, directory)
    assert value(found, "mmoe_requests_total", route="predict", status="200", model="") == 10_000
    assert value(found, "mmoe_batch_rows_count") == 10_000


def test_a_restarted_worker_goes_on_counting(
    worker: Callable[[int], Metrics], directory: RunDirectory, clock: Clock
) -> None:
    other, metrics = worker(1), worker(0)
    metrics.request("predict", 200, load(metrics, "census", 3, load_s=0), rows=5)
    metrics.rejected("overloaded")
    metrics.queue_rows(7)
    clock.now += 3
    metrics.fold()
    cpu = value(samples(other, directory), "mmoe_process_cpu_seconds_total")
    assert cpu is not None
    again = worker(0)
    found = samples(other, directory)
    assert value(found, "mmoe_rows_total", model="census", version="3") == 5
    assert value(found, "mmoe_model_workers", model="census", version="3") is None, "it has not loaded it yet"
    assert value(found, "mmoe_queue_rows") == 0
    again.request("predict", 200, load(again, "census", 3, load_s=0), rows=6)
    again.fold()
    found = samples(other, directory)
    assert value(found, "mmoe_rows_total", model="census", version="3") == 11
    assert value(found, "mmoe_rejected_requests_total", reason="overloaded") == 1
    assert value(found, "mmoe_worker_restarts_total") == 1
    assert value(found, "mmoe_workers") == 2
    assert (value(found, "mmoe_process_cpu_seconds_total") or 0) >= cpu


def test_gauges_are_of_the_living_and_counters_of_all(
    worker: Callable[[int], Metrics], directory: RunDirectory, clock: Clock
) -> None:
    dying, living = worker(0), worker(1)
    for metrics in (dying, living):
        load(metrics, "census", 3, load_s=0.25)
        metrics.request("predict", 200)
        metrics.queue_rows(4)
        metrics.fold()
    found = samples(living, directory)
    assert (value(found, "mmoe_workers"), value(found, "mmoe_queue_rows")) == (2, 8)
    memory = value(found, "mmoe_process_resident_memory_bytes")
    assert memory is not None
    assert memory > 2e6
    clock.now += 60
    living.fold()
    found = samples(living, directory)
    assert (value(found, "mmoe_workers"), value(found, "mmoe_queue_rows")) == (1, 4)
    assert value(found, "mmoe_model_workers", model="census", version="3") == 1
    assert value(found, "mmoe_requests_total", route="predict", status="200", model="") == 2
    assert 0 < (value(found, "mmoe_process_resident_memory_bytes") or 0) < memory
    living.close()
    found = samples(living, directory)
    assert (value(found, "mmoe_workers"), value(found, "mmoe_queue_rows")) == (0, 0)
    assert value(found, "mmoe_requests_total", route="predict", status="200", model="") == 2


def test_a_version_keeps_its_rows_until_the_table_is_full(
    worker: Callable[[int], Metrics], directory: RunDirectory, clock: Clock
) -> None:
    metrics = worker(0)
    served = load(metrics, "census", 10**17, load_s=0)
    metrics.request("predict", 200, served, rows=1)
    for version in range(1, VERSIONS + 3):
        clock.now += 1
        swapped = load(metrics, "census", version, load_s=0)
        metrics.request("predict", 200, swapped, rows=version)
        metrics.unloaded(*swapped)
    rows = {
        dict(labels)["version"]: count
        for (name, labels), count in samples(metrics, directory).items()
        if name == "mmoe_rows_total"
    }
    forgotten = 3  # the oldest; never the one that is loaded
    assert rows == {str(10**17): 1} | {str(v): v for v in range(1 + forgotten, VERSIONS + 3)}


def test_more_loaded_versions_than_places_are_counted_by_model_alone(
    worker: Callable[[int], Metrics], directory: RunDirectory
) -> None:
    metrics = worker(0)
    for version in range(1, VERSIONS + 2):
        metrics.request("predict", 200, load(metrics, "census", version, load_s=0), rows=1)
    found = samples(metrics, directory)
    assert value(found, "mmoe_requests_total", route="predict", status="200", model="census") == VERSIONS + 1
    assert value(found, "mmoe_rows_total", model="census", version=str(VERSIONS)) == 1
    assert value(found, "mmoe_rows_total", model="census", version=str(VERSIONS + 1)) is None
    metrics.unloaded("census", VERSIONS + 1)


def some_gates(version: int) -> Gates:
    """Describe a version of two tasks and two experts, used alike in the baseline."""
    task = TaskGate(
        utilisation=(0.5, 0.5),
        histogram=((500, 500), (500, 500)),
        entropy=0.6,
        normalised_entropy=0.9,
        top_expert_share=(0.5, 0.5),
    )
    baseline = GateBaseline(
        rows=1000,
        average_logits=((0.0, 0.0), (0.0, 0.0)),
        histogram_edges=(0.0, 0.5, 1.0),
        tasks={"income": task, "never_married": task},
        similarity=((1.0, 0.9), (0.9, 1.0)),
    )
    return Gates(model="census", version=version, tasks=("income", "never_married"), experts=2, baseline=baseline)


def test_gate_sums_give_utilisation_and_drift(directory: RunDirectory, worker: Callable[[int], Metrics]) -> None:
    here, there = Traffic(directory, 0), Traffic(directory, 1)
    weights = np.array([[[0.5, 0.5], [0.125, 0.875]]] * 300, np.float32)
    for traffic in (here, there):
        traffic.open(some_gates(3)).record(weights)
        traffic.fold()
    there.open(some_gates(4))
    found = samples(worker(1), directory)
    labels = {"model": "census", "version": "3"}
    assert value(found, "mmoe_gate_rows_total", **labels) == 600
    for task, expert, total in (("income", "0", 300), ("income", "1", 300), ("never_married", "0", 75)):
        assert value(found, "mmoe_gate_weight_total", **labels, task=task, expert=expert) == total
    entropy = value(found, "mmoe_gate_entropy_nats_total", **labels, task="income")
    assert entropy is not None
    assert_allclose(entropy / 600, np.log(2), rtol=1e-5)
    alike = value(found, "mmoe_gate_similarity_total", **labels, task="income", other="never_married")
    assert alike is not None
    assert_allclose(alike / 600, gate_mathematics.similarity(weights)[0, 1], rtol=1e-5)
    assert value(found, "mmoe_gate_baseline_weight", **labels, task="income", expert="1") == 0.5
    assert value(found, "mmoe_gate_drift_jensen_shannon", **labels, task="income") == 0
    assert value(found, "mmoe_gate_drift_level", **labels, task="never_married") == 2
    assert value(found, "mmoe_gate_rows_total", model="census", version="4") == 0
    assert value(found, "mmoe_gate_drift_level", model="census", version="4", task="income") is None, (
        "no rows, no drift"
    )


def test_the_page_and_its_documentation_name_the_same_metrics(
    worker: Callable[[int], Metrics], directory: RunDirectory
) -> None:
    metrics = worker(0)
    load(metrics, "census", 3, load_s=0)
    traffic = Traffic(directory, 0)
    traffic.open(some_gates(3)).record(np.full((600, 2, 2), 0.5, np.float32))
    traffic.fold()
    scraped = set(re.findall(r"^# TYPE (\w+)", text(metrics, directory), re.MULTILINE))
    table = [line.split("|")[1] for line in DOCUMENT.read_text().splitlines() if line.startswith("| `mmoe_")]
    assert scraped == {name for cell in table for name in re.findall(r"`(\w+)`", cell)}


@needs_promtool
def test_the_documented_queries_are_promql(tmp_path: Path) -> None:
    block = re.findall(r"```promql\n(.*?)```", DOCUMENT.read_text(), re.DOTALL)[0]
    queries = re.sub(r"\n +", " ", re.sub(r"#.*", "", block)).split("\n")
    rules = [{"record": f"query:{at}", "expr": query} for at, query in enumerate(queries) if query]
    path = tmp_path / "rules.yml"
    path.write_text(json.dumps({"groups": [{"name": "documented", "rules": rules}]}))
    checked = subprocess.run(["promtool", "check", "rules", str(path)], capture_output=True, text=True, check=False)
    assert checked.returncode == 0, checked.stderr
    assert len(rules) >= 5


@needs_promtool
def test_promtool_finds_nothing_to_say(worker: Callable[[int], Metrics], directory: RunDirectory) -> None:
    metrics = worker(0)
    metrics.request("predict", 200, load(metrics, "census", 3, load_s=0), 1, 1e-4, 1e-4, 3e-4)
    metrics.ran(1, 1, 1e-5, 1e-4)
    traffic = Traffic(directory, 0)
    traffic.open(some_gates(3)).record(np.full((600, 2, 2), 0.5, np.float32))
    traffic.fold()
    page = text(metrics, directory)
    checked = subprocess.run(["promtool", "check", "metrics"], input=page, capture_output=True, text=True, check=False)
    assert (checked.returncode, checked.stdout, checked.stderr) == (0, "", "")
    assert page.count("# HELP") == page.count("# TYPE") > 20
