"""Rules by figures that were built by hand."""

from typing import Any

import pytest

from loop.config import (
    AnyRule,
    DisagreementRule,
    ErrorRule,
    GateDriftRule,
    LatencyRule,
    PredictionDriftRule,
    QualityRule,
)
from loop.figures import Drift, Figures, Metric, Requests, Shadowed, TaskDifference, TaskQuality
from loop.rules import Finding, decide, judge

DIFFERENCES = {"income": TaskDifference(0.08, 0.02), "price": TaskDifference(None, 0.3)}


def found(rule: AnyRule, stage: Any, figures: Figures) -> dict[str, str]:
    """Judge by one rule; return its states by what they are about."""
    named = rule.model_copy(update={"name": rule.kind})
    return {finding.about: finding.state for finding in judge([named], stage, figures)}


def shadowed(rows: float = 1000, failed: float = 0, match: str | None = "good") -> Figures:
    return Figures(Shadowed(rows, failed, match, DIFFERENCES))


def requests(candidate: Requests, served: Requests, in_step: Requests | None = None) -> Figures:
    return Figures(None, served, candidate, candidate if in_step is None else in_step)


def quality(served: TaskQuality | None, candidate: TaskQuality, before: int = 0) -> Figures:
    of_served = {"income": served} if served else {}
    return Figures(
        served_quality=of_served, candidate_quality={"income": candidate}, labelled_before={"income": before}
    )


def auc(value: float, half: float = 0.01, rows: int = 500) -> TaskQuality:
    return TaskQuality("binary", rows, {"auc": Metric(value, value - half, value + half)})


def rmse(value: float, half: float = 0.01, rows: int = 500) -> TaskQuality:
    return TaskQuality("regression", rows, {"rmse": Metric(value, value - half, value + half)})


GATES = GateDriftRule(kind="gate_drift", at_most=0.1)
ERRORS = ErrorRule(kind="errors", at_most=0.01)
LATENCY = LatencyRule(kind="latency", at_most_times=1.5, slack_ms=5)
DRIFT = PredictionDriftRule(kind="prediction_drift", at_most=0.25)
QUALITY = QualityRule(kind="quality", margin=0.02)


def test_gates_are_compared_by_experts_that_match() -> None:
    assert found(GATES, "shadow", shadowed()) == {"income": "kept", "price": "broken"}
    assert found(GATES, "shadow", shadowed(match="partly")) == {"": "not applicable"}
    assert found(GATES, "shadow", shadowed(match=None)) == {"": "not applicable"}
    assert found(GATES, "shadow", shadowed(rows=199)) == {"": "too few rows"}
    assert found(GATES, "shadow", Figures()) == {"": "too few rows"}
    assert found(GATES, "canary", shadowed()) == {}


def test_classes_that_differ_are_a_share_of_the_shadow_s_rows() -> None:
    rule = DisagreementRule(kind="disagreement", at_most=0.05)
    assert found(rule, "shadow", shadowed()) == {"income": "broken"}  # a regression has no classes
    assert found(rule.model_copy(update={"at_most": 0.1}), "shadow", shadowed()) == {"income": "kept"}


def test_errors_are_rows_in_the_shadow_and_requests_in_the_canary() -> None:
    assert found(ERRORS, "shadow", shadowed(failed=11)) == {"": "broken"}
    assert found(ERRORS, "shadow", shadowed(failed=10)) == {"": "kept"}
    assert found(ERRORS, "shadow", shadowed(rows=0, failed=300)) == {"": "broken"}
    served = Requests(9900, 9.9, 100, 9900)
    assert found(ERRORS, "canary", requests(Requests(980, 1, 20, 980), served)) == {"": "kept"}
    assert found(ERRORS, "canary", requests(Requests(950, 1, 50, 950), served)) == {"": "broken"}
    assert found(ERRORS, "canary", requests(Requests(195, 1, 5, 195), served)) == {"": "kept"}  # by chance
    assert found(ERRORS, "canary", requests(Requests(0, 0, 300, 0), served)) == {"": "broken"}


def test_rows_count_from_the_beginning_of_the_step_and_of_both_versions() -> None:
    many, few = Requests(500, 0.5, 0, 500), Requests(100, 0.1, 0, 100)
    for rule in (ERRORS, LATENCY):
        assert found(rule, "canary", requests(many, many)) == {"": "kept"}
        assert found(rule, "canary", requests(many, many, in_step=few)) == {"": "too few rows"}
        assert found(rule, "canary", requests(many, few)) == {"": "too few rows"}


def test_latency_is_a_multiple_and_more_than_the_slack() -> None:
    served = Requests(1000, 10.0, 0, 1000)  # 10 ms
    for seconds, state in ((15.0, "kept"), (15.1, "broken")):
        assert found(LATENCY, "canary", requests(Requests(1000, seconds, 0, 1000), served)) == {"": state}
    quick = Requests(1000, 1.0, 0, 1000)  # 1 ms; three times that is within the slack
    assert found(LATENCY, "canary", requests(Requests(1000, 3.0, 0, 1000), quick)) == {"": "kept"}
    nothing = Requests(0, 0, 300, 0)
    assert found(LATENCY, "canary", requests(nothing, served)) == {"": "not applicable"}


