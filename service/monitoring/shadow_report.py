"""Report of a comparison of two versions, as JSON."""

from typing import Literal

from typing_extensions import TypedDict

from service.monitoring.comparison import ShadowFigures
from service.system.json_types import Count


class GateDifference(TypedDict):
    """Difference between the gates of two versions, over the rows compared."""

    jensen_shannon: float | None
    top_expert_agreement: float | None


class TaskDifference(TypedDict):
    """Difference between two versions' predictions and gates of a task."""

    kind: Literal["regression", "binary", "multiclass"]
    mean_absolute_difference: float | None
    largest_absolute_difference: float | None
    disagreement: float | None
    gates: GateDifference | None


class Comparison(TypedDict):
    """Comparison of two versions; null is what cannot be said without rows."""

    rows: Count
    dropped_rows: Count
    failed_rows: Count
    tasks: dict[str, TaskDifference]


def shadow_report(figures: ShadowFigures) -> Comparison:
    """Describe the figures as JSON; what cannot be said without rows is None."""
    tasks: dict[str, TaskDifference] = {}
    rows = figures.rows
    for at, task in enumerate(figures.pair.tasks):
        absolute, largest, disagreements, divergence, same_top = figures.task(at)
        compared: GateDifference = {
            "jensen_shannon": _ratio(divergence, rows),
            "top_expert_agreement": _ratio(same_top, rows),
        }
        tasks[task.name] = {
            "kind": task.kind,
            "mean_absolute_difference": _ratio(absolute, rows),
            "largest_absolute_difference": largest if rows else None,
            "disagreement": None if task.kind == "regression" else _ratio(disagreements, rows),
            "gates": compared if task.gates else None,
        }
    return {
        "rows": int(rows),
        "dropped_rows": int(figures.dropped_rows),
        "failed_rows": int(figures.failed_rows),
        "tasks": tasks,
    }


def _ratio(total: float, rows: float) -> float | None:
    return total / rows if rows else None
