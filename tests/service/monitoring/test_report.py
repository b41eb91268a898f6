"""The answer about a window.

The figures of numpy on the same rows, and nothing that is not a number.
"""

from collections.abc import Iterator
from pathlib import Path
from typing import Any

import numpy as np
import orjson
import pytest
from numpy.testing import assert_allclose
from numpy.typing import NDArray

from service import gates
from service.artifact.entries import GateBaseline, TaskGate
from service.errors import MalformedRequest
from service.gates import LEAST_ROWS
from service.monitoring.recording import Gates, GateTraffic
from service.monitoring.report import gate_report
from service.monitoring.traffic import Traffic
from service.run_directory import RunDirectory

EDGES = (0.0, 0.1, 0.3, 0.6, 1.0)
TASKS = ("income", "never_married")
WALL = 1_700_000_000.0


def some_weights(rows: int, lean: int = 0, seed: int = 0) -> NDArray[np.float32]:
    """Draw weights (rows, 2, 4) of tasks that both lean on one expert, the second task more."""
    alpha = np.ones((2, 4))
    alpha[:, lean] = 4, 8
    rng = np.random.default_rng(seed)
    return np.stack([rng.dirichlet(alpha[t], rows) for t in range(2)], axis=1).astype(np.float32)


def baseline(rows: NDArray[np.float32]) -> GateBaseline:
    return GateBaseline(
        rows=len(rows),
        average_logits=((0.0,) * 4,) * 2,
        histogram_edges=EDGES,
        tasks={
            task: TaskGate(
                utilisation=tuple(gates.utilisation(rows)[t].tolist()),
                histogram=tuple(map(tuple, gates.histogram(rows, EDGES)[t].tolist())),
                entropy=float(gates.entropy(rows)[:, t].mean()),
                normalised_entropy=float(gates.normalised_entropy(rows)[:, t].mean()),
                top_expert_share=tuple(gates.top_expert_share(rows)[t].tolist()),
            )
            for t, task in enumerate(TASKS)
        },
        similarity=tuple(map(tuple, gates.similarity(rows).tolist())),
    )


class Clock:
    now = 10_000.0

    def __call__(self) -> float:
        return self.now


@pytest.fixture
def clock() -> Clock:
    return Clock()


@pytest.fixture
def traffic(tmp_path: Path, clock: Clock) -> Iterator[GateTraffic]:
    described = Gates(model="census", version=3, tasks=TASKS, experts=4, baseline=baseline(some_weights(4000, seed=9)))
    with RunDirectory.create(1, tmp_path) as directory:
        yield Traffic(directory, 0, clock).open(described)


def report(traffic: GateTraffic, window: str = "5m") -> dict[str, Any]:
    """Ask for a report as it leaves the service.

    Through JSON, where NaN would turn into null unseen.
    """
    traffic.fold()
    made = gate_report(traffic, window, wall_clock=lambda: WALL)
    sent: dict[str, Any] = orjson.loads(orjson.dumps(made))
    assert {**made} == sent
    return sent


def test_the_figures_are_those_of_numpy_on_the_same_rows(traffic: GateTraffic) -> None:
    weights = some_weights(900)
    traffic.record(weights[:500])
    traffic.fold()
    traffic.record(weights[500:])
    answer = report(traffic)
    assert (answer["model"], answer["version"], answer["window"], answer["rows"]) == ("census", 3, "5m", 900)
    assert answer["task_names"] == list(TASKS)
    for t, name in enumerate(TASKS):
        task = answer["tasks"][name]
        assert_allclose(task["utilisation"], gates.utilisation(weights)[t], atol=1e-6)
        assert_allclose(task["entropy"], gates.entropy(weights)[:, t].mean(), atol=1e-6)
        assert_allclose(task["normalised_entropy"], gates.normalised_entropy(weights)[:, t].mean(), atol=1e-6)
        assert_allclose(task["top_expert_share"], gates.top_expert_share(weights)[t], atol=1e-6)
        assert task["histogram"] == gates.histogram(weights, EDGES)[t].tolist()
        was = traffic.gates.baseline.tasks[name]
        moved = gates.jensen_shannon(gates.utilisation(weights)[t], np.array(was.utilisation))
        assert_allclose(task["drift"]["jensen_shannon"], moved, atol=1e-9)
        by_expert = gates.population_stability_index(np.array(was.histogram), gates.histogram(weights, EDGES)[t])
        assert_allclose(task["drift"]["population_stability_index_by_expert"], by_expert, atol=1e-6)
        assert task["drift"]["level"] == "stable"
        assert answer["baseline"]["tasks"][name]["utilisation"] == list(was.utilisation)
    assert_allclose(answer["similarity"], gates.similarity(weights), atol=1e-6)
    assert answer["dead_experts"] == []
    assert answer["collapsed_gates"] == []
    assert answer["baseline"]["rows"] == 4000


