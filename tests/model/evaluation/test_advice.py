"""Warnings: each is given for the fault that was made, and not without it."""

from collections.abc import Sequence
from dataclasses import replace
from typing import Any

import numpy as np
import pytest
import torch

from model.config.run import ModelConfig
from model.evaluation.advice import advise, on_convergence, on_gain
from model.evaluation.experts import on_experts
from model.evaluation.towers import on_towers
from model.network.model import Model, Predictions, build_model, predict
from model.schema import Dataset
from model.training.progress import EpochRecord, History
from tests.model.conftest import make_rows, make_schema, make_tasks
from tests.support.training import PLAIN, settings, trained


@pytest.fixture(scope="module")
def dataset() -> Dataset:
    schema = make_schema()
    train, validation, test = (make_rows(schema, rows, seed) for rows, seed in ((600, 1), (300, 2), (300, 3)))
    return Dataset(schema, make_tasks(), train, validation, test, "", "")


WIDE = PLAIN.model_copy(update={"tower_hidden": (16,)})


def parts(model: Model) -> Any:
    """Return the network, whose modules mypy does not know."""
    return model.network


@pytest.fixture
def fresh(dataset: Dataset) -> Model:
    return build_model(dataset.features, dataset.tasks, WIDE, seed=1).eval()


@pytest.fixture(scope="module")
def learned(dataset: Dataset) -> tuple[Model, History]:
    return trained(dataset, settings(epochs=30, batch_size=32, patience=0), WIDE)


def course(losses: Sequence[float], rates: Sequence[float], stopped: bool = False) -> History:
    """Make the course of a run in which all tasks have the same losses."""
    names = [task.name for task in make_tasks()]
    records = [
        EpochRecord(number + 1, loss, loss, dict.fromkeys(names, loss), {}, rate, 1.0)
        for number, (loss, rate) in enumerate(zip(losses, rates, strict=True))
    ]
    return History(records, len(records), stopped_early=stopped)


def test_a_good_model_has_no_warning(dataset: Dataset, learned: tuple[Model, History]) -> None:
    model, history = learned
    assert advise(model, dataset, history, predict(model, dataset.test)) == ()


def test_a_run_that_was_cut_short_has_not_converged(dataset: Dataset) -> None:
    model, history = trained(dataset, settings(epochs=5, batch_size=128, learning_rate=1e-3), PLAIN)
    said = " ".join(advise(model, dataset, history, predict(model, dataset.test)))
    assert "Training had not converged when it ended after 5 epochs: " in said
    assert "Raise train.epochs (now 5) or train.learning_rate." in said


def test_the_last_quarter_is_that_of_the_learning_rates(dataset: Dataset) -> None:
    """Losses that fall with the learning rate had far to go, however flat the last epochs are."""
    rates = 0.5 * (1.0 + np.cos(np.pi * np.arange(1, 21) / 20))
    falling = list(1.0 - 0.4 * np.cumsum(rates) / rates.sum())
    assert on_convergence(dataset, course(falling, rates.tolist()))
    assert falling[-2] - falling[-1] < 0.001
    settled = [*np.linspace(1.0, 0.2, 10), *[0.2] * 10]
    assert on_convergence(dataset, course(settled, [1.0] * 20)) == []
    assert on_convergence(dataset, course(falling, rates.tolist(), stopped=True)) == []
    assert on_convergence(dataset, course([0.9, 0.8], [1.0, 1.0])) == []


def test_a_tower_that_cannot_reach_one_side_is_named_with_the_rows_that_share_an_answer(
    dataset: Dataset, fresh: Model
) -> None:
    assert on_towers(fresh, dataset, predict(fresh, dataset.test)) == []
    tower = parts(fresh).towers[1]
    with torch.no_grad():
        tower.last.weight.copy_(-tower.last.weight.abs())
        tower.hidden[0].bias.fill_(-1.0)
        tower.last.bias.fill_(2.0)
    test = predict(fresh, dataset.test)
    highest = test.tasks["sold"] == test.tasks["sold"].max()
    labels = dataset.test.labels[:, 1]
    (said,) = on_towers(fresh, dataset, test)
    rows, positive = int((highest & ~np.isnan(labels)).sum()), int((highest & (labels == 1.0)).sum())
    assert rows > 10
    assert f"Task 'sold': {rows:,} of {int((~np.isnan(labels)).sum()):,} test rows, {positive:,} of " in said
    assert "one and the same answer, 0.8808," in said  # sigmoid(2)
    assert "all weights of its last layer are negative, so that no row can have a higher probability" in said
    assert "another train.seed, a lower train.learning_rate or a wider model.tower_hidden" in said


