"""Small networks trained in a second, interrupted runs, and comparison of two runs."""

from pathlib import Path

import torch
from torch import Tensor

from model.config.run import ModelConfig, TrainConfig
from model.network.model import Model, build_model
from model.schema import Dataset
from model.training.progress import History, Watcher
from model.training.train import fit

SMALL = ModelConfig(experts=3, expert_hidden=(8,), tower_hidden=(4,), embedding_dim=4, gate_dropout=0.2, dropout=0.1)
PLAIN = ModelConfig(experts=3, expert_hidden=(8,), tower_hidden=(4,), embedding_dim=4)


def settings(**changes: object) -> TrainConfig:
    base: dict[str, object] = {"epochs": 4, "batch_size": 64, "learning_rate": 0.01, "device": "cpu"}
    return TrainConfig.model_validate({**base, **changes})


class InterruptAt(Watcher):
    """Callback that ends a run like a pressed key at a given step."""

    def __init__(self, step: int) -> None:
        self.left = step

    def step(self, epoch: int, rows: int, loss_sum: Tensor) -> None:
        self.left -= 1
        if self.left == 0:
            raise KeyboardInterrupt


def trained(
    dataset: Dataset, config: TrainConfig, model: ModelConfig = SMALL, checkpoint: Path | None = None, stop: int = -1
) -> tuple[Model, History]:
    whole = build_model(dataset.features, dataset.tasks, model, config.seed)
    return whole, fit(whole, dataset, config, checkpoint, InterruptAt(stop))


def same(a: Model, b: Model) -> bool:
    pairs = zip(a.state_dict().items(), b.state_dict().items(), strict=True)
    return all(m == n and torch.equal(v, w) for (m, v), (n, w) in pairs)


def facts(history: History) -> list[tuple[float, float, object]]:
    return [(r.train_loss, r.validation_loss, r.metrics) for r in history.epochs]
