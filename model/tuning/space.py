"""Search space: what a trial may change of a configuration, as assignments "key=value"."""

from collections.abc import Mapping
from typing import Any

import optuna

from model.config.run import Config

WIDTHS = (16, 32, 64, 128)
EXPERTS = (2, 4, 8, 16)
BINS = (8, 16, 32)
ENCODINGS = ("standard", "piecewise_linear", "mixed")
EMBEDDINGS = (4, 8, 16, 32)
LOWEST_RATE, HIGHEST_RATE = 1e-4, 3e-2
LOWEST_WEIGHT, HIGHEST_WEIGHT = 0.25, 4.0
"""Bounds of a task's weight beside that of the first task, which stays."""


def suggest(trial: optuna.Trial, config: Config) -> list[str]:
    """Draw one configuration.

    Learning rate, widths, dropout and the encoding of numbers always; experts where there are
    gates, an embedding's width where there are text columns (known only when the table is read, so
    always), weights of tasks where they are fixed.

    Returns:
        Assignments that `load_config` takes beside the file that `config` was read from.
    """
    rate = trial.suggest_float("train.learning_rate", LOWEST_RATE, HIGHEST_RATE, log=True)
    width = trial.suggest_categorical("expert width", WIDTHS)
    layers = trial.suggest_int("expert layers", 1, 2)
    tower = trial.suggest_categorical("tower width", (8, 16, 32))
    found: dict[str, Any] = {
        "train.learning_rate": rate,
        "model.expert_hidden": [width] * layers,
        "model.tower_hidden": [tower],
        "model.dropout": trial.suggest_float("model.dropout", 0.0, 0.4, step=0.1),
        "model.embedding_dim": trial.suggest_categorical("model.embedding_dim", EMBEDDINGS),
        "model.numeric_encoding": trial.suggest_categorical("model.numeric_encoding", ENCODINGS),
    }
    if found["model.numeric_encoding"] != "standard":
        found["model.bins"] = trial.suggest_categorical("model.bins", BINS)
    if config.model.architecture in ("mmoe", "omoe", "cgc"):
        found["model.experts"] = trial.suggest_categorical("model.experts", EXPERTS)
    if config.train.task_weighting == "fixed":
        for task in config.tasks[1:]:
            weight = trial.suggest_float(f"tasks.{task.name}.weight", LOWEST_WEIGHT, HIGHEST_WEIGHT, log=True)
            found[f"tasks.{task.name}.weight"] = weight * config.tasks[0].weight
    return assignments(found)


def assignments(values: Mapping[str, Any]) -> list[str]:
    """Write values as TOML behind their keys; a task is addressed by its name."""
    return [f"{key}={_toml(value)}" for key, value in values.items()]


def _toml(value: Any) -> str:
    return (
        f'"{value}"' if isinstance(value, str) else repr(float(f"{value:.4g}") if isinstance(value, float) else value)
    )
