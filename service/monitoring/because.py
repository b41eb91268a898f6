"""Causes of gate drift: the features whose mean contributions to a task's gate logits moved.

A gate logit is its value at the average input plus one contribution per feature, exactly. So a
shift of the mean logits between the baseline and a window is the sum of the features' own shifts.
"""

from collections.abc import Mapping, Sequence
from typing import Annotated, NamedTuple

import numpy as np
from numpy.typing import NDArray
from pydantic import Field
from typing_extensions import TypedDict

from service.artifact.manifest import Manifest
from service.gates import Drift, Level, jensen_shannon
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
    jensen_shannon_without: Annotated[
        float,
        Field(description="Divergence of the rows from the baseline if the feature contributed as much as there."),
    ]


class GateCauses(TypedDict):
    """Drift of a task's gate, and the features that explain it, the greatest part first."""

    level: Level
    rows: Annotated[Count, Field(description="Rows whose contributions were computed.")]
    jensen_shannon: Annotated[
        float | None,
        Field(description="Divergence of these rows' utilisation from the baseline's; null as `because` is."),
    ]
    because: Annotated[
        list[Cause] | None,
        Field(description="Null where the gate is stable, or where the version is not loaded or has no baseline."),
    ]


class Rows(NamedTuple):
    """Rows of a window, finite, of one task.

    Attributes:
        contributions: (B, E, F).
        weights: (B, E) gate weights.
    """

    contributions: NDArray[np.float32]
    weights: NDArray[np.float32]


def causes(names: Sequence[str], was: Doubles, now: Rows, used: Doubles, seen: NDArray[np.bool_]) -> list[Cause]:
    """Rank the features by their part in the drift of one task's gate.

    To first order, a feature that shifts the logits by d_e moves the weight u_e (d_e - sum_k u_k
    d_k) to expert e, where u is the mean weight in the baseline; half the sum of their absolute
    values is what it moves in all. What all logits share moves nothing, as a softmax ignores it.

    Args:
        names: of the F features.
        was: (E, F) mean contributions in the baseline.
        now: rows of the window.
        used: (E,) utilisation in the baseline.
        seen: (E,) whether the gate sees the expert.
    """
    shift = now.contributions.mean(axis=0, dtype=np.float64) - was
    apart = shift - used @ shift  # (E, F)
    moved = np.abs(used[:, None] * apart).sum(axis=0) / 2
    return [
        {
            "feature": names[f],
            "moved_weight": round(float(min(moved[f], 1.0)), 6),
            "logit_shift": [
                round(float(value), 6) if sees else None for value, sees in zip(apart[:, f], seen, strict=True)
            ],
            "jensen_shannon_without": round(_divergence_without(now, f, was[:, f], used), 6),
        }
        for f in np.argsort(-moved, kind="stable")[:MOST_CAUSES].tolist()
    ]


def _divergence_without(now: Rows, feature: int, was: Doubles, used: Doubles) -> float:
    """Return the divergence of the mean weights from `used` (E,) with one feature as it was.

    Each row's logits are given the feature's mean contribution in the baseline, `was` (E,), in
    place of its own.
    """
    excess = now.contributions[:, :, feature] - was
    weights = now.weights * np.exp(excess.min(axis=1, keepdims=True) - excess)  # a softmax of logits - excess
    mean = (weights / weights.sum(axis=1, keepdims=True)).mean(axis=0)
    return float(jensen_shannon(mean, used))


def gate_causes(drifts: Mapping[str, Drift], rows: Batch | None, predictor: Predictor | None) -> dict[str, GateCauses]:
    """Explain the drift of the gates that drifted.

    Args:
        drifts: by task, over the window.
        rows: some of the window's, kept where the manifest has mean contributions.
        predictor: of the version; None where it is not loaded.
    """
    moved = [task for task, drift in drifts.items() if drift.level in ("moderate", "major")]
    found: dict[str, GateCauses] = {
        task: {"level": drift.level, "rows": 0, "jensen_shannon": None, "because": None}
        for task, drift in drifts.items()
    }
    if moved and rows is not None and predictor is not None:
        answer = predictor.contributions(rows)
        assert answer.contributions is not None
        assert answer.gate_weights is not None
        finite = np.isfinite(answer.contributions).all(axis=(1, 2, 3))
        for task in moved if finite.any() else ():
            place = predictor.manifest.task_names.index(task)
            now = Rows(answer.contributions[finite, place], answer.gate_weights[finite, place])
            found[task] = _explained(drifts[task].level, predictor.manifest, task, now)
    return found


def _explained(level: Level, manifest: Manifest, task: str, now: Rows) -> GateCauses:
    assert manifest.gates is not None
    assert manifest.baseline is not None
    was = np.array((manifest.baseline.contributions or {})[task])
    logits = manifest.gates.average_logits[manifest.task_names.index(task)]
    seen = np.array([logit is not None for logit in logits])
    used = np.array(manifest.gates.tasks[task].utilisation)
    return {
        "level": level,
        "rows": len(now.weights),
        "jensen_shannon": round(float(jensen_shannon(now.weights.mean(axis=0, dtype=np.float64), used)), 6),
        "because": causes(manifest.feature_names, was, now, used, seen),
    }
