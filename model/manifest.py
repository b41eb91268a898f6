"""The manifest: what the artifact says about itself, as docs/artifact.md fixes it."""

import json
import math
import unicodedata
from collections.abc import Mapping, Sequence
from dataclasses import asdict
from typing import Any

import numpy as np
from numpy.typing import NDArray

from model import provenance
from model.baseline import gate_baseline
from model.config import Config, TableData, config_text
from model.metrics import Baseline, Predictions, baselines
from model.mmoe import count_parameters
from model.parity import RawRows
from model.schema import CategoricalFeature, Dataset, NumericFeature, Task
from model.serving_module import ServingModule

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
    """Say what a caller does to a category's value, as the table's reader did; the graph compares values exactly."""
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
