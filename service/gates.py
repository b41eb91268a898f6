"""Gate mathematics, pure numpy: what the gate weights of many rows say.

`weights` is (B, T, E) throughout: B >= 1 rows, T tasks, E experts; each row's weights of a task
sum to 1. Sums are taken in float64. Logarithms are natural (nats) for entropy and the population
stability index, base 2 for divergences, which therefore lie in [0, 1].
"""

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any, Literal, NamedTuple

import numpy as np
from numpy.typing import NDArray

Floats = NDArray[np.floating[Any]]
Counts = NDArray[np.integer[Any]]

DEAD_EXPERT_FAIR_SHARE = 0.05
"""Part of an equal share, 1 / E, under which a utilisation in every task makes a dead expert."""

COLLAPSED_GATE_UTILISATION = 0.95
"""A gate has collapsed when one expert's utilisation is at least this.

Every row gets nearly the same single expert.
"""

LEAST_ROWS = 50
"""Rows below which no verdict is given: no expert is dead, no gate collapsed or drifted."""

STABILITY_PSEUDO_COUNT = 0.5
"""Pseudo-count of every bin, so that an empty bin gives a finite stability index."""


def entropy(weights: Floats) -> NDArray[np.float64]:
    """Return Shannon's entropy along the last axis, in nats, in [0, ln E].

    A weight of 0 adds nothing.
    """
    w = np.asarray(weights, np.float64)
    nats: NDArray[np.float64] = 0.0 - (w * np.log(np.where(w > 0, w, 1.0))).sum(axis=-1)  # never -0.0
    return nats


def normalised_entropy(weights: Floats, seen: int | None = None) -> NDArray[np.float64]:
    """Return entropy / ln V along the last axis, in [0, 1]; 0 where there is only one expert.

    Args:
        weights: (..., E).
        seen: V, how many experts a gate sees; by default all E.
    """
    experts = seen or weights.shape[-1]
    share: NDArray[np.float64] = np.clip(entropy(weights) / max(np.log(experts), 1e-9), 0.0, 1.0)
    return share


def utilisation(weights: Floats) -> NDArray[np.float64]:
    """Return each expert's mean gate weight over the rows, (T, E); sums to 1 per task."""
    mean: NDArray[np.float64] = weights.mean(axis=0, dtype=np.float64)
    return mean


def top_expert(weights: Floats) -> NDArray[np.int64]:
    """Return the expert of the largest weight per row and task, (B, T).

    The lowest index of equals.
    """
    top: NDArray[np.int64] = weights.argmax(axis=-1)
    return top


def top_expert_share(weights: Floats) -> NDArray[np.float64]:
    """Return the share of rows in which each expert is the top one, (T, E); sums to 1 per task."""
    share: NDArray[np.float64] = (top_expert(weights)[..., None] == np.arange(weights.shape[-1])).mean(axis=0)
    return share


def jensen_shannon(p: Floats, q: Floats) -> NDArray[np.float64]:
    """Return the Jensen-Shannon divergence in base 2 along the last axis, in [0, 1].

    0 for equal distributions.

    Lin, "Divergence measures based on the Shannon entropy" (1991), weights 1/2: H((p + q) / 2) -
    (H(p) + H(q)) / 2. `p` and `q` broadcast against each other; each sums to 1.
    """
    p, q = np.asarray(p, np.float64), np.asarray(q, np.float64)
    nats = entropy((p + q) / 2) - (entropy(p) + entropy(q)) / 2
    bits: NDArray[np.float64] = np.clip(nats / np.log(2), 0.0, 1.0)
    return bits


def similarity(weights: Floats) -> NDArray[np.float64]:
    """Return how alike the tasks' gates are, (T, T).

    The mean over rows of 1 - Jensen-Shannon divergence in base 2.

    Symmetric, in [0, 1], with ones on the diagonal.
    """
    tasks = weights.shape[1]
    alike = np.ones((tasks, tasks))
    for a in range(tasks):
        for b in range(a + 1, tasks):
            alike[a, b] = alike[b, a] = 1.0 - jensen_shannon(weights[:, a], weights[:, b]).mean()
    return alike


def histogram(weights: Floats, edges: Sequence[float] | Floats) -> NDArray[np.int64]:
    """Count weights per task, expert and bin: (T, E, bins).

    Bins are half open, [edge_i, edge_i+1), the last one closed. A weight outside the edges, which
    only rounding can cause, counts in the nearest bin, so every bin row sums to B.

    Args:
        weights: (B, T, E).
        edges: increasing, bins + 1 of them.
    """
    bins = len(edges) - 1
    _, tasks, experts = weights.shape
    index = np.clip(np.searchsorted(np.asarray(edges), weights, side="right") - 1, 0, bins - 1)
    cell = np.arange(tasks * experts).reshape(tasks, experts) * bins
    return np.bincount((index + cell).ravel(), minlength=tasks * experts * bins).reshape(tasks, experts, bins)


