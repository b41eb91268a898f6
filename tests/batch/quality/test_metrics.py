"""Values are scikit-learn's, and intervals as wide as another draw of rows moves them."""

from collections.abc import Callable
from typing import Any

import numpy as np
import pytest

pytest.importorskip("duckdb", reason="the extra evaluate is not installed")

from sklearn import metrics as sk

from batch.quality.metrics import measure
from metrics.intervals import Z

ROWS, DRAWS = 600, 300


def regression(random: np.random.Generator) -> tuple[Any, Any]:
    truth = random.gamma(2.0, 1.0, ROWS)
    return truth + random.normal(0, 0.5 + truth / 4), truth


def multiclass(random: np.random.Generator) -> tuple[Any, Any]:
    shares = random.dirichlet([2.0, 1.0, 0.6], ROWS)
    return shares, np.array([random.choice(3, p=of_row) for of_row in shares], np.float64)


@pytest.mark.parametrize(
    ("kind", "draw", "metric", "reference"),
    [
        ("regression", regression, "r2", lambda answer, truth: sk.r2_score(truth, answer)),
        ("regression", regression, "rmse", lambda answer, truth: sk.root_mean_squared_error(truth, answer)),
        ("multiclass", multiclass, "auc", lambda answer, truth: sk.roc_auc_score(truth, answer, multi_class="ovr")),
        ("multiclass", multiclass, "log_loss", lambda answer, truth: sk.log_loss(truth, answer)),
    ],
)
def test_intervals_are_those_of_other_draws(
    kind: str, draw: Callable[[np.random.Generator], tuple[Any, Any]], metric: str, reference: Callable[..., float]
) -> None:
    random = np.random.default_rng(0)
    answer, truth = draw(random)
    found = measure(kind, answer, truth)[metric]
    assert found.value == pytest.approx(reference(answer, truth))
    assert found.interval is not None
    drawn = [random.integers(ROWS, size=ROWS) for _ in range(DRAWS)]
    spread = np.std([measure(kind, answer[rows], truth[rows])[metric].value for rows in drawn])
    low, high = found.interval
    assert low < found.value < high
    assert (high - low) / (2 * Z) == pytest.approx(spread, rel=0.2)
