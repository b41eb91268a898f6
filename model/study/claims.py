"""Claims of Ma et al., KDD 2018, as statistical tests over independent runs.

Each has an effect, an interval and a verdict.

Runs of one number share their data across architectures and their randomness across cosines, so
differences are taken run by run. Intervals are percentile bootstraps over runs (Efron & Tibshirani
1993), 95 %, each for itself.
"""

import itertools
import math
from collections import Counter
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from typing import Literal

import numpy as np
from numpy.typing import NDArray
from scipy.stats import t as student

from model.mmoe import Architecture
from model.study.paper import NAMES

Floats = NDArray[np.float64]
Losses = Mapping[tuple[Architecture, float], Floats]
"""By architecture and cosine: one loss per run."""
Verdict = Literal["holds", "open", "does not hold"]

MIXTURES: tuple[Architecture, ...] = ("omoe", "mmoe")
IN_PARTS: dict[Verdict, str] = {"holds": "holds in", "does not hold": "does not hold in", "open": "is open in"}
RESAMPLES = 10_000
ALIKE_SHARE = 0.10
"""Share of the smaller loss within which the interval of two alike losses' difference lies."""
BEST_QUANTILE = 0.05
"""The best runs of an architecture: the loss that this share of its runs stays under."""
BEST_GAP = 0.5
"""Share of the typical runs' distance below which the best runs are alike."""


@dataclass(frozen=True)
class Interval:
    """Effect with its 95 % interval."""

    effect: float
    low: float
    high: float

    def __str__(self) -> str:
        return f"{self.effect:+.3f} [{self.low:+.3f}, {self.high:+.3f}]"


@dataclass(frozen=True)
class Finding:
    """Verdict on one part of a claim.

    Attributes:
        claim: what the paper says.
        measure: what was compared, in words.
        verdict: "holds" or "does not hold" when the interval says so, "open" when it allows both.
    """

    claim: str
    measure: str
    interval: Interval
    verdict: Verdict


def bootstrap(statistic: Callable[..., Floats], *runs: Floats, seed: int = 0) -> Interval:
    """Resample runs and return a statistic with its interval.

    Args:
        statistic: of arrays (..., R), along the last axis.
        runs: losses, one array each; arrays are resampled together, so they must pair run by run.
        seed: of the resampling.
    """
    count = len(runs[0])
    picks = np.random.default_rng(seed).integers(0, count, (RESAMPLES, count))
    low, high = np.quantile(statistic(*(values[picks] for values in runs)), [0.025, 0.975])
    return Interval(float(statistic(*runs)), float(low), float(high))


def mean_interval(values: Floats, comparisons: int = 1) -> Interval:
    """Return a mean with its 95 % interval by Student's t, for samples too small to resample.

    Args:
        values: independent; one alone gives an interval without width.
        comparisons: among how many this one was picked by its result; all their intervals hold
            together (Bonferroni).
    """
    mean, count = float(values.mean()), len(values)
    if count == 1:
        return Interval(mean, mean, mean)
    half = float(student.ppf(1.0 - 0.025 / comparisons, count - 1) * values.std(ddof=1) / math.sqrt(count))
    return Interval(mean, mean - half, mean + half)


def above(interval: Interval, bound: float = 0.0) -> Verdict:
    """Judge the claim that an effect is above a bound."""
    if interval.low > bound:
        return "holds"
    return "does not hold" if interval.high < bound else "open"


def within(interval: Interval, margin: float) -> Verdict:
    """Judge the claim that an effect is nought, give or take a margin."""
    if -margin < interval.low and interval.high < margin:
        return "holds"
    return "does not hold" if interval.low > margin or interval.high < -margin else "open"


def overall(findings: list[Finding]) -> str:
    """Sum up the parts of one claim in a few words."""
    judged = Counter(finding.verdict for finding in findings)
    if len(judged) == 1:
        return findings[0].verdict
    counts = [(words, judged[verdict]) for verdict, words in IN_PARTS.items() if judged[verdict]]
    return ", ".join(f"{words} {count}" for words, count in counts) + f" of {len(findings)} parts"


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


def _difference(a: Floats, b: Floats) -> Floats:
    mean: Floats = (a - b).mean(axis=-1)
    return mean


def _rises_with_cosine(final: Losses, cosines: list[float]) -> list[Finding]:
    low, high = cosines[0], cosines[-1]
    found = []
    for architecture, name in NAMES.items():
        interval = bootstrap(_difference, final[architecture, low], final[architecture, high])
        measure = f"{name}: loss at p = {low:g} less loss at p = {high:g}"
        found.append(Finding("Every model does better as p rises", measure, interval, above(interval)))
    return found


