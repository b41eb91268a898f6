"""Report on drift: what `GET .../drift` answers, as dicts, lists and floats, fit for JSON.

docs/drift.md defines every figure.
"""

from typing import Annotated

from pydantic import Field
from typing_extensions import TypedDict

from service.errors import MalformedRequest
from service.gates import CHANCE_TAKEN_OFF, STABILITY_INDEX, Level
from service.inference.features import Batch
from service.inference.predictor import Predictor
from service.monitoring.because import GateCauses, gate_causes
from service.monitoring.drift import (
    LEAST_ROWS,
    LEVELS,
    Distance,
    FeatureDrift,
    feature_drifts,
    prediction_drifts,
    shown,
)
from service.monitoring.inputs import POINTS, RING, InputTraffic
from service.monitoring.recording import GateTraffic
from service.monitoring.report import drifts
from service.monitoring.ring import Tier
from service.monitoring.windows import tier_of
from service.system.json_types import Count
from service.system.quoting import quote

DEFAULT_WINDOW = "5m"
WINDOWS = tuple(tier.window for tier in RING.tiers)
CELLS = "moved", "all"
SHARES = "missing", "unknown", "out_of_range"


class Shares(TypedDict):
    """Share of rows now and in the baseline."""

    now: float
    baseline: float


class CellShares(TypedDict):
    """Shares of every cell now and in the baseline, in the order of the manifest."""

    now: list[float]
    baseline: list[float]


class Distances(TypedDict):
    """Distance of a distribution from the baseline."""

    level: Level
    population_stability_index: float
    population_stability_index_by_chance: float
    jensen_shannon_distance: float
    cells: Annotated[
        CellShares | None, Field(description="Null where the level is stable, unless cells=all asks for them.")
    ]


class FeatureFigures(Distances):
    """Drift of a feature; null is a share that its kind does not have."""

    kind: str
    missing: Shares
    unknown: Shares | None
    out_of_range: Shares | None


class DriftThresholds(TypedDict):
    """Every threshold that the findings rest on."""

    least_rows: Count
    population_stability_index: dict[str, float]
    chance_taken_off: float


class DriftAnswer(TypedDict):
    """Drift of features and predictions over a window of live traffic."""

    model: str
    version: int
    window: str
    window_s: float
    rows: Annotated[Count, Field(description="Rows that the sampled ones stand for.")]
    effective_rows: Annotated[float, Field(description="Rows of equal weight that would tell as much.")]
    baseline_rows: Count
    level: Annotated[Level, Field(description="The greatest of all features and predictions.")]
    drifted: Annotated[list[str], Field(description="Features that are not stable.")]
    features: Annotated[dict[str, FeatureFigures], Field(description="Those that moved most first.")]
    predictions: dict[str, Distances]
    gates: Annotated[dict[str, GateCauses], Field(description="By task; empty without gates.")]
    thresholds: DriftThresholds


def drift_report(
    traffic: InputTraffic,
    window: str = DEFAULT_WINDOW,
    gates: GateTraffic | None = None,
    predictor: Predictor | None = None,
    cells: str = CELLS[0],
) -> DriftAnswer:
    """Describe the rows of a window that ends now.

    Args:
        traffic: of a model version.
        window: one of WINDOWS.
        gates: of the same version.
        predictor: of the same version where it is loaded, to say which features moved its gates.
        cells: "moved" or "all": whose shares of cells are listed.

    Raises:
        MalformedRequest: no such window, or no such choice of cells.
    """
    tier = tier_named(window)
    if cells not in CELLS:
        raise MalformedRequest(f'"cells" is {quote(cells)}', f"one of {', '.join(CELLS)}, as in ?cells=all")
    inputs, counted = traffic.inputs, traffic.counted(tier)
    features = feature_drifts(inputs, counted)
    predictions = dict(prediction_drifts(inputs, counted))
    enough = counted.effective_rows >= LEAST_ROWS
    every = [drift.distance.level for drift in features] + [found.level for found in predictions.values()]
    return {
        "model": inputs.model,
        "version": inputs.version,
        "window": window,
        "window_s": POINTS * tier.resolution_s,
        "rows": round(counted.rows),
        "effective_rows": round(counted.effective_rows, 1),
        "baseline_rows": inputs.rows,
        "level": max(every, key=LEVELS.index) if enough and every else "too_few_rows",
        "drifted": [drift.feature.name for drift in features if drift.distance.level in LEVELS[1:]],
        "features": {drift.feature.name: _feature(drift, cells == "all") for drift in features},
        "predictions": {name: _distances(found, cells == "all") for name, found in predictions.items()},
        "gates": _gates(traffic.kept_rows(tier), window, gates, predictor),
        "thresholds": {
            "least_rows": LEAST_ROWS,
            "population_stability_index": STABILITY_INDEX._asdict(),
            "chance_taken_off": CHANCE_TAKEN_OFF,
        },
    }


def tier_named(window: str) -> Tier:
    """Return the tier of a window.

    Raises:
        MalformedRequest: no such window.
    """
    tier = RING.tier_of(window)
    if tier is None:
        raise MalformedRequest(f"the window is {quote(window)}", f"one of {', '.join(WINDOWS)}, as in ?window=5m")
    return tier


def _gates(
    rows: Batch | None, window: str, gates: GateTraffic | None, predictor: Predictor | None
) -> dict[str, GateCauses]:
    tier = tier_of(window)
    if gates is None or tier is None:
        return {}
    return gate_causes(drifts(gates.gates, gates.series(tier).over_time()), rows, predictor)


def _feature(drift: FeatureDrift, every: bool) -> FeatureFigures:
    missing, unknown, out_of_range = (_shares(drift, name) for name in SHARES)
    assert missing is not None  # every kind has missing values
    return {
        "kind": drift.feature.kind,
        **_distances(drift.distance, every),
        "missing": missing,
        "unknown": unknown,
        "out_of_range": out_of_range,
    }


def _shares(drift: FeatureDrift, name: str) -> Shares | None:
    now, was = drift.share(name, drift.distance.now), drift.share(name, drift.distance.was)
    return None if now is None or was is None else {"now": round(now, 6), "baseline": round(was, 6)}


def _distances(found: Distance, every: bool) -> Distances:
    listed = every or found.level in LEVELS[1:]
    return {
        "level": found.level,
        "population_stability_index": round(found.stability_index, 6),
        "population_stability_index_by_chance": round(found.stability_chance, 6),
        "jensen_shannon_distance": round(found.jensen_shannon, 6),
        "cells": {"now": shown(found.now), "baseline": shown(found.was)} if listed else None,
    }
