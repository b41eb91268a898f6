"""Rules as pure functions: figures of a look -> findings, and what follows from them.

A rule is broken by figures that rest on enough rows; where it compares two means, the difference
must also be surely there, so that chance alone seldom breaks it.
"""

import math
from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import asdict, dataclass, field
from typing import Any, Literal, NamedTuple

from loop.config import (
    AnyRule,
    DisagreementRule,
    ErrorRule,
    GateDriftRule,
    LatencyRule,
    PredictionDriftRule,
    QualityRule,
    Rule,
)
from loop.figures import Figures, Metric, TaskQuality

Stage = Literal["shadow", "canary"]
FindingState = Literal["kept", "broken", "too few rows", "not applicable"]

PRIMARY = {"binary": ("auc", "log_loss"), "multiclass": ("log_loss",), "regression": ("rmse",)}
"""Metrics that judge an output by the kind of its task, the first that the rows define."""
METRICS = {
    "binary": ("auc", "pr_auc", "log_loss", "ece", "accuracy"),
    "multiclass": ("auc", "log_loss", "accuracy"),
    "regression": ("rmse", "mae", "r2"),
}
"""Metrics that a kind of task has."""
LARGER_IS_BETTER = frozenset({"auc", "pr_auc", "accuracy", "r2"})
"""Metrics whose margins are absolute."""
_Z = 1.959964


@dataclass(frozen=True)
class Finding:
    """Finding of a rule in a look.

    Attributes:
        rule: by name.
        about: the task or prediction; empty for all.
        rows: of the candidate in the stage that it rests on.
        needed: at least so many.
        says: one sentence, without its full stop.
        figures: that it was found by.
    """

    rule: str
    state: FindingState
    says: str
    about: str = ""
    rows: float = 0.0
    needed: int = 0
    figures: Mapping[str, float | None] = field(default_factory=dict)

    @property
    def title(self) -> str:
        """Name the rule and what it is about."""
        return f"{self.rule} of {self.about}" if self.about else self.rule

    def as_json(self) -> dict[str, Any]:
        """Return it for the journal."""
        return {**asdict(self), "figures": dict(self.figures)}


class Decision(NamedTuple):
    """Decision on a stage or step, and the finding that it is due to."""

    what: Literal["wait", "go on", "roll back", "hold"]
    by: Finding | None = None


def judge(rules: Iterable[AnyRule], stage: Stage, figures: Figures) -> list[Finding]:
    """Judge the rules that a stage has; none of them where it has no such figures."""
    return [finding for rule in rules for finding in _judge(rule, stage, figures)]


def decide(
    findings: Sequence[Finding],
    rules: Iterable[Rule],
    minutes: float,
    least_minutes: float,
    since_held: float | None = None,
) -> Decision:
    """Decide on a stage or step.

    Args:
        findings: of all its rules.
        rules: by whose time limits and choices a want of rows is decided.
        minutes: since it began.
        least_minutes: that it is to take.
        since_held: minutes since it was last held, by which rules that hold are late; None where
            it was not.
    """
    if broken := next((finding for finding in findings if finding.state == "broken"), None):
        return Decision("roll back", broken)
    by_name = {rule.name: rule for rule in rules}
    waiting = [finding for finding in findings if finding.state == "too few rows"]
    waited = {"hold": minutes if since_held is None else since_held}
    in_time = [
        finding
        for finding in waiting
        if waited.get(by_name[finding.rule].at_time_limit, minutes) < by_name[finding.rule].time_limit_minutes
    ]
    for choice, what in (("roll_back", "roll back"), ("hold", "hold")):
        for finding in waiting:
            if finding not in in_time and by_name[finding.rule].at_time_limit == choice:
                return Decision("roll back" if what == "roll back" else "hold", finding)
    return Decision("wait" if in_time or minutes < least_minutes else "go on")