def _least_sensitive(final: Losses, cosines: list[float]) -> list[Finding]:
    def excess(other_low: Floats, other_high: Floats, mmoe_low: Floats, mmoe_high: Floats) -> Floats:
        changes: Floats = np.abs(_difference(other_low, other_high)) - np.abs(_difference(mmoe_low, mmoe_high))
        return changes

    low, high = cosines[0], cosines[-1]
    others: tuple[Architecture, ...] = ("shared_bottom", "omoe")
    found = []
    for other in others:
        runs = [final[architecture, cosine] for architecture in (other, "mmoe") for cosine in (low, high)]
        interval = bootstrap(excess, *runs)
        measure = f"change of the mean loss between p = {low:g} and {high:g}: {NAMES[other]}'s less MMoE's"
        found.append(Finding("MMoE is the least sensitive to p", measure, interval, above(interval)))
    return found


def _alike_only_at_one(final: Losses, cosines: list[float]) -> list[Finding]:
    """Compare OMoE and MMoE by the same margin at every cosine.

    Beyond it below 1, within it at 1.
    """
    found = []
    for cosine in cosines:
        omoe, mmoe = final["omoe", cosine], final["mmoe", cosine]
        interval = bootstrap(_difference, omoe, mmoe)
        margin = ALIKE_SHARE * float(min(omoe.mean(), mmoe.mean()))
        wanted, verdict = ("within", within(interval, margin)) if cosine == 1 else ("beyond", above(interval, margin))
        measure = f"OMoE less MMoE at p = {cosine:g}: {wanted} ±{margin:.3f}, a tenth of the smaller loss"
        found.append(Finding("OMoE equals MMoE only at p = 1", measure, interval, verdict))
    return found


def _beats_shared_bottom(final: Losses, cosines: list[float]) -> list[Finding]:
    found = []
    for architecture in MIXTURES:
        for cosine in cosines:
            interval = bootstrap(_difference, final["shared_bottom", cosine], final[architecture, cosine])
            measure = f"Shared-Bottom less {NAMES[architecture]} at p = {cosine:g}"
            found.append(Finding("OMoE and MMoE both beat Shared-Bottom", measure, interval, above(interval)))
    return found


def _spreads_most(lowest: Losses, cosines: list[float]) -> list[Finding]:
    def log_ratio(shared: Floats, other: Floats) -> Floats:
        logs: Floats = np.log(shared.std(axis=-1) / other.std(axis=-1))
        return logs

    found = []
    for architecture in MIXTURES:
        for cosine in cosines:
            interval = bootstrap(log_ratio, lowest["shared_bottom", cosine], lowest[architecture, cosine])
            measure = f"ln of the ratio of standard deviations, Shared-Bottom to {NAMES[architecture]}, p = {cosine:g}"
            found.append(Finding("Shared-Bottom's runs spread most", measure, interval, above(interval)))
    return found


def _best_are_alike(lowest: Losses, cosines: list[float]) -> list[Finding]:
    """Compare the best runs.

    On the scale of what separates typical runs of Shared-Bottom and MMoE.
    """

    def gap(other: Floats, mmoe: Floats, shared: Floats) -> Floats:
        best = np.quantile(other, BEST_QUANTILE, axis=-1) - np.quantile(mmoe, BEST_QUANTILE, axis=-1)
        share: Floats = np.abs(best) / np.abs(_difference(shared, mmoe))
        return share

    others: tuple[Architecture, ...] = ("shared_bottom", "omoe")
    found = []
    for other, cosine in itertools.product(others, cosines):
        shared = lowest["shared_bottom", cosine]
        interval = bootstrap(gap, lowest[other, cosine], lowest["mmoe", cosine], shared)
        turned = Interval(-interval.effect, -interval.high, -interval.low)
        measure = (
            f"distance of {NAMES[other]}'s best {BEST_QUANTILE:.0%} to MMoE's over that of Shared-Bottom's mean to "
            f"MMoE's, p = {cosine:g}; alike below {BEST_GAP:g}"
        )
        claim = "The best runs are alike: trainability, not capacity"
        found.append(Finding(claim, measure, interval, above(turned, -BEST_GAP)))
    return found


def spearman(x: Floats, y: Floats) -> float:
    """Return the rank correlation of two samples, ties at their mean rank."""
    return float(np.corrcoef(_ranks(x), _ranks(y))[0, 1])


def rank_correlation(cosines: Floats, similarity: Floats, resamples: int = 1000, seed: int = 0) -> Interval:
    """Return Spearman's correlation of gate similarity with the cosine.

    Whole runs are resampled, all their cosines.

    Args:
        cosines: (P,).
        similarity: (P, R), run r at every cosine.
        resamples: of the bootstrap.
        seed: of the bootstrap.
    """
    count = similarity.shape[1]
    cosine_of_each = np.repeat(cosines, count)
    picks = np.random.default_rng(seed).integers(0, count, (resamples, count))
    resampled = [spearman(cosine_of_each, similarity[:, pick].ravel()) for pick in picks]
    low, high = np.quantile(resampled, [0.025, 0.975])
    return Interval(spearman(cosine_of_each, similarity.ravel()), float(low), float(high))


def _ranks(values: Floats) -> Floats:
    _, place, counts = np.unique(values, return_inverse=True, return_counts=True)
    ranks: Floats = (np.cumsum(counts) - (counts - 1) / 2)[place]
    return ranks
