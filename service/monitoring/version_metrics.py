"""Metrics of versions beside each other, in the form of Prometheus: requests, times, canaries."""

from collections.abc import Iterator, Mapping, Sequence
from typing import NamedTuple

from prometheus_client.core import CounterMetricFamily, GaugeMetricFamily, Metric

_LABELS = ["model", "version"]


class ServingFigures(NamedTuple):
    """Serving file of a model, in numbers.

    Attributes:
        canary: version that is to answer a share of the requests, if one is.
        share: that it gets now; 0 where it cannot answer.
        is_broken: whether the file cannot be used.
    """

    model: str
    canary: int | None
    share: float
    is_broken: bool


def version_metrics(sums: Mapping[tuple[str, int], Mapping[str, float]]) -> Iterator[Metric]:
    """Yield how many predictions each version has answered or refused, and the time of those.

    Args:
        sums: by name and version, as `Metrics.version_sums` has them.
    """
    requests = CounterMetricFamily(
        "mmoe_version_requests", "Requests for predictions, by outcome.", labels=[*_LABELS, "outcome"]
    )
    seconds = CounterMetricFamily(
        "mmoe_version_request_seconds", "Total time of answered requests for predictions.", labels=_LABELS
    )
    for (model, version), values in sums.items():
        requests.add_metric([model, str(version), "success"], values["successes"])
        requests.add_metric([model, str(version), "failure"], values["failures"])
        seconds.add_metric([model, str(version)], values["success_s"])
    yield requests
    yield seconds


def serving_metrics(every: Sequence[ServingFigures]) -> Iterator[Metric]:
    """Yield what the serving files ask for."""
    share = GaugeMetricFamily("mmoe_canary_share", "Share of the requests that the canary gets now.", labels=_LABELS)
    broken = GaugeMetricFamily("mmoe_serving_file_broken", "1 where the file cannot be used.", labels=["model"])
    for figures in every:
        if figures.canary is not None:
            share.add_metric([figures.model, str(figures.canary)], figures.share)
        broken.add_metric([figures.model], float(figures.is_broken))
    yield share
    yield broken