def test_predictions_may_drift_as_far_as_those_of_the_served_version() -> None:
    def drifted(candidate: Drift | None, served: Drift | None, rows: float = 1000) -> dict[str, str]:
        step = Requests(10, 1, 0, rows)
        figures = Figures(None, step, step, step, {"5m": served}, {"5m": candidate})
        return found(DRIFT, "canary", figures)

    calm, far = Drift(1000, {"income": -0.02, "price": 0.01}), Drift(1000, {"income": 0.0, "price": 0.4})
    assert drifted(calm, calm) == {"income": "kept", "price": "kept"}
    assert drifted(far, calm) == {"income": "kept", "price": "broken"}
    assert drifted(far, far) == {"income": "kept", "price": "kept"}  # the traffic has moved, not the model
    assert drifted(far, None)["price"] == "broken"
    assert drifted(far, calm._replace(rows=100)) == {"": "too few rows"}
    assert drifted(far, calm, rows=150) == {"": "too few rows"}  # the window's rows are of an earlier step
    assert drifted(None, calm) == {"": "not applicable"}


def test_quality_is_worse_beyond_the_margin_and_beyond_chance() -> None:
    def judged(served: TaskQuality | None, candidate: TaskQuality, before: int = 0) -> dict[str, str]:
        return found(QUALITY, "canary", quality(served, candidate, before))

    assert judged(auc(0.9), auc(0.95)) == {"income": "kept"}
    assert judged(auc(0.9), auc(0.881)) == {"income": "kept"}  # within the margin
    assert judged(auc(0.9), auc(0.87)) == {"income": "broken"}
    assert judged(auc(0.9, 0.03), auc(0.87, 0.03)) == {"income": "kept"}  # chance may be all of it
    assert judged(rmse(2.0), rmse(2.03)) == {"income": "kept"}  # a share of the served version's
    assert judged(rmse(2.0), rmse(2.05)) == {"income": "broken"}
    assert judged(auc(0.9), auc(0.5), before=400) == {"income": "too few rows"}
    assert judged(auc(0.9, rows=100), auc(0.5)) == {"income": "too few rows"}
    assert judged(None, auc(0.5)) == {"income": "too few rows"}
    assert found(QUALITY, "canary", Figures()) == {"": "too few rows"}


def test_quality_takes_the_metric_that_both_have() -> None:
    one_class = TaskQuality("binary", 500, {"log_loss": Metric(0.1, 0.09, 0.11)})
    worse = TaskQuality("binary", 500, {"log_loss": Metric(0.3, 0.29, 0.31), "auc": Metric(0.5)})
    assert found(QUALITY, "canary", quality(one_class, worse)) == {"income": "broken"}
    assert found(QUALITY, "canary", quality(auc(0.9), one_class)) == {"income": "not applicable"}
    named = QualityRule(kind="quality", tasks=("price",))
    assert found(named, "canary", quality(auc(0.9), auc(0.5))) == {"price": "too few rows"}


@pytest.mark.parametrize(
    ("states", "minutes", "at_limit", "expected"),
    [
        ([], 1, "roll_back", ("go on", None)),
        (["kept", "not applicable"], 1, "roll_back", ("go on", None)),
        (["kept", "kept"], 0.5, "roll_back", ("wait", None)),
        (["kept", "too few rows"], 5, "roll_back", ("wait", None)),
        (["broken", "too few rows"], 0, "roll_back", ("roll back", "a")),
        (["kept", "too few rows"], 60, "roll_back", ("roll back", "b")),
        (["kept", "too few rows"], 60, "hold", ("hold", "b")),
        (["kept", "too few rows"], 60, "pass", ("go on", None)),
        (["too few rows", "kept"], 60, "pass", ("wait", None)),  # the other rule has more time
        (["kept", "broken"], 60, "pass", ("roll back", "b")),
    ],
)
def test_what_is_decided(states: list[Any], minutes: float, at_limit: Any, expected: tuple[str, str | None]) -> None:
    rules = [
        ErrorRule(kind="errors", name="a", time_limit_minutes=120),
        LatencyRule(kind="latency", name="b", time_limit_minutes=60, at_time_limit=at_limit),
    ]
    findings = [Finding(name, state, "so") for name, state in zip("ab", states, strict=False)]
    decision = decide(findings, rules, minutes, least_minutes=1)
    assert (decision.what, decision.by and decision.by.rule) == expected


def test_a_rule_that_holds_gives_no_other_a_new_limit() -> None:
    rules = [
        ErrorRule(kind="errors", name="a", time_limit_minutes=60, at_time_limit="hold"),
        LatencyRule(kind="latency", name="b", time_limit_minutes=90),
    ]
    late = [Finding(rule.name, "too few rows", "so") for rule in rules]
    whats = [decide(late, rules, minutes, 1, held).what for minutes, held in ((60, None), (80, 20), (90, 30))]
    assert whats == ["hold", "wait", "roll back"]
    assert decide(late[:1], rules, 120, 1, 60).what == "hold"
