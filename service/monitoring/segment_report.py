"""Report on segments: what `GET .../segments` answers.

docs/segments.md defines every figure.
"""

from typing import Annotated

import numpy as np
from pydantic import Field
from typing_extensions import TypedDict

from service.errors import MalformedRequest
from service.gates import CHANCE_TAKEN_OFF, JENSEN_SHANNON, LEAST_ROWS, Level, jensen_shannon
from service.monitoring.drift_report import DEFAULT_WINDOW, Shares, tier_named
from service.monitoring.inputs import POINTS
from service.monitoring.recording import Gates
from service.monitoring.segments import Segment, SegmentTraffic
from service.system.json_types import Count
from service.system.quoting import quote, quotes

LEVELS: tuple[Level, ...] = ("stable", "moderate", "major")


class SegmentGate(TypedDict):
    """Gate of one task over a segment's rows, beside the whole baseline."""

    utilisation: list[float]
    jensen_shannon: Annotated[float, Field(description="Between this utilisation and that of all validation rows.")]
    level: Level


class SegmentFigures(TypedDict):
    """Rows of one cell of a feature."""

    cell: Annotated[Count, Field(description="Its place among the feature's cells in the manifest's baseline.")]
    rows: Count
    effective_rows: float
    share: Shares
    tasks: Annotated[dict[str, SegmentGate], Field(description="Empty without gates.")]
    predictions: Annotated[
        dict[str, float | list[float]],
        Field(description="Means of the predictions; of classes their mean probabilities, the first 20."),
    ]


class SegmentThresholds(TypedDict):
    """Every threshold that the levels rest on."""

    least_rows: Count
    jensen_shannon: dict[str, float]
    chance_taken_off: float


class SegmentsAnswer(TypedDict):
    """Live traffic by the values of a feature."""

    model: str
    version: int
    window: str
    window_s: float
    feature: str
    features: Annotated[list[str], Field(description="By which it can be asked.")]
    rows: Count
    experts: Count
    segments: list[SegmentFigures]
    baseline: Annotated[dict[str, list[float]], Field(description="Utilisation over all validation rows, by task.")]
    thresholds: SegmentThresholds


def segment_report(
    traffic: SegmentTraffic, gates: Gates | None, feature: str | None = None, window: str = DEFAULT_WINDOW
) -> SegmentsAnswer:
    """Describe the rows of a window that ends now, by the values of a feature.

    Args:
        traffic: of a model version.
        gates: of the same version; None without.
        feature: one of those that are added up; by default the first.
        window: one of those of drift.

    Raises:
        MalformedRequest: no such window or feature.
    """
    tier, described = tier_named(window), traffic.segments
    known = list(described.shares)
    feature = feature or known[0]
    if feature not in known:
        expected = f"one of those that MMOE_SEGMENTS names for this model: {quotes(known)}"
        raise MalformedRequest(f"the feature is {quote(feature)}", expected)
    found = traffic.of(feature, tier)
    total = sum(segment.rows for segment in found)
    return {
        "model": described.model,
        "version": described.version,
        "window": window,
        "window_s": POINTS * tier.resolution_s,
        "feature": feature,
        "features": known,
        "rows": round(total),
        "experts": described.experts,
        "segments": [_figures(segment, described.shares[feature], total, gates) for segment in found],
        "baseline": {} if gates is None else {t: list(gates.baseline.tasks[t].utilisation) for t in gates.tasks},
        "thresholds": {
            "least_rows": LEAST_ROWS,
            "jensen_shannon": JENSEN_SHANNON._asdict(),
            "chance_taken_off": CHANCE_TAKEN_OFF,
        },
    }


def _figures(segment: Segment, shares: tuple[float, ...], total: float, gates: Gates | None) -> SegmentFigures:
    return {
        "cell": segment.cell,
        "rows": round(segment.rows),
        "effective_rows": round(segment.effective_rows, 1),
        "share": {"now": round(segment.rows / total, 6), "baseline": round(shares[segment.cell] / sum(shares), 6)},
        "tasks": {} if gates is None else {t: _gate(segment, place, gates) for place, t in enumerate(gates.tasks)},
        "predictions": {name: _means(mean.tolist()) for name, mean in segment.predictions.items()},
    }


def _means(values: list[float]) -> float | list[float]:
    short = [float(f"{value:.7g}") for value in values]
    return short[0] if len(short) == 1 else short


def _gate(segment: Segment, place: int, gates: Gates) -> SegmentGate:
    """Set a segment's gate beside that of all validation rows, less what chance gives so few."""
    used = segment.utilisation[place] / segment.utilisation[place].sum()
    was = np.array(gates.baseline.tasks[gates.tasks[place]].utilisation)
    apart = float(jensen_shannon(was, used))
    per_row = 1 / gates.baseline.rows + 1 / segment.effective_rows
    by_chance = (gates.seen - 1) * per_row / (8 * float(np.log(2)))
    reached = sum(apart - CHANCE_TAKEN_OFF * by_chance >= limit for limit in JENSEN_SHANNON)
    level: Level = LEVELS[reached] if segment.effective_rows >= LEAST_ROWS else "too_few_rows"
    return {"utilisation": np.round(used, 6).tolist(), "jensen_shannon": round(apart, 6), "level": level}