def population_stability_index(expected: Counts | Floats, actual: Counts | Floats) -> NDArray[np.float64]:
    """Return the population stability index along the last axis.

    Sum of (a - e) ln(a / e) over the bins; at least 0.

    `expected` and `actual` are counts per bin. Shares are taken after STABILITY_PSEUDO_COUNT was
    added to each bin. By custom under 0.1 is stable and over 0.25 a shift.
    """
    e, a = _smoothed_shares(expected), _smoothed_shares(actual)
    index: NDArray[np.float64] = ((a - e) * np.log(a / e)).sum(axis=-1)
    return index


def dead_experts(utilisation: Floats, fair_share: float = DEAD_EXPERT_FAIR_SHARE, seen: int | None = None) -> list[int]:
    """List the experts whose utilisation (T, E) is under `fair_share` / V in every task.

    V is how many experts a gate sees, by default all E; others have utilisation 0.
    """
    least = fair_share / (seen or utilisation.shape[-1])
    return [int(e) for e in np.flatnonzero((utilisation < least).all(axis=0))]


def collapsed_gates(utilisation: Floats, threshold: float = COLLAPSED_GATE_UTILISATION) -> list[int]:
    """List the tasks, by index of axis T, whose gate has collapsed onto one of several experts.

    That expert has a utilisation of at least `threshold`.

    A gate over a single expert has nothing to choose and is never listed.
    """
    return [int(t) for t in np.flatnonzero(utilisation.max(axis=-1) >= threshold)] if utilisation.shape[-1] > 1 else []


def _smoothed_shares(counts: Counts | Floats) -> NDArray[np.float64]:
    """Turn counts per bin into shares, none of them 0."""
    smoothed = np.asarray(counts, np.float64) + STABILITY_PSEUDO_COUNT
    shares: NDArray[np.float64] = smoothed / smoothed.sum(axis=-1, keepdims=True)
    return shares


Level = Literal["stable", "moderate", "major", "too_few_rows"]


class Threshold(NamedTuple):
    """Thresholds of a distance: where it begins to matter, and where it asks for action."""

    moderate: float
    major: float


JENSEN_SHANNON = Threshold(0.01, 0.05)
"""In bits.

Two experts used alike: one hands the other an eighth of all weight, (.5, .5) to (.62, .38); a
quarter.
"""

STABILITY_INDEX = Threshold(0.1, 0.25)
"""Customary thresholds: no change below, act above.

Siddiqi, "Credit Risk Scorecards", 2006.
"""

CHANCE_TAKEN_OFF = 2.0
"""A distance is judged less this many times what chance alone is expected to give."""


@dataclass(frozen=True)
class Drift:
    """Drift of one task's gate from its baseline.

    Attributes:
        jensen_shannon: between the mean weights, base 2, in [0, 1].
        stability_index: mean of the experts' own, each weighted by its utilisation, old and new
            alike, so that an expert that carries nothing cannot raise an alarm.
        by_expert: (E,) each expert's index, over the histogram of its weights.
        jensen_shannon_chance: the most that sampling alone is expected to give, (V - 1) (1 / n + 1
            / m) / (8 ln 2) for V experts seen and n rows against m; reached where every weight is
            0 or 1.
        stability_chance: what sampling alone is expected to give, (bins in use - 1) (1 / n + 1 /
            m).
        level: the greater of what the two distances say; "too_few_rows" under LEAST_ROWS, and
            where they say nothing and chance alone may give half the lower threshold of the index.
    """

    jensen_shannon: float
    stability_index: float
    by_expert: NDArray[np.float64]
    jensen_shannon_chance: float
    stability_chance: float
    level: Level


def drift(was: Floats, was_histogram: Floats, now: Floats, now_histogram: Floats, seen: int | None = None) -> Drift:
    """Compare a task's gate with its baseline.

    Args:
        was: (E,) utilisation in the baseline.
        was_histogram: (E, bins) rows by weight in the baseline.
        now: (E,) utilisation of the rows seen.
        now_histogram: (E, bins) rows by weight, of at least one row.
        seen: V, how many experts the gate sees; by default all E.
    """
    share = (was + now) / (was + now).sum()
    by_expert = population_stability_index(was_histogram, now_histogram)
    bins_in_use = ((was_histogram > 0) | (now_histogram > 0)).sum(axis=-1)
    per_row = float(1 / was_histogram[0].sum() + 1 / now_histogram[0].sum())
    divergence, index = float(jensen_shannon(was, now)), float(share @ by_expert)
    divergence_chance = ((seen or len(was)) - 1) * per_row / (8 * float(np.log(2)))
    index_chance = float(share @ (bins_in_use - 1)) * per_row
    reached = max(
        _reached(divergence, divergence_chance, JENSEN_SHANNON), _reached(index, index_chance, STABILITY_INDEX)
    )
    levels: tuple[Level, ...] = ("stable", "moderate", "major")
    few = float(now_histogram[0].sum()) < LEAST_ROWS
    unsure = few or (reached == 0 and index_chance > STABILITY_INDEX.moderate / 2)
    level: Level = "too_few_rows" if unsure else levels[reached]
    return Drift(divergence, index, by_expert, divergence_chance, index_chance, level)


def _reached(distance: float, chance: float, threshold: Threshold) -> int:
    """Count the thresholds that a distance reaches when chance is taken off."""
    return sum(distance - CHANCE_TAKEN_OFF * chance >= limit for limit in threshold)
