"""The manifest: what the artifact says about itself, as docs/artifact.md fixes it."""

import json
import math
import unicodedata
from collections.abc import Mapping, Sequence
from dataclasses import asdict
from typing import Any

import numpy as np
from numpy.typing import NDArray

from model.artifact import provenance
from model.artifact.parity import RawRows
from model.artifact.serving_module import ServingModule
from model.config.run import Config, config_text
from model.mmoe import count_parameters
from model.network.model import Predictions
from model.schema import CategoricalFeature, Dataset, NumericFeature, Task
from model.training.metrics import Baseline, baselines
from tables.config import TableData

SCHEMA_VERSION = 2
METADATA_KEY = "mmoe.manifest"

Metrics = Mapping[str, Mapping[str, float]]


def build_manifest(
    config: Config,
    dataset: Dataset,
    module: ServingModule,
    golden: RawRows,
    tolerance: float,
    validation: Predictions,
    metrics: Metrics,
) -> dict[str, Any]:
    """Describe a trained model.

    Args:
        config: of the run.
        dataset: it was trained on.
        module: the served network.
        golden: rows to keep with torch's answers.
        tolerance: of the golden answers, in shares of max(1, |answer|).
        validation: predictions for the validation rows; their gate weights become the baseline.
        metrics: of the test split, by task.
    """
    constant = baselines(dataset.train, dataset.test, dataset.tasks)
    gates = None
    if validation.gate_weights is not None:
        names = [task.name for task in dataset.tasks]
        gates = gate_baseline(validation.gate_weights, names, module.average_logits())
    return {
        "schema_version": SCHEMA_VERSION,
        "name": config.name,
        "architecture": config.model.architecture,
        "experts": module.experts,
        "features": [_numeric(f) for f in dataset.features.numeric]
        + [_categorical(f) for f in dataset.features.categorical],
        "tasks": [_task(task, metrics.get(task.name, {}), constant.get(task.name)) for task in dataset.tasks],
        "category_text": _category_text(config, dataset),
        "gates": gates,
        "golden": _golden(golden, module, tolerance),
        "provenance": _provenance(config, dataset, module),
    }


def manifest_text(manifest: Mapping[str, Any]) -> str:
    """Render the manifest as JSON; refuses NaN and infinity (ValueError)."""
    return json.dumps(manifest, allow_nan=False, ensure_ascii=False)


def _numeric(feature: NumericFeature) -> dict[str, Any]:
    return {
        "name": feature.name,
        "kind": "numeric",
        "minimum": feature.minimum,
        "maximum": feature.maximum,
        "mean": feature.mean,
        "std": feature.std,
        "missing_share": feature.missing_share,
        "missing_values": [value for value in feature.missing_values if math.isfinite(value)],
    }


def _categorical(feature: CategoricalFeature) -> dict[str, Any]:
    return {
        "name": feature.name,
        "kind": "categorical",
        "vocabulary": list(feature.vocabulary),
        "missing_share": feature.missing_share,
        "unknown_share": feature.unknown_share,
    }


def _category_text(config: Config, dataset: Dataset) -> dict[str, Any]:
    """Describe the changes that a caller makes to a category's value before sending it.

    They are those of the table's reader; the graph compares values exactly.
    """
    strip = isinstance(config.data, TableData) and config.data.strip
    values = (value for feature in dataset.features.categorical for value in feature.vocabulary)
    composed = all(value.isascii() or unicodedata.is_normalized("NFC", value) for value in values)
    return {"strip": strip, "normalization": "NFC" if composed else None}


def _task(task: Task, metrics: Mapping[str, float], baseline: Baseline | None) -> dict[str, Any]:
    entry: dict[str, Any] = {"name": task.name, "kind": task.kind, "classes": list(task.classes)}
    entry["metrics"] = dict(metrics)
    return entry if baseline is None else entry | {"baseline": asdict(baseline)}


