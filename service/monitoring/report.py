"""Report of a window of live traffic: gates, their baseline, and the drift from it.

Plain dicts, lists and floats, fit for JSON. What cannot be said without rows is None, never NaN.
docs/traffic.md defines every figure.
"""

import time
from collections.abc import Callable
from datetime import UTC, datetime
from typing import Annotated, Any, cast

import numpy as np
from numpy.typing import NDArray
from pydantic import Field, GetPydanticSchema
from typing_extensions import TypedDict

from service.artifact.entries import GateBaseline, TaskGate
from service.errors import MalformedRequest
from service.gates import (
    CHANCE_TAKEN_OFF,
    COLLAPSED_GATE_UTILISATION,
    DEAD_EXPERT_FAIR_SHARE,
    JENSEN_SHANNON,
    LEAST_ROWS,
    STABILITY_INDEX,
    Drift,
    Level,
    collapsed_gates,
    dead_experts,
    drift,
)
from service.monitoring.recording import Gates, GateTraffic
from service.monitoring.windows import POINTS, WINDOWS, Sums, tier_of
from service.system.json_types import Count
from service.system.quoting import quote

DEFAULT_WINDOW = "5m"


class DriftFigures(TypedDict):
    """Drift of a task's gate from the baseline."""

    level: Level
    jensen_shannon: float
    jensen_shannon_by_chance: float
    population_stability_index: float
    population_stability_index_by_chance: float
    population_stability_index_by_expert: list[float]


class GateFigures(TypedDict):
    """Gate of a task over the window; null without rows."""

    utilisation: list[float] | None
    entropy: Annotated[float | None, Field(description="In nats.")]
    normalised_entropy: float | None
    top_expert_share: list[float] | None
    histogram: list[list[Count]] | None
    drift: DriftFigures | None


class TrafficNow(TypedDict):
    """Part of a traffic answer: the tasks, their similarity and what is out of order.

    Null without rows; dead experts and collapsed gates also with fewer than `least_rows`.
    """

    tasks: dict[str, GateFigures]
    similarity: list[list[float]] | None
    dead_experts: list[Count] | None
    collapsed_gates: list[str] | None


class Baseline(TypedDict):
    """Baseline of the manifest."""

    rows: Count
    histogram_edges: list[float]
    tasks: Annotated[dict[str, Any], GetPydanticSchema(lambda _, handler: handler(dict[str, TaskGate]))]
    similarity: list[list[float]]


class Thresholds(TypedDict):
    """Every threshold that the answer's findings rest on."""

    least_rows: Count
    dead_expert_utilisation: float
    collapsed_gate_utilisation: float
    jensen_shannon: dict[str, float]
    population_stability_index: dict[str, float]
    chance_taken_off: float


class TaskSeries(TypedDict):
    """Gate of a task by bucket; null where a bucket has no rows."""

    utilisation: list[list[float] | None]
    normalised_entropy: list[float | None]


class Series(TypedDict):
    """The window in 60 buckets, oldest first."""

    start: str
    resolution_s: float
    rows: list[Count]
    tasks: dict[str, TaskSeries]


class TrafficAnswer(TrafficNow):
    """Gates of a model version over a window of live traffic."""

    instance: Annotated[str, Field(description="Which of several services answers; another one after each start.")]
    model: str
    version: int
    loaded_at: Annotated[str | None, Field(description="When this worker last loaded the version, if it still has it.")]
    window: str
    window_s: float
    rows: Count
    experts: Count
    own_experts: Annotated[
        dict[str, list[Count]], Field(description="By task, the experts that its gate alone sees (architecture cgc).")
    ]
    task_names: list[str]
    baseline: Baseline
    thresholds: Thresholds
    series: Series
    summed: Annotated[bool, Field(description="Whether `gates/all` has the sum over all instances.")]


def gate_report(
    traffic: GateTraffic,
    window: str = DEFAULT_WINDOW,
    wall_clock: Callable[[], float] = time.time,
    instance: str = "",
    loaded_at: float | None = None,
) -> TrafficAnswer:
    """Describe the rows of a window that ends now.

    Args:
        traffic: of a model version.
        window: one of WINDOWS.
        wall_clock: seconds since 1970, only to date the series.
        instance: whose workers' rows they are.
        loaded_at: when the version was loaded, in seconds since 1970.

    Raises:
        MalformedRequest: no such window.
    """
    tier = tier_of(window)
    if tier is None:
        raise MalformedRequest(f"the window is {quote(window)}", f"one of {', '.join(WINDOWS)}, as in ?window=5m")
    gates, buckets = traffic.gates, traffic.series(tier)
    start = wall_clock() - traffic.bucket_age_s(tier) - (POINTS - 1) * tier.resolution_s
    sums = buckets.over_time()
    return {
        "instance": instance,
        "model": gates.model,
        "version": gates.version,
        "loaded_at": None if loaded_at is None else _moment(loaded_at),
        "window": window,
        "window_s": POINTS * tier.resolution_s,
        "rows": int(sums.rows),
        "experts": gates.experts,
        "own_experts": {task: list(own) for task, own in gates.own_experts.items()},
        "task_names": list(gates.tasks),
        **_now(gates, sums),
        "baseline": _baseline(gates),
        "thresholds": thresholds(gates.seen),
        "series": _series(gates, buckets, start, tier.resolution_s),
        "summed": False,
    }


