"""Sections of the report that judge a model."""

from model.artifact.comparison import Comparison
from model.markdown import table


def comparison_section(comparison: Comparison) -> str:
    """Tabulate the metrics of both versions."""
    lines = [
        [f"`{name}`", metric, number(before), number(now), f"{now - before:+.4g}", _margin(comparison, name, metric)]
        for name, found in comparison.metrics.items()
        for metric, (before, now) in found.items()
    ]
    head = ["task", "metric", f"version {comparison.version}", "this version", "difference", "may be worse by"]
    return (
        f"## Beside version {comparison.version}\n\n"
        f"Both versions answered the same {comparison.rows:,} test rows. {comparison.caution}".rstrip()
        + "\n\n"
        + table(head, lines)
    )


def _margin(comparison: Comparison, name: str, metric: str) -> str:
    return next((f"{bar.margin:g}" for bar in comparison.bars if (bar.task, bar.metric) == (name, metric)), "")


def number(value: float | None) -> str:
    """Write a metric; nothing for None."""
    return "" if value is None else f"{value:.4f}" if abs(value) < 100 else f"{value:,.1f}"
