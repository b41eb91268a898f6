"""Weights file: the trained network in torch's own form, to go on with it in Python."""

import io
from collections.abc import Callable
from dataclasses import asdict
from pathlib import Path
from typing import Any

import torch

from model.config.run import Config, ModelConfig
from model.network.model import Model, build_model
from model.schema import (
    BagFeature,
    CategoricalFeature,
    Dataset,
    DatetimeFeature,
    FeatureSchema,
    HashedFeature,
    NumericFeature,
    Task,
)

Feature = NumericFeature | CategoricalFeature | HashedFeature | BagFeature | DatetimeFeature

FORMAT = 3
READABLE = (2, 3)
"""In the second there were numbers and categories alone."""

KINDS: dict[str, Callable[..., Feature]] = {
    "numeric": NumericFeature,
    "categorical": CategoricalFeature,
    "hashed": HashedFeature,
    "bags": BagFeature,
    "datetimes": DatetimeFeature,
}
"""Parts of a FeatureSchema."""


def save_model(path: Path, model: Model, dataset: Dataset, config: Config) -> None:
    """Write weights, features, tasks and the network's configuration.

    All are plain values, so that loading runs no code.
    """
    held = {
        "format": FORMAT,
        "model": config.model.model_dump(mode="json"),
        **{kind: [asdict(feature) for feature in getattr(dataset.features, kind)] for kind in KINDS},
        "tasks": [asdict(task) for task in dataset.tasks],
        "weights": model.state_dict(),
        "met": model.encoder.met.cpu(),
    }
    content = io.BytesIO()
    torch.save(held, content)  # into a file it answers a full disk with an error of its own
    path.write_bytes(content.getbuffer())


def load_model(path: Path) -> tuple[Model, FeatureSchema]:
    """Rebuild a saved network on the CPU, in evaluation mode, and the features it reads.

    Of a file that does not say which rows of the embedding table training has met, all are.

    Raises:
        ValueError: the file is of another format.
    """
    held: dict[str, Any] = torch.load(path, map_location="cpu", weights_only=True)
    if held.get("format") not in READABLE:
        raise ValueError(f"{path} is of format {held.get('format')}, expected {FORMAT}: train and export it again")
    kinds: dict[str, Any] = {kind: tuple(make(**entry) for entry in held.get(kind, ())) for kind, make in KINDS.items()}
    features = FeatureSchema(**kinds)
    tasks = tuple(Task(**entry) for entry in held["tasks"])
    model = build_model(features, tasks, ModelConfig.model_validate(held["model"]))
    model.load_state_dict(held["weights"])
    model.encoder.met = held.get("met", torch.ones_like(model.encoder.met))
    return model.eval(), features
