"""Metrics of drift, in the form of Prometheus: the worst features by name, the rest as one."""

from collections.abc import Iterable, Iterator

from prometheus_client.core import GaugeMetricFamily, Metric

from service.monitoring.drift import LEVELS, Distance, feature_drifts, prediction_drifts
from service.monitoring.drift_report import SHARES
from service.monitoring.inputs import RING, InputTraffic

NAMED = 10
"""Features with series of their own."""

REST = "(others)"
"""Label of the greatest figures of all others."""

_WINDOW = RING.tiers[1]


def drift_metrics(versions: Iterable[InputTraffic]) -> Iterator[Metric]:
    """Yield the drift of the last 5 minutes; nothing of versions without rows."""
    by_version, by_feature = ["model", "version"], ["model", "version", "feature"]
    rows = _gauge("mmoe_drift_rows", "Rows of equal weight that the drift of features is judged by.", by_version)
    count = _gauge("mmoe_drift_features", "Features at a level of drift.", [*by_version, "level"])
    index = _gauge("mmoe_feature_drift_population_stability_index", "Distance from the baseline.", by_feature)
    divergence = _gauge("mmoe_feature_drift_jensen_shannon_distance", "Distance from the baseline.", by_feature)
    shares = {
        name: _gauge(f"mmoe_feature_{name}_share", "Share of the feature's values.", by_feature) for name in SHARES
    }
    of_output = _gauge(
        "mmoe_prediction_drift_population_stability_index", "Distance from the baseline.", [*by_version, "output"]
    )
    verdict = _gauge(
        "mmoe_prediction_drift_level",
        "Verdict: 0 stable or too few rows, 1 moderate, 2 major.",
        [*by_version, "output"],
    )
    for traffic in versions:
        inputs, counted = traffic.inputs, traffic.counted(_WINDOW)
        version = [inputs.model, str(inputs.version)]
        if not counted.rows:
            continue
        rows.add_metric(version, counted.effective_rows)
        found = feature_drifts(inputs, counted)
        for level in LEVELS[1:]:
            count.add_metric([*version, level], sum(drift.distance.level == level for drift in found))
        for drift in found[:NAMED]:
            labels = [*version, drift.feature.name]
            index.add_metric(labels, drift.distance.stability_index)
            divergence.add_metric(labels, drift.distance.jensen_shannon)
            for name, family in shares.items():
                if (share := drift.share(name, drift.distance.now)) is not None:
                    family.add_metric(labels, share)
        if rest := found[NAMED:]:
            labels = [*version, REST]
            index.add_metric(labels, max(drift.distance.stability_index for drift in rest))
            divergence.add_metric(labels, max(drift.distance.jensen_shannon for drift in rest))
            for name, family in shares.items():
                family.add_metric(labels, max(drift.share(name, drift.distance.now) or 0.0 for drift in rest))
        for output, distance in prediction_drifts(inputs, counted):
            of_output.add_metric([*version, output], distance.stability_index)
            verdict.add_metric([*version, output], _level(distance))
    yield from (rows, count, index, divergence, *shares.values(), of_output, verdict)


def _level(distance: Distance) -> int:
    return LEVELS.index(distance.level) if distance.level in LEVELS else 0


def _gauge(name: str, text: str, labels: list[str]) -> GaugeMetricFamily:
    return GaugeMetricFamily(name, f"{text} Of the last 5 minutes.", labels=labels)
