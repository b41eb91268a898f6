"""Traffic is the same whoever answers, per version, and outlives workers and swaps."""

import json
import os
import subprocess
import sys
from collections.abc import Callable, Iterator
from pathlib import Path

import numpy as np
import pytest
from numpy.testing import assert_allclose
from numpy.typing import NDArray

from service import gates
from service.artifact.entries import GateBaseline, TaskGate
from service.monitoring.recording import EXACT_ROWS, SAMPLE, Gates, GateTraffic
from service.monitoring.shared_sums import SharedSums
from service.monitoring.traffic import Traffic
from service.monitoring.windows import TIERS, TOTAL_PLACE, Layout, tier_of
from service.run_directory import RunDirectory

EDGES = tuple(np.linspace(0, 1, 11).tolist())
ENVIRONMENT = {**os.environ, "PYTHONPATH": str(Path(__file__).parents[3]), "OPENBLAS_NUM_THREADS": "1"}
WRITERS = [sys.executable, str(Path(__file__).with_name("gate_writers.py"))]


def some_weights(rows: int, seed: int = 0) -> NDArray[np.float32]:
    return np.random.default_rng(seed).dirichlet(np.ones(4), (rows, 2)).astype(np.float32)


def some_gates(version: int = 1, seed: int = 0, model: str = "census") -> Gates:
    """Describe a version whose baseline was measured on rows of this seed."""
    rows = some_weights(500, seed)
    tasks = {
        task: TaskGate(
            utilisation=tuple(rows[:, t].mean(axis=0, dtype=float).tolist()),
            histogram=tuple(map(tuple, gates.histogram(rows, EDGES)[t].tolist())),
            entropy=float(gates.entropy(rows)[:, t].mean()),
            normalised_entropy=float(gates.normalised_entropy(rows)[:, t].mean()),
            top_expert_share=tuple(gates.top_expert_share(rows)[t].tolist()),
        )
        for t, task in enumerate(("income", "never_married"))
    }
    baseline = GateBaseline(
        rows=500,
        average_logits=((0.0,) * 4,) * 2,
        histogram_edges=EDGES,
        tasks=tasks,
        similarity=tuple(map(tuple, gates.similarity(rows).tolist())),
    )
    return Gates(model=model, version=version, tasks=tuple(tasks), experts=4, baseline=baseline)


@pytest.fixture
def directory(tmp_path: Path) -> Iterator[RunDirectory]:
    with RunDirectory.create(2, tmp_path) as made:
        yield made


@pytest.fixture
def worker(directory: RunDirectory) -> Callable[[int], Traffic]:
    """Start worker `index`; all see the same clock, which stands at 1,000 s."""
    return lambda index: Traffic(directory, index, clock=lambda: 1000.0)


def rows_of(traffic: GateTraffic | None, window: str = "1m") -> int:
    tier = tier_of(window)
    assert traffic is not None
    assert tier is not None
    traffic.fold()
    rows = int(traffic.series(tier).rows.sum())
    assert rows == int(traffic.total().rows), "all is recent here"
    return rows


def test_every_worker_gives_the_answer_over_all_of_them(worker: Callable[[int], Traffic]) -> None:
    first, second = (worker(index).open(some_gates()) for index in (0, 1))
    weights = some_weights(700)
    first.record(weights[:300])
    second.record(weights[300:])
    for traffic in (first, second):
        traffic.fold()
    for traffic in (first, second):
        for tier in TIERS:
            sums = traffic.series(tier).over_time()
            assert sums.rows == 700
            assert_allclose(sums.weights / 700, gates.utilisation(weights), atol=1e-9)


@pytest.mark.parametrize("rows", [1, 2047, 2048, 2049, 10_000])
def test_any_number_of_rows_is_recorded_at_once(rows: int, worker: Callable[[int], Traffic]) -> None:
    traffic = worker(0).open(some_gates())
    weights = some_weights(rows)
    traffic.record(weights[:1])
    traffic.record(weights[1:])
    assert rows_of(traffic) == rows
    assert_allclose(traffic.total().weights / rows, gates.utilisation(weights), atol=1e-9)


def test_a_flood_of_rows_is_counted_from_a_sample(directory: RunDirectory) -> None:
    now = 1000.0
    traffic = Traffic(directory, 0, clock=lambda: now).open(some_gates())
    flood = some_weights(EXACT_ROWS + 100 * SAMPLE + 5)
    for batch in np.array_split(flood, 97):
        traffic.record(batch)
    traffic.fold()
    sums = traffic.total()
    assert abs(int(sums.rows) - len(flood)) < SAMPLE
    assert_allclose(sums.weights / sums.rows, gates.utilisation(flood), atol=0.03)
    assert_allclose(sums.histogram.sum(axis=-1), sums.rows)
    now = 1001.0
    traffic.record(flood[:10])
    traffic.fold()
    assert traffic.total().rows == sums.rows + 10


