"""Averaged weights: what is validated and kept is a moving average of what was trained."""

from pathlib import Path

import numpy as np
import pytest
import torch
from torch import Tensor

from model.network.model import build_model
from model.schema import Dataset
from model.training.progress import Watcher
from model.training.train import fit
from tests.support.training import PLAIN, facts, same, settings, trained

STEPS = 4


class Recorder(Watcher):
    """Callback that keeps the weights after every step."""

    def __init__(self, parameter: Tensor) -> None:
        self._parameter = parameter
        self.seen = [parameter.detach().clone().numpy()]

    def step(self, epoch: int, rows: int, loss_sum: Tensor) -> None:
        self.seen.append(self._parameter.detach().clone().numpy())


def test_the_kept_weights_are_a_moving_average_of_all_steps(dataset: Dataset) -> None:
    model = build_model(dataset.features, dataset.tasks, PLAIN, 0)
    watcher = Recorder(model.encoder.embedding.weight)  # type: ignore[union-attr]
    fit(model, dataset, settings(epochs=1, average_steps=STEPS), watcher=watcher)
    average = watcher.seen[0]
    for step, weights in enumerate(watcher.seen[1:]):
        decay = min(1.0 - 1.0 / STEPS, (1.0 + step) / (10.0 + step))
        average = decay * average + (1.0 - decay) * weights
    counts = model.encoder.count_codes(dataset.train).numpy()
    kept = model.encoder.embedding.weight.detach().numpy()  # type: ignore[union-attr]
    np.testing.assert_allclose(kept[counts > 0], average[counts > 0], atol=1e-6)
    assert not np.allclose(kept[counts > 0], watcher.seen[-1][counts > 0], atol=1e-4)


def test_averaging_changes_what_is_kept_and_not_what_is_trained(dataset: Dataset) -> None:
    plain, averaged = (trained(dataset, settings(average_steps=steps))[1] for steps in (0, STEPS))
    assert [r.train_loss for r in plain.epochs] == [r.train_loss for r in averaged.epochs]
    assert [r.validation_loss for r in plain.epochs] != [r.validation_loss for r in averaged.epochs]


@pytest.mark.parametrize("stop", [1, 5, 11])
def test_an_interrupted_run_goes_on_with_its_averages(dataset: Dataset, tmp_path: Path, stop: int) -> None:
    config, path = settings(average_steps=STEPS, checkpoint_every_s=0.0), tmp_path / "run.pt"
    with pytest.raises(KeyboardInterrupt):
        trained(dataset, config, checkpoint=path, stop=stop)
    resumed, history = trained(dataset, config, checkpoint=path)
    whole, expected = trained(dataset, config)
    assert same(resumed, whole)
    assert facts(history) == facts(expected)


def test_a_table_with_lazy_updates_is_not_averaged(dataset: Dataset) -> None:
    config = settings(epochs=2, average_steps=STEPS, embedding_updates="lazy")
    model, history = trained(dataset, config)
    assert len(history.epochs) == 2
    assert all(bool(torch.isfinite(value).all()) for value in model.state_dict().values() if value.is_floating_point())
