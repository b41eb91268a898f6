"""What the gates did on validation rows: the figures that live traffic is compared with. Pure numpy."""

from collections.abc import Sequence
from typing import Any

import numpy as np
from numpy.typing import NDArray

HISTOGRAM_BINS = 20
"""Bins of equal width over [0, 1] for the histogram of an expert's weight."""

Weights = NDArray[np.float32]


def gate_baseline(
    gate_weights: Weights, task_names: Sequence[str], average_logits: NDArray[np.float64]
) -> dict[str, Any]:
    """Summarise gate weights (B, T, E) for the manifest's `gates` (docs/artifact.md).

    Args:
        gate_weights: of the validation rows; each row sums to 1.
        task_names: in the order of axis T.
        average_logits: (T, E), the gate logits at the average input.
    """
    edges = np.round(np.linspace(0.0, 1.0, HISTOGRAM_BINS + 1), 6)
    return {
        "rows": len(gate_weights),
        "average_logits": average_logits.tolist(),
        "histogram_edges": edges.tolist(),
        "tasks": {name: _task_baseline(gate_weights[:, t], edges) for t, name in enumerate(task_names)},
        "similarity": similarity(gate_weights).tolist(),
    }


def _task_baseline(weights: Weights, edges: NDArray[np.float64]) -> dict[str, Any]:
    """Summarise one task's weights (B, E)."""
    experts = weights.shape[1]
    mean_entropy = float(entropy(weights).mean())
    inside = np.clip(weights, 0.0, 1.0)  # rounding can carry a weight past 1, where no bin would count it
    top = np.bincount(weights.argmax(axis=1), minlength=experts) / len(weights)
    return {
        "utilisation": weights.mean(axis=0, dtype=np.float64).tolist(),
        "histogram": [np.histogram(inside[:, e], bins=edges)[0].tolist() for e in range(experts)],
        "entropy": mean_entropy,
        "normalised_entropy": mean_entropy / float(np.log(experts)) if experts > 1 else 0.0,
        "top_expert_share": top.tolist(),
    }


def entropy(weights: Weights) -> NDArray[np.float64]:
    """Give the Shannon entropy in nats over the last axis; 0 log 0 counts as 0."""
    p = weights.astype(np.float64)
    surprise: NDArray[np.float64] = -np.log(np.where(p > 0.0, p, 1.0))
    return np.asarray((p * surprise).sum(axis=-1))


def similarity(gate_weights: Weights) -> NDArray[np.float64]:
    """Compare tasks: (T, T), the mean over rows of 1 - Jensen-Shannon divergence in base 2; 1 on the diagonal."""
    tasks = gate_weights.shape[1]
    entropies = entropy(gate_weights)  # (B, T)
    result = np.ones((tasks, tasks))
    for first in range(tasks):
        for second in range(first + 1, tasks):
            middle = (gate_weights[:, first] + gate_weights[:, second]) / 2.0
            divergence = entropy(middle) - (entropies[:, first] + entropies[:, second]) / 2.0
            value = 1.0 - float(np.clip(divergence / np.log(2.0), 0.0, 1.0).mean())
            result[first, second] = result[second, first] = value
    return result
