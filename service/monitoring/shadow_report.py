"""Report of a comparison of two versions, as JSON."""

from typing import Annotated, Literal

from pydantic import Field
from typing_extensions import TypedDict

from service.gates import LEAST_ROWS
from service.monitoring.comparison import ShadowFigures
from service.system.json_types import Count


class GateDifference(TypedDict):
    """Difference between the gates of two versions over the rows compared, by matched experts."""

    jensen_shannon: float | None
    top_expert_agreement: float | None
    utilisation: Annotated[list[float] | None, Field(description="Of the served version's experts over these rows.")]
    shadow_utilisation: Annotated[list[float] | None, Field(description="Of the other version's experts.")]


class TaskDifference(TypedDict):
    """Difference between two versions' predictions and gates of a task."""

    kind: Literal["regression", "binary", "multiclass"]
    mean_absolute_difference: float | None
    largest_absolute_difference: float | None
    disagreement: float | None
    gates: GateDifference | None


class MatchedExpert(TypedDict):
    """Expert of the served version and its partner in the other; null for none."""

    expert: Count
    shadow_expert: Count | None
    correlation: Annotated[
        float | None, Field(description="Of their gate weights over rows; null if one never varies.")
    ]
    good: bool


ExpertMatch = Literal["good", "partly", "none", "too_few_rows"]


class Comparison(TypedDict):
    """Comparison of two versions; null is what cannot be said without rows."""

    rows: Count
    dropped_rows: Count
    failed_rows: Count
    tasks: dict[str, TaskDifference]
    expert_match: Annotated[
        ExpertMatch | None, Field(description="Whether the versions have the same experts; null without gates.")
    ]
    experts: list[MatchedExpert] | None


def shadow_report(figures: ShadowFigures) -> Comparison:
    """Describe the figures as JSON; what cannot be said without rows is None."""
    tasks: dict[str, TaskDifference] = {}
    rows = figures.rows
    for at, task in enumerate(figures.pair.tasks):
        absolute, largest, disagreements, divergence, same_top = figures.task(at)
        ours, theirs = figures.utilisation(at) or (None, None)
        compared: GateDifference = {
            "jensen_shannon": _ratio(divergence, rows),
            "top_expert_agreement": _ratio(same_top, rows),
            "utilisation": ours,
            "shadow_utilisation": theirs,
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
        **_matched(figures),
    }


class _Matched(TypedDict):
    """Part of a comparison that tells of experts."""

    expert_match: ExpertMatch | None
    experts: list[MatchedExpert] | None


def _matched(figures: ShadowFigures) -> _Matched:
    """Tell which experts belong together, once there are rows enough."""
    if not any(task.gates for task in figures.pair.tasks):
        return {"expert_match": None, "experts": None}
    if figures.rows < LEAST_ROWS or figures.matching is None:
        return {"expert_match": "too_few_rows", "experts": None}
    matching = figures.matching
    good = matching.good()
    experts: list[MatchedExpert] = [
        {"expert": e, "shadow_expert": partner, "correlation": correlation, "good": fits}
        for e, (partner, correlation, fits) in enumerate(zip(matching.partner, matching.correlation, good, strict=True))
    ]
    return {"expert_match": "good" if all(good) else "partly" if any(good) else "none", "experts": experts}


def _ratio(total: float, rows: float) -> float | None:
    return total / rows if rows else None
