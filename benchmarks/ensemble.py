"""Comparison of stacked runs with the plain trainer: `python -m benchmarks.ensemble`.

Runs are those of the study: the paper's sizes, the study's steps and batch size, rows of their
own. The plain trainer does them one after another, and in one process per core; stacked runs are
trained in one process per core too, as in the study. All contenders make their rows within the
measured time, processes are started and warm before it, and they take turns, so that a busy
machine slows all of them.
"""

import argparse
import multiprocessing as mp
import os
import statistics
import time
from collections.abc import Callable, Sequence
from concurrent.futures import ProcessPoolExecutor
from dataclasses import dataclass, replace
from functools import partial
from pathlib import Path

import torch

from model.config.run import load_config
from model.data.table import read_dataset
from model.network.model import build_model
from model.study.processes import keep_freed_memory
from model.study.synthetic.cells import COMPARED, Recipe, compared_cell, train_runs
from model.training.progress import Watcher
from model.training.train import fit

SYNTHETIC = Path(__file__).parent.parent / "scripts" / "configs" / "synthetic.toml"
HELD_OUT = 1000
"""Rows for validation and again for test, as many as a run of the study tests on."""


def plain_run(architecture: str, recipe: Recipe, seed: int) -> None:
    """Run the study once with model/data/table.py and model/training/train.py."""
    cell = compared_cell(architecture, 0.5, 1e-2, 1, recipe)  # type: ignore[arg-type]
    rows = recipe.steps * recipe.batch + 2 * HELD_OUT
    settings = {
        "data.rows": rows,
        "data.seed": seed,
        "data.validation": HELD_OUT / rows,
        "data.test": HELD_OUT / rows,
        "model.architecture": f"'{architecture}'",
        "model.expert_hidden": [cell.hidden],
        "train.epochs": 1,
        "train.batch_size": recipe.batch,
        "train.learning_rate": cell.learning_rate,
        "train.schedule": "'constant'",
        "train.device": "'cpu'",
    }
    config = load_config(SYNTHETIC, [f"{key}={value}" for key, value in settings.items()])
    dataset = read_dataset(config)
    fit(build_model(dataset.features, dataset.tasks, config.model, seed), dataset, config.train, watcher=Watcher())


def stacked_runs(architecture: str, recipe: Recipe, block: int, first: int) -> None:
    """Run a block of the study's runs."""
    cell = compared_cell(architecture, 0.5, 1e-2, block, recipe)  # type: ignore[arg-type]
    train_runs(cell, range(first, first + block))


def prepare() -> None:
    """Make a process ready as the study does."""
    torch.set_num_threads(1)
    keep_freed_memory()


@dataclass(frozen=True)
class Rate:
    """Runs a second, and a second of CPU time, which a busy machine spares."""

    wall: float
    cpu: float


def measure(architecture: str, recipe: Recipe, block: int, cores: int, repeats: int) -> dict[str, list[Rate]]:
    """Let the contenders take turns."""
    plain, stacked = partial(plain_run, architecture), partial(stacked_runs, architecture)
    short = replace(recipe, steps=min(recipe.steps, 20))
    found: dict[str, list[Rate]] = {
        "plain, one after another": [],
        f"plain, {cores} processes": [],
        f"stacked by {block}, {cores} processes": [],
    }
    one_after_another, processes, together = found.values()
    with ProcessPoolExecutor(cores, mp.get_context("spawn"), prepare) as pool:
        _timed(pool, partial(plain, short), range(4 * cores), 1)
        _timed(pool, partial(stacked, short, block), range(4 * cores), block)
        plain(short, 0)
        for _ in range(repeats):
            began, cpu = time.perf_counter(), _cpu_seconds(partial(plain, recipe), 0)
            one_after_another.append(Rate(1 / (time.perf_counter() - began), 1 / cpu))
            processes.append(_timed(pool, partial(plain, recipe), range(2 * cores), 1))
            together.append(_timed(pool, partial(stacked, recipe, block), range(cores), block))
    return found


def _timed(pool: ProcessPoolExecutor, job: Callable[[int], None], numbers: range, runs: int) -> Rate:
    began = time.perf_counter()
    cpu = sum(pool.map(partial(_cpu_seconds, job), numbers))
    return Rate(runs * len(numbers) / (time.perf_counter() - began), runs * len(numbers) / cpu)


def _cpu_seconds(job: Callable[[int], None], number: int) -> float:
    began = time.process_time()
    job(number)
    return time.process_time() - began


def render(found: dict[str, list[Rate]]) -> str:
    """Tabulate medians and spreads, with the ratios under them."""
    lines = [f"{'runs':<32}{'runs/s':>10}{'slowest':>10}{'fastest':>10}{'runs/CPU s':>12}"]
    for name, rates in found.items():
        walls = [rate.wall for rate in rates]
        figures = (statistics.median(walls), min(walls), max(walls))
        cpu = statistics.median(rate.cpu for rate in rates)
        lines.append(f"{name:<32}" + "".join(f"{figure:>10.2f}" for figure in figures) + f"{cpu:>12.2f}")
    for words in ("wall", "cpu"):
        *plain, ours = (statistics.median(getattr(rate, words) for rate in rates) for rates in found.values())
        lines.append(f"ratio of the medians to the faster plain trainer, by {words} time: {ours / max(plain):.1f}")
    return "\n".join(lines)


def main(arguments: Sequence[str] | None = None) -> None:
    """Measure and print."""
    recipe = Recipe()
    parser = argparse.ArgumentParser(prog="python -m benchmarks.ensemble", description=__doc__)
    parser.add_argument("--repeats", type=int, default=3, help="turns of each contender (default: 3)")
    parser.add_argument("--architecture", choices=COMPARED, default="mmoe")
    parser.add_argument("--steps", type=int, default=recipe.steps, help=f"of each run (default: {recipe.steps})")
    parser.add_argument("--batch-size", type=int, default=recipe.batch, help=f"rows per step (default: {recipe.batch})")
    parser.add_argument(
        "--block", type=int, default=20, help="runs stacked in a process (default: 20, as the study has them)"
    )
    options = parser.parse_args(arguments)
    recipe = replace(recipe, steps=options.steps, batch=options.batch_size)
    cores = os.cpu_count() or 1
    print(f"{options.architecture}: {recipe.steps:,} steps of {recipe.batch} rows a run, {cores} cores", flush=True)
    print(render(measure(options.architecture, recipe, options.block, cores, options.repeats)))


if __name__ == "__main__":
    main()
