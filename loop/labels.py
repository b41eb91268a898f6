"""Quality of both versions by labels: rows answered since a moment, from the logs."""

import importlib.util
import tempfile
from collections.abc import Callable, Mapping, Sequence
from pathlib import Path
from typing import Any

from batch.quality.errors import EvaluationError
from loop.config import Labels
from loop.errors import LoopError
from loop.figures import Metric, Quality, TaskQuality
from service.artifact.file import read_model
from service.artifact.manifest import Manifest
from service.errors import ArtifactError

MISSING = "rules on quality need the extra: pip install -c constraints.txt -e '.[train,evaluate]'"


READING = (
    "data.format='csv'",
    "data.encoding='utf-8'",
    "data.separator=','",
    "data.quote='\"'",
    "data.header=true",
    "data.columns=[]",
    "data.decimal='.'",
    "data.thousands=''",
)
"""Keys by which the trainer reads such a table, whatever the first one was like."""


def check_installed() -> None:
    """Refuse to begin without what joins the logs.

    Raises:
        LoopError: the extra is not installed.
    """
    if any(importlib.util.find_spec(name) is None for name in ("duckdb", "sklearn", "scipy")):
        raise LoopError(MISSING)


def read_quality(
    model: Path, versions: Sequence[int], logs: Labels, since: float, say: Callable[[str], None]
) -> dict[int, Quality]:
    """Join the logs and measure the rows that each version has answered since a moment.

    Args:
        model: directory of its versions, whose name is the model's.
        versions: served one and candidate.
        logs: of all replicas.
        since: seconds since 1970.
        say: told why nothing can be read now, as before the first prediction.

    Raises:
        LoopError: the file of a version cannot be read.
    """
    from batch.quality.judge import Rules, judge
    from batch.quality.logs import opened

    manifests = {version: _manifest(model, version) for version in versions}
    found: dict[int, Quality] = {}
    with tempfile.TemporaryDirectory(prefix="mmoe-loop-") as scratch:
        places = [Path(path) for path in logs.predictions], [Path(path) for path in logs.labels]
        try:
            with opened(model.name, *places, Path(scratch), since) as joined:
                for version in set(joined.versions()) & set(versions):
                    rows = joined.joined(version, manifests[version], (), Path(scratch) / f"rows-{version}.parquet")
                    found[version] = {task["task"]: _quality(task) for task in judge(manifests[version], rows, Rules())}
        except EvaluationError as error:
            say(f"No labels are read: {error}")
            return {}
    return found


def write_table(model: Path, served: int, logs: Labels, path: Path) -> int:
    """Write the rows that have got labels as a table for training, whole or not at all.

    Args:
        model: directory of its versions.
        served: version whose features and labels the table has.
        logs: of all replicas.
        path: of the table.

    Returns:
        The number of rows.

    Raises:
        UserError: logs that cannot be used so.
    """
    from batch.quality.logs import opened
    from batch.quality.training_table import write_training_table

    manifest = _manifest(model, served)
    with tempfile.TemporaryDirectory(prefix="mmoe-loop-") as scratch:
        places = [Path(path) for path in logs.predictions], [Path(path) for path in logs.labels]
        with opened(model.name, *places, Path(scratch)) as joined:
            alike = {version: manifest for version in joined.versions() if _has(model, version, manifest)}
            fresh = path.with_name(f".{path.name}")
            rows = write_training_table(joined, alike, fresh, Path(scratch)) if alike else 0
            if rows:
                fresh.replace(path)
    return rows


def _has(model: Path, version: int, manifest: Manifest) -> bool:
    """Tell whether a version has the features and tasks of another."""
    if not (model / str(version) / "model.onnx").is_file():
        return False
    other = _manifest(model, version)
    return (other.feature_names, other.task_names) == (manifest.feature_names, manifest.task_names)


def _manifest(model: Path, version: int) -> Manifest:
    path = model / str(version) / "model.onnx"
    try:
        return read_model(path)[1]
    except (ArtifactError, OSError) as error:
        raise LoopError(f"{path} cannot be read: {error}") from None


def _quality(task: Mapping[str, Any]) -> TaskQuality:
    metrics = {name: Metric(**found) for name, found in task["metrics"].items()}
    return TaskQuality(task["kind"], task["labelled"], metrics)
