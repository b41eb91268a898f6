"""Weights of rows beside sampled negatives."""

import numpy as np
import pytest

from model.config.run import TaskConfig
from model.data.weights import check_sampling
from tables.errors import DataError

LABELS = np.array([[0.0], [1.0], [np.nan], [0.0]] * 50)
OTHER = np.exp(np.random.default_rng(0).normal(0.0, 0.01, len(LABELS)))
SAMPLING = np.where(LABELS[:, 0] == 0.0, 10.0, 1.0)


def sampled(kept: float) -> tuple[TaskConfig]:
    return (TaskConfig(name="click", column="click", kind="binary", negatives_kept=kept),)


@pytest.mark.parametrize("weights", [SAMPLING, 3.0 * SAMPLING, SAMPLING * OTHER])
def test_weights_that_count_sampled_negatives_already_are_refused_beside_the_key(weights: np.ndarray) -> None:
    with pytest.raises(DataError, match=r"negative of task 'click' .* as a positive, and negatives_kept = 0.1"):
        check_sampling(sampled(0.1), LABELS, weights.astype(np.float32))


@pytest.mark.parametrize(
    ("kept", "weights"),
    [(0.1, None), (0.1, OTHER), (0.99, OTHER), (1.0, SAMPLING), (0.5, SAMPLING), (0.1, np.where(OTHER > 1, 10, 1))],
)
def test_other_weights_are_not(kept: float, weights: np.ndarray | None) -> None:
    check_sampling(sampled(kept), LABELS, None if weights is None else weights.astype(np.float32))


def test_too_few_rows_tell_nothing() -> None:
    check_sampling(sampled(0.1), LABELS[:40], SAMPLING[:40].astype(np.float32))
