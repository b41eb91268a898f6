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
from loop.home import Home
from service.artifact.manifest import Manifest

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
    home: Home, versions: Sequence[int], logs: Labels, since: float, say: Callable[[str], None]
) -> dict[int, Quality]:
    """Join the logs and measure the rows that each version has answered since a moment.

    Args:
        home: of the model's versions.
        versions: served one and candidate.
        logs: of all replicas.
        since: seconds since 1970.
        say: told why nothing can be read now, as before the first prediction.

    Raises:
        LoopError: the file of a version cannot be read.
    """
    from batch.quality.judge import Rules, judge
    from batch.quality.logs import opened

    manifests = {version: home.manifest(version) for version in versions}
    found: dict[int, Quality] = {}
    with tempfile.TemporaryDirectory(prefix="mmoe-loop-") as scratch:
        places = [Path(path) for path in logs.predictions], [Path(path) for path in logs.labels]
        try:
            with opened(home.name, *places, Path(scratch), since) as joined:
                for version in set(joined.versions()) & set(versions):
                    rows = joined.joined(version, manifests[version], (), Path(scratch) / f"rows-{version}.parquet")
                    found[version] = {task["task"]: _quality(task) for task in judge(manifests[version], rows, Rules())}
        except EvaluationError as error:
            say(f"No labels are read: {error}")
            return {}
    return found


def write_table(home: Home, served: int, logs: Labels, path: Path) -> int:
    """Write the rows that have got labels as a table for training, whole or not at all.

    Args:
        home: of the model's versions.
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

    manifest, published = home.manifest(served), home.versions()
    with tempfile.TemporaryDirectory(prefix="mmoe-loop-") as scratch:
        places = [Path(path) for path in logs.predictions], [Path(path) for path in logs.labels]
        with opened(home.name, *places, Path(scratch)) as joined:
            known = [version for version in joined.versions() if version in published]
            alike = {version: manifest for version in known if _same(home.manifest(version), manifest)}
            fresh = path.with_name(f".{path.name}")
            rows = write_training_table(joined, alike, fresh, Path(scratch)) if alike else 0
            if rows:
                fresh.replace(path)
    return rows


def _same(one: Manifest, other: Manifest) -> bool:
    """Tell whether two versions have the same features and tasks."""
    return (one.feature_names, one.task_names) == (other.feature_names, other.task_names)


def _quality(task: Mapping[str, Any]) -> TaskQuality:
    metrics = {name: Metric(**found) for name, found in task["metrics"].items()}
    return TaskQuality(task["kind"], task["labelled"], metrics)
