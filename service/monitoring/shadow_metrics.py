"""Metrics of shadow versions, in the form of Prometheus."""

from collections.abc import Iterator, Sequence

from prometheus_client.core import CounterMetricFamily, GaugeMetricFamily, Metric

from service.monitoring.comparison import ShadowFigures


def shadow_metrics(every: Sequence[ShadowFigures]) -> Iterator[Metric]:
    """Yield the figures of shadow versions, as sums over all workers.

    A ratio of rates is then a mean over any time and any number of instances.
    """
    labels = ["model", "version", "shadow"]
    for name, text in (
        ("rows", "Rows that a shadow version was compared on."),
        ("dropped_rows", "Rows chosen for a comparison and left out, as too many were waiting."),
        ("failed_rows", "Rows that the shadow version could not answer."),
    ):
        family = CounterMetricFamily(f"mmoe_shadow_{name}", text, labels=labels)
        for figures in every:
            family.add_metric(_labels(figures), getattr(figures, name))
        yield family
    for at, name, text in (
        (0, "difference", "Sum of the absolute differences from the served version."),
        (2, "disagreements", "Rows that the shadow version puts into another class."),
        (3, "gate_jensen_shannon", "Sum of the divergences (base 2) of the two versions' gate weights."),
        (4, "gate_same_top_expert", "Rows whose largest gate weight is of the same expert in both versions."),
    ):
        family = CounterMetricFamily(f"mmoe_shadow_{name}", text, labels=[*labels, "task"])
        for figures in every:
            for t, task in enumerate(figures.pair.tasks):
                if (at != 2 or task.kind != "regression") and (at < 3 or task.gates):
                    family.add_metric([*_labels(figures), task.name], figures.task(t)[at])
        yield family
    gauge = GaugeMetricFamily(
        "mmoe_shadow_largest_difference", "Largest absolute difference so far.", labels=[*labels, "task"]
    )
    for figures in every:
        for t, task in enumerate(figures.pair.tasks):
            gauge.add_metric([*_labels(figures), task.name], figures.task(t)[1])
    yield gauge


def _labels(figures: ShadowFigures) -> list[str]:
    pair = figures.pair
    return [pair.model, str(pair.served), str(pair.candidate)]