def test_a_tower_of_which_nothing_is_active_answers_every_row_alike(dataset: Dataset, fresh: Model) -> None:
    with torch.no_grad():
        parts(fresh).towers[2].hidden[0].bias.fill_(-1e6)
    (said,) = on_towers(fresh, dataset, predict(fresh, dataset.test))
    assert "Task 'grade': 300 of 300 test rows have one and the same answer, " in said
    assert "all weights" not in said


def test_a_task_that_no_feature_tells_of_is_not_better_than_its_base_rate(
    dataset: Dataset, learned: tuple[Model, History]
) -> None:
    model, _ = learned
    test = predict(model, dataset.test)
    shuffled = {name: np.random.default_rng(0).permutation(answer) for name, answer in test.tasks.items()}
    said = on_gain(dataset, Predictions(shuffled, None))
    assert [sentence.split(":")[0] for sentence in said] == [
        "Task 'price' is not better than its mean",
        "Task 'sold' is not better than its base rate",
        "Task 'grade' is not better than its base rate",
    ]
    assert "lower train.learning_rate, raise train.epochs" in said[0]
    base = float(np.nanmean(dataset.train.labels[:, 1]))
    constant = {**test.tasks, "sold": np.full(300, base, np.float32)}
    (alike,) = on_gain(dataset, Predictions(constant, None))
    assert alike.startswith("Task 'sold' is not better than its base rate: its log-loss on test rows is ")


def test_a_small_gain_that_chance_may_have_given_is_told_as_such(dataset: Dataset) -> None:
    price = dataset.test.labels[:, 0]
    noise = np.random.default_rng(1).normal(100.0, 0.1, len(price)) + 0.001 * (price - 100.0)
    few = replace(dataset, test=replace(dataset.test, labels=dataset.test.labels[:12]))
    answers = {"price": (noise[:12]).astype(np.float32), "sold": np.full(12, 0.5), "grade": np.full((12, 3), 1 / 3)}
    said = on_gain(few, Predictions({name: np.asarray(a, np.float32) for name, a in answers.items()}, None))
    assert said[0].startswith("Task 'price' ")
    assert " ± " in said[0]


def test_dead_and_constant_experts_are_named(dataset: Dataset, fresh: Model) -> None:
    assert on_experts(fresh, dataset) == []
    with torch.no_grad():
        parts(fresh).experts.layers[-1].bias[1] = -1e6
    (said,) = on_experts(fresh, dataset)
    assert said.startswith("Expert 1 gives the same output for every test row")


def test_collapsed_gates_and_experts_without_weight_are_told_apart(dataset: Dataset) -> None:
    """Gates have no bias; a large weight on what is the same in all rows makes them choose."""
    rows = replace(dataset.test, numeric=np.ones_like(dataset.test.numeric) * 50.0)
    same = replace(dataset, test=rows)
    model = build_model(dataset.features, dataset.tasks, ModelConfig(experts=4, expert_hidden=(8,)), seed=1).eval()
    gate = parts(model).gate.weight
    with torch.no_grad():
        gate.zero_()
        gate[:, 2, 0] = 50.0
    (collapsed,) = on_experts(model, same)
    assert "have collapsed: expert 2 has over 95% of the weight. " in collapsed
    assert "model.gate_dropout = 0.1" in collapsed
    with torch.no_grad():
        gate.zero_()
        gate[:, 1, 0] = gate[:, 3, 0] = 50.0
    (dead,) = on_experts(model, same)
    assert dead.startswith("Experts 0 and 2 are dead: ")


@pytest.mark.parametrize("architecture", ["single_task", "shared_bottom", "omoe", "cgc"])
def test_every_architecture_can_be_judged(dataset: Dataset, architecture: str) -> None:
    config = ModelConfig.model_validate({**WIDE.model_dump(), "architecture": architecture})
    model = build_model(dataset.features, dataset.tasks, config, seed=0).eval()
    test = predict(model, dataset.test)
    assert on_towers(model, dataset, test) == on_experts(model, dataset) == []
    with torch.no_grad():
        for module in (getattr(model.network, name, None) for name in ("bottom", "networks", "experts")):
            if module is not None:
                module.layers[-1].bias[0] = -1e6
    (said,) = on_experts(model, dataset)
    named = {"single_task": "The network of task 'price' gives", "shared_bottom": "The shared network gives"}
    assert said.startswith(named.get(architecture, "Expert 0 gives"))
