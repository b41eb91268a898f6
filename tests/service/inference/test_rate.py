"""The rate of rows, on a clock that the tests turn."""

import math

import pytest

from service.inference.rate import WINDOW_S, Rate


def test_before_the_first_window_is_over_nothing_is_known() -> None:
    rate = Rate(100.0)
    rate.count(1000, 100.0, 100.0 + WINDOW_S / 2)
    assert rate.rows_per_s == math.inf


def test_rows_that_follow_one_another_are_counted_over_the_window() -> None:
    rate = Rate(0.0)
    for step in range(8):
        rate.count(25, step * WINDOW_S / 4, (step + 1) * WINDOW_S / 4)
    assert rate.rows_per_s == pytest.approx(100 / WINDOW_S)


def test_a_time_without_work_slows_nothing_down() -> None:
    rate = Rate(0.0)
    rate.count(10, 3600.0, 3600.0 + WINDOW_S)
    assert rate.rows_per_s == pytest.approx(10 / WINDOW_S)
