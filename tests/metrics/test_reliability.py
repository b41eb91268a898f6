import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from metrics.reliability import BINS, reliability

pytestmark = pytest.mark.usefixtures("few_rows_a_block")


@settings(deadline=None, max_examples=60)
@given(seed=st.integers(0, 2**32 - 1), weighted=st.booleans())
def test_bins_are_cut_from_all_rows_in_order(seed: int, weighted: bool) -> None:
    """The oracle has all rows at once; a row of weight w is w rows, rows of one answer alike."""
    random = np.random.default_rng(seed)
    rows = int(random.integers(1, 60))
    answer = (random.integers(0, 9, rows) / 9).astype(np.float32)
    labels, times = (random.random(rows) < 0.4).astype(float), random.integers(1, 5, rows).astype(float)
    times = times if weighted else np.ones(rows)
    values, place = np.unique(answer.astype(np.float64), return_inverse=True)
    mass, positive, squares = (np.bincount(place, part) for part in (times, times * labels, times**2))
    risen = [np.append(0.0, np.cumsum(part)) for part in (mass, mass * values, positive, squares)]
    edges = np.linspace(0.0, times.sum(), BINS + 1)
    of_bins, answered, right, worth = (np.diff(np.interp(edges, risen[0], part)) for part in risen)
    found = reliability(answer, labels, times.astype(np.float32) if weighted else None)
    expected = (answered / of_bins, right / of_bins, of_bins, of_bins**2 / worth)
    for name, got, wanted in zip(found._fields, found, expected, strict=True):
        assert got == pytest.approx(wanted, rel=1e-9, abs=1e-12), name
