"""Causes of gate drift: the features whose mean contributions to a task's gate logits moved.

A gate logit is its value at the average input plus one contribution per feature, exactly. So a
shift of the mean logits between the baseline and a window is the sum of the features' own shifts.
"""

from collections.abc import Mapping, Sequence
from typing import Annotated

import numpy as np
from numpy.typing import NDArray
from pydantic import Field
from typing_extensions import TypedDict

from service.gates import Drift, Level
from service.inference.features import Batch
from service.inference.predictor import Predictor
from service.monitoring.cells import Doubles
from service.system.json_types import Count

MOST_CAUSES = 10
"""Features listed of a task."""


class Cause(TypedDict):
    """Part of one feature in the drift of a task's gate."""

    feature: str
    moved_weight: Annotated[float, Field(description="Gate weight that it moves between experts by itself, in [0, 1].")]
    logit_shift: Annotated[
        list[float | None],
        Field(description="By expert: shift of its mean contribution, less that of all experts weighted by their use."),
    ]


class GateCauses(TypedDict):
    """Drift of a task's gate, and the features that explain it, the greatest part first."""

    level: Level
    rows: Annotated[Count, Field(description="Rows whose contributions were computed.")]
    because: Annotated[
        list[Cause] | None,
        Field(description="Null where the gate is stable, or where the version is not loaded or has no baseline."),
    ]


def causes(
    names: Sequence[str], was: Doubles, now: NDArray[np.float32], used: Doubles, seen: NDArray[np.bool_]
) -> list[Cause]:
    """Rank the features by their part in the drift of one task's gate.

    To first order, a feature that shifts the logits by d_e moves the weight u_e (d_e - sum_k u_k
    d_k) to expert e, where u is the mean weight in the baseline; half the sum of their absolute
    values is what it moves in all. What all logits share moves nothing, as a softmax ignores it.

    Args:
        names: of the F features.
        was: (E, F) mean contributions in the baseline.
        now: (B, E, F) contributions of rows of the window, finite.
        used: (E,) utilisation in the baseline.
        seen: (E,) whether the gate sees the expert.
    """
    shift = now.mean(axis=0, dtype=np.float64) - was
    apart = shift - used @ shift  # (E, F)
    moved = np.abs(used[:, None] * apart).sum(axis=0) / 2
    return [
        {
            "feature": names[f],
            "moved_weight": round(float(min(moved[f], 1.0)), 6),
            "logit_shift": [
                round(float(value), 6) if sees else None for value, sees in zip(apart[:, f], seen, strict=True)
            ],
        }
        for f in np.argsort(-moved, kind="stable")[:MOST_CAUSES]
    ]


def gate_causes(drifts: Mapping[str, Drift], rows: Batch | None, predictor: Predictor | None) -> dict[str, GateCauses]:
    """Explain the drift of the gates that drifted.

    Args:
        drifts: by task, over the window.
        rows: some of the window's, kept where the manifest has mean contributions.
        predictor: of the version; None where it is not loaded.
    """
    moved = [task for task, drift in drifts.items() if drift.level in ("moderate", "major")]
    by_task: dict[str, list[Cause]] = {}
    looked_at = 0
    if moved and rows is not None and predictor is not None:
        found = predictor.contributions(rows).contributions
        assert found is not None
        found = found[np.isfinite(found).all(axis=(1, 2, 3))]
        looked_at = len(found)
        by_task = {task: _causes_of(predictor, task, found) for task in moved if looked_at}
    return {
        task: {"level": drift.level, "rows": looked_at if task in by_task else 0, "because": by_task.get(task)}
        for task, drift in drifts.items()
    }


def _causes_of(predictor: Predictor, task: str, found: NDArray[np.float32]) -> list[Cause]:
    manifest, place = predictor.manifest, predictor.manifest.task_names.index(task)
    assert manifest.gates is not None
    assert manifest.baseline is not None
    was = np.array((manifest.baseline.contributions or {})[task])
    seen = np.array([logit is not None for logit in manifest.gates.average_logits[place]])
    used = np.array(manifest.gates.tasks[task].utilisation)
    return causes(manifest.feature_names, was, found[:, place], used, seen)
