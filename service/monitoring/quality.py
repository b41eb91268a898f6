"""Quality of models as `scripts.evaluate` left it: one JSON a model, read when it is asked for."""

from collections.abc import Iterator
from pathlib import Path
from typing import Annotated, Any, Literal

import orjson
from prometheus_client.core import GaugeMetricFamily, Metric
from pydantic import Field, TypeAdapter, ValidationError
from typing_extensions import TypedDict

from service.system.json_types import Count

MOST_BYTES = 32 << 20
"""Most bytes of a model's file."""
MOST_SERIES = 1000
"""Series of tasks that metrics have, over all models and versions, newest versions first."""
FILE = "quality.json"


class Estimate(TypedDict):
    """Value of a metric, and its 95 % interval where one is known."""

    value: float
    low: float | None
    high: float | None


class Verdict(TypedDict, total=False):
    """Comparison with the test rows of training."""

    state: Literal["too few rows", "as on test rows", "worse than test rows", "not comparable"]
    needed: Count
    metric: str
    value: float
    test: float
    margin: float


Metrics = dict[str, Estimate]
Parts = list[dict[str, Any]]


class TaskQuality(TypedDict):
    """Quality of one output: rows, metrics beside those of training, and its parts."""

    task: str
    kind: Literal["regression", "binary", "multiclass"]
    rows: Count
    labelled: Count
    share_labelled: Annotated[float, Field(ge=0, le=1)]
    label_delay_s: dict[str, float] | None
    metrics: Metrics
    base_log_loss: float | None
    test_metrics: dict[str, float | None]
    verdict: Verdict
    by_time: Parts
    by_expert: Parts
    segments: Parts


class VersionQuality(TypedDict):
    """Quality of one version."""

    version: Annotated[int, Field(ge=1)]
    rows: Count
    measured_rows: Count
    joints_above_parents: Count
    tasks: list[TaskQuality]


class Quality(TypedDict):
    """Quality of a model by its logs and labels; docs/quality.md."""

    model: str
    time_utc: str
    by: Literal["hour", "day"]
    min_rows: Count
    records: dict[str, Count]
    versions: list[VersionQuality]


_QUALITY = TypeAdapter(Quality)


class QualityFileError(Exception):
    """No result of an evaluation, or one that cannot be read; the text says which."""


def read_quality(directory: Path, model: str) -> bytes:
    """Read the result of a model's last evaluation, as it lies there.

    Raises:
        QualityFileError: there is none, or it is not one.
    """
    return _read(directory, model)[0]


def _read(directory: Path, model: str) -> tuple[bytes, Quality]:
    path = directory / model / FILE
    try:
        with path.open("rb") as file:
            content = file.read(MOST_BYTES + 1)
    except OSError as error:
        raise QualityFileError(f"{model} has not been evaluated: {path}: {error.strerror}") from None
    if len(content) > MOST_BYTES:
        raise QualityFileError(f"{path} has more than {MOST_BYTES} bytes; run scripts.evaluate again")
    try:
        return content, _QUALITY.validate_python(orjson.loads(content))
    except (ValueError, ValidationError) as error:
        reason = str(error).splitlines()[0]
        raise QualityFileError(f"{path} is not a result of scripts.evaluate: {reason}") from None


def quality_metrics(directory: Path) -> Iterator[Metric]:
    """Yield the quality of every model that was evaluated, one series a task and metric."""
    labels = ["model", "version", "task"]
    values = GaugeMetricFamily("mmoe_quality", "Metric over labelled rows of the logs.", labels=[*labels, "metric"])
    before = GaugeMetricFamily("mmoe_quality_test", "The same on the test rows.", labels=[*labels, "metric"])
    labelled = GaugeMetricFamily("mmoe_quality_labelled_rows", "Labelled rows that were judged.", labels=labels)
    worse = GaugeMetricFamily("mmoe_quality_worse", "1 for a task that is worse than on test rows.", labels=labels)
    room = MOST_SERIES
    for found in _every(directory):
        for version in sorted(found["versions"], key=lambda version: -version["version"]):
            for task in version["tasks"]:
                if (room := room - 1 - len(task["metrics"])) < 0:
                    break
                names = [found["model"], str(version["version"]), task["task"]]
                labelled.add_metric(names, task["labelled"])
                worse.add_metric(names, float(task["verdict"]["state"] == "worse than test rows"))
                for name, estimate in task["metrics"].items():
                    values.add_metric([*names, name], estimate["value"])
                    if (test := task["test_metrics"].get(name)) is not None:
                        before.add_metric([*names, name], test)
    yield from (values, before, labelled, worse)


def _every(directory: Path) -> Iterator[Quality]:
    try:
        names = sorted(path.name for path in directory.iterdir() if not path.name.startswith("."))
    except OSError:
        return
    for name in names:
        try:
            yield _read(directory, name)[1]
        except QualityFileError:
            continue
