import math
import tracemalloc
from dataclasses import replace
from typing import Any

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from numpy.typing import ArrayLike, NDArray
from sklearn import metrics as sk

from metrics import blocks
from model.config.run import METRICS
from model.network.model import Predictions
from model.schema import Rows, Task, TaskKind
from model.training.metrics import HIGHER_IS_BETTER, baselines, best_constant, evaluate

NAN = math.nan
CLASSES: dict[TaskKind, tuple[str, ...]] = {"regression": (), "binary": ("no", "yes"), "multiclass": ("a", "b", "c")}


def measure(
    kind: TaskKind,
    predicted: ArrayLike,
    labels: ArrayLike,
    weights: ArrayLike | None = None,
    groups: ArrayLike | None = None,
) -> dict[str, float]:
    column = np.asarray(labels, np.float64)[:, None]
    empty = np.empty((len(column), 0))
    times = None if weights is None else np.asarray(weights, np.float32)
    rows = Rows(empty.astype(np.float32), empty.astype(np.int64), column, empty.astype(object), weights=times)
    rows = replace(rows, groups=None if groups is None else np.asarray(groups))
    task = Task("t", kind, CLASSES[kind])
    return evaluate(Predictions({"t": np.asarray(predicted, np.float32)}, None), rows, [task])["t"]


@settings(deadline=None, max_examples=60)
@given(kind=st.sampled_from(sorted(CLASSES)), seed=st.integers(0, 2**32 - 1), weighted=st.booleans())
def test_metrics_are_those_of_scikit_learn_however_rows_are_cut(kind: TaskKind, seed: int, weighted: bool) -> None:
    random = np.random.default_rng(seed)
    rows = int(random.integers(1, 60))
    probabilities = (random.integers(0, 9, rows) / 8).astype(np.float32)  # ties, 0 and 1
    shares = random.dirichlet(np.ones(3), rows).astype(np.float32)
    predicted = {"regression": probabilities, "binary": probabilities, "multiclass": shares}[kind]
    labels = random.integers(0, 2 if kind == "binary" else 3, rows).astype(float)
    labels = np.where(random.random(rows) < 0.2, NAN, labels)
    weights = random.uniform(0.1, 3.0, rows).astype(np.float32) if weighted else None
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(blocks, "BLOCK_ROWS", 7)
        found = measure(kind, predicted, labels, weights)
    here = ~np.isnan(labels)
    times = None if weights is None else weights[here].astype(np.float64)
    expected = by_scikit_learn(kind, predicted[here].astype(np.float64), labels[here], times) if here.any() else {}
    assert {name: value for name, value in found.items() if name != "ece"} == pytest.approx(expected, rel=1e-9)


def by_scikit_learn(
    kind: TaskKind, answer: NDArray[np.float64], truth: NDArray[np.float64], times: NDArray[np.float64] | None
) -> dict[str, float]:
    weights: dict[str, Any] = {"sample_weight": times}
    if kind == "regression":
        found = {
            "rmse": sk.root_mean_squared_error(truth, answer, **weights),
            "mae": sk.mean_absolute_error(truth, answer, **weights),
        }
        return found | ({"r2": sk.r2_score(truth, answer, **weights)} if np.ptp(truth) > 0.0 else {})
    shares = answer if kind == "binary" else answer / answer.sum(axis=1, keepdims=True)
    decided = (answer >= 0.5) if kind == "binary" else answer.argmax(axis=1)
    classes = np.arange(len(CLASSES[kind]))
    found = {
        "log_loss": sk.log_loss(truth, shares, labels=classes, **weights),
        "accuracy": sk.accuracy_score(truth, decided, **weights),
        "macro_f1": sk.f1_score(truth, decided, average="macro", zero_division=0.0, **weights),
    }
    if len(np.unique(truth)) < len(classes):
        return found
    if kind == "binary":
        average = sk.average_precision_score(truth, answer, **weights)
        return found | {"auc": sk.roc_auc_score(truth, answer, **weights), "pr_auc": average}
    return found | {"auc": np.mean([sk.roc_auc_score(truth == k, shares[:, k], **weights) for k in classes])}


def test_metrics_of_many_rows_take_few_bytes_a_row(monkeypatch: pytest.MonkeyPatch) -> None:
    """The order of the answers takes 8 bytes, and which rows have a label one."""
    monkeypatch.setattr(blocks, "BLOCK_ROWS", 1024)
    random, rows = np.random.default_rng(0), 200_000
    answer = random.random(rows).astype(np.float32)
    split = rows_of(random.random(rows) < answer)
    task, predictions = Task("t", "binary", CLASSES["binary"]), Predictions({"t": answer}, None)
    evaluate(predictions, split, [task])  # what is imported and allocated once
    tracemalloc.start()
    try:
        evaluate(predictions, split, [task])
        _, peak = tracemalloc.get_traced_memory()
    finally:
        tracemalloc.stop()
    assert peak < 12 * rows


