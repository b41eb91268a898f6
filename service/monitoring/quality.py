"""Quality of models as `scripts.evaluate` left it: one JSON a model, read when it is asked for."""

from pathlib import Path
from typing import Annotated, Any, Literal

import orjson
from pydantic import Field, TypeAdapter, ValidationError
from typing_extensions import TypedDict

from service.system.json_types import Count

MOST_BYTES = 32 << 20
"""Most bytes of a model's file."""
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
    return load_quality(directory, model)[0]


def load_quality(directory: Path, model: str) -> tuple[bytes, Quality]:
    """Read the same with its meaning; errors are those of `read_quality`."""
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
