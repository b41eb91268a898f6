"""Claims on made losses whose truth is known."""

import itertools

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from numpy.typing import NDArray

from model.mmoe import Architecture
from model.study.claims import (
    Finding,
    Interval,
    above,
    bootstrap,
    findings,
    mean_interval,
    overall,
    rank_correlation,
    spearman,
    within,
)
from model.study.paper import NAMES

Floats = NDArray[np.float64]
COSINES = (0.5, 0.9, 1.0)


def paper_like(runs: int = 60, seed: int = 0) -> dict[tuple[Architecture, float], Floats]:
    """Make losses of which every claim is true.

    Shared-Bottom has good runs like the others' and many bad ones.
    """
    random = np.random.default_rng(seed)
    easy = random.normal(0.0, 0.004, runs)
    bad = {cosine: random.random(runs) < share for cosine, share in zip(COSINES, (0.8, 0.6, 0.4), strict=True)}
    losses: dict[tuple[Architecture, float], Floats] = {}
    for cosine in COSINES:
        noise = random.normal(0.0, 0.004, (3, runs)) + easy
        losses["shared_bottom", cosine] = 0.07 + 0.35 * bad[cosine] * random.uniform(0.5, 1.0, runs) + noise[0]
        losses["omoe", cosine] = 0.07 + 0.14 * (1.0 - cosine) + noise[1]
        losses["mmoe", cosine] = 0.07 + 0.02 * (1.0 - cosine) + noise[2]
    return losses


def verdicts(found: list[Finding]) -> dict[str, str]:
    return {claim: overall(list(group)) for claim, group in itertools.groupby(found, key=lambda finding: finding.claim)}


def test_all_claims_hold_where_they_are_true() -> None:
    losses = paper_like()
    assert set(verdicts(findings(losses, losses)).values()) == {"holds"}


def test_claims_do_not_hold_where_the_models_change_places() -> None:
    losses = paper_like()
    turned = {
        (other, cosine): losses[name, cosine]
        for name, other in zip(NAMES, reversed(NAMES), strict=True)
        for cosine in COSINES
    }
    found = verdicts(findings(turned, turned))
    for claim in ("MMoE is the least sensitive to p", "OMoE and MMoE both beat Shared-Bottom"):
        assert "does not hold" in found[claim]
    assert "does not hold" in found["Shared-Bottom's runs spread most"]


def test_nothing_holds_for_differences_where_all_models_are_the_same() -> None:
    random = np.random.default_rng(3)
    losses: dict[tuple[Architecture, float], Floats] = {
        (name, cosine): random.normal(0.2, 0.05, 80) for name in NAMES for cosine in COSINES
    }
    found = [f for f in findings(losses, losses) if "beat" in f.claim or "rises" in f.claim or "spread" in f.claim]
    assert sum(finding.verdict == "open" for finding in found) >= len(found) - 2  # one in twenty misses


def test_best_runs_that_differ_as_typical_runs_do_are_not_alike() -> None:
    losses = paper_like()
    for cosine in COSINES:
        losses["shared_bottom", cosine] = losses["mmoe", cosine] + 0.2
    parts = [f for f in findings(losses, losses) if f.claim.startswith("The best runs are alike")]
    assert {f.verdict for f in parts if f.measure.startswith("distance of Shared-Bottom's")} == {"does not hold"}
    assert {f.verdict for f in parts if f.measure.startswith("distance of OMoE's")} == {"holds"}


def test_the_interval_holds_the_truth_about_as_often_as_it_says() -> None:
    random = np.random.default_rng(1)
    hits = 0
    for _ in range(40):
        interval = bootstrap(lambda a: a.mean(axis=-1), random.normal(1.0, 1.0, 50))
        hits += interval.low < 1.0 < interval.high
    assert 33 <= hits <= 40


def test_pairs_are_resampled_together() -> None:
    base = np.random.default_rng(2).normal(0.0, 5.0, 30)
    interval = bootstrap(lambda a, b: (a - b).mean(axis=-1), base + 1.0, base)
    assert interval.low == pytest.approx(1.0)
    assert interval.high == pytest.approx(1.0)


@pytest.mark.parametrize(
    ("low", "high", "over", "near"),
    [
        (0.1, 0.2, "holds", "holds"),
        (-0.2, 0.2, "open", "holds"),
        (-0.9, -0.1, "does not hold", "open"),
        (0.4, 0.9, "holds", "does not hold"),
        (-0.9, -0.4, "does not hold", "does not hold"),
    ],
)
def test_an_interval_decides_or_leaves_open(low: float, high: float, over: str, near: str) -> None:
    interval = Interval((low + high) / 2, low, high)
    assert above(interval) == over
    assert within(interval, 0.3) == near


def test_a_claim_of_several_parts_says_how_many_hold() -> None:
    interval = Interval(0.0, -1.0, 1.0)
    part = {verdict: Finding("c", "m", interval, verdict) for verdict in ("holds", "open", "does not hold")}
    assert overall([part["holds"], part["open"], part["open"]]) == "holds in 1, is open in 2 of 3 parts"
    assert overall([part["holds"], part["does not hold"]]) == "holds in 1, does not hold in 1 of 2 parts"
    assert overall([part["open"], part["open"]]) == "open"


@given(st.lists(st.integers(-5, 5), min_size=3, max_size=20).filter(lambda v: len(set(v)) > 1))
def test_rank_correlation_sees_order_alone(values: list[int]) -> None:
    x = np.array(values, dtype=float)
    assert spearman(x, np.exp(x)) == pytest.approx(1.0)
    assert spearman(x, -(x**3)) == pytest.approx(-1.0)


def test_gates_that_follow_the_cosine_are_found_and_others_are_not() -> None:
    cosines, random = np.array([0.0, 0.5, 1.0]), np.random.default_rng(0)
    noise = random.normal(0.0, 0.1, (3, 40))
    assert rank_correlation(cosines, cosines[:, None] + noise).low > 0.8
    assert rank_correlation(cosines, noise).low < 0.2


def test_the_interval_of_a_mean_covers_the_truth_as_often_as_it_says() -> None:
    samples = np.random.default_rng(5).normal(1.0, 2.0, (2000, 10))
    for comparisons, wanted in ((1, 0.95), (3, 1 - 0.05 / 3)):
        intervals = [mean_interval(sample, comparisons) for sample in samples]
        covered = np.mean([interval.low <= 1.0 <= interval.high for interval in intervals])
        assert covered == pytest.approx(wanted, abs=0.015)
    assert mean_interval(np.array([0.5])) == Interval(0.5, 0.5, 0.5)
