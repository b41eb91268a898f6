"""Drift of features and predictions from the baseline, judged over a window of traffic."""

from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np

from service.gates import (
    CHANCE_TAKEN_OFF,
    STABILITY_INDEX,
    Level,
    jensen_shannon,
    population_stability_index,
)
from service.monitoring.cells import HIGH, LOW, NONE, Doubles, prediction_cells
from service.monitoring.inputs import Counted, InputFeature, Inputs

LEAST_ROWS = 200
"""Rows of a window, of equal weight, below which nothing is said about its drift."""

LEVELS: tuple[Level, ...] = ("stable", "moderate", "major")


@dataclass(frozen=True)
class Distance:
    """Distance of a distribution from that of the baseline.

    Attributes:
        stability_index: population stability index over the cells.
        stability_chance: what sampling alone is expected to give: (cells in use - 1) (1 / n + 1 /
            m) for n rows against m.
        jensen_shannon: distance, the root of the divergence in base 2; in [0, 1].
        level: what the index says once twice its chance is taken off.
        was: shares of the cells in the baseline.
        now: shares in the window.
    """

    stability_index: float
    stability_chance: float
    jensen_shannon: float
    level: Level
    was: Doubles
    now: Doubles

    @property
    def excess(self) -> float:
        """Return the index less what chance is forgiven."""
        return self.stability_index - CHANCE_TAKEN_OFF * self.stability_chance


def distance(was: Sequence[float], was_rows: int, counts: Doubles, rows: float) -> Distance:
    """Compare a window's counts with the baseline.

    Args:
        was: shares of the cells in the baseline.
        was_rows: how many rows those are of.
        counts: of the window, in whatever unit; not all of them 0.
        rows: of equal weight that the counts are worth.
    """
    then = np.array(was, np.float64) / sum(was)
    now = counts / counts.sum()
    in_use = int(((then > 0) | (now > 0)).sum())
    index = float(population_stability_index(then * was_rows, now * rows))
    chance = (in_use - 1) * (1 / rows + 1 / was_rows)
    reached = sum(index - CHANCE_TAKEN_OFF * chance >= limit for limit in STABILITY_INDEX)
    level: Level = LEVELS[reached] if rows >= LEAST_ROWS else "too_few_rows"
    return Distance(index, chance, float(np.sqrt(jensen_shannon(then, now))), level, then, now)


@dataclass(frozen=True)
class FeatureDrift:
    """Drift of one feature."""

    feature: InputFeature
    distance: Distance

    def share(self, name: str, shares: Doubles) -> float | None:
        """Return the share that is missing, unknown or out of range; None if nothing can be."""
        if name == "missing":
            return float(shares[NONE])
        if name == "unknown":
            return float(shares[HIGH]) if self.feature.tells_unknown else None
        return float(shares[LOW] + shares[HIGH]) if self.feature.edges is not None else None


def feature_drifts(inputs: Inputs, counted: Counted) -> list[FeatureDrift]:
    """Judge every feature, those that moved most first; none without rows."""
    found = [
        FeatureDrift(feature, distance(feature.cells, inputs.rows, counts, counted.effective_rows))
        for feature, counts in zip(inputs.features, counted.counts, strict=False)
        if counts.any()
    ]
    return sorted(found, key=lambda drift: -drift.distance.excess)


def prediction_drifts(inputs: Inputs, counted: Counted) -> Iterator[tuple[str, Distance]]:
    """Judge every prediction; none without rows."""
    of_predictions = counted.counts[len(inputs.features) :]
    for (name, baseline), counts in zip(inputs.predictions.items(), of_predictions, strict=True):
        if counts.any():
            yield name, distance(prediction_cells(baseline), inputs.rows, counts, counted.effective_rows)


def shown(values: Any) -> list[float]:
    """Return shares rounded, so that an answer stays short."""
    rounded: list[float] = np.round(values, 6).tolist()
    return rounded
