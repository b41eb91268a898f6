"""How far live gates have drifted from the baseline in the manifest: two distances, their thresholds, a verdict.

Jensen-Shannon divergence compares the mean weights: has work moved between experts? The population stability index
compares the histograms of the weights: are the gates surer, or split into kinds of rows, at the same mean? Few rows
differ from the baseline by chance alone, so each distance comes with what chance is expected to give.
"""

from dataclasses import dataclass
from typing import Any, Literal, NamedTuple

import numpy as np
from numpy.typing import NDArray

from service.gates import jensen_shannon, population_stability_index

Floats = NDArray[np.floating[Any]]
Level = Literal["stable", "moderate", "major", "too_few_rows"]


class Threshold(NamedTuple):
    """Hold where a distance begins to matter, and where it asks for action."""

    moderate: float
    major: float


JENSEN_SHANNON = Threshold(0.01, 0.05)
"""In bits. Two experts used alike: one hands the other an eighth of all weight, (.5, .5) to (.62, .38); a quarter."""

STABILITY_INDEX = Threshold(0.1, 0.25)
"""By custom no change below, and a change to act upon above (Siddiqi, "Credit Risk Scorecards", 2006)."""

CHANCE_TAKEN_OFF = 2.0
"""A distance is judged less this many times what chance alone is expected to give."""


@dataclass(frozen=True)
class Drift:
    """Say how far one task's gate has drifted.

    Attributes:
        jensen_shannon: between the mean weights, base 2, in [0, 1].
        stability_index: mean of the experts' own, each weighted by its utilisation, old and new alike, so that an
            expert that carries nothing cannot raise an alarm.
        by_expert: (E,) each expert's index, over the histogram of its weights.
        jensen_shannon_chance: the most that sampling alone is expected to give, (E - 1) (1 / n + 1 / m) / (8 ln 2) for
            n rows against m; reached where every weight is 0 or 1.
        stability_chance: what sampling alone is expected to give, (bins in use - 1) (1 / n + 1 / m).
        level: the greater of what the two distances say; "too_few_rows" where they say nothing and chance alone may
            give half the lower threshold of the index.
    """

    jensen_shannon: float
    stability_index: float
    by_expert: NDArray[np.float64]
    jensen_shannon_chance: float
    stability_chance: float
    level: Level


def drift(was: Floats, was_histogram: Floats, now: Floats, now_histogram: Floats) -> Drift:
    """Compare a task's gate with its baseline.

    Args:
        was: (E,) utilisation in the baseline.
        was_histogram: (E, bins) rows by weight in the baseline.
        now: (E,) utilisation of the rows seen.
        now_histogram: (E, bins) rows by weight, of at least one row.
    """
    share = (was + now) / (was + now).sum()
    by_expert = population_stability_index(was_histogram, now_histogram)
    bins_in_use = ((was_histogram > 0) | (now_histogram > 0)).sum(axis=-1)
    per_row = float(1 / was_histogram[0].sum() + 1 / now_histogram[0].sum())
    divergence, index = float(jensen_shannon(was, now)), float(share @ by_expert)
    divergence_chance = (len(was) - 1) * per_row / (8 * float(np.log(2)))
    index_chance = float(share @ (bins_in_use - 1)) * per_row
    reached = max(
        _reached(divergence, divergence_chance, JENSEN_SHANNON), _reached(index, index_chance, STABILITY_INDEX)
    )
    levels: tuple[Level, ...] = ("stable", "moderate", "major")
    unsure = reached == 0 and index_chance > STABILITY_INDEX.moderate / 2
    level: Level = "too_few_rows" if unsure else levels[reached]
    return Drift(divergence, index, by_expert, divergence_chance, index_chance, level)


def _reached(distance: float, chance: float, threshold: Threshold) -> int:
    """Count the thresholds that a distance reaches when chance is taken off."""
    return sum(distance - CHANCE_TAKEN_OFF * chance >= limit for limit in threshold)