def _judge(rule: AnyRule, stage: Stage, figures: Figures) -> Iterator[Finding]:
    if stage == "shadow":
        if isinstance(rule, GateDriftRule):
            yield from _gate_drift(rule, figures)
        elif isinstance(rule, DisagreementRule):
            yield from _disagreement(rule, figures)
        elif isinstance(rule, ErrorRule):
            yield _failed_rows(rule, figures)
    elif isinstance(rule, ErrorRule):
        yield _errors(rule, figures)
    elif isinstance(rule, LatencyRule):
        yield _latency(rule, figures)
    elif isinstance(rule, PredictionDriftRule):
        yield from _prediction_drift(rule, figures)
    elif isinstance(rule, QualityRule):
        yield from _quality(rule, figures)


def _finding(
    rule: AnyRule, broken: bool | None, says: str, rows: float, about: str = "", **figures: float | None
) -> Finding:
    """Make a finding; `broken` is None where the rule does not apply."""
    state: FindingState = "not applicable" if broken is None else "broken" if broken else "kept"
    return Finding(rule.name, state, says, about, rows, rule.min_rows, figures)


def _too_few(rule: AnyRule, rows: float, of_what: str, about: str = "") -> Finding:
    says = f"{rows:,.0f} {of_what} have come, and {rule.min_rows:,} are needed"
    return Finding(rule.name, "too few rows", says, about, rows, rule.min_rows)


def _gate_drift(rule: GateDriftRule, figures: Figures) -> Iterator[Finding]:
    seen = figures.shadow
    if seen is None or seen.rows < rule.min_rows or seen.match == "too_few_rows":
        yield _too_few(rule, seen.rows if seen else 0, "rows of the shadow")
        return
    if seen.match != "good":
        match = "do not match" if seen.match == "none" else "match in part only"
        why = "there are no gates to compare" if seen.match is None else f"the experts of both versions {match}"
        yield _finding(rule, None, why, seen.rows)
        return
    for task, found in seen.tasks.items():
        if found.jensen_shannon is not None:
            says = f"the gates are {found.jensen_shannon:.3f} apart by matched experts, at most {rule.at_most:g}"
            broken = found.jensen_shannon > rule.at_most
            yield _finding(rule, broken, says, seen.rows, task, jensen_shannon=found.jensen_shannon)


def _disagreement(rule: DisagreementRule, figures: Figures) -> Iterator[Finding]:
    seen = figures.shadow
    if seen is None or seen.rows < rule.min_rows:
        yield _too_few(rule, seen.rows if seen else 0, "rows of the shadow")
        return
    for task, found in seen.tasks.items():
        if found.disagreement is not None:
            says = f"{found.disagreement:.1%} of the rows are put into another class, at most {rule.at_most:.1%}"
            broken = found.disagreement > rule.at_most
            yield _finding(rule, broken, says, seen.rows, task, disagreement=found.disagreement)


def _failed_rows(rule: ErrorRule, figures: Figures) -> Finding:
    seen = figures.shadow
    rows = seen.rows + seen.failed if seen else 0.0
    if seen is None or rows < rule.min_rows:
        return _too_few(rule, rows, "rows of the shadow")
    share = seen.failed / rows
    says = f"{share:.2%} of the shadow's rows failed, at most {rule.at_most:.2%}"
    return _finding(rule, share > rule.at_most, says, rows, share=share)


def _errors(rule: ErrorRule, figures: Figures) -> Finding:
    served, candidate = figures.served, figures.candidate
    if (few := _few_requests(rule, figures)) is not None:
        return few
    before, now = served.failed / served.asked, candidate.failed / candidate.asked
    spread = math.sqrt(before * (1 - before) / served.asked + now * (1 - now) / candidate.asked)
    says = f"{now:.2%} of the requests failed, after the served version's {before:.2%}"
    more = now - before
    broken = more > rule.at_most and more > _Z * spread
    return _finding(rule, broken, says, figures.in_step.asked, share=now, served_share=before)