def test_no_rows_are_an_empty_answer_beside_the_whole_baseline(traffic: GateTraffic) -> None:
    answer = report(traffic)
    assert answer["rows"] == 0
    assert answer["similarity"] is answer["dead_experts"] is answer["collapsed_gates"] is None
    for name in TASKS:
        assert set(answer["tasks"][name].values()) == {None}
        assert answer["series"]["tasks"][name]["utilisation"] == [None] * 60
        assert len(answer["baseline"]["tasks"][name]["utilisation"]) == 4
    assert answer["series"]["rows"] == [0] * 60


def test_traffic_that_leans_on_other_experts_is_major_drift(traffic: GateTraffic) -> None:
    traffic.record(some_weights(300, lean=2))
    answer = report(traffic)
    assert {answer["tasks"][name]["drift"]["level"] for name in TASKS} == {"major"}
    assert np.argmax(answer["tasks"]["income"]["utilisation"]) == 2
    assert np.argmax(answer["baseline"]["tasks"]["income"]["utilisation"]) == 0


def test_dead_experts_and_collapsed_gates_are_named_by_their_thresholds(traffic: GateTraffic) -> None:
    weights = np.zeros((LEAST_ROWS - 1, 2, 4), np.float32)
    weights[:, 0] = 0.96, 0.04, 0, 0
    weights[:, 1] = 0.5, 0.48, 0.02, 0
    traffic.record(weights)
    few = report(traffic)
    assert few["dead_experts"] is few["collapsed_gates"] is None
    assert {task["drift"]["level"] for task in few["tasks"].values()} == {"too_few_rows"}
    traffic.record(weights[:1])
    answer = report(traffic)
    assert answer["dead_experts"] == [3], "the second task still uses expert 2"
    assert answer["collapsed_gates"] == ["income"]
    assert answer["thresholds"]["dead_expert_utilisation"] == 0.05 / 4
    assert answer["thresholds"]["collapsed_gate_utilisation"] == 0.95


def test_the_series_tells_when(traffic: GateTraffic, clock: Clock) -> None:
    early, late = some_weights(4, seed=1), some_weights(6, seed=2)
    traffic.record(early)
    clock.now += 12.5  # two whole buckets of five seconds, and half of the third
    traffic.record(late)
    series = report(traffic)["series"]
    assert series["resolution_s"] == 5
    assert series["rows"] == [0] * 57 + [4, 0, 6]
    assert series["start"] == "2023-11-14T22:08:22.500Z", "59 buckets and 2.5 seconds before now"
    task = series["tasks"]["income"]
    assert_allclose(task["utilisation"][57], gates.utilisation(early)[0], atol=1e-6)
    assert task["utilisation"][58] is task["normalised_entropy"][58] is None
    assert_allclose(task["normalised_entropy"][59], gates.normalised_entropy(late)[:, 0].mean(), atol=1e-6)


@pytest.mark.parametrize(("window", "seconds"), [("1m", 60), ("5m", 300), ("1h", 3600)])
def test_each_window_is_as_long_as_it_says(traffic: GateTraffic, window: str, seconds: int) -> None:
    answer = report(traffic, window)
    assert answer["window_s"] == seconds == answer["series"]["resolution_s"] * len(answer["series"]["rows"])


def test_another_window_is_refused_with_the_choices(traffic: GateTraffic) -> None:
    with pytest.raises(MalformedRequest, match=r"'2h'.*1m, 5m, 1h"):
        gate_report(traffic, "2h")


def test_gates_with_own_experts_are_judged_by_the_experts_they_see(tmp_path: Path, clock: Clock) -> None:
    # Two shared experts, and one of each task's own: every gate sees three of four.
    own: dict[str, tuple[int, ...]] = {"income": (2,), "never_married": (3,)}
    weights = np.zeros((600, 2, 4), np.float32)
    weights[:, 0, :3], weights[:, 1, [0, 1, 3]] = 1 / 3, (0.495, 0.495, 0.01)
    described = Gates(
        model="census", version=3, tasks=TASKS, experts=4, own_experts=own, baseline=baseline(weights[:200])
    )
    with RunDirectory.create(1, tmp_path) as directory:
        traffic = Traffic(directory, 0, clock).open(described)
        traffic.record(weights)
        answer = report(traffic)
    assert answer["own_experts"] == {"income": [2], "never_married": [3]}
    assert answer["thresholds"]["dead_expert_utilisation"] == pytest.approx(0.05 / 3)
    assert_allclose(answer["tasks"]["income"]["normalised_entropy"], 1.0, atol=1e-6)
    assert answer["dead_experts"] == [3]
    assert [task["drift"]["level"] for task in answer["tasks"].values()] == ["stable", "stable"]
