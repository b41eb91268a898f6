"""Published versions that a run may go on from: their weights, and what has to stay as it was."""

import hashlib
from collections.abc import Iterator
from pathlib import Path
from typing import Any, NamedTuple

from model.artifact.stored import Models, versions_of
from model.artifact.weights import load_model
from model.config.run import Config, ModelConfig, load_config
from model.data.earlier import Earlier
from model.errors import ConfigError, TrainError
from model.network.growth import grown
from model.network.model import Model
from model.schema import Dataset, Origin
from tables.config import TableData
from tables.missing import markers_of

LATEST = "latest"
CONFIG, CHECKPOINT = "config.toml", "checkpoint.pt"
"""Files of a version that a run goes on from."""

AFRESH = "or train afresh without --from"

OF_TRAINING = {"dropout", "gate_dropout"}
"""Keys of `model` that a run may change."""

OF_TASKS = ("kind", "positive", "positive_in", "positive_if", "after", "negatives_kept")
"""Keys of a task that a run may not change; its classes are compared where they are given."""

OF_FEATURES = ("hashed", "bag", "datetime", "share")
"""Keys of `features` that a run may not change; other columns are compared as they are read."""


def find_version(models: Models, name: str, wanted: str) -> int:
    """Find a version of a model by its number, or the latest one.

    Raises:
        UserError: it is not there, or the place cannot be read.
    """
    published, home = versions_of(models, name), f"{models}/{name}"
    if not published:
        raise TrainError(f"{home}: nothing is published there that --from could go on from; train without it")
    if wanted == LATEST:
        return published[-1]
    if not wanted.isascii() or not wanted.isdigit() or int(wanted) not in published:
        raise TrainError(
            f"{home}: --from names version {wanted}, which is not there; published are {', '.join(map(str, published))}"
        )
    return int(wanted)


class Start(NamedTuple):
    """Version that a run goes on from.

    Attributes:
        config: of the run; what it leaves open of the network is as in the version.
        earlier: what the table is read by.
        model: with the version's weights.
    """

    config: Config
    earlier: Earlier
    model: Model


def load_earlier(home: Path, version: int, config: Config, refit: bool = False) -> Start:
    """Load a version, checked against the configuration of the run that is to go on from it.

    Args:
        home: directory of the model.
        version: in it.
        config: of the run.
        refit: whether the run takes the statistics of its own training rows.

    Raises:
        TrainError: it lacks something, or the configuration asks for another network.
    """
    folder = home / str(version)
    try:
        known = load_config(folder / CONFIG)
    except ConfigError as error:
        raise TrainError(f"version {version} cannot be gone on from: {error}; choose another one, {AFRESH}") from error
    config = completed(config, known)
    check_alike(config, known, version)
    path = folder / CHECKPOINT
    try:
        digest = hashlib.sha256(path.read_bytes()).hexdigest()
        model, features = load_model(path)
    except OSError as error:
        raise TrainError(
            f"version {version} cannot be gone on from: {path}: {error.strerror or error}; choose another one, {AFRESH}"
        ) from error
    except Exception as error:  # torch.load raises whatever damaged bytes lead to
        raise TrainError(
            f"version {version} cannot be gone on from: {path} is not the network of a version that this release "
            f"reads; choose another one, {AFRESH}"
        ) from error
    return Start(config, Earlier(Origin(version, f"sha256:{digest}", refit), features, model.tasks), model)


def go_on(start: Start, dataset: Dataset) -> Model:
    """Build the model of a run with the weights of the version, and rows for new values."""
    before, features = start.earlier.features, dataset.features
    return grown(start.model, before, features, dataset.tasks, start.config.model)


def completed(config: Config, known: Config) -> Config:
    """Take what the configuration leaves open of the network from that of a version."""
    given = {key: getattr(config.model, key) for key in config.model.model_fields_set}
    network = ModelConfig.model_validate(known.model.model_dump() | given)
    return config.model_copy(update={"model": network})


def check_alike(config: Config, known: Config, version: int) -> None:
    """Refuse a configuration that a version's network does not fit.

    Raises:
        TrainError: one sentence, with what differs first.
    """
    for key, here, there in _differences(config, known):
        raise TrainError(
            f"{key} is {here}, and {there} in version {version}, from which this run is to go on; restore it, {AFRESH}"
        )


def _differences(config: Config, known: Config) -> Iterator[tuple[str, Any, Any]]:
    """Yield keys that differ and may not, with both values."""
    for key, here, there in _compared(config, known):
        if here != there:
            yield key, here, there


def _compared(config: Config, known: Config) -> Iterator[tuple[str, Any, Any]]:
    mine, theirs = (one.model_dump(mode="json") for one in (config, known))
    here, there = ([task["name"] for task in one["tasks"]] for one in (mine, theirs))
    yield "the list of tasks", here, there
    if here != there:
        return
    for task, other in zip(mine["tasks"], theirs["tasks"], strict=True):
        for key in OF_TASKS:
            yield f"tasks.{task['name']}.{key}", task[key], other[key]
        if task["kind"] == "multiclass" and task["classes"] and other["classes"]:
            yield f"tasks.{task['name']}.classes", task["classes"], other["classes"]
    free = OF_TRAINING | ({"bins"} if config.model.numeric_encoding == "standard" else set())
    for key in [key for key in mine["model"] if key not in free]:
        yield f"model.{key}", mine["model"][key], theirs["model"][key]
    for key in OF_FEATURES:
        yield f"features.{key}", mine["features"][key], theirs["features"][key]
    if isinstance(config.data, TableData) and isinstance(known.data, TableData):
        yield "data.missing", sorted(markers_of(config.data).texts), sorted(markers_of(known.data).texts)