def _latency(rule: LatencyRule, figures: Figures) -> Finding:
    if (few := _few_requests(rule, figures)) is not None:
        return few
    if not (figures.served.done and figures.candidate.done):
        return _finding(rule, None, "no request was answered, so no time is compared", figures.in_step.asked)
    before, now = (1000 * of.done_s / of.done for of in (figures.served, figures.candidate))
    says = f"a request took {now:.2f} ms, after the served version's {before:.2f} ms"
    broken = now > rule.at_most_times * before and now - before > rule.slack_ms
    return _finding(rule, broken, says, figures.in_step.asked, mean_ms=now, served_mean_ms=before)


def _few_requests(rule: AnyRule, figures: Figures) -> Finding | None:
    """Return the finding that there are too few requests of either version, where there are."""
    if figures.in_step.asked < rule.min_rows:
        return _too_few(rule, figures.in_step.asked, "requests")
    if figures.served.asked < rule.min_rows:
        return _too_few(rule, figures.served.asked, "requests of the served version")
    return None


def _prediction_drift(rule: PredictionDriftRule, figures: Figures) -> Iterator[Finding]:
    served, candidate = figures.served_drift.get(rule.window), figures.candidate_drift.get(rule.window)
    if candidate is None:
        yield _finding(rule, None, "the services tell no drift of the candidate, whose file has no baseline", 0)
        return
    rows = min(candidate.rows, figures.in_step.rows)
    if rows < rule.min_rows:
        yield _too_few(rule, rows, f"rows of the last {rule.window}")
        return
    if served is not None and served.rows < rule.min_rows:
        yield _too_few(rule, served.rows, f"rows of the served version of the last {rule.window}")
        return
    for output, index in candidate.excess.items():
        before = max(served.excess.get(output, 0.0), 0.0) if served is not None else 0.0
        says = f"the stability index is {max(index, 0.0):.3f}, after the served version's {before:.3f}"
        broken = index - before > rule.at_most
        yield _finding(rule, broken, says, rows, output, index=index, served_index=before)


def _quality(rule: QualityRule, figures: Figures) -> Iterator[Finding]:
    served, candidate = figures.served_quality or {}, figures.candidate_quality or {}
    if not candidate:
        yield _too_few(rule, 0, "labelled rows")
        return
    for task in rule.tasks or candidate:
        found, other = candidate.get(task), served.get(task)
        fresh = found.labelled - figures.labelled_before.get(task, 0) if found else 0
        if found is None or fresh < rule.min_rows:
            yield _too_few(rule, fresh, "labelled rows", task)
        elif other is None or other.labelled < rule.min_rows:
            rows = other.labelled if other else 0
            yield _too_few(rule, rows, "labelled rows of the served version", task)
        else:
            yield _compared(rule, task, other, found)


def _compared(rule: QualityRule, task: str, served: TaskQuality, candidate: TaskQuality) -> Finding:
    """Compare a metric of two versions over rows of the same period."""
    names = (rule.metric,) if rule.metric else PRIMARY[candidate.kind]
    name = next((name for name in names if name in served.metrics and name in candidate.metrics), None)
    if name is None:
        says = f"{' and '.join(names)} cannot be computed from these rows"
        return _finding(rule, None, says, candidate.labelled, task)
    before, now = served.metrics[name], candidate.metrics[name]
    worse = before.value - now.value if name in LARGER_IS_BETTER else now.value - before.value
    margin = rule.margin if name in LARGER_IS_BETTER else rule.margin * before.value
    half = math.hypot(_half(before), _half(now))
    says = f"{name} {_shown(now)}, after the served version's {_shown(before)} in the same period"
    figures = {name: now.value, f"served_{name}": before.value, "worse_by": worse, "half_interval": half}
    broken = worse > margin and worse > half
    return _finding(rule, broken, says, candidate.labelled, task, **figures)


def _half(metric: Metric) -> float:
    return 0.0 if metric.low is None or metric.high is None else (metric.high - metric.low) / 2


def _shown(metric: Metric) -> str:
    interval = "" if metric.low is None or metric.high is None else f" ({metric.low:.4g} to {metric.high:.4g})"
    return f"{metric.value:.4g}{interval}"
