"""Comparison of the trainer with a common DataLoader loop: `python -m benchmarks.train`.

Both train the network of scripts/configs/census_income.toml from the same weights on the same
rows, in batches of the same size, with AdamW; neither one's time holds validation. They take
turns, an epoch each, so that a busy machine slows both. The loop runs with torch's own number of
threads and again with one, and its faster figure counts.
"""

import argparse
import os
import statistics
import tempfile
import time
from collections.abc import Callable, Sequence
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import polars as pl
import torch
from torch import Tensor
from torch.nn import functional as F
from torch.utils.data import DataLoader, TensorDataset

from model.config.data import FeatureConfig
from model.config.run import Config, TaskConfig, load_config
from model.data.table import read_dataset
from model.network.inputs import Inputs
from model.network.model import Model, build_model
from model.schema import Dataset, Rows
from model.training.progress import Watcher
from model.training.train import cpu_threads, fit
from tables.config import TableData

CENSUS = Path(__file__).resolve().parent.parent / "scripts" / "configs" / "census_income.toml"
CENSUS_ROWS = 99_762
CENSUS_SIZES = (9, 51, 47, 3, 24, 15, 5, 10, 2, 3, 6, 8, 6, 6, 50, 28, 8, 9, 8, 9, 3, 3, 5, 42, 42, 42, 5, 3, 3, 3, 2)
"""Distinct values of census' categorical columns; the made table has as many."""


def our_epoch(dataset: Dataset, config: Config) -> float:
    """Train an epoch with model/training/train.py; returns rows a second."""
    model = build_model(dataset.features, dataset.tasks, config.model, seed=0)
    return fit(model, dataset, config.train, watcher=Watcher()).epochs[0].rows_per_s


def loader_epoch(dataset: Dataset, config: Config) -> float:
    """Train an epoch with a TensorDataset behind a DataLoader, as tutorials do.

    Returns rows a second.
    """
    model = build_model(dataset.features, dataset.tasks, config.model, seed=0).train()
    rows = dataset.train
    labels = rows.labels.astype(np.float32)
    table = TensorDataset(*(torch.from_numpy(part) for part in (rows.numeric, rows.codes, labels)))
    loader = DataLoader(table, batch_size=config.train.batch_size, shuffle=True)
    optimizer = torch.optim.AdamW(model.parameters(), lr=config.train.learning_rate)
    began, total = time.perf_counter(), 0.0
    for numeric, codes, labels in loader:
        optimizer.zero_grad()
        loss = loader_loss(model, numeric, codes, labels)
        loss.backward()  # type: ignore[no-untyped-call]
        optimizer.step()
        total += loss.item()
    return len(rows) / (time.perf_counter() - began)


def loader_loss(model: Model, numeric: Tensor, codes: Tensor, labels: Tensor) -> Tensor:
    """Sum the losses of binary tasks, all of whose labels are there."""
    outputs = model(Inputs(numeric, codes)).outputs
    losses = [F.binary_cross_entropy_with_logits(raw, labels[:, t]) for t, raw in enumerate(outputs)]
    return torch.stack(losses).sum()


def read_rows(directory: Path) -> tuple[Dataset, Config]:
    """Read census if MMOE_DATA has it, else a made table of its shape.

    All rows are for training, for one epoch.
    """
    config = load_config(CENSUS)
    data = config.data
    assert isinstance(data, TableData)
    if not (Path(os.environ.get("MMOE_DATA", "")) / data.paths[0]).is_file():
        config = made_table(directory / "made.csv", config)
    config = config.model_copy(update={"train": config.train.model_copy(update={"epochs": 1, "device": "cpu"})})
    return all_for_training(read_dataset(config)), config


def made_table(path: Path, config: Config, rows: int = CENSUS_ROWS) -> Config:
    """Write strings and numbers in the shape of census.

    Returns the configuration that reads them.
    """
    random = np.random.default_rng(0)
    numbers = {f"number_{i}": random.gamma(1.0, 100.0, rows).round(1) for i in range(7)}
    codes = [(random.random(rows) ** 3 * size).astype(int) for size in CENSUS_SIZES]
    words = {f"word_{c}": np.array([f"value {v}" for v in range(n)])[codes[c]] for c, n in enumerate(CENSUS_SIZES)}
    signal = sum((code / size for code, size in zip(codes, CENSUS_SIZES, strict=True)), np.zeros(rows))
    labels = {f"label_{k}": (signal + random.normal(0, 1, rows) > 8 + k).astype(int) for k in range(2)}
    pl.DataFrame({**numbers, **words, **labels}).write_csv(path)
    tasks = tuple(TaskConfig(name=name, column=name, kind="binary") for name in labels)
    data = TableData(kind="table", path=str(path))
    return config.model_copy(update={"data": data, "features": FeatureConfig(), "tasks": tasks})


def all_for_training(dataset: Dataset) -> Dataset:
    """Join the splits for training.

    Some of the rows stand in for validation, whose time is not measured.
    """
    parts = (dataset.train, dataset.validation, dataset.test)
    names = ("numeric", "codes", "labels", "text")
    joined: dict[str, Any] = {name: np.concatenate([getattr(part, name) for part in parts]) for name in names}
    few = Rows(**{name: values[:1000] for name, values in joined.items()})
    return replace(dataset, train=Rows(**joined), validation=few)


def measure(dataset: Dataset, config: Config, repeats: int) -> dict[str, list[float]]:
    """Let the contenders take turns; returns rows a second of each."""
    threads = torch.get_num_threads()
    contenders: dict[str, tuple[int, Callable[[Dataset, Config], float]]] = {
        "model/training/train.py": (threads, our_epoch),
        f"DataLoader, {threads} threads": (threads, loader_epoch),
        "DataLoader, 1 thread": (1, loader_epoch),
    }
    found: dict[str, list[float]] = {name: [] for name in contenders}
    for _ in range(repeats):
        for name, (count, epoch) in contenders.items():
            with cpu_threads(count):
                found[name].append(epoch(dataset, config))
    return found


def render(found: dict[str, list[float]]) -> str:
    """Tabulate medians and spreads, with the ratio under them."""
    ours, *others = (statistics.median(rates) for rates in found.values())
    lines = [f"{'trainer':<24}{'rows/s':>10}{'slowest':>10}{'fastest':>10}"]
    for name, rates in found.items():
        figures = (statistics.median(rates), min(rates), max(rates))
        lines.append(f"{name:<24}" + "".join(f"{figure:>10,.0f}" for figure in figures))
    return "\n".join([*lines, f"ratio of the medians to the faster DataLoader: {ours / max(others):.1f}"])


def main(arguments: Sequence[str] | None = None) -> None:
    """Measure and print."""
    parser = argparse.ArgumentParser(prog="python -m benchmarks.train", description=__doc__)
    parser.add_argument("--repeats", type=int, default=5, help="epochs of each trainer (default: 5)")
    parser.add_argument("--batch-size", type=int, help="rows per step (default: that of the configuration)")
    options = parser.parse_args(arguments)
    with tempfile.TemporaryDirectory() as directory:
        dataset, config = read_rows(Path(directory))
    if options.batch_size:
        config = config.model_copy(update={"train": config.train.model_copy(update={"batch_size": options.batch_size})})
    rows, batch = len(dataset.train), config.train.batch_size
    print(f"{dataset.source}: {rows:,} rows, {len(dataset.features.names)} features, batches of {batch:,}", flush=True)
    print(render(measure(dataset, config, options.repeats)))


if __name__ == "__main__":
    main()
