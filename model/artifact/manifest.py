"""The manifest: what the artifact says about itself, as docs/artifact.md fixes it."""

import itertools
import json
import math
import unicodedata
from collections.abc import Mapping, Sequence
from dataclasses import asdict
from typing import Any

import numpy as np
from numpy.typing import NDArray

from model.artifact import provenance
from model.artifact.baseline import gate_baseline, gate_batches
from model.artifact.distributions import baseline
from model.artifact.raw_rows import RawRows
from model.artifact.serving_module import ServingModule
from model.config.run import Config, config_text
from model.mmoe import count_parameters
from model.schema import (
    MISSING_TIME,
    BagFeature,
    CategoricalFeature,
    Dataset,
    DatetimeFeature,
    FeatureSchema,
    HashedFeature,
    NumericFeature,
    Task,
    TextFeature,
)
from model.training.metrics import Baseline
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
    metrics: Metrics,
    constant: Mapping[str, Baseline],
) -> dict[str, Any]:
    """Describe a trained model.

    Args:
        config: of the run.
        dataset: it was trained on.
        module: the served network.
        golden: rows to keep with torch's answers.
        tolerance: of the golden answers, in shares of max(1, |answer|).
        metrics: of the test split, by output.
        constant: the best constant answers there, by output.
    """
    gates = None
    if module.gated:
        names = [task.name for task in dataset.tasks]
        batches = gate_batches(module.model, dataset.validation)
        gates = gate_baseline(batches, names, module.average_logits(), module.seen_experts())
    return {
        "schema_version": SCHEMA_VERSION,
        "name": config.name,
        "architecture": config.model.architecture,
        "experts": module.experts,
        **_own_experts(module),
        "features": feature_entries(dataset.features),
        "tasks": [_task(task, metrics, constant) for task in dataset.tasks],
        "category_text": _category_text(config, dataset),
        **_training_table(config, dataset),
        "gates": gates,
        **baseline(module, dataset.validation),
        "golden": _golden(golden, module, tolerance),
        "provenance": _provenance(config, dataset, module),
    }


def _own_experts(module: ServingModule) -> dict[str, Any]:
    """Name the experts that one task's gate alone sees, by task; nothing where there are none."""
    seen = module.seen_experts()
    if seen.all():
        return {}
    alone = seen & (seen.sum(axis=0) == 1)
    return {"own_experts": {t.name: np.flatnonzero(row).tolist() for t, row in zip(module.tasks, alone, strict=True)}}


def feature_entries(features: FeatureSchema) -> list[dict[str, Any]]:
    """Describe all features in their order."""
    return [
        *map(_numeric, features.numeric),
        *map(_categorical, features.categorical),
        *map(_hashed, features.hashed),
        *map(_bag, features.bags),
        *map(_datetime, features.datetimes),
    ]


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
        **_table(feature),
    }


def _hashed(feature: HashedFeature) -> dict[str, Any]:
    return {
        "name": feature.name,
        "kind": "hashed",
        "buckets": feature.buckets,
        "seed": feature.seed,
        "missing_share": feature.missing_share,
        "collision_share": feature.collision_share,
        **_table(feature),
    }


def _bag(feature: BagFeature) -> dict[str, Any]:
    hashed = {"buckets": feature.buckets, "seed": feature.seed}
    return {
        "name": feature.name,
        "kind": "bag",
        "separator": feature.separator,
        "pooling": feature.pooling,
        **(hashed if feature.buckets else {"vocabulary": list(feature.vocabulary)}),
        "missing_share": feature.missing_share,
        "unknown_share": feature.unknown_share,
        "collision_share": feature.collision_share,
        "mean_values": feature.mean_values,
        **_table(feature),
    }


def _datetime(feature: DatetimeFeature) -> dict[str, Any]:
    return {
        "name": feature.name,
        "kind": "datetime",
        "parts": list(feature.parts),
        "minimum": feature.minimum,
        "maximum": feature.maximum,
        "missing_value": MISSING_TIME,
        "missing_share": feature.missing_share,
    }


def _table(feature: TextFeature) -> dict[str, str]:
    return {"table": feature.table} if feature.table else {}


def _category_text(config: Config, dataset: Dataset) -> dict[str, Any]:
    """Describe the changes that a caller makes to a category's value before sending it.

    They are those of the table's reader; the graph compares values exactly.
    """
    strip = isinstance(config.data, TableData) and config.data.strip
    features = dataset.features
    vocabularies = [f.vocabulary for f in features.categorical] + [f.vocabulary for f in features.bags]
    values = itertools.chain.from_iterable(vocabularies)
    composed = all(value.isascii() or unicodedata.is_normalized("NFC", value) for value in values)
    return {"strip": strip, "normalization": "NFC" if composed else None}


def _training_table(config: Config, dataset: Dataset) -> dict[str, Any]:
    """Name texts that mean missing and columns that are not features; nothing of made rows."""
    data = config.data
    if not isinstance(data, TableData):
        return {}
    taken = {*dataset.features.names, *(task.column for task in config.tasks)}
    other = [*data.drop, *data.split.columns, *([data.weight] if data.weight else [])]
    markers = (text.strip() if data.strip else text for text in data.markers)
    return {
        "training_table": {
            "missing": list(dict.fromkeys(markers)),
            "dropped": [name for name in dict.fromkeys(other) if name not in taken],
        }
    }


def _task(task: Task, metrics: Metrics, constant: Mapping[str, Baseline]) -> dict[str, Any]:
    entry: dict[str, Any] = {"name": task.name, "kind": task.kind, "classes": list(task.classes)}
    entry |= _judged(task.name, metrics, constant) | _label(task)
    if task.after:
        conditional = {"output": task.conditional, **_judged(task.conditional, metrics, constant)}
        entry |= {"after": task.after, "given": conditional}
    if task.negatives_kept < 1.0:
        entry["negatives_kept"] = task.negatives_kept
    if (task.slope, task.intercept) != (1.0, 0.0):
        entry["calibration"] = {"slope": task.slope, "intercept": task.intercept}
    return entry


def _label(task: Task) -> dict[str, Any]:
    """Describe the labels in the table's own terms."""
    if not task.column:
        return {}
    rule: dict[str, Any] = {"column": task.column}
    if task.values:
        rule["values"] = dict(task.values)
    if task.positive_if:
        rule["positive_if"] = task.positive_if
    return {"label": rule}


def _judged(output: str, metrics: Metrics, constant: Mapping[str, Baseline]) -> dict[str, Any]:
    entry: dict[str, Any] = {"metrics": dict(metrics.get(output, {}))}
    return entry | {"baseline": asdict(constant[output])} if output in constant else entry


def _golden(rows: RawRows, module: ServingModule, tolerance: float) -> dict[str, Any]:
    answers = module.answer(rows.inputs())
    entry: dict[str, Any] = {"tolerance": tolerance}
    if rows.numeric.shape[1]:
        entry["numeric"] = [_nullable(row) for row in rows.numeric]
    if rows.text.shape[1]:
        entry["categorical"] = rows.text.tolist()
    if rows.datetimes is not None:
        entry["datetime"] = [[None if at == MISSING_TIME else at for at in row] for row in rows.datetimes.tolist()]
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
