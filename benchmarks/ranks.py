"""Speed of two ranks of one thread against one process of one thread: python -m benchmarks.ranks.

Both train the network of scripts/configs/census_income.toml, or one of the same shape on a made
table, on the same rows and in batches of the same size. Two processes that `torchrun` starts take
turns, an epoch each, so that a busy machine slows all alike: rank 0 alone, both together, and both
at once without a word to each other, each on half of every batch. That last one is what the
machine has to give.
"""

import argparse
import os
import statistics
import subprocess
import sys
import tempfile
import time
from collections.abc import Sequence
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np

from benchmarks.train import read_rows
from model.config.run import Config
from model.network.model import build_model
from model.schema import Dataset, Rows
from model.training.progress import Watcher
from model.training.ranks import Ranks, joined
from model.training.train import fit

BATCHES = (4_096, 16_384)


def epoch(dataset: Dataset, config: Config, batch_size: int, ranks: Ranks | None = None) -> tuple[float, float]:
    """Train an epoch; returns rows a second, which rank 0 measures, and its CPU seconds."""
    train = config.train.model_copy(update={"batch_size": batch_size})
    model, began = build_model(dataset.features, dataset.tasks, config.model, seed=0), time.process_time()
    epochs = fit(model, dataset, train, watcher=Watcher(), ranks=ranks).epochs
    return (epochs[0].rows_per_s if epochs else 0.0), time.process_time() - began


def repeated(dataset: Dataset, times: int) -> Dataset:
    """Repeat the training rows, so that an epoch takes some seconds."""
    rows = dataset.train
    arrays: dict[str, Any] = {
        name: np.concatenate([getattr(rows, name)] * times) for name in ("numeric", "codes", "labels", "text")
    }
    return replace(dataset, train=Rows(**arrays))


def half(dataset: Dataset) -> Dataset:
    """Take every second training row."""
    rows = dataset.train
    return replace(dataset, train=Rows(rows.numeric[::2], rows.codes[::2], rows.labels[::2], rows.text[::2]))


def measure(ranks: Ranks, dataset: Dataset, config: Config, batch_size: int, rounds: int) -> list[list[float]]:
    """Let the contenders take turns; returns on rank 0 each round's rows a second, in their order.

    The last figure of a round is the share of CPU time that the pair spends more than one alone.
    """
    part, found = half(dataset), list[list[float]]()
    for _ in range(rounds + 1):
        alone, spent = epoch(dataset, config, batch_size) if ranks.first else (0.0, 0.0)
        ranks.agree(0)
        together, own = epoch(dataset, config, batch_size, ranks)
        ranks.agree(0)
        apart, _ = epoch(part, config, batch_size // 2)
        for rank in range(ranks.world):  # the slower one counts
            ranks.tell(f"{len(found)} {batch_size} {ranks.rank}", repr(apart))
            apart = min(apart, float(ranks.hear(f"{len(found)} {batch_size} {rank}")))
        found.append([alone, together, 2 * apart, 2 * own / max(spent, 1e-9)])
    return found[1:]


def report(batch_size: int, found: Sequence[Sequence[float]]) -> str:
    """Lay out the medians, and the ratios of each round's pair."""
    alone, together, apart, cpu = (statistics.median(column) for column in zip(*found, strict=True))
    ratios, most = ([row[place] / row[0] for row in found] for place in (1, 2))
    return (
        f"| {batch_size:,} | {alone:,.0f} | {together:,.0f} | {statistics.median(ratios):.2f} "
        f"({min(ratios):.2f} to {max(ratios):.2f}) | {apart:,.0f} | {statistics.median(most):.2f} | {cpu:.2f} |"
    )


def main() -> None:
    """Start the ranks, or measure as one of them."""
    parser = argparse.ArgumentParser("python -m benchmarks.ranks", description=__doc__)
    parser.add_argument("--rounds", type=int, default=5)
    parser.add_argument("--times", type=int, default=4, help="how often the rows are repeated")
    options = parser.parse_args()
    if "WORLD_SIZE" not in os.environ:
        torchrun = [sys.executable, "-m", "torch.distributed.run", "--standalone", "--nproc-per-node", "2"]
        environment = {**os.environ, "OMP_NUM_THREADS": "1"}
        sys.exit(subprocess.run([*torchrun, "-m", "benchmarks.ranks", *sys.argv[1:]], env=environment).returncode)
    with joined() as ranks, tempfile.TemporaryDirectory() as folder:
        dataset, config = read_rows(Path(folder))
        dataset = repeated(dataset, options.times)
        if ranks.first:
            print("| batch | one, rows/s | two, rows/s | ratio | two apart, rows/s | ratio | CPU of two to one |")
            print("|---|---|---|---|---|---|---|", flush=True)
        for batch_size in BATCHES:
            found = measure(ranks, dataset, config, batch_size, options.rounds)
            if ranks.first:
                print(report(batch_size, found), flush=True)
        ranks.agree(0)


if __name__ == "__main__":
    main()