@pytest.mark.parametrize("rows", [1, 3, SAMPLE + 1])
def test_a_sample_takes_every_so_manieth_row_whatever_the_batches(rows: int, worker: Callable[[int], Traffic]) -> None:
    traffic = worker(0).open(some_gates())
    traffic.record(some_weights(EXACT_ROWS))
    for start in range(0, 10 * SAMPLE, rows):
        traffic.record(some_weights(min(rows, 10 * SAMPLE - start)))
    traffic.fold()
    assert traffic.total().rows == EXACT_ROWS + 10 * SAMPLE


def test_a_restarted_worker_goes_on_in_its_slot(worker: Callable[[int], Traffic]) -> None:
    before = worker(0).open(some_gates())
    before.record(some_weights(10))
    before.fold()
    before.record(some_weights(5))  # lost with the worker: it was not published
    after = worker(0).open(some_gates())
    assert rows_of(after) == 10
    after.record(some_weights(2))
    after.fold()
    assert rows_of(worker(1).open(some_gates())) == 12


def test_a_swap_starts_a_new_window_and_keeps_the_old_one_readable(worker: Callable[[int], Traffic]) -> None:
    here, there = worker(0), worker(1)
    old = here.open(some_gates(1))
    old.record(some_weights(3))
    new = here.open(some_gates(2, seed=1))
    here.close(old)
    assert (rows_of(here.find("census", 1)), rows_of(new)) == (3, 0)
    assert rows_of(there.find("census", 1)) == 3, "a worker that never loaded it can read it"
    assert there.find("census", 3) is None
    assert there.find("../census", 1) is None
    again = here.open(some_gates(1))
    again.record(some_weights(4))
    here.fold()
    assert rows_of(there.find("census", 1)) == 7, "a rollback goes on with the old window"


def test_another_content_of_the_same_version_starts_anew(worker: Callable[[int], Traffic]) -> None:
    traffic = worker(0)
    first = traffic.open(some_gates(1))
    first.record(some_weights(3))
    second = traffic.open(some_gates(1, seed=5))
    second.record(some_weights(1))
    assert (rows_of(first), rows_of(second)) == (3, 1)
    found = worker(1).find("census", 1)
    assert found is not None
    assert found.gates == some_gates(1, seed=5), "the one loaded last"


def test_old_versions_are_forgotten_in_the_order_they_were_loaded(directory: RunDirectory) -> None:
    here, there = (Traffic(directory, index, clock=lambda: 1000.0, kept=3) for index in (0, 1))
    pinned = here.open(some_gates(1))
    pinned.record(some_weights(2))
    for version in (2, 3, 4, 5, 6):
        here.close(here.open(some_gates(version)))
        there.find("census", version)
    kept = {traffic.gates.version for traffic in there.all()}
    assert kept == {1, 4, 5, 6}, "three, and the one in use"
    assert rows_of(pinned) == 2
    assert here.find("census", 2) is None
    assert len(list((directory.path / "gates").rglob("*.slots"))) == 4


def test_names_that_no_path_may_hold_are_kept_apart(worker: Callable[[int], Traffic]) -> None:
    names = ["../../etc", "a/b", "a b", "é" * 300, "A", "a"]
    traffic = worker(0)
    for rows, name in enumerate(names, start=1):
        traffic.open(some_gates(model=name)).record(some_weights(rows))
    traffic.fold()
    assert [rows_of(worker(1).find(name, 1)) for name in names] == [1, 2, 3, 4, 5, 6]


def test_kill_9_at_random_moments_loses_what_was_not_published_and_doubles_nothing(tmp_path: Path) -> None:
    program = [*WRITERS, str(tmp_path), "120", "7"]
    done = subprocess.run(program, env=ENVIRONMENT, capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stderr
    figures = json.loads(done.stdout)
    assert figures["unfinished"] > 20, "many publications were cut short"
    assert figures["counted"] >= figures["published"] > 1000
    assert max(figures["distances"].values()) < 1e-6


def test_a_reader_beside_a_busy_writer_sees_one_moment_at_a_time(tmp_path: Path) -> None:
    layout = Layout(3, 8, tuple(np.linspace(0, 1, 21).tolist()))  # as the writer's
    places = layout.shape.places
    with (
        RunDirectory.create(1, tmp_path) as directory,
        subprocess.Popen([*WRITERS, str(directory.path)], env=ENVIRONMENT, stdout=subprocess.PIPE) as writer,
    ):
        assert writer.stdout is not None
        assert writer.stdout.read(1) == b"."
        shared = SharedSums(directory.map("sums", "killing", layout.shape.nbytes)[0], layout.shape)
        seen, changes = 0.0, 0
        while changes < 200:
            os.read(writer.stdout.fileno(), 100_000)  # it waits where nobody listens
            sums = layout.sums(shared.read(0, places))
            rows = sums.rows[TOTAL_PLACE]
            assert rows >= seen
            changes += rows > seen
            seen = rows
            assert_allclose(sums.weights.sum(axis=-1), np.repeat(sums.rows[:, None], 3, axis=1), atol=1e-3)
            assert (sums.histogram.sum(axis=-1) == sums.rows[:, None, None]).all()
            assert sums.rows[:TOTAL_PLACE].max() <= rows, "no bucket is ahead of the totals"
        writer.kill()
