import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from sklearn.linear_model import LogisticRegression

from metrics.reliability import calibration_error
from model.training.calibration import platt


def drawn(slope: float, intercept: float, rows: int = 20_000, seed: int = 0) -> tuple[np.ndarray, np.ndarray]:
    random = np.random.default_rng(seed)
    logits = random.normal(0.0, 2.0, rows)
    chance = 1.0 / (1.0 + np.exp(-(slope * logits + intercept)))
    return logits, (random.random(rows) < chance).astype(np.float64)


@settings(max_examples=20, deadline=None)
@given(slope=st.floats(0.3, 3.0), intercept=st.floats(-4.0, 2.0))
def test_slope_and_intercept_are_those_of_a_logistic_regression(slope: float, intercept: float) -> None:
    logits, labels = drawn(slope, intercept)
    found = platt(logits, labels)
    expected = LogisticRegression(C=1e9).fit(logits[:, None], labels)
    assert found == pytest.approx((expected.coef_.item(), expected.intercept_.item()), rel=0.02, abs=0.02)


def test_a_weight_counts_as_so_many_rows() -> None:
    logits, labels = drawn(0.5, -1.0, rows=500)
    weights = np.random.default_rng(1).integers(1, 4, 500)
    assert platt(logits, labels, weights) == pytest.approx(
        platt(np.repeat(logits, weights), np.repeat(labels, weights)), rel=1e-6
    )


@pytest.mark.parametrize(
    ("logits", "labels"),
    [
        ([1.0, 2.0, 3.0, 4.0], [1, 1, 0, 0]),
        ([1.0, 1.0, 1.0], [1, 0, 1]),
        ([1.0, 2.0], [1, 1]),
    ],
)
def test_a_logit_that_says_nothing_is_left_as_it_is(logits: list[float], labels: list[int]) -> None:
    assert platt(np.array(logits), np.array(labels, np.float64)) is None


def test_classes_that_part_give_a_finite_slope() -> None:
    found = platt(np.array([-2.0, -1.0, 1.0, 2.0]), np.array([0.0, 0.0, 1.0, 1.0]))
    assert found is not None
    assert 0.0 < found[0] < 10.0


def test_calibration_lowers_the_calibration_error() -> None:
    logits, labels = drawn(0.4, -1.0)
    found = platt(logits, labels)
    assert found is not None
    before = calibration_error(1 / (1 + np.exp(-logits)), labels.astype(np.int64), None)
    after = calibration_error(1 / (1 + np.exp(-(found[0] * logits + found[1]))), labels.astype(np.int64), None)
    assert after < 0.02 < 0.1 < before


def test_rows_of_one_probability_are_judged_by_the_share_that_they_have_together() -> None:
    predicted, labels = np.repeat([0.3, 0.8], [30, 15]), np.array([1, 1, 1, 1, 0] * 6 + [1, 1, 0] * 5)
    for order in np.arange(45), np.arange(45)[::-1], np.argsort(labels, kind="stable"):
        found = calibration_error(predicted[order], labels[order], None)
        assert found == pytest.approx((30 * (0.8 - 0.3) + 15 * (0.8 - 2 / 3)) / 45)