def test_regression_metrics_are_in_the_label_s_units() -> None:
    found = measure("regression", [10.0, 20.0, 33.0], [10.0, 24.0, 30.0])
    assert found == {
        "rmse": pytest.approx(math.sqrt(25 / 3)),
        "mae": pytest.approx(7 / 3),
        "r2": pytest.approx(1 - 25 / (11.3333333**2 + 2.6666667**2 + 8.6666667**2)),
    }


def test_binary_metrics() -> None:
    found = measure("binary", [0.9, 0.6, 0.4, 0.2], [1, 0, 1, 0])
    assert found["auc"] == pytest.approx(3 / 4)  # of four pairs one is in the wrong order
    assert found["log_loss"] == pytest.approx(-np.mean(np.log([0.9, 0.4, 0.4, 0.8])))
    assert found["accuracy"] == pytest.approx(0.5)
    assert found["macro_f1"] == pytest.approx(0.5)


def test_multiclass_metrics() -> None:
    found = measure("multiclass", [[0.7, 0.2, 0.1], [0.5, 0.4, 0.1], [0.1, 0.1, 0.8]], [0, 1, 2])
    assert found["log_loss"] == pytest.approx(-np.mean(np.log([0.7, 0.4, 0.8])), rel=1e-6)
    assert found["accuracy"] == pytest.approx(2 / 3)
    assert found["macro_f1"] == pytest.approx((2 / 3 + 0 + 1) / 3)


@pytest.mark.parametrize(
    ("kind", "predicted", "labels"),
    [
        ("regression", [1.0, 2.0, 9.0], [1.5, 2.5, NAN]),
        ("binary", [0.1, 0.9, 0.5], [0, 1, NAN]),
        ("multiclass", [[0.7, 0.2, 0.1], [0.5, 0.4, 0.1], [0.1, 0.1, 0.8]], [0, 1, NAN]),
    ],
)
def test_rows_without_a_label_are_left_out(kind: TaskKind, predicted: ArrayLike, labels: ArrayLike) -> None:
    assert measure(kind, predicted, labels) == measure(kind, np.asarray(predicted)[:2], np.asarray(labels)[:2])


def test_groups_are_those_of_the_rows_with_a_label() -> None:
    found = measure("binary", [0.1, 0.9, 0.3, 0.2, 0.5], [0, 1, 0, NAN, 1], [1, 1, 1, 1, 2], groups=[1, 1, 2, 2, 2])
    assert found["gauc"] == 1.0
    assert "gauc" not in measure("binary", [0.1, 0.9], [0, 1], groups=[1, 2])  # groups of one class alone


@pytest.mark.parametrize("label", [0, 1])
def test_auc_is_absent_with_one_class(label: int) -> None:
    found = measure("binary", [0.2, 0.4], [label, label])
    assert "auc" not in found
    assert all(math.isfinite(value) for value in found.values())


def test_r2_is_absent_for_a_constant_label() -> None:
    assert set(measure("regression", [1.0, 2.0], [3.0, 3.0])) == {"rmse", "mae"}
    assert set(measure("regression", [1.0], [3.0])) == {"rmse", "mae"}


def test_a_class_that_no_row_has_does_no_harm() -> None:
    found = measure("multiclass", [[0.7, 0.2, 0.1], [0.6, 0.3, 0.1]], [0, 0])
    assert found["accuracy"] == 1.0
    assert found["log_loss"] == pytest.approx(-np.mean(np.log([0.7, 0.6])), rel=1e-6)


@pytest.mark.parametrize("kind", ["regression", "binary", "multiclass"])
def test_nothing_is_measured_without_labels(kind: TaskKind) -> None:
    predicted = [[0.2, 0.3, 0.5]] * 2 if kind == "multiclass" else [0.2, 0.4]
    assert measure(kind, predicted, [NAN, NAN]) == {}


def test_certain_and_wrong_probabilities_stay_finite() -> None:
    assert math.isfinite(measure("binary", [1.0, 0.0], [0, 1])["log_loss"])


@pytest.mark.parametrize("kind", ["regression", "binary", "multiclass"])
def test_names_are_those_that_a_configuration_may_monitor(kind: TaskKind) -> None:
    predicted = np.eye(3)[[0, 1, 2]] if kind == "multiclass" else [0.2, 0.4, 0.9]
    found = measure(kind, predicted, [0, 1, 2] if kind != "binary" else [0, 1, 1], groups=[1, 1, 2])
    assert set(found) == set(METRICS[kind])
    assert set(found) <= set(HIGHER_IS_BETTER)


def rows_of(*columns: ArrayLike) -> Rows:
    labels = np.column_stack([np.asarray(column, np.float64) for column in columns])
    empty = np.empty((len(labels), 0))
    return Rows(empty.astype(np.float32), empty.astype(np.int64), labels, empty.astype(object))


