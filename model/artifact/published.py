"""The published version that is served: loaded, found comparable, asked raw rows."""

import json
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from model.artifact.manifest import METADATA_KEY
from model.artifact.parity import session_of
from model.artifact.stored import MODEL, Models, home_of, read_beside, versions_of
from model.network.inputs import BATCH_ROWS
from model.schema import BagFeature, CategoricalFeature, Dataset, FeatureSchema, HashedFeature, Rows, Task
from tables.errors import UserError

SERVING_FILE = "serving.json"
"""Says which version is served: docs/versions.md."""
KINDS = {CategoricalFeature: "categorical", HashedFeature: "hashed", BagFeature: "bag"}


@dataclass(frozen=True)
class Published:
    """Version that is published.

    Attributes:
        number: of the version.
        manifest: of its file.
        session: of onnxruntime.
    """

    number: int
    manifest: Mapping[str, Any]
    session: Any


def read_published(models: Models, name: str, serving: Path | None = None) -> Published | None:
    """Load the version of a model that is served; None if there is none.

    That is the pinned one, or the highest that is neither canary nor shadow.

    Args:
        models: directory or store.
        name: of the model.
        serving: directory of the files that say so, where they do not lie beside the models.

    Raises:
        UserError: its file, or the file that pins it, cannot be read.
    """
    found = versions_of(models, name)
    if not found:
        return None
    number = _served(models if serving is None else serving, name, found)
    try:
        with home_of(models, name, number, [MODEL]) as home:
            session = session_of((home / str(number) / MODEL).read_bytes())
        manifest = json.loads(session.get_modelmeta().custom_metadata_map[METADATA_KEY])
    except UserError:
        raise
    except Exception as error:  # onnxruntime has exceptions of many types
        raise UserError(
            f"{models}/{name}/{number}/{MODEL}: the published version cannot be read to compare with: {error}; "
            "train without --unless-worse"
        ) from None
    return Published(number, manifest, session)


def _served(place: Models, name: str, found: Sequence[int]) -> int:
    """Return the version that services serve by the model's serving file, if it can be loaded."""
    try:
        content = read_beside(place, name, SERVING_FILE)
        told: Any = {} if content is None else json.loads(content)
        pinned, beside = told.get("pinned"), [(told.get(key) or {}).get("version") for key in ("canary", "shadow")]
    except (OSError, ValueError, AttributeError) as error:
        raise UserError(
            f"{place}/{name}/{SERVING_FILE} cannot be read, which says what version is served and so compared with: "
            f"{error}; mend or remove it"
        ) from None
    others = [version for version in found if version not in beside]
    return int(pinned) if pinned in found else (others or found)[-1]


def check_comparable(published: Published, dataset: Dataset, outputs: Sequence[str]) -> None:
    """Refuse to compare with a version that answers other tasks or reads what these rows lack.

    Args:
        published: version to compare with.
        dataset: whose test rows both would answer.
        outputs: tasks, and conditional outputs, that have to be in both.

    Raises:
        UserError: one sentence.
    """
    reasons = [reason for name in outputs if (reason := _other_task(published.manifest, dataset, name))]
    reasons += [reason for entry in published.manifest["features"] if (reason := _lacks(dataset.features, entry))]
    if reasons:
        raise UserError(
            f"version {published.number} of '{published.manifest['name']}' cannot be compared with, since "
            f"{reasons[0]}; train without --unless-worse, or under another name"
        )


def _other_task(manifest: Mapping[str, Any], dataset: Dataset, output: str) -> str:
    """Say what keeps a task, or the conditional output of one, from being compared."""
    task = next(task for task in dataset.tasks if output in (task.name, task.conditional))
    entry = next((entry for entry in manifest["tasks"] if entry["name"] == task.name), None)
    if entry is None:
        return f"it has no task '{task.name}'"
    if entry["kind"] != task.kind:
        return f"its task '{task.name}' is {entry['kind']}, and here it is {task.kind}"
    if task.kind == "multiclass" and sorted(entry["classes"]) != sorted(task.classes):
        return f"its task '{task.name}' has other classes"
    if (after := entry.get("after", "")) != task.after:
        there, here = (f"comes after '{name}'" if name else "comes after no other" for name in (after, task.after))
        return f"its task '{task.name}' {there}, and here it {here}"
    return ""


def _lacks(features: FeatureSchema, entry: Mapping[str, Any]) -> str:
    """Say why a feature of a version cannot be given to it."""
    name, kind = entry["name"], entry["kind"]
    here = {f.name: "numeric" for f in features.numeric} | {f.name: KINDS[type(f)] for f in features.texts}
    here |= {f.name: "datetime" for f in features.datetimes}
    if name not in here:
        return f"it reads the feature '{name}', which is not a feature here"
    if kind != here[name]:
        return f"it reads '{name}' as {kind}, and here the feature is {here[name]}"
    separators = {bag.name: bag.separator for bag in features.bags}
    if kind == "bag" and entry["separator"] != separators[name]:
        return f"it parts the values of '{name}' by {entry['separator']!r}, and here it is {separators[name]!r}"
    return ""


def answers(published: Published, dataset: Dataset, rows: Rows) -> dict[str, NDArray[np.float32]]:
    """Let a version answer rows as a client would send them, by outputs that both have."""
    names = [o.name for o in published.session.get_outputs() if not o.name.startswith("gate_")]
    names = [name for name in names if _shared(published.manifest, dataset, name)]
    batches = [
        published.session.run(names, _feeds(published, dataset.features, rows, begin))
        for begin in range(0, len(rows), BATCH_ROWS)
    ]
    found = {name: np.concatenate(parts) for name, parts in zip(names, zip(*batches, strict=True), strict=True)}
    for task in dataset.tasks:
        if task.kind == "multiclass" and task.name in found:
            found[task.name] = found[task.name][:, _places(published.manifest, task)]
    return found


def _shared(manifest: Mapping[str, Any], dataset: Dataset, output: str) -> bool:
    """Check whether an output is a task of both versions, or the conditional one of such."""
    known = [name for task in dataset.tasks for name in (task.name, task.conditional)]
    return output in known and not _other_task(manifest, dataset, output)


def _places(manifest: Mapping[str, Any], task: Task) -> list[int]:
    """Find the places of a task's classes in a version."""
    theirs: list[str] = next(entry["classes"] for entry in manifest["tasks"] if entry["name"] == task.name)
    return [theirs.index(name) for name in task.classes]


def _feeds(published: Published, features: FeatureSchema, rows: Rows, begin: int) -> dict[str, Any]:
    """Take a batch of raw rows in the order of a version's features."""
    part = slice(begin, begin + BATCH_ROWS)
    wanted: dict[str, list[str]] = {"numeric": [], "datetime": [], "categorical": []}
    for entry in published.manifest["features"]:
        wanted[entry["kind"] if entry["kind"] in wanted else "categorical"].append(entry["name"])
    held: dict[str, tuple[list[str], Any]] = {
        "numeric": ([f.name for f in features.numeric], rows.numeric),
        "categorical": ([f.name for f in features.texts], rows.text),
        "datetime": ([f.name for f in features.datetimes], rows.datetimes),
    }
    return {
        tensor: held[tensor][1][part][:, [held[tensor][0].index(name) for name in names]]
        for tensor, names in wanted.items()
        if names
    }
