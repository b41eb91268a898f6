"""Alarms over windows of rows that have not moved are as rare as docs/drift.md says."""

from collections.abc import Callable

import numpy as np
import pytest

from service.monitoring.drift import LEAST_ROWS, distance

SHARES = {"alike": [1 / 13] * 13, "falling": [1 / (1 + k) for k in range(13)], "rare": [0.9] + [0.1 / 4] * 4}


@pytest.mark.parametrize("shares", SHARES)
def test_few_windows_of_the_fewest_rows_raise_an_alarm(shares: str, measured: Callable[[str], None]) -> None:
    random, windows, validation = np.random.default_rng(0), 5000, 1000
    drawn = np.array(SHARES[shares]) / sum(SHARES[shares])
    was = random.multinomial(validation, drawn, windows) / validation
    now = random.multinomial(LEAST_ROWS, drawn, windows).astype(np.float64)
    levels = [distance(was[at].tolist(), validation, now[at], LEAST_ROWS).level for at in range(windows)]
    alarms = {level: levels.count(level) for level in ("moderate", "major")}
    measured(f"{alarms} in {windows:,} windows of {LEAST_ROWS} rows, shares {shares}")
    assert alarms["moderate"] <= windows / 1000
    assert alarms["major"] == 0
