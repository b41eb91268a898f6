"""Gate baseline: how the gates weigh the experts over the validation rows, for the manifest."""

from collections.abc import Iterable, Iterator, Sequence
from typing import Any

import numpy as np
from numpy.typing import NDArray

from model.network.inputs import BATCH_ROWS, inputs_of
from model.network.model import Model, raw_outputs
from model.schema import Rows

HISTOGRAM_BINS = 20
"""Bins of equal width over [0, 1] for the histogram of an expert's weight."""

Weights = NDArray[np.float32]
Doubles = NDArray[np.float64]
Batch = tuple[Weights, NDArray[np.floating] | None]
"""Gate weights (B, T, E), and how often each row counts (B,), once if None."""


def gate_batches(model: Model, rows: Rows, size: int = BATCH_ROWS) -> Iterator[Batch]:
    """Compute the gate weights of a split some rows at a time; the model has gates."""
    for begin in range(0, len(rows), size):
        part = slice(begin, begin + size)
        weights = raw_outputs(model, [inputs_of(rows, part)], gates=True).gate_weights
        if weights is not None:
            yield weights.cpu().numpy(), None if rows.weights is None else rows.weights[part]


def gate_baseline(
    batches: Iterable[Batch], task_names: Sequence[str], average_logits: Doubles, seen: NDArray[np.bool_] | None = None
) -> dict[str, Any]:
    """Summarise gate weights for the manifest's `gates` (docs/artifact.md).

    Args:
        batches: of the validation rows; the gate weights of a row and task sum to 1.
        task_names: in the order of axis T.
        average_logits: (T, E), the gate logits at the average input.
        seen: (T, E), which experts each task's gate sees; by default all.
    """
    sums, seen = GateSums(*average_logits.shape), np.ones_like(average_logits, np.bool_) if seen is None else seen
    logits = average_logits.astype(object)
    logits[~seen] = None
    for weights, counts in batches:
        sums.add(weights, np.ones(len(weights)) if counts is None else counts.astype(np.float64))
    return {
        "rows": round(sums.count * sums.scale),
        "average_logits": logits.tolist(),
        "histogram_edges": sums.edges.tolist(),
        "tasks": {name: sums.describe(t, int(seen[t].sum())) for t, name in enumerate(task_names)},
        "similarity": sums.similarity().tolist(),
    }


class GateSums:
    """Sums over rows of what the baseline holds, each row as often as it counts, in float64.

    Attributes:
        rows: added that count at all.
        count: how often they count together.
        edges: of the histograms.
    """

    def __init__(self, tasks: int, experts: int) -> None:
        self.rows, self.count = 0, 0.0
        self.edges = np.round(np.linspace(0.0, 1.0, HISTOGRAM_BINS + 1), 6)
        self._weights, self._top = np.zeros((tasks, experts)), np.zeros((tasks, experts))
        self._histogram = np.zeros((tasks, experts, HISTOGRAM_BINS))
        self._entropy, self._divergence = np.zeros(tasks), np.zeros((tasks, tasks))

    @property
    def scale(self) -> float:
        """Return the factor of counts, which are whole numbers: 1 if rows count once or more."""
        return max(1.0, self.rows / self.count) if self.count > 0.0 else 1.0

    def add(self, weights: Weights, counts: Doubles) -> None:
        """Add rows: gate weights (B, T, E), and how often each counts (B,)."""
        _, tasks, experts = weights.shape
        self.rows += int((counts > 0.0).sum())
        self.count += float(counts.sum())
        self._weights += np.tensordot(counts, weights.astype(np.float64), 1)
        entropies = entropy(weights)  # (B, T)
        self._entropy += counts @ entropies
        inside = np.clip(weights, 0.0, 1.0)  # rounding can carry a weight past 1, where no bin would count it
        for task in range(tasks):
            self._top[task] += np.bincount(weights[:, task].argmax(axis=1), counts, experts)
            for expert in range(experts):
                self._histogram[task, expert] += np.histogram(inside[:, task, expert], self.edges, weights=counts)[0]
            for other in range(task + 1, tasks):
                middle = (weights[:, task] + weights[:, other]) / 2.0
                divergence = entropy(middle) - (entropies[:, task] + entropies[:, other]) / 2.0
                self._divergence[task, other] += counts @ np.clip(divergence / np.log(2.0), 0.0, 1.0)

    def describe(self, task: int, seen: int) -> dict[str, Any]:
        """Describe one task's gate, which sees so many experts."""
        mean_entropy = float(self._entropy[task] / self.count)
        return {
            "utilisation": (self._weights[task] / self.count).tolist(),
            "histogram": np.rint(self._histogram[task] * self.scale).astype(np.int64).tolist(),
            "entropy": mean_entropy,
            "normalised_entropy": mean_entropy / float(np.log(seen)) if seen > 1 else 0.0,
            "top_expert_share": (self._top[task] / self.count).tolist(),
        }

    def similarity(self) -> Doubles:
        """Compute the similarity of tasks' gates, (T, T), 1 on the diagonal.

        It is the mean over rows of 1 - Jensen-Shannon divergence in base 2.
        """
        result: Doubles = 1.0 - (self._divergence + self._divergence.T) / self.count
        return result


def entropy(weights: Weights) -> Doubles:
    """Compute the Shannon entropy in nats over the last axis; 0 log 0 counts as 0."""
    p = weights.astype(np.float64)
    surprise: Doubles = -np.log(np.where(p > 0.0, p, 1.0))
    return np.asarray((p * surprise).sum(axis=-1))
