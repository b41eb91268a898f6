"""Bars of training on ids: speed with many of them, and AUC with a small buffer of rows."""

import time
from collections.abc import Iterator
from pathlib import Path

import numpy as np
from torch import Tensor

from benchmarks.bars import Verdict
from benchmarks.results import Spread
from benchmarks.scale.setting import Setting, at_least, say
from model.config.run import Config, load_config
from model.data.table import read_dataset
from model.network.model import build_model, predict
from model.schema import Dataset
from model.training.metrics import evaluate
from model.training.progress import Watcher
from model.training.train import fit

MANY, FEW = 1_000_000, 10_000
"""Buckets of the users' ids."""

ID_ROWS, BUFFER_ROWS = 500_000, 2_000_000
SETTINGS = ("train.epochs=1", "train.batch_size=4096", "train.device=cpu")
SEEDS = (0, 1, 2)


class StepTimes(Watcher):
    """Time of an epoch's steps behind the first, which touches memory for the first time."""

    def __init__(self) -> None:
        self._first: tuple[float, float, float] | None = None
        self.rows = self.seconds = self.cpu_s = 0.0

    def step(self, epoch: int, rows: int, loss_sum: Tensor) -> None:
        """Note rows and times."""
        now = float(rows), time.perf_counter(), time.process_time()
        self._first = self._first or now
        self.rows, self.seconds, self.cpu_s = (b - a for a, b in zip(self._first, now, strict=True))


def ids(setting: Setting) -> Iterator[Verdict]:
    """Train with a million buckets of users and with ten thousand, an epoch each by turns."""
    read = {buckets: _read(setting.log(ID_ROWS), buckets) for buckets in (MANY, FEW)}
    rates: dict[int, list[tuple[float, float]]] = {buckets: [] for buckets in read}
    for turn in range(setting.repeats + 1):
        for buckets, (dataset, config) in read.items():
            model, times = build_model(dataset.features, dataset.tasks, config.model, seed=0), StepTimes()
            fit(model, dataset, config.train, watcher=times)
            say(f"{buckets:,} ids: {times.rows / times.seconds:,.0f} rows/s, {times.rows / times.cpu_s:,.0f} a CPU s")
            if turn:  # the first warms
                rates[buckets].append((times.rows / times.seconds, times.rows / times.cpu_s))
    for place, name in enumerate(("rows/s", "rows a CPU s")):
        ratio = Spread.of(many[place] / few[place] for many, few in zip(rates[MANY], rates[FEW], strict=True))
        yield at_least(f"{name} with {MANY:,} ids over those with {FEW:,}", 0.8, ratio.median, f"pairs: {ratio}")


def _read(path: Path, buckets: int) -> tuple[Dataset, Config]:
    """Read a log with so many buckets of users; validation, which is not timed, takes few rows."""
    config = load_config(path, [*SETTINGS, f"features.hashed.user={buckets}", "data.split.validation=0.002"])
    return read_dataset(config), config


def buffer(setting: Setting) -> Iterator[Verdict]:
    """Compare AUC with a twentieth of the rows in the buffer to that with all of them."""
    rows = min(BUFFER_ROWS, setting.rows)
    config = load_config(setting.log(rows), [*SETTINGS, "data.stream_above_rows=0", "train.learning_rate=4e-3"])
    dataset = read_dataset(config, setting.scratch / "buffer")
    found: dict[str, list[dict[str, float]]] = {"all": [], "twentieth": []}
    for seed in SEEDS:
        for name, size in (("all", len(dataset.train)), ("twentieth", len(dataset.train) // 20)):
            found[name].append(_auc(dataset, config, seed, size))
            say(f"seed {seed}, {name}: {found[name][-1]}")
    for task in dataset.tasks:
        whole, small = ([one[task.name] for one in found[name]] for name in ("all", "twentieth"))
        apart, spread = abs(float(np.mean(small) - np.mean(whole))), max(whole) - min(whole)
        detail = "; ".join(" ".join(f"{value:.4f}" for value in values) for values in (whole, small))
        words = f"{apart:.4f} and {spread:.4f} ({detail})"
        bar = f"{task.name}: mean AUC with a twentieth of {rows:,} rows in the buffer, apart from that with all"
        yield Verdict(bar, "within the seeds' spread", words, apart <= spread)


def _auc(dataset: Dataset, config: Config, seed: int, buffer_rows: int) -> dict[str, float]:
    """Train one epoch; returns each task's AUC on the test rows."""
    model = build_model(dataset.features, dataset.tasks, config.model, seed=seed)
    train = config.train.model_copy(update={"seed": seed})
    fit(model, dataset, train, watcher=Watcher(), buffer_rows=buffer_rows)
    metrics = evaluate(predict(model, dataset.test), dataset.test, dataset.tasks)
    return {task: round(found["auc"], 5) for task, found in metrics.items()}
