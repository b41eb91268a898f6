"""Other projects' trainers of MMoE on the census rows: `python -m benchmarks.scale.others`.

Needs DeepCTR-Torch and torch-rechub; `benchmarks.scale.trainers` installs them in an environment
of their own and calls this. Each is used as its documentation does: its MMOE, its trainer, Adam.
Their networks have the sizes of scripts/configs/census_income.toml, and they are fed the numbers
as encoded beforehand, while the time of our trainer holds the encoding. An epoch each by turns.
"""

import argparse
import contextlib
import io
import json
import sys
import tempfile
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import torch
from numpy.typing import NDArray

from benchmarks.train import our_epoch, read_rows
from model.config.run import Config
from model.network.inputs import inputs_of
from model.network.model import build_model
from model.schema import Dataset
from model.training.train import cpu_threads

Columns = dict[str, NDArray[Any]]
Epoch = Callable[[], object]


def columns_of(dataset: Dataset, config: Config) -> tuple[Columns, dict[str, int]]:
    """Encode the rows for the others: numbers (B, W) together, a code (B,) for each category.

    Returns:
        The columns, and how many codes each category has.
    """
    encoder = build_model(dataset.features, dataset.tasks, config.model, seed=0).eval().encoder
    names = {feature.name: feature.codes for feature in dataset.features.categorical}
    with torch.inference_mode():
        x = encoder(inputs_of(dataset.train)).numpy()
    numbers = x[:, : x.shape[1] - len(names) * config.model.embedding_dim]
    codes = {name: dataset.train.codes[:, place].astype(np.int64) for place, name in enumerate(names)}
    return {"numbers": numbers.copy(), **codes}, names


def deepctr_epoch(columns: Columns, sizes: dict[str, int], dataset: Dataset, config: Config) -> Epoch:
    """Build DeepCTR-Torch's MMOE; an epoch is its `fit`."""
    from deepctr_torch.inputs import DenseFeat, SparseFeat
    from deepctr_torch.models import MMOE

    network = config.model
    features = [DenseFeat("numbers", columns["numbers"].shape[1])]
    features += [SparseFeat(name, codes, embedding_dim=network.embedding_dim) for name, codes in sizes.items()]
    model = MMOE(
        features, num_experts=network.experts, expert_dnn_hidden_units=tuple(network.expert_hidden),
        gate_dnn_hidden_units=(), tower_dnn_hidden_units=tuple(network.tower_hidden), dnn_dropout=network.dropout,
        task_types=["binary"] * len(dataset.tasks), task_names=[task.name for task in dataset.tasks],
    )  # fmt: skip
    model.compile("adam", loss=["binary_crossentropy"] * len(dataset.tasks))
    labels = dataset.train.labels.astype(np.float32)
    return lambda: model.fit(dict(columns), labels, batch_size=config.train.batch_size, epochs=1, verbose=0)


def rechub_epoch(columns: Columns, sizes: dict[str, int], dataset: Dataset, config: Config) -> Epoch:
    """Build torch-rechub's MMOE; an epoch is its trainer's, on its own loader."""
    from torch_rechub.basic.features import DenseFeature, SparseFeature
    from torch_rechub.models.multi_task import MMOE
    from torch_rechub.trainers import MTLTrainer
    from torch_rechub.utils.data import DataGenerator

    network, tasks = config.model, len(dataset.tasks)
    features = [DenseFeature("numbers", columns["numbers"].shape[1])]
    features += [SparseFeature(name, codes, embed_dim=network.embedding_dim) for name, codes in sizes.items()]
    expert, tower = (
        {"dims": list(widths), "dropout": network.dropout} for widths in (network.expert_hidden, network.tower_hidden)
    )
    model = MMOE(features, ["classification"] * tasks, network.experts, expert, [tower] * tasks)
    trainer = MTLTrainer(model, ["classification"] * tasks)
    few = {name: column[:2] for name, column in columns.items()}, dataset.train.labels[:2]
    loader, _, _ = DataGenerator(columns, dataset.train.labels.astype(np.float32)).generate_dataloader(
        *few, *few, batch_size=config.train.batch_size
    )
    return lambda: trainer.train_one_epoch(loader)


def main() -> int:
    """Let the trainers take turns; print rows a second and rows a CPU second as JSON."""
    parser = argparse.ArgumentParser("python -m benchmarks.scale.others", description=__doc__)
    parser.add_argument("--repeats", type=int, default=3)
    parser.add_argument("--batch-size", type=int, default=512)
    parser.add_argument("--threads", type=int, nargs="+", default=[1], help="of the others; ours takes one")
    options = parser.parse_args()
    with tempfile.TemporaryDirectory() as directory:
        dataset, config = read_rows(Path(directory))
    config = config.model_copy(update={"train": config.train.model_copy(update={"batch_size": options.batch_size})})
    columns, sizes = columns_of(dataset, config)
    others = {"DeepCTR-Torch": deepctr_epoch, "torch-rechub": rechub_epoch}
    epochs: dict[str, Epoch] = {"ours": lambda: our_epoch(dataset, config)}
    epochs |= {name: make(columns, sizes, dataset, config) for name, make in others.items()}
    turns = [("ours", 1), *((name, threads) for name in others for threads in options.threads)]
    found: dict[str, list[list[float]]] = {f"{name}, {threads} threads": [] for name, threads in turns}
    for _ in range(options.repeats):
        for name, threads in turns:
            with cpu_threads(threads), contextlib.redirect_stdout(io.StringIO()):
                began, cpu = time.perf_counter(), time.process_time()
                epochs[name]()
            spent = time.perf_counter() - began, time.process_time() - cpu
            found[f"{name}, {threads} threads"].append([len(dataset.train) / of for of in spent])
            print(f"{name}, {threads} threads: {spent[0]:.1f} s, {spent[1]:.1f} CPU s", file=sys.stderr, flush=True)
    print(json.dumps(found))
    return 0


if __name__ == "__main__":
    sys.exit(main())
