"""Runs for ranks and for one process: `torchrun -m tests.support.ranked FOLDER`."""

import sys
import weakref
from contextlib import suppress
from dataclasses import replace
from pathlib import Path

import numpy as np
import torch
import torch.distributed as dist

from model.config.run import ModelConfig, TrainConfig
from model.network.model import Model, build_model
from model.schema import Dataset, Rows, Task
from model.training.ranks import Ranks, joined
from model.training.train import fit
from tests.support import every_kind
from tests.support.training import PLAIN, InterruptAt, settings

# Of 300 rows the last batch has 1, which the first rank takes.
CASES: dict[str, TrainConfig] = {
    "dense": settings(epochs=2, batch_size=23, embedding_updates="dense", weight_decay=0.1),
    "lazy": settings(epochs=2, batch_size=23, embedding_updates="lazy", weight_decay=0.1),
    "uncertainty": settings(epochs=2, batch_size=64, task_weighting="uncertainty"),
    "interrupted": settings(epochs=2, batch_size=64, embedding_updates="lazy", checkpoint_every_s=0.0),
}


def uneven(rows: Rows) -> Rows:
    """Leave few labels of one task, none of another in most rows, and give rows their weights."""
    random = np.random.default_rng(0)
    labels = rows.labels.copy()
    labels[random.random(len(rows)) < 0.95, 1] = np.nan
    labels[: 2 * len(rows) // 3, 2] = np.nan
    bought = np.where(random.random(len(rows)) < 0.5, rows.labels[:, 1], 0.0)
    labels = np.column_stack([labels, bought])
    return replace(rows, labels=labels, weights=random.choice([0.5, 1.0, 3.0], len(rows)).astype(np.float32))


def dataset() -> Dataset:
    """Make rows of every kind of feature, with labels and weights spread unevenly."""
    made = every_kind.make_dataset()
    tasks = (*made.tasks, Task("bought", "binary", ("no", "yes"), after="sold"))
    return replace(made, tasks=tasks, train=uneven(made.train), validation=uneven(made.validation))


def trained(case: str, folder: Path, ranks: Ranks) -> Model:
    """Train a case; the interrupted one stops at its seventh step and goes on."""
    data, config, model = dataset(), CASES[case], ModelConfig.model_validate(PLAIN.model_dump())
    checkpoint = folder / "run.pt" if case == "interrupted" else None
    if checkpoint is not None:
        with suppress(KeyboardInterrupt):
            fit(fresh(data, model), data, config, checkpoint, InterruptAt(7), 200, ranks)
    made = fresh(data, model)
    fit(made, data, config, checkpoint, InterruptAt(-1), 200, ranks)
    return made


def fresh(data: Dataset, config: ModelConfig) -> Model:
    """Build the model that all start from."""
    return build_model(data.features, data.tasks, config, 0)


def main(folder: Path) -> None:
    """Train every case as one of the ranks; write the weights, and what is left of their group."""
    torch.set_num_threads(1)
    with joined() as ranks:
        group = weakref.ref(dist.group.WORLD)
        for case in CASES:
            torch.save(trained(case, folder, ranks).state_dict(), folder / f"{case} {ranks.rank}.pt")
        ranks.agree(0)  # none leaves before all have what they need
    names = [(task / "comm").read_text() for task in Path("/proc/self/task").glob("*")]
    (folder / f"left {ranks.rank}").write_text(f"{group()}, {sum('gloo' in name for name in names)} threads")


if __name__ == "__main__":
    main(Path(sys.argv[1]))
