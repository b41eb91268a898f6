"""Metrics of quality, in the form of Prometheus: what evaluations found, a series a metric."""

from collections.abc import Iterator
from pathlib import Path
from typing import NamedTuple

from prometheus_client.core import GaugeMetricFamily, Metric

from service.monitoring.quality import FILE, Quality, QualityFileError, load_quality

MOST_SERIES = 1000
"""Series of tasks, over all models and versions, newest versions first."""


class Series(NamedTuple):
    """Figures of one output that metrics tell."""

    version: int
    task: str
    labelled: int
    worse: bool
    values: dict[str, float]
    before: dict[str, float]


class QualityMetrics:
    """Metrics of the quality of every model that was evaluated, one series a task and metric.

    A file is read when it has changed: of many hours and segments it is large.

    Args:
        directory: of the results.
    """

    def __init__(self, directory: Path) -> None:
        self._directory = directory
        self._read: dict[str, tuple[tuple[int, int, int], list[Series]]] = {}

    def collect(self) -> Iterator[Metric]:
        """Yield the metrics, in whatever thread."""
        labels = ["model", "version", "task"]
        values = GaugeMetricFamily("mmoe_quality", "Metric over labelled rows of the logs.", labels=[*labels, "metric"])
        before = GaugeMetricFamily("mmoe_quality_test", "The same on the test rows.", labels=[*labels, "metric"])
        labelled = GaugeMetricFamily("mmoe_quality_labelled_rows", "Labelled rows that were judged.", labels=labels)
        worse = GaugeMetricFamily("mmoe_quality_worse", "1 for a task that is worse than on test rows.", labels=labels)
        room = MOST_SERIES
        for model in self._models():
            for found in self._series(model):
                if (room := room - 1 - len(found.values)) < 0:
                    break
                names = [model, str(found.version), found.task]
                labelled.add_metric(names, found.labelled)
                worse.add_metric(names, float(found.worse))
                for name, value in found.values.items():
                    values.add_metric([*names, name], value)
                for name, value in found.before.items():
                    before.add_metric([*names, name], value)
        yield from (values, before, labelled, worse)

    def _models(self) -> list[str]:
        try:
            return sorted(path.name for path in self._directory.iterdir() if not path.name.startswith("."))
        except OSError:
            return []

    def _series(self, model: str) -> list[Series]:
        try:
            status = (self._directory / model / FILE).stat()
            stamp = status.st_mtime_ns, status.st_size, status.st_ino
            known = self._read.get(model)
            if known is None or known[0] != stamp:
                known = stamp, list(_series_of(load_quality(self._directory, model)[1]))
                self._read[model] = known
        except (OSError, QualityFileError):
            return []
        return known[1]


def _series_of(found: Quality) -> Iterator[Series]:
    """Take what metrics tell from a result, newest versions first."""
    for version in sorted(found["versions"], key=lambda version: -version["version"]):
        for task in version["tasks"]:
            values = {name: estimate["value"] for name, estimate in task["metrics"].items()}
            before = {name: test for name, test in task["test_metrics"].items() if test is not None and name in values}
            worse = task["verdict"]["state"] == "worse than test rows"
            yield Series(version["version"], task["task"], task["labelled"], worse, values, before)
