"""The claims of Ma et al., KDD 2018, as statistical tests over independent runs, each with effect, interval, verdict.

Runs of one number share their data across architectures and cosines' noise, so differences are taken run by run where
the claim compares architectures. Intervals are percentile bootstraps over runs (Efron & Tibshirani 1993), 95 %.
"""

from collections.abc import Callable, Mapping
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from model.mmoe import Architecture

Floats = NDArray[np.float64]
Losses = Mapping[tuple[Architecture, float], Floats]
"""By architecture and cosine: one loss per run."""

RESAMPLES = 10_000
ALIKE_SHARE = 0.10
"""Two mean losses are alike when the whole interval of their difference lies within this share of the smaller one."""
BEST_QUANTILE = 0.05
"""The best runs of an architecture: the loss that this share of its runs stays under."""

NAMES: dict[Architecture, str] = {"shared_bottom": "Shared-Bottom", "omoe": "OMoE", "mmoe": "MMoE"}


@dataclass(frozen=True)
class Interval:
    """Hold an effect with its 95 % interval."""

    effect: float
    low: float
    high: float

    def __str__(self) -> str:
        return f"{self.effect:+.4f} [{self.low:+.4f}, {self.high:+.4f}]"


@dataclass(frozen=True)
class Finding:
    """Say whether one part of a claim holds here.

    Attributes:
        claim: what the paper says.
        measure: what was compared, in words.
        holds: whether the interval says so.
    """

    claim: str
    measure: str
    interval: Interval
    holds: bool


def bootstrap(statistic: Callable[..., Floats], *runs: Floats, seed: int = 0) -> Interval:
    """Resample runs and return a statistic with its interval.

    Args:
        statistic: of arrays (..., R), along the last axis.
        runs: losses, one array each; arrays are resampled together, so they must pair run by run.
        seed: of the resampling.
    """
    count = len(runs[0])
    picks = np.random.default_rng(seed).integers(0, count, (RESAMPLES, count))
    resampled = statistic(*(values[picks] for values in runs))
    low, high = np.quantile(resampled, [0.025, 0.975])
    return Interval(float(statistic(*runs)), float(low), float(high))


def _difference(a: Floats, b: Floats) -> Floats:
    mean: Floats = (a - b).mean(axis=-1)
    return mean


def findings(final: Losses, lowest: Losses) -> list[Finding]:
    """Test every claim on the runs' final and lowest losses."""
    cosines = sorted({cosine for _, cosine in final})
    return [
        *_rises_with_cosine(final, cosines),
        *_least_sensitive(final, cosines),
        *_alike_only_at_one(final, cosines),
        *_beats_shared_bottom(final, cosines),
        *_spreads_most(lowest, cosines),
        *_best_are_alike(lowest, cosines),
    ]


def _rises_with_cosine(final: Losses, cosines: list[float]) -> list[Finding]:
    low, high = cosines[0], cosines[-1]
    found = []
    for architecture, name in NAMES.items():
        interval = bootstrap(_difference, final[architecture, low], final[architecture, high])
        measure = f"{name}: loss at p = {low:g} less loss at p = {high:g}"
        found.append(Finding("Every model does better as p rises", measure, interval, interval.low > 0))
    return found


def _least_sensitive(final: Losses, cosines: list[float]) -> list[Finding]:
    low, high = cosines[0], cosines[-1]
    found = []
    for other in ("shared_bottom", "omoe"):
        interval = bootstrap(
            lambda a, b, c, d: _difference(np.abs(_change(a, b)), np.abs(_change(c, d))),
            final[other, low],
            final[other, high],
            final["mmoe", low],
            final["mmoe", high],
        )
        measure = f"|mean change from p = {high:g} to {low:g}| of {NAMES[other]} less that of MMoE"
        found.append(Finding("MMoE is the least sensitive to p", measure, interval, interval.low > 0))
    return found


def _change(low: Floats, high: Floats) -> Floats:
    """Return the mean change as an array with one entry along the last axis."""
    return _difference(low, high)[..., None]


def _alike_only_at_one(final: Losses, cosines: list[float]) -> list[Finding]:
    found = []
    for cosine in cosines:
        omoe, mmoe = final["omoe", cosine], final["mmoe", cosine]
        interval = bootstrap(_difference, omoe, mmoe)
        margin = ALIKE_SHARE * min(omoe.mean(), mmoe.mean())
        alike = -margin < interval.low and interval.high < margin
        holds = alike if cosine == 1 else interval.low > 0
        measure = f"OMoE less MMoE at p = {cosine:g}" + (f" (alike within ±{margin:.4f})" if cosine == 1 else "")
        found.append(Finding("OMoE equals MMoE only at p = 1", measure, interval, bool(holds)))
    return found


def _beats_shared_bottom(final: Losses, cosines: list[float]) -> list[Finding]:
    found = []
    for architecture in ("omoe", "mmoe"):
        for cosine in cosines:
            interval = bootstrap(_difference, final["shared_bottom", cosine], final[architecture, cosine])
            measure = f"Shared-Bottom less {NAMES[architecture]} at p = {cosine:g}"
            found.append(Finding("Both beat Shared-Bottom", measure, interval, interval.low > 0))
    return found


def _spreads_most(lowest: Losses, cosines: list[float]) -> list[Finding]:
    def ratio(shared: Floats, other: Floats) -> Floats:
        logs: Floats = np.log(shared.std(axis=-1) / other.std(axis=-1))
        return logs

    found = []
    for architecture in ("omoe", "mmoe"):
        for cosine in cosines:
            interval = bootstrap(ratio, lowest["shared_bottom", cosine], lowest[architecture, cosine])
            measure = f"log ratio of standard deviations, Shared-Bottom over {NAMES[architecture]}, at p = {cosine:g}"
            found.append(Finding("Shared-Bottom spreads most", measure, interval, interval.low > 0))
    return found


def _best_are_alike(lowest: Losses, cosines: list[float]) -> list[Finding]:
    """Compare the best runs, on the scale of what separates typical runs."""

    def best_gap(shared: Floats, mmoe: Floats) -> Floats:
        best = np.quantile(shared, BEST_QUANTILE, axis=-1) - np.quantile(mmoe, BEST_QUANTILE, axis=-1)
        share: Floats = best / (shared.mean(axis=-1) - mmoe.mean(axis=-1))
        return share

    found = []
    for cosine in cosines:
        interval = bootstrap(best_gap, lowest["shared_bottom", cosine], lowest["mmoe", cosine])
        measure = (
            f"gap of the best {BEST_QUANTILE:.0%}, Shared-Bottom to MMoE, as a share of the mean gap, at p = {cosine:g}"
        )
        claim = "The best runs are alike: trainability, not capacity"
        found.append(Finding(claim, measure, interval, interval.high < 0.5))
    return found