def drifts(gates: Gates, sums: Sums) -> dict[str, Drift]:
    """Return each task's drift from the baseline; empty without rows."""
    if not sums.rows:
        return {}
    used = sums.weights / sums.rows
    return {
        task: drift(
            np.array(gates.baseline.tasks[task].utilisation),
            np.array(gates.baseline.tasks[task].histogram, np.float64),
            used[t],
            sums.histogram[t],
            gates.seen,
        )
        for t, task in enumerate(gates.tasks)
    }


def thresholds(experts: int) -> Thresholds:
    """Name every threshold with its value, for gates that see so many experts."""
    return {
        "least_rows": LEAST_ROWS,
        "dead_expert_utilisation": DEAD_EXPERT_FAIR_SHARE / experts,
        "collapsed_gate_utilisation": COLLAPSED_GATE_UTILISATION,
        "jensen_shannon": JENSEN_SHANNON._asdict(),
        "population_stability_index": STABILITY_INDEX._asdict(),
        "chance_taken_off": CHANCE_TAKEN_OFF,
    }


def _now(gates: Gates, sums: Sums) -> TrafficNow:
    """Describe the tasks, their similarity and what is out of order."""
    if not sums.rows:
        return {
            "tasks": dict.fromkeys(gates.tasks, _SILENT_TASK),
            "similarity": None,
            "dead_experts": None,
            "collapsed_gates": None,
        }
    used = sums.weights / sums.rows
    entropy = sums.entropy / sums.rows
    found, enough = drifts(gates, sums), float(sums.rows) >= LEAST_ROWS
    return {
        "tasks": {
            task: {
                "utilisation": _numbers(used[t]),
                "entropy": float(entropy[t]),
                "normalised_entropy": _normalised(entropy[t], gates.seen),
                "top_expert_share": _numbers(sums.top[t] / sums.rows),
                "histogram": sums.histogram[t].astype(int).tolist(),
                "drift": _drift(found[task]),
            }
            for t, task in enumerate(gates.tasks)
        },
        "similarity": _numbers(np.clip(sums.similarity / sums.rows, 0, 1)),
        "dead_experts": dead_experts(used, seen=gates.seen) if enough else None,
        "collapsed_gates": [gates.tasks[t] for t in collapsed_gates(used)] if enough else None,
    }


_SILENT_TASK = cast(GateFigures, dict.fromkeys(GateFigures.__annotations__))


def _drift(found: Drift) -> DriftFigures:
    return {
        "level": found.level,
        "jensen_shannon": found.jensen_shannon,
        "jensen_shannon_by_chance": found.jensen_shannon_chance,
        "population_stability_index": found.stability_index,
        "population_stability_index_by_chance": found.stability_chance,
        "population_stability_index_by_expert": _numbers(found.by_expert),
    }


def _baseline(gates: Gates) -> Baseline:
    """Repeat the baseline of the manifest in the same words as the traffic."""
    baseline: GateBaseline = gates.baseline
    tasks: dict[str, TaskGate] = {task: baseline.tasks[task] for task in gates.tasks}
    return {
        "rows": baseline.rows,
        "histogram_edges": list(baseline.histogram_edges),
        "tasks": {name: task.model_dump(mode="json") for name, task in tasks.items()},
        "similarity": [list(row) for row in baseline.similarity],
    }


def _series(gates: Gates, buckets: Sums, start: float, resolution_s: float) -> Series:
    """Describe each bucket, oldest first; None where it has no rows."""
    seen = buckets.rows > 0
    rows = np.where(seen, buckets.rows, 1.0)
    used = buckets.weights / rows[:, None, None]
    entropy = buckets.entropy / rows[:, None]
    return {
        "start": _moment(start),
        "resolution_s": resolution_s,
        "rows": buckets.rows.astype(int).tolist(),
        "tasks": {
            task: {
                "utilisation": [_numbers(used[at, t]) if seen[at] else None for at in range(POINTS)],
                "normalised_entropy": [
                    _normalised(entropy[at, t], gates.seen) if seen[at] else None for at in range(POINTS)
                ],
            }
            for t, task in enumerate(gates.tasks)
        },
    }


def _moment(seconds: float) -> str:
    return datetime.fromtimestamp(seconds, UTC).isoformat(timespec="milliseconds").replace("+00:00", "Z")


def _normalised(entropy: float, experts: int) -> float:
    """Return entropy / ln V in [0, 1] for V experts seen; 0 where there is one."""
    return float(min(max(entropy / np.log(experts), 0.0), 1.0)) if experts > 1 else 0.0


def _numbers(values: NDArray[np.float64]) -> list[Any]:
    """Return floats rounded to what float32 weights can tell, so that an answer stays short."""
    numbers: list[Any] = np.round(values, 7).tolist()
    return numbers
