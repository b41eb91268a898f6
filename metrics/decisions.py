"""Decisions: classes that were chosen, beside the true ones."""

from collections.abc import Iterable

import numpy as np
from numpy.typing import NDArray

from metrics.blocks import Doubles

Classes = NDArray[np.integer]


class Decisions:
    """Decisions counted by class, block by block."""

    def __init__(self, classes: int) -> None:
        self._counted = np.zeros((3, classes))  # right, true, decided

    def add(self, decided: Classes, truth: Classes, times: Doubles) -> None:
        """Count rows (b,), each as often as it counts."""
        right = decided == truth
        pairs: Iterable[tuple[Classes, Doubles]] = ((truth[right], times[right]), (truth, times), (decided, times))
        self._counted += [np.bincount(of, weights, self._counted.shape[1]) for of, weights in pairs]

    def metrics(self) -> dict[str, float]:
        """Compute accuracy, and F1 averaged over the classes that any row has or was given."""
        right, true, decided = self._counted
        there = true + decided > 0.0
        f1 = 2.0 * right[there] / (true + decided)[there]
        return {"accuracy": float(right.sum() / true.sum()), "macro_f1": float(f1.mean())}
