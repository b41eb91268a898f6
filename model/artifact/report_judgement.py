"""Sections of the report that judge a model."""

from collections.abc import Sequence

from model.artifact.comparison import Comparison
from model.artifact.judgement import Judgement
from model.evaluation.importance import Importance
from model.evaluation.segments import Segment, SegmentTable
from model.markdown import table

SHOWN_FEATURES = 15
"""Lines of the table of importance."""

LOSSES = {"log_loss": "rise of log-loss", "rmse": "rise of RMSE"}


def warnings_section(judgement: Judgement) -> list[str]:
    """List what a person should act on, if there is anything."""
    return ["\n".join(["## Warnings\n", *(f"- {said}" for said in judgement.advice)])] if judgement.advice else []


def judgement_sections(judgement: Judgement) -> list[str]:
    """Tell what was found about a model beside its metrics."""
    sections = [] if judgement.comparison is None else [_comparison(judgement.comparison)]
    sections += [_segments(judgement.segments)] if judgement.segments else []
    return sections + ([] if judgement.importance is None else [_importance(judgement.importance)])


def _segments(tables: Sequence[SegmentTable]) -> str:
    parts = [
        "## Segments\n\nTest rows with a label, by value. Observed and predicted are means: of a binary task the share "
        "of positive rows and the mean probability. Intervals are of 95 %, for what another draw of as many rows could "
        "give; fewer than ten rows, or rows of a class, have none."
    ]
    for found in tables:
        means = [] if found.kind == "multiclass" else ["observed", "predicted"]
        metric = next((segment.estimate.metric for segment in found.segments if segment.estimate), "metric")
        lines = [_segment(segment, bool(means)) for segment in found.segments]
        head = [f"`{found.column}`", "rows", *means, metric, "interval"]
        parts.append(f"### `{found.output}` by `{found.column}`\n\n{table(head, lines)}")
    return "\n\n".join(parts)


def _segment(segment: Segment, means: bool) -> list[str]:
    value = "all other values" if segment.value is None else f"`{segment.value}`" if segment.value else "no value"
    cells = [number(segment.observed), number(segment.predicted)] if means else []
    found = segment.estimate
    interval = "" if found is None or found.interval is None else " to ".join(map(number, found.interval))
    return [value, f"{segment.rows:,}", *cells, number(None if found is None else found.value), interval]


def _importance(importance: Importance) -> str:
    outputs = list(importance.metrics)
    ranked = [
        [f"`{name}` {mean:.3g} ± {spread:.1g}" for name, (mean, spread) in importance.lost[output].items()]
        for output in outputs
    ]
    count = min(SHOWN_FEATURES, max(map(len, ranked), default=0))
    lines = [[str(place + 1), *(column[place] for column in ranked)] for place in range(count)]
    head = ["", *(f"`{output}`: {LOSSES[importance.metrics[output]]}" for output in outputs)]
    cut = f" The time of report.importance_s was too short for {len(importance.unmeasured)} other features."
    return (
        "## Importance of features\n\nHow much worse a task gets when the values of one feature are dealt to other "
        f"rows: {importance.rows:,} test rows, mean and deviation of {importance.rounds} permutations. Features that "
        f"say the same stand in for each other, and each seems to matter less.{cut * bool(importance.unmeasured)}\n\n"
        + table(head, lines)
    )


def _comparison(comparison: Comparison) -> str:
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
