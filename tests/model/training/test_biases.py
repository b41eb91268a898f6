"""Biases to start from: what a tower answers without any weight is the rate of its labels."""

import math
from dataclasses import replace

import numpy as np
import pytest
import torch

from model.config.run import ModelConfig
from model.mmoe import Architecture
from model.network.model import Model, build_model, predict
from model.schema import FeatureSchema, NumericFeature, Rows, Task
from model.training.biases import start_biases

NAN = math.nan
FEATURES = FeatureSchema(numeric=(NumericFeature("x", 0.0, 1.0, 0.0, 1.0),))
SOLD = Task("sold", "binary", ("no", "yes"))
GRADE = Task("grade", "multiclass", ("a", "b", "c"))
PRICE = Task("price", "regression", mean=100.0, std=20.0)
PAID = Task("paid", "binary", ("no", "yes"), after="sold")
LABELS = [[1.0, 0.0, 90.0], [0.0, 1.0, 95.0], [0.0, 1.0, 115.0], [NAN, 2.0, NAN]]


def rows(labels: list[list[float]], weights: list[float] | None = None) -> Rows:
    count = len(labels)
    times = None if weights is None else np.array(weights, np.float32)
    numbers, none = np.zeros((count, 1), np.float32), np.empty((count, 0))
    return Rows(numbers, none.astype(np.int64), np.array(labels), none.astype(object), weights=times)


def started(
    tasks: tuple[Task, ...],
    labels: list[list[float]],
    weights: list[float] | None = None,
    architecture: Architecture = "mmoe",
) -> tuple[Model, dict[str, list[float]]]:
    """Start the biases; returns the answer to a row of a network whose last weights are 0."""
    model = build_model(FEATURES, tasks, ModelConfig(architecture=architecture), seed=0)
    start_biases(model, rows(labels, weights))
    with torch.no_grad():
        for name, parameter in model.named_parameters():
            if name.endswith("last.weight"):
                parameter.zero_()
    told = predict(model, rows([[NAN] * len(tasks)])).tasks
    return model, {name: np.ravel(value).tolist() for name, value in told.items()}


@pytest.mark.parametrize("architecture", ["mmoe", "omoe", "cgc", "shared_bottom", "single_task"])
def test_each_kind_starts_at_its_rate_or_mean(architecture: Architecture) -> None:
    _, answers = started((SOLD, GRADE, PRICE), LABELS, architecture=architecture)
    assert answers["sold"] == pytest.approx([1 / 3])
    assert answers["grade"] == pytest.approx([1 / 4, 2 / 4, 1 / 4])
    assert answers["price"] == pytest.approx([100.0])


def test_rows_count_by_their_weights() -> None:
    _, answers = started((SOLD, GRADE, PRICE), LABELS, [6.0, 1.0, 1.0, 2.0])
    assert answers["sold"] == pytest.approx([6 / 8])
    assert answers["grade"] == pytest.approx([6 / 10, 2 / 10, 2 / 10])


@pytest.mark.parametrize("behind", [0.0, NAN])
def test_a_funnel_starts_at_the_conditional_rate(behind: float) -> None:
    _, answers = started((SOLD, PAID), [[1.0, 1.0], [1.0, 0.0], [1.0, 0.0], [0.0, behind]])
    assert answers["sold"] == pytest.approx([3 / 4])
    assert answers["paid.given.sold"] == pytest.approx([1 / 3])
    assert answers["paid"] == pytest.approx([1 / 4])


def test_sampled_negatives_stand_for_those_left_out() -> None:
    _, answers = started((replace(SOLD, negatives_kept=0.1),), [[1.0], [0.0], [0.0]])
    assert answers["sold"] == pytest.approx([1 / 21])


@pytest.mark.parametrize("label", [0.0, 1.0])
def test_labels_all_alike_start_at_a_finite_bias(label: float) -> None:
    model, answers = started((SOLD,), [[label], [label]])
    assert all(parameter.isfinite().all() for parameter in model.parameters())
    assert answers["sold"] == pytest.approx([label], abs=1e-6)


def test_a_trained_model_keeps_its_biases() -> None:
    model, _ = started((SOLD,), [[1.0], [0.0], [0.0]])
    before = {name: value.clone() for name, value in model.state_dict().items()}
    start_biases(model, rows([[1.0], [1.0], [0.0]]))
    assert all(torch.equal(before[name], value) for name, value in model.state_dict().items())
