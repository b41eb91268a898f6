"""Comparison with the highest published version, which answers the same test rows as it serves."""

import tomllib
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

from pydantic import ValidationError

from model.artifact.parity import rows_with_text
from model.artifact.published import Published, answers, check_comparable
from model.config.data import SyntheticData
from model.config.run import Config
from model.network.model import Model, Predictions, predict
from model.schema import Dataset
from model.training.metrics import HIGHER_IS_BETTER, evaluate
from tables.errors import UserError

FREE = {"path", "format", "weight", "buffer_rows", "cache_gib", "drop", "group_metric"}
"""Keys of `data` that do not choose a row's split; a file's content is known by its digest."""

LEARNED = {"name", "weight", "after", "negatives_kept", "calibrate"}
"""Keys of a task that do not choose a row's split."""


@dataclass(frozen=True)
class Bar:
    """Metric of a task or a conditional output, and by how much a model may be worse in it."""

    task: str
    metric: str
    margin: float


@dataclass(frozen=True)
class Comparison:
    """Metrics of two versions on the same rows.

    Attributes:
        version: number of the published one.
        rows: test rows that both have answered.
        metrics: by task or conditional output, and name: of the published version and of this one.
        bars: that were asked for.
        caution: sentence on rows that the published version may have been trained on; else empty.
    """

    version: int
    rows: int
    metrics: dict[str, dict[str, tuple[float, float]]]
    bars: tuple[Bar, ...] = ()
    caution: str = ""

    @property
    def failures(self) -> list[str]:
        """Describe the metrics in which this model is worse by more than its margin."""
        said = []
        for bar in self.bars:
            before, now = self.metrics[bar.task][bar.metric]
            loss = before - now if HIGHER_IS_BETTER[bar.metric] else now - before
            if not loss <= bar.margin:
                said.append(
                    f"{bar.task}.{bar.metric} is {now:.6g}, and that of version {self.version} {before:.6g} on the "
                    f"same {self.rows:,} test rows: worse by {loss:.3g}, and at most {bar.margin:g} is allowed"
                )
        return said

    def entry(self) -> dict[str, Any]:
        """Describe it for the manifest's provenance."""
        return {
            "version": self.version,
            "rows": self.rows,
            "trained_on_these_rows": "perhaps" if self.caution else "no",
            "metrics": {
                name: {metric: {"before": before, "now": now} for metric, (before, now) in found.items()}
                for name, found in self.metrics.items()
            },
            "unless_worse": [{"metric": f"{bar.task}.{bar.metric}", "margin": bar.margin} for bar in self.bars],
        }


def read_bar(text: str, config: Config) -> Bar:
    """Read TASK.METRIC=MARGIN.

    Raises:
        UserError: one sentence.
    """
    key, _, margin = text.partition("=")
    task, _, metric = key.strip().rpartition(".")
    outputs = [(name, t.kind) for t in config.tasks for name in (t.name, t.conditional) if name]
    known = [f"{name}.{metric}" for name, kind in outputs for metric in config.metrics(kind)]
    if f"{task}.{metric}" not in known:
        raise UserError(f"--unless-worse names '{key.strip()}', expected one of {', '.join(known)}")
    try:
        value = float(margin)
    except ValueError:
        value = float("nan")
    if not 0.0 <= value < float("inf"):
        raise UserError(f"--unless-worse has the margin {margin!r}, expected a number from 0, as in {known[0]}=0.002")
    return Bar(task, metric, value)


def compare(published: Published, model: Model, dataset: Dataset, config: Config, bars: Sequence[Bar]) -> Comparison:
    """Let both versions answer the test rows, or the sample of them that has its text.

    Raises:
        UserError: they cannot be compared, or these rows do not define a metric.
    """
    check_comparable(published, dataset, [bar.task for bar in bars])
    rows = rows_with_text(dataset)
    mine = predict(model, rows)
    theirs = answers(published, dataset, rows)
    before = evaluate(Predictions({**mine.tasks, **theirs}, None), rows, dataset.tasks)
    now = evaluate(mine, rows, dataset.tasks)
    metrics = {
        name: {metric: (before[name][metric], value) for metric, value in found.items()}
        for name, found in now.items()
        if name in theirs
    }
    for bar in bars:
        if bar.metric not in metrics[bar.task]:
            raise UserError(f"--unless-worse names {bar.task}.{bar.metric}, which the test rows do not define")
    return Comparison(published.number, len(rows), metrics, tuple(bars), caution(published, dataset, config))


def caution(published: Published, dataset: Dataset, config: Config) -> str:
    """Warn that the test rows may have been training rows of a version.

    They were not where the same table was split in the same way, or where both splits are by the
    hash of the same key.
    """
    provenance = published.manifest["provenance"]
    try:
        before = Config.model_validate(tomllib.loads(provenance["config"]))
    except (ValidationError, tomllib.TOMLDecodeError):
        before = None
    if before is not None:
        same_table = provenance["data"]["digest"] == dataset.digest
        if _keyed(before, config) or (same_table and _split(before) == _split(config)):
            return ""
    return (
        f"Version {published.number} comes from another table or another split, so that some of these test rows may "
        "have been among its training rows, which makes it look better than it is; data.split.key keeps a row in its "
        "split as a table grows."
    )


def _keyed(before: Config, config: Config) -> bool:
    """Check whether the hash of the same key chooses a row's split in both."""
    if isinstance(before.data, SyntheticData) or isinstance(config.data, SyntheticData):
        return False
    return bool(config.data.split.keys) and before.data.split == config.data.split


def _split(config: Config) -> Any:
    """Collect what chooses the split of a row."""
    tasks = [task.model_dump(mode="json", exclude=LEARNED) for task in config.tasks]
    return config.data.model_dump(mode="json", exclude=FREE), tasks