def test_a_baseline_answers_every_test_row_with_what_is_best_for_the_training_rows() -> None:
    tasks = [
        Task("price", "regression"),
        Task("sold", "binary", ("no", "yes")),
        Task("grade", "multiclass", CLASSES["multiclass"]),
    ]
    train = rows_of([1.0, 2.0, 6.0, NAN], [1, 0, 0, 0], [0, 0, 1, 2])
    test = rows_of([3.0, 5.0], [1, 0], [0, 2])
    found = baselines(train, test, tasks)
    assert found["price"].constant == 3.0
    assert found["price"].metrics["rmse"] == pytest.approx(math.sqrt(2.0))
    assert found["price"].metrics["r2"] == pytest.approx(-1.0)
    assert found["sold"].constant == 0.25
    assert found["sold"].metrics["auc"] == 0.5
    assert found["sold"].metrics["log_loss"] == pytest.approx(-(math.log(0.25) + math.log(0.75)) / 2)
    assert found["grade"].constant == [0.5, 0.25, 0.25]
    assert found["grade"].metrics["accuracy"] == 0.5
    assert found["grade"].metrics["log_loss"] == pytest.approx(-(math.log(0.5) + math.log(0.25)) / 2)
    assert [found[task.name].describe(task) for task in tasks] == [
        "always the mean, 3",
        "always the base rate, 0.25",
        "always the classes' shares, most 'a' with 50.0%",
    ]


def test_a_task_without_training_labels_has_no_baseline() -> None:
    assert baselines(rows_of([NAN, NAN]), rows_of([1.0, 2.0]), [Task("price", "regression")]) == {}


@pytest.mark.parametrize(
    ("kind", "predicted", "labels"),
    [
        ("regression", [10.0, 20.0, 33.0, 1.0], [10.0, 24.0, 30.0, NAN]),
        ("binary", [0.9, 0.6, 0.4, 0.2], [1, 0, 1, 0]),
        ("binary", [0.9, 0.6, 0.4, 0.2], [1, NAN, 1, 1]),
        ("multiclass", [[0.7, 0.2, 0.1], [0.5, 0.4, 0.1], [0.1, 0.1, 0.8], [0.2, 0.6, 0.2]], [0, 1, NAN, 1]),
    ],
)
def test_a_row_counts_as_often_as_its_weight(kind: TaskKind, predicted: ArrayLike, labels: ArrayLike) -> None:
    weights = np.array([2, 1, 3, 1])
    repeated = measure(kind, np.repeat(predicted, weights, axis=0), np.repeat(np.asarray(labels, float), weights))
    assert measure(kind, predicted, labels, weights) == pytest.approx(repeated)
    assert measure(kind, predicted, labels, weights) != pytest.approx(measure(kind, predicted, labels))


@pytest.mark.parametrize("kind", ["regression", "binary", "multiclass"])
def test_a_baseline_counts_rows_by_their_weight(kind: TaskKind) -> None:
    labels, weights, task = np.array([0.0, 1.0, NAN, 0.0]), np.array([2, 1, 3, 1]), Task("t", kind, CLASSES[kind])
    rows, often = replace(rows_of(labels), weights=weights.astype(np.float32)), rows_of(np.repeat(labels, weights))
    found, repeated = baselines(rows, rows, [task])["t"], baselines(often, often, [task])["t"]
    assert found.constant == pytest.approx(repeated.constant)
    assert found.metrics == pytest.approx(repeated.metrics)


@given(count=st.integers(1, 40), chunk=st.integers(1, 9), weighted=st.booleans(), seed=st.integers(0, 99))
def test_best_constant_does_not_depend_on_how_rows_are_cut(count: int, chunk: int, weighted: bool, seed: int) -> None:
    random = np.random.default_rng(seed)
    labels = np.column_stack([random.normal(1e6, 1.0, count), random.integers(3, size=count)])
    labels[random.random((count, 2)) < 0.3] = np.nan
    weights = random.integers(0, 3, count).astype(np.float32) if weighted else None
    rows = Rows(np.empty((count, 0), np.float32), np.empty((count, 0), np.int64), labels, np.empty((count, 0), object))
    rows = replace(rows, weights=weights)
    tasks = (Task("price", "regression"), Task("grade", "multiclass", ("a", "b", "c")))
    for column in range(2):
        cut, whole = best_constant(rows, tasks, column, chunk=chunk), best_constant(rows, tasks, column)
        assert (cut is None) == (whole is None)
        if cut is not None and whole is not None:
            np.testing.assert_allclose(cut, whole, rtol=1e-12)
            times = np.ones(count) if weights is None else weights
            known = ~np.isnan(labels[:, column])
            one_hot = labels[:, :1] if column == 0 else labels[:, 1:] == np.arange(3)
            mean = np.average(one_hot[known], axis=0, weights=times[known])
            np.testing.assert_allclose(np.atleast_1d(whole), mean, rtol=1e-12)
