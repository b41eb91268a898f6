"""Judgement of a version by its joined rows: tasks whole, over time, by expert, by segment."""

import time
from collections import Counter
from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass, replace
from typing import Any

import numpy as np
from numpy.typing import NDArray

from batch.quality.logs import JoinedRows
from batch.quality.metrics import base_log_loss, measure, right
from metrics.intervals import Estimate
from metrics.reliability import reliability
from service.artifact.entries import Task
from service.artifact.manifest import Manifest

Mask = NDArray[np.bool_]

MARGINS = {"auc": 0.02, "rmse": 0.1, "log_loss": 0.1}
"""Largest loss of a task's metric from the test rows: absolute for AUC, a share for the others."""
PRIMARY = {"binary": ("auc", "log_loss"), "multiclass": ("log_loss",), "regression": ("rmse",)}
"""Metrics that a verdict rests on, the first that the rows define."""
MOST_VALUES = 20
"""Values of a segment feature that are listed, the most frequent ones."""
QUANTILES = 5
"""Ranges of a numeric segment feature, of as many rows each."""
PERIODS = {"hour": "%Y-%m-%d %H:00", "day": "%Y-%m-%d"}


@dataclass(frozen=True)
class Rules:
    """Rules of a judgement.

    Attributes:
        by: period of the table over time, "hour" or "day".
        min_rows: labelled rows below which nothing is concluded.
        margin: of AUC; others as in MARGINS.
    """

    by: str = "day"
    min_rows: int = 100
    margin: float = MARGINS["auc"]


@dataclass(frozen=True)
class Judged:
    """Output to be judged over the rows that count: a task, or a conditional of a funnel."""

    task: Task
    name: str
    predicted: NDArray[np.float64]
    labels: NDArray[np.float64]
    test_metrics: Mapping[str, float | None]
    counted: Mask


def judge(manifest: Manifest, rows: JoinedRows, rules: Rules) -> list[dict[str, Any]]:
    """Judge every task of a version, and every conditional of its funnels; docs/quality.md."""
    return [_task(output, manifest, rows, rules) for output in _outputs(manifest, rows)]


def joints_above_parents(manifest: Manifest, rows: JoinedRows) -> int:
    """Count the rows in which a joint probability is above that of the task before it."""
    above = 0
    for task in manifest.tasks:
        if task.after is not None:
            above += int((rows.predictions[task.name] > rows.predictions[task.after] * (1 + 1e-5)).sum())
    return above


def _outputs(manifest: Manifest, rows: JoinedRows) -> Iterator[Judged]:
    labels = _joint_labels(manifest, rows)
    everywhere = np.ones(len(rows.times), np.bool_)
    for task in manifest.tasks:
        yield Judged(task, task.name, rows.predictions[task.name], labels[task.name], task.metrics, everywhere)
        if task.after is not None and task.given is not None:
            parent = rows.predictions[task.after]
            given = np.clip(rows.predictions[task.name] / np.maximum(parent, np.finfo(np.float64).tiny), 0.0, 1.0)
            met = labels[task.after] == 1.0
            yield Judged(task, task.given.output, given, labels[task.name], task.given.metrics, met)


def _joint_labels(manifest: Manifest, rows: JoinedRows) -> dict[str, NDArray[np.float64]]:
    """Return labels of joint events: 0 where the task before did not come true."""
    joint = dict(rows.labels)
    done = {task.name for task in manifest.tasks if task.after is None}
    while waiting := [task for task in manifest.tasks if task.name not in done]:
        for task in waiting:
            if task.after in done:
                assert task.after is not None
                joint[task.name] = np.where(joint[task.after] == 0.0, 0.0, joint[task.name])
                done.add(task.name)
    return joint


def _task(output: Judged, manifest: Manifest, rows: JoinedRows, rules: Rules) -> dict[str, Any]:
    labelled = output.counted & ~np.isnan(output.labels)
    entry: dict[str, Any] = {
        "task": output.name,
        "kind": output.task.kind,
        "rows": int(output.counted.sum()),
        "labelled": int(labelled.sum()),
        "share_labelled": float(labelled.sum() / max(output.counted.sum(), 1)),
        "label_delay_s": _quantiles(rows.delays_s[output.task.name][labelled]),
        "metrics": _metrics(output, labelled),
        "base_log_loss": base_log_loss(output.task.kind, output.labels[labelled]),
        "test_metrics": dict(output.test_metrics),
    }
    entry["verdict"] = verdict(output.task.kind, entry["metrics"], output.test_metrics, entry["labelled"], rules)
    if output.task.kind == "binary" and entry["labelled"]:
        entry["reliability"] = _reliability(output.predicted[labelled], output.labels[labelled])
    whole = replace(output, counted=labelled)
    entry["by_time"] = list(_by_time(whole, rows, rules))
    entry["by_expert"] = list(_by_expert(whole, manifest, rows, rules))
    entry["segments"] = list(_segments(whole, manifest, rows, rules))
    return entry


