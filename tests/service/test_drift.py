"""Drift is far from chance, near enough to notice, and blind to what carries nothing."""

from collections.abc import Sequence

import numpy as np
import pytest
from numpy.testing import assert_allclose
from numpy.typing import NDArray

from service import gates
from service.gates import JENSEN_SHANNON, STABILITY_INDEX, Drift, drift

Weights = NDArray[np.float64]

EDGES = np.linspace(0, 1, 21)


def weights(mix: Sequence[float], rows: int, seed: int, sharpness: float = 3.0) -> Weights:
    """Draw a task's gate weights (rows, E) with this mean."""
    drawn: Weights = np.random.default_rng(seed).dirichlet(np.array(mix) * sharpness, rows)
    return drawn


def compare(was: Weights, now: Weights) -> Drift:
    was_histogram, now_histogram = (gates.histogram(of[:, None], EDGES)[0].astype(np.float64) for of in (was, now))
    return drift(was.mean(axis=0), was_histogram, now.mean(axis=0), now_histogram)


EVEN = [0.25] * 4
BASELINE = weights(EVEN, 20_000, seed=0)


@pytest.mark.parametrize("rows", [5, 20, 60, 200, 1000, 10_000])
def test_rows_like_the_baseline_never_raise_an_alarm(rows: int) -> None:
    levels = {compare(BASELINE, weights(EVEN, rows, seed)).level for seed in range(1, 40)}
    assert levels == ({"stable"} if rows >= 1000 else {"too_few_rows"} if rows <= 60 else levels)
    assert levels <= {"stable", "too_few_rows"}


def test_the_same_rows_are_no_drift() -> None:
    found = compare(BASELINE, BASELINE)
    assert (found.jensen_shannon, found.stability_index, found.level) == (0, 0, "stable")
    assert found.by_expert.tolist() == [0] * 4


def test_work_that_moves_between_experts_is_drift_and_how_much_tells_its_level() -> None:
    levels = [
        compare(BASELINE, weights([0.25 + moved, 0.25 - moved, 0.25, 0.25], 5000, seed=1)).level
        for moved in (0.0, 0.1, 0.2)
    ]
    assert levels == ["stable", "moderate", "major"]


def test_a_great_shift_needs_few_rows() -> None:
    assert compare(BASELINE, weights([0.9, 0.04, 0.03, 0.03], 60, seed=1)).level == "major"


def test_gates_that_grow_surer_at_the_same_mean_are_seen_by_the_index_alone() -> None:
    found = compare(BASELINE, weights(EVEN, 5000, seed=1, sharpness=1.0))
    assert found.jensen_shannon < JENSEN_SHANNON.moderate
    assert found.stability_index > STABILITY_INDEX.major
    assert found.level == "major"


def test_an_expert_that_carries_nothing_raises_no_alarm() -> None:
    was, now = BASELINE.copy(), BASELINE.copy()
    was[:, 0], now[:, 0] = 0.01, 0.06  # it crosses the edge of a bin with every row
    found = compare(was, now)
    assert found.by_expert[0] > 5 * STABILITY_INDEX.major
    assert found.stability_index < found.by_expert[0] / 4


def test_what_chance_gives_is_what_chance_is_said_to_give() -> None:
    found = [compare(BASELINE, weights(EVEN, 1000, seed)) for seed in range(1, 60)]
    assert_allclose(np.mean([f.stability_index for f in found]), found[0].stability_chance, rtol=0.25)
    assert np.mean([f.jensen_shannon for f in found]) < found[0].jensen_shannon_chance
