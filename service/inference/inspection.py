"""service.inference.inspection."""

from typing import Any, NamedTuple

import numpy as np
from numpy.typing import NDArray

from service import gates
from service.artifact.file import Manifest
from service.errors import RequestTooLarge
from service.inference.answer import Answer, Outputs
from service.inference.features import Batch

MOST_NUMBERS = 1_000_000
"""Most contributions or ablations of one answer; they grow with rows x tasks x experts x features."""


class InspectionOptions(NamedTuple):
    """Hold what an inspection is to say beyond the weights.

    Attributes:
        top_k: how many features to list per gate logit, those of the largest share first; None for all.
    """

    contributions: bool
    ablation: bool
    top_k: int | None


def describe(manifest: Manifest, answer: Answer, without: Outputs | None, asked: InspectionOptions) -> dict[str, Any]:
    """Describe the gates over some rows.

    Args:
        manifest: of the model.
        answer: with gate weights (B, T, E); with contributions where they are asked for, tasks where ablation is.
        without: each task's predictions without each expert, (E, B) or (E, B, K).
        asked: what to say.
    """
    weights = answer.gate_weights
    assert weights is not None
    names = manifest.task_names
    entropy, top = gates.normalised_entropy(weights), gates.top_expert(weights)
    utilisation = gates.utilisation(weights)
    rows = []
    for row in range(len(weights)):
        tasks: dict[str, dict[str, Any]] = {}
        for t, name in enumerate(names):
            tasks[name] = {
                "gate_weights": weights[row, t],
                "normalised_entropy": float(entropy[row, t]),
                "top_expert": int(top[row, t]),
            }
            if answer.contributions is not None and asked.contributions:
                tasks[name]["contributions"] = _contributions(manifest, t, answer.contributions[row, t], asked.top_k)
            if without is not None:
                tasks[name]["ablation"] = np.ascontiguousarray(without[name][:, row] - answer.tasks[name][row])
        rows.append({"tasks": tasks})
    return {
        "task_names": list(names),
        "rows": rows,
        "tasks": {
            name: {"utilisation": utilisation[t], "normalised_entropy": float(entropy[:, t].mean())}
            for t, name in enumerate(names)
        },
        "similarity": gates.similarity(weights),
    }


def _contributions(
    manifest: Manifest, task: int, shares: NDArray[np.float32], top_k: int | None
) -> list[dict[str, Any]]:
    """Break each expert's gate logit down: `base` + all features' shares = `logit`; `rest` is of those not listed."""
    assert manifest.gates is not None
    features, entries = manifest.feature_names, []
    for base, of_expert in zip(manifest.gates.average_logits[task], shares, strict=True):
        order = np.argsort(-np.abs(of_expert), kind="stable")[:top_k]
        total = float(of_expert.sum(dtype=np.float64))
        entry: dict[str, Any] = {
            "base": base,
            "logit": base + total,
            "features": [{"feature": features[f], "contribution": of_expert[f]} for f in order],
        }
        if len(order) < len(features):
            entry["rest"] = total - float(of_expert[order].sum(dtype=np.float64))
        entries.append(entry)
    return entries


def _refuse_too_much(asked: InspectionOptions, manifest: Manifest, batch: Batch) -> None:
    """Refuse an answer of so many numbers that it would hold up everybody else."""
    per_row = len(manifest.tasks) * manifest.experts
    if asked.contributions:
        per_row *= len(manifest.features)
    elif asked.ablation:
        per_row *= 2
    most = max(MOST_NUMBERS // per_row, 1)
    if batch.rows > most:
        raise RequestTooLarge("an inspection with these options", batch.rows, most, "rows", None)
