from typing import Any

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from numpy.typing import NDArray
from scipy.special import logit
from sklearn import metrics as sk

from metrics.intervals import FEW, Estimate, Z, estimate, losses, mean_and_error
from model.schema import TaskKind
from model.training.judged import Judged

KINDS: tuple[TaskKind, ...] = ("regression", "binary", "multiclass")


def drawn(kind: TaskKind, rows: int, seed: int = 0, weighted: bool = False) -> Judged:
    random = np.random.default_rng(seed)
    if kind == "multiclass":
        answer: NDArray[np.float64] = random.dirichlet(np.ones(3), rows)
        truth = np.array([random.choice(3, p=row) for row in answer], float)
    else:
        answer = random.random(rows)
        truth = answer + random.normal(size=rows) if kind == "regression" else (random.random(rows) < answer) * 1.0
    return Judged(
        answer, truth, random.integers(1, 4, rows).astype(np.float64) if weighted else None, np.ones(rows, bool)
    )


def found(rows: Judged, kind: TaskKind) -> Estimate:
    estimated = estimate(kind, rows.answer, rows.truth, rows.times)
    assert estimated is not None
    return estimated


@pytest.mark.parametrize("weighted", [False, True])
def test_metrics_are_those_of_scikit_learn(weighted: bool) -> None:
    rows = {kind: drawn(kind, 80, weighted=weighted) for kind in KINDS}
    expected: dict[TaskKind, tuple[str, Any]] = {
        "regression": ("rmse", sk.root_mean_squared_error),
        "binary": ("auc", sk.roc_auc_score),
        "multiclass": ("accuracy", lambda truth, answer, **more: sk.accuracy_score(truth, answer.argmax(1), **more)),
    }
    for kind, (name, measure) in expected.items():
        part = rows[kind]
        estimated = found(part, kind)
        assert estimated.metric == name
        assert estimated.value == pytest.approx(measure(part.truth, part.answer, sample_weight=part.times))
        assert estimated.interval is not None
        assert estimated.interval[0] < estimated.value < estimated.interval[1]
        loss = np.average(losses(kind, part.answer, part.truth), weights=part.times)
        of_loss = sk.mean_squared_error if kind == "regression" else sk.log_loss
        assert loss == pytest.approx(of_loss(part.truth, part.answer, sample_weight=part.times))


def test_the_interval_of_auc_is_that_of_delong() -> None:
    rows = drawn("binary", 60)
    positive, negative = rows.answer[rows.truth == 1], rows.answer[rows.truth == 0]
    wins = (positive[:, None] > negative) + 0.5 * (positive[:, None] == negative)
    variance = np.var(wins.mean(1), ddof=1) / len(positive) + np.var(wins.mean(0), ddof=1) / len(negative)
    low, high = found(rows, "binary").interval or (0.0, 0.0)
    auc = wins.mean()
    assert [logit(low), logit(high)] == pytest.approx(
        logit(auc) + Z * np.sqrt(variance) / (auc * (1 - auc)) * np.array([-1.0, 1.0])
    )


@pytest.mark.parametrize("kind", KINDS)
def test_nineteen_of_twenty_intervals_hold_the_value_of_many_rows(kind: TaskKind) -> None:
    value, held = found(drawn(kind, 60_000, seed=1), kind).value, 0
    for seed in range(200):
        low, high = found(drawn(kind, 150, seed=seed + 2), kind).interval or (0.0, 0.0)
        held += low <= value <= high
    assert 180 <= held <= 199  # 190 are expected


@pytest.mark.parametrize("kind", KINDS)
def test_few_rows_have_no_interval_and_rows_that_define_no_metric_no_value(kind: TaskKind) -> None:
    few = drawn(kind, FEW - 1)
    assert found(few, kind).interval is None
    nothing = few.take(np.zeros(len(few.truth), bool))
    assert estimate(kind, nothing.answer, nothing.truth, nothing.times) is None


def test_an_auc_of_one_has_no_interval_and_one_class_has_no_auc() -> None:
    truth = np.repeat([0.0, 1.0], 20)
    assert found(Judged(truth, truth, None, truth >= 0), "binary") == Estimate("auc", 1.0)
    assert estimate("binary", truth, truth * 0.0) is None


@settings(deadline=None, max_examples=40)
@given(values=st.lists(st.floats(-1e3, 1e3), min_size=2, max_size=30))
def test_the_error_of_a_mean_without_weights_is_the_usual_one(values: list[float]) -> None:
    array = np.array(values)
    mean, error = mean_and_error(array, None)
    assert mean == pytest.approx(array.mean(), abs=1e-9)
    assert error == pytest.approx(array.std(ddof=1) / np.sqrt(len(array)), abs=1e-9)
    assert mean_and_error(array, np.full(len(array), 7.0)) == pytest.approx((mean, error), abs=1e-9)
