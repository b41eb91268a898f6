"""Figures that rules judge: of a version, or of two beside each other, over all replicas."""

from collections.abc import Mapping
from typing import NamedTuple


class Requests(NamedTuple):
    """Requests for predictions that a version was asked, in some period.

    Attributes:
        done: that were answered.
        done_s: seconds that these took, together.
        failed: that were not.
        rows: of all of them.
    """

    done: float = 0.0
    done_s: float = 0.0
    failed: float = 0.0
    rows: float = 0.0

    @property
    def asked(self) -> float:
        """Count all of them."""
        return self.done + self.failed

    def plus(self, more: "Requests") -> "Requests":
        """Add others to them."""
        return Requests(*(own + other for own, other in zip(self, more, strict=True)))

    def since(self, before: "Requests") -> "Requests":
        """Return what came after an earlier count of the same; all, where that began anew."""
        if any(now < then for now, then in zip(self, before, strict=True)):
            return self
        return Requests(*(now - then for now, then in zip(self, before, strict=True)))


class Drift(NamedTuple):
    """Drift of a version's predictions from its baseline.

    Attributes:
        rows: of equal weight that it rests on.
        excess: stability index by output, twice what chance gives taken off.
    """

    rows: float
    excess: Mapping[str, float]


class TaskDifference(NamedTuple):
    """Difference of two versions over the same rows, in one task; None is what does not apply."""

    disagreement: float | None
    jensen_shannon: float | None


class Shadowed(NamedTuple):
    """Comparison of the candidate with the served version over the same rows.

    Attributes:
        rows: compared.
        failed: that the candidate could not answer.
        match: how the experts match: "good", "partly", "none", "too_few_rows"; None without gates.
        tasks: their differences.
    """

    rows: float
    failed: float
    match: str | None
    tasks: Mapping[str, TaskDifference]


class Metric(NamedTuple):
    """Metric over labelled rows, and its 95 % interval where one is known."""

    value: float
    low: float | None = None
    high: float | None = None


class TaskQuality(NamedTuple):
    """Quality of one output of a version by its labels."""

    kind: str
    labelled: int
    metrics: Mapping[str, Metric]


Quality = Mapping[str, TaskQuality]
"""By task, and conditional of a funnel."""


class Figures(NamedTuple):
    """Figures of one look at a candidate and the served version.

    Attributes:
        shadow: in the shadow stage.
        served: requests of the served version since the canary began.
        candidate: those of the candidate in the same period.
        in_step: those of the candidate since the step began.
        served_drift: by window; None where the version has no baseline.
        candidate_drift: the same.
        served_quality: of rows answered since the canary began; None before the first reading.
        candidate_quality: of rows answered in the same period.
        labelled_before: labelled rows of the candidate when the step began.
    """

    shadow: Shadowed | None = None
    served: Requests = Requests()
    candidate: Requests = Requests()
    in_step: Requests = Requests()
    served_drift: Mapping[str, Drift | None] = {}
    candidate_drift: Mapping[str, Drift | None] = {}
    served_quality: Quality | None = None
    candidate_quality: Quality | None = None
    labelled_before: Mapping[str, int] = {}
