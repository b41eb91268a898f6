"""Training learns, chooses, ends and repeats itself."""

from collections.abc import Callable
from dataclasses import replace

import numpy as np
import pytest
import torch

from model.config.defaults import batch_size_for
from model.config.run import ModelConfig, TrainConfig
from model.errors import TrainError
from model.network.model import predict
from model.schema import Dataset, Rows
from model.training.metrics import evaluate
from model.training.train import cpu_threads
from tests.support.training import PLAIN, facts, same, settings, trained


def test_training_learns_every_kind_of_task(dataset: Dataset) -> None:
    model, history = trained(dataset, settings(epochs=40, patience=0), PLAIN)
    found = evaluate(predict(model, dataset.test), dataset.test, dataset.tasks)
    assert found["price"]["r2"] > 0.8
    assert found["sold"]["auc"] > 0.95
    assert found["grade"]["accuracy"] > 0.7
    assert history.epochs[-1].train_loss < history.epochs[0].train_loss
    assert len(history.epochs) == 40


@pytest.mark.parametrize("architecture", ["mmoe", "omoe", "shared_bottom", "single_task"])
def test_predictions_are_in_natural_units(dataset: Dataset, architecture: str) -> None:
    config = ModelConfig.model_validate({"architecture": architecture, "experts": 3})
    model, _ = trained(dataset, settings(epochs=10), config)
    found = predict(model, dataset.test, batch_size=33, gates=True)
    rows = len(dataset.test)
    assert abs(found.tasks["price"].mean() - 100.0) < 10.0
    assert found.tasks["sold"].shape == (rows,)
    assert ((found.tasks["sold"] > 0.0) & (found.tasks["sold"] < 1.0)).all()
    np.testing.assert_allclose(found.tasks["grade"].sum(axis=1), np.ones(rows), rtol=1e-5)
    if architecture in ("mmoe", "omoe"):
        assert found.gate_weights is not None
        assert found.gate_weights.shape == (rows, 3, 3)
    else:
        assert found.gate_weights is None


def test_one_row_is_answered_as_among_others(dataset: Dataset) -> None:
    model, _ = trained(dataset, settings(epochs=1))
    rows = dataset.test
    one = Rows(rows.numeric[7:8], rows.codes[7:8], rows.labels[7:8], rows.text[7:8])
    alone, together = predict(model, one), predict(model, rows)
    for task in ("price", "sold", "grade"):
        np.testing.assert_allclose(alone.tasks[task][0], together.tasks[task][7], rtol=1e-4, atol=1e-6)


@pytest.mark.parametrize("weighting", ["fixed", "uncertainty"])
def test_the_seed_decides_every_bit(dataset: Dataset, weighting: str) -> None:
    config = settings(epochs=2, task_weighting=weighting)
    (first, one), (second, two) = trained(dataset, config), trained(dataset, config)
    assert same(first, second)
    assert facts(one) == facts(two)
    other, _ = trained(dataset, settings(epochs=2, task_weighting=weighting, seed=1))
    assert not same(first, other)


def test_training_leaves_the_caller_s_generator_and_threads_alone(dataset: Dataset) -> None:
    torch.manual_seed(5)
    expected = torch.rand(3)
    torch.manual_seed(5)
    with cpu_threads(2):
        trained(dataset, settings(epochs=1))
        assert torch.get_num_threads() == 2
    assert torch.equal(torch.rand(3), expected)


def test_a_small_network_ends_alike_whatever_the_number_of_threads(dataset: Dataset) -> None:
    runs = []
    for threads in (1, 2):
        with cpu_threads(threads):
            runs.append(trained(dataset, settings(epochs=1))[0])
    assert same(*runs)


def test_the_best_weights_are_kept_and_patience_ends_the_run(dataset: Dataset) -> None:
    """Labels without a pattern are learned by heart, so validation soon gets worse."""
    random = np.random.default_rng(0)
    noise = replace(dataset.train, labels=random.permutation(dataset.train.labels))
    config = settings(epochs=200, patience=3, schedule="constant")
    model, history = trained(replace(dataset, train=noise), config, PLAIN)
    losses = [record.validation_loss for record in history.epochs]
    assert history.stopped_early
    assert history.best_epoch == int(np.argmin(losses)) + 1
    assert len(losses) == history.best_epoch + 3
    found = evaluate(predict(model, dataset.validation), dataset.validation, dataset.tasks)
    assert found == history.epochs[history.best_epoch - 1].metrics