def verdict(
    kind: str, metrics: Mapping[str, Any], test: Mapping[str, float | None], labelled: int, rules: Rules
) -> dict[str, Any]:
    """Compare a task's metric with that of the test rows of training.

    Returns:
        `state` is "too few rows", "as on test rows", "worse than test rows", where the whole
        interval lies beyond the margin, or "not comparable", where either lacks the metric.
    """
    if labelled < rules.min_rows:
        return {"state": "too few rows", "needed": rules.min_rows}
    for name in PRIMARY[kind]:
        found, before = metrics.get(name), test.get(name)
        if found is None or before is None:
            continue
        margin = rules.margin if name == "auc" else MARGINS[name] * before
        best = found["high"] if name == "auc" else found["low"]
        best = found["value"] if best is None else best
        worse = before - best if name == "auc" else best - before
        state = "worse than test rows" if worse > margin else "as on test rows"
        return {"state": state, "metric": name, "value": found["value"], "test": before, "margin": margin}
    return {"state": "not comparable"}


def _metrics(output: Judged, chosen: Mask) -> dict[str, Any]:
    found = measure(output.task.kind, output.predicted[chosen], output.labels[chosen])
    return {name: _entry(estimate) for name, estimate in found.items()}


def _entry(estimate: Estimate) -> dict[str, float | None]:
    low, high = estimate.interval or (None, None)
    return {"value": estimate.value, "low": low, "high": high}


def _reliability(predicted: NDArray[np.float64], labels: NDArray[np.float64]) -> list[dict[str, float]]:
    """Describe the bins of like probability: their rows, what was predicted and what came."""
    bins = reliability(predicted, labels)
    named = zip(bins.mass.tolist(), bins.mean.tolist(), bins.share.tolist(), strict=True)
    return [{"rows": mass, "predicted": mean, "observed": share} for mass, mean, share in named]


def _quantiles(values: NDArray[np.float64]) -> dict[str, float] | None:
    if not len(values):
        return None
    return {f"p{p}": float(np.percentile(values, p)) for p in (5, 50, 95)}


def _part(output: Judged, chosen: Mask, rules: Rules) -> dict[str, Any]:
    """Measure a part of the labelled rows, if there are enough."""
    rows = int(chosen.sum())
    return {"rows": rows, "metrics": _metrics(output, chosen) if rows >= rules.min_rows else None}


def _by_time(output: Judged, rows: JoinedRows, rules: Rules) -> Iterator[dict[str, Any]]:
    form = PERIODS[rules.by]
    step = 3600 if rules.by == "hour" else 86_400
    periods = (rows.times // step).astype(np.int64)
    for period in np.unique(periods[output.counted]):
        name = time.strftime(form, time.gmtime(int(period) * step))
        yield {"from_utc": name, **_part(output, output.counted & (periods == period), rules)}


def _by_expert(output: Judged, manifest: Manifest, rows: JoinedRows, rules: Rules) -> Iterator[dict[str, Any]]:
    """Judge the rows of each top expert; and each expert's mean weight in right and wrong ones."""
    if not manifest.has_gates:
        return
    weights = rows.gate_weights[output.task.name]
    top = weights.argmax(axis=1)
    correct = np.zeros(len(weights), np.bool_)
    if output.counted.any():
        chosen = output.predicted[output.counted], output.labels[output.counted]
        correct[output.counted] = right(output.task.kind, *chosen)
    of_right, of_wrong = output.counted & correct, output.counted & ~correct
    for expert in range(weights.shape[1]):
        yield {
            "expert": expert,
            **_part(output, output.counted & (top == expert), rules),
            "mean_weight_right": _mean(weights[of_right, expert]),
            "mean_weight_wrong": _mean(weights[of_wrong, expert]),
        }


def _mean(values: NDArray[np.float32]) -> float | None:
    return float(values.mean(dtype=np.float64)) if len(values) else None


def _segments(output: Judged, manifest: Manifest, rows: JoinedRows, rules: Rules) -> Iterator[dict[str, Any]]:
    """Judge the rows of each value of each segment feature, and there those of each top expert."""
    numeric = {feature.name for feature in manifest.numeric}
    for feature, texts in rows.segments.items():
        values = ranges(texts) if feature in numeric else texts
        for value, chosen in _most_frequent(values, output.counted):
            entry = {"feature": feature, "value": value, **_part(output, chosen, rules)}
            if manifest.has_gates:
                top = rows.gate_weights[output.task.name].argmax(axis=1)
                parts = ((expert, chosen & (top == expert)) for expert in range(manifest.experts))
                entry["by_expert"] = [
                    {"expert": expert, **_part(output, part, rules)} for expert, part in parts if part.any()
                ]
            yield entry


def _most_frequent(values: NDArray[np.object_], counted: Mask) -> Iterator[tuple[str, Mask]]:
    counts = Counter[str](values[counted].tolist())
    for value, _ in sorted(counts.items(), key=lambda of_value: (-of_value[1], of_value[0]))[:MOST_VALUES]:
        yield value, counted & (values == value)


def ranges(texts: NDArray[np.object_]) -> NDArray[np.object_]:
    """Name the range of each number by quantiles of all, "" for a missing one."""
    missing = texts == ""
    numbers = np.full(len(texts), np.nan)
    numbers[~missing] = texts[~missing].astype(np.float64)
    if missing.all():
        return texts
    if len(np.unique(numbers[~missing])) <= MOST_VALUES:
        return texts
    edges = np.unique(np.quantile(numbers[~missing], np.linspace(0, 1, QUANTILES + 1)))
    places = np.clip(np.searchsorted(edges, numbers, "right") - 1, 0, len(edges) - 2)
    named: Callable[[int], str] = lambda place: f"{edges[place]:g} to {edges[place + 1]:g}"  # noqa: E731
    names = np.array([named(place) for place in range(len(edges) - 1)], object)
    found: NDArray[np.object_] = np.where(missing, "", names[places])
    return found
