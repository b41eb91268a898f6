"""Defaults that depend on the table: what `[model]` and `[train]` leave open is chosen here.

Training is counted in steps, not in epochs: a table of 300 rows needs as many of them as one of
30,000, and one of millions is learnt before it has been read twenty times. A key that the
configuration holds is never changed.
"""

import math
from typing import Any, NamedTuple

from model.config.run import Config, ModelConfig, TrainConfig
from model.schema import Dataset

STEPS = 2000
"""Steps of a training, at most, where the fewest epochs are not more."""

FEWEST_EPOCHS = 3
PATIENCE_STEPS = 700
SMALLEST_BATCH, LARGEST_BATCH = 16, 512
STEPS_PER_EPOCH = 100
"""Steps that an epoch of a small table is to give; a batch has rows enough for no more."""

LEARNING_RATE, WEIGHT_DECAY = 5e-3, 0.2
AVERAGED_SHARE = 0.05
"""Share of all steps over which the weights are averaged."""

MOST_BINS, FEWEST_BINS, ROWS_PER_BIN = 16, 4, 20
BIN_COLUMNS = 384
"""Columns of all bins together; numbers that leave each fewer than FEWEST_BINS have none."""


class Settled(NamedTuple):
    """Configuration without anything left open, and a line on what was chosen, if anything was."""

    config: Config
    notes: tuple[str, ...]


def settle(config: Config, dataset: Dataset) -> Settled:
    """Choose what the configuration leaves open by the rows and features of its table."""
    rows = len(dataset.train) or (len(dataset.row_numbers[0]) if dataset.row_numbers else 0)
    chosen = {
        "model": _open(config.model, _of_model(config.model, rows, len(dataset.features.numeric))),
        "train": _open(config.train, _of_training(config.train, rows)),
    }
    sections = {name: getattr(config, name).model_copy(update=values) for name, values in chosen.items()}
    words = [f"{name}.{key} = {value}" for name, values in chosen.items() for key, value in values.items()]
    notes = (f"Chosen by the {rows:,} training rows: {', '.join(words)}.",) if words else ()
    return Settled(config.model_copy(update=sections), notes)


def bins_for(config: ModelConfig, rows: int, numeric: int) -> int:
    """Choose the quantile bins of each number; 0 for an encoding without any.

    Args:
        config: the section `model`.
        rows: of the training split.
        numeric: how many features are numbers.
    """
    if "numeric_encoding" in config.model_fields_set:
        return config.bins if config.numeric_encoding != "standard" else 0
    bins = min(MOST_BINS, BIN_COLUMNS // max(1, numeric), rows // ROWS_PER_BIN)
    if bins < FEWEST_BINS:
        return 0
    return config.bins if "bins" in config.model_fields_set else bins


def batch_size_for(config: TrainConfig, rows: int) -> int:
    """Choose the rows per step where the configuration leaves it open."""
    return config.batch_size or min(LARGEST_BATCH, max(SMALLEST_BATCH, rows // STEPS_PER_EPOCH))


def _of_model(config: ModelConfig, rows: int, numeric: int) -> dict[str, Any]:
    bins = bins_for(config, rows, numeric)
    return {"numeric_encoding": "mixed", "bins": bins} if bins else {"numeric_encoding": "standard"}


def _of_training(config: TrainConfig, rows: int) -> dict[str, Any]:
    batch_size = batch_size_for(config, rows)
    steps = max(1, math.ceil(rows / batch_size))  # of an epoch
    epochs = config.epochs if "epochs" in config.model_fields_set else max(FEWEST_EPOCHS, math.ceil(STEPS / steps))
    return {
        "epochs": epochs,
        "batch_size": batch_size,
        "learning_rate": LEARNING_RATE,
        "weight_decay": WEIGHT_DECAY,
        "patience": max(FEWEST_EPOCHS, math.ceil(PATIENCE_STEPS / steps)),
        "average_steps": round(AVERAGED_SHARE * epochs * steps),
    }


def _open(section: ModelConfig | TrainConfig, values: dict[str, Any]) -> dict[str, Any]:
    """Keep the values of keys that the configuration does not hold, and of a batch size of 0."""
    given = section.model_fields_set - ({"batch_size"} if getattr(section, "batch_size", None) == 0 else set())
    return {key: value for key, value in values.items() if key not in given}