@pytest.mark.parametrize(("monitor", "best"), [("sold.auc", max), ("price.rmse", min), ("grade.log_loss", min)])
def test_a_task_s_metric_may_choose(dataset: Dataset, monitor: str, best: Callable[[list[float]], float]) -> None:
    _, history = trained(dataset, settings(epochs=6, monitor=monitor, patience=0))
    task, metric = monitor.split(".")
    values = [record.metrics[task][metric] for record in history.epochs]
    assert values[history.best_epoch - 1] == best(values)


def test_cosine_falls_to_zero_and_constant_stays(dataset: Dataset) -> None:
    rates = {
        schedule: [r.learning_rate for r in trained(dataset, settings(schedule=schedule, patience=0))[1].epochs]
        for schedule in ("cosine", "constant")
    }
    assert rates["constant"] == [0.01] * 4
    assert rates["cosine"] == sorted(rates["cosine"], reverse=True)
    assert rates["cosine"][0] > 0.008
    assert rates["cosine"][-1] < 0.0001


def test_unknown_and_missing_categories_that_training_never_met_are_average(dataset: Dataset) -> None:
    model, _ = trained(dataset, settings(epochs=1))
    encoder = model.encoder
    assert encoder.embedding is not None
    counts = encoder.count_codes(dataset.train)
    unknown, others = int(encoder.offsets[1]), slice(int(encoder.offsets[1]) + 2, None)
    assert counts[unknown] == 0
    share = counts[others] / counts[others].sum()
    expected = share @ encoder.embedding.weight[others]
    torch.testing.assert_close(encoder.embedding.weight[unknown], expected)


@pytest.mark.parametrize("kind", ["numeric", "categorical"])
@pytest.mark.parametrize("architecture", ["mmoe", "single_task"])
def test_a_table_may_hold_one_kind_of_feature_alone(dataset: Dataset, kind: str, architecture: str) -> None:
    def part(rows: Rows) -> Rows:
        if kind == "numeric":
            return replace(rows, codes=rows.codes[:, :0], text=rows.text[:, :0])
        return replace(rows, numeric=rows.numeric[:, :0])

    features = replace(dataset.features, **{"categorical" if kind == "numeric" else "numeric": ()})
    train, validation, test = (part(rows) for rows in (dataset.train, dataset.validation, dataset.test))
    half = replace(dataset, features=features, train=train, validation=validation, test=test)
    model, _ = trained(half, settings(epochs=15), ModelConfig.model_validate({"architecture": architecture}))
    assert evaluate(predict(model, half.test), half.test, half.tasks)["sold"]["auc"] > 0.6


def test_weight_decay_shrinks_weights(dataset: Dataset) -> None:
    sizes = []
    for decay in (0.0, 1.0):
        model, _ = trained(dataset, settings(weight_decay=decay, schedule="constant"), PLAIN)
        sizes.append(sum(float(p.detach().square().sum()) for n, p in model.named_parameters() if n.endswith("weight")))
    assert sizes[1] < 0.9 * sizes[0]


@pytest.mark.parametrize(
    ("given", "rows", "size"), [(0, 5, 16), (0, 1_600, 16), (0, 20_000, 200), (0, 10**6, 512), (7, 20_000, 7)]
)
def test_a_batch_size_left_open_follows_the_rows(given: int, rows: int, size: int) -> None:
    assert batch_size_for(TrainConfig(batch_size=given), rows) == size


def test_the_default_settings_learn_a_small_table(dataset: Dataset) -> None:
    model, _ = trained(dataset, TrainConfig(device="cpu"), ModelConfig())
    assert evaluate(predict(model, dataset.test), dataset.test, dataset.tasks)["price"]["r2"] > 0.5


def test_divergence_ends_with_a_sentence(dataset: Dataset) -> None:
    with pytest.raises(TrainError, match=r"lower train\.learning_rate \(1e\+30\)"):
        trained(dataset, settings(learning_rate=1e30))


def test_a_metric_that_validation_does_not_define_ends_with_a_sentence(dataset: Dataset) -> None:
    labels = dataset.validation.labels.copy()
    labels[:, 1] = 1.0
    data = replace(dataset, validation=replace(dataset.validation, labels=labels))
    with pytest.raises(TrainError, match=r"train\.monitor is 'sold\.auc'.*sold\.log_loss"):
        trained(data, settings(monitor="sold.auc"))


@pytest.mark.skipif(torch.cuda.is_available(), reason="there is a GPU")
def test_a_gpu_that_is_not_there_is_said(dataset: Dataset) -> None:
    with pytest.raises(TrainError, match="finds no GPU"):
        trained(dataset, settings(device="cuda"))