def _golden(rows: RawRows, module: ServingModule, tolerance: float) -> dict[str, Any]:
    answers = module.answer(rows.numeric, rows.codes)
    entry: dict[str, Any] = {"tolerance": tolerance}
    if rows.numeric.shape[1]:
        entry["numeric"] = [_nullable(row) for row in rows.numeric]
    if rows.text.shape[1]:
        entry["categorical"] = rows.text.tolist()
    names = [name for name in module.output_names if name != "gate_contributions"]
    entry["outputs"] = {name: answers[name].tolist() for name in names}
    return entry


def _nullable(values: NDArray[np.float32]) -> Sequence[float | None]:
    """Write a missing number as null."""
    return [None if np.isnan(value) else float(value) for value in values]


def _provenance(config: Config, dataset: Dataset, module: ServingModule) -> dict[str, Any]:
    splits = {"train": dataset.train, "validation": dataset.validation, "test": dataset.test}
    return {
        "created_at": provenance.now(),
        "config": config_text(config),
        "seed": config.train.seed,
        "data": {
            "source": dataset.source,
            "digest": dataset.digest,
            "rows": {name: len(rows) for name, rows in splits.items()},
        },
        "parameters": count_parameters(module.model),
        "versions": provenance.versions(),
        "commit": provenance.commit(),
    }


HISTOGRAM_BINS = 20
"""Bins of equal width over [0, 1] for the histogram of an expert's weight."""

Weights = NDArray[np.float32]


def gate_baseline(
    gate_weights: Weights, task_names: Sequence[str], average_logits: NDArray[np.float64]
) -> dict[str, Any]:
    """Summarise gate weights (B, T, E) for the manifest's `gates` (docs/artifact.md).

    Args:
        gate_weights: of the validation rows; each row sums to 1.
        task_names: in the order of axis T.
        average_logits: (T, E), the gate logits at the average input.
    """
    edges = np.round(np.linspace(0.0, 1.0, HISTOGRAM_BINS + 1), 6)
    return {
        "rows": len(gate_weights),
        "average_logits": average_logits.tolist(),
        "histogram_edges": edges.tolist(),
        "tasks": {name: _task_baseline(gate_weights[:, t], edges) for t, name in enumerate(task_names)},
        "similarity": similarity(gate_weights).tolist(),
    }


def _task_baseline(weights: Weights, edges: NDArray[np.float64]) -> dict[str, Any]:
    """Summarise one task's weights (B, E)."""
    experts = weights.shape[1]
    mean_entropy = float(entropy(weights).mean())
    inside = np.clip(weights, 0.0, 1.0)  # rounding can carry a weight past 1, where no bin would count it
    top = np.bincount(weights.argmax(axis=1), minlength=experts) / len(weights)
    return {
        "utilisation": weights.mean(axis=0, dtype=np.float64).tolist(),
        "histogram": [np.histogram(inside[:, e], bins=edges)[0].tolist() for e in range(experts)],
        "entropy": mean_entropy,
        "normalised_entropy": mean_entropy / float(np.log(experts)) if experts > 1 else 0.0,
        "top_expert_share": top.tolist(),
    }


def entropy(weights: Weights) -> NDArray[np.float64]:
    """Compute the Shannon entropy in nats over the last axis; 0 log 0 counts as 0."""
    p = weights.astype(np.float64)
    surprise: NDArray[np.float64] = -np.log(np.where(p > 0.0, p, 1.0))
    return np.asarray((p * surprise).sum(axis=-1))


def similarity(gate_weights: Weights) -> NDArray[np.float64]:
    """Compute the similarity of tasks' gates, (T, T), 1 on the diagonal.

    It is the mean over rows of 1 - Jensen-Shannon divergence in base 2.
    """
    tasks = gate_weights.shape[1]
    entropies = entropy(gate_weights)  # (B, T)
    result = np.ones((tasks, tasks))
    for first in range(tasks):
        for second in range(first + 1, tasks):
            middle = (gate_weights[:, first] + gate_weights[:, second]) / 2.0
            divergence = entropy(middle) - (entropies[:, first] + entropies[:, second]) / 2.0
            value = 1.0 - float(np.clip(divergence / np.log(2.0), 0.0, 1.0).mean())
            result[first, second] = result[second, first] = value
    return result
