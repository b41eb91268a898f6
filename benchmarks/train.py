"""Compare the trainer with the DataLoader loop that most would write: `python -m benchmarks.train`.

Both train the same network from the same weights on the same rows, in the same batches of rows drawn at random, with AdamW
and without validation in the measured time. They take turns, an epoch each, so that a busy machine slows both.
"""

import os
import time
from dataclasses import dataclass, replace
from pathlib import Path

import numpy as np
import torch
from torch import Tensor
from torch.nn import functional as F
from torch.utils.data import DataLoader, TensorDataset

from model.config import Config, load_config
from model.progress import EpochRecord
from model.schema import Dataset, Rows
from model.table import read_dataset
from model.train import Model, build_model, fit

CENSUS = Path(__file__).parent.parent / "scripts" / "configs" / "census_income.toml"
CENSUS_ROWS = 99_762


@dataclass(frozen=True)
class Silent:
    """Follow a run without a word."""

    def step(self, epoch: int, rows: int, loss_sum: Tensor) -> None:
        """Say nothing."""

    def epoch(self, record: EpochRecord, best: bool) -> None:
        """Say nothing."""


def our_epoch(dataset: Dataset, config: Config) -> float:
    """Train an epoch with model/train.py; returns rows a second."""
    model = build_model(dataset.features, dataset.tasks, config.model, seed=0)
    return fit(model, dataset, config.train, watcher=Silent()).epochs[0].rows_per_s


def loader_epoch(dataset: Dataset, config: Config) -> float:
    """Train an epoch with a TensorDataset behind a DataLoader, as tutorials do; returns rows a second."""
    model = build_model(dataset.features, dataset.tasks, config.model, seed=0).train()
    rows = dataset.train
    table = TensorDataset(*(torch.from_numpy(part) for part in (rows.numeric, rows.codes, rows.labels)))
    loader = DataLoader(table, batch_size=config.train.batch_size, shuffle=True)
    optimizer = torch.optim.AdamW(model.parameters(), lr=config.train.learning_rate)
    torch.manual_seed(0)
    began, total = time.perf_counter(), 0.0
    for numeric, codes, labels in loader:
        optimizer.zero_grad()
        loss = loader_loss(model, numeric, codes, labels)
        loss.backward()  # type: ignore[no-untyped-call]
        optimizer.step()
        total += loss.item()
    return len(rows) / (time.perf_counter() - began)


def loader_loss(model: Model, numeric: Tensor, codes: Tensor, labels: Tensor) -> Tensor:
    """Sum the losses of binary tasks whose labels are all there."""
    outputs = model(numeric, codes).outputs
    return sum(
        (F.binary_cross_entropy_with_logits(raw, labels[:, t]) for t, raw in enumerate(outputs)), torch.zeros(())
    )


def read_rows(directory: Path) -> tuple[Dataset, Config]:
    """Read census if MMOE_DATA holds it, else a made table of its shape; all rows but 1,000 are for training."""
    root = os.environ.get("MMOE_DATA")
    if root and (Path(root) / "census" / "census-income.test.gz").exists():
        config = load_config(CENSUS)
    else:
        config = load_config(CENSUS, [f"data={made_table(directory)}", "features.numeric=[]", *MADE_TASKS])
    return all_for_training(read_dataset(config)), config


def all_for_training(dataset: Dataset) -> Dataset:
    """Join the splits for training; 1,000 of the rows also stand in for validation, whose time is not measured."""
    parts = (dataset.train, dataset.validation, dataset.test)
    joined = Rows(
        *(np.concatenate([getattr(p, name) for p in parts]) for name in ("numeric", "codes", "labels", "text"))
    )
    few = Rows(joined.numeric[:1000], joined.codes[:1000], joined.labels[:1000], joined.text[:1000])
    return replace(dataset, train=joined, validation=few)
