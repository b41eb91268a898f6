"""Baseline of validation rows: features, predictions and mean gate contributions.

Drift of live traffic is measured against it (docs/drift.md).
"""

from collections.abc import Sequence
from dataclasses import replace
from typing import Any

import numpy as np
import torch
from numpy.typing import NDArray

from model.artifact.cells import Cells, Doubles, cells_of, inner_edges, weights_of
from model.artifact.serving_module import ServingModule
from model.artifact.without import without_experts
from model.data.coding.bags import take
from model.network.inputs import BATCH_ROWS, inputs_of
from model.network.model import predict
from model.schema import Rows

MOST_ROWS = 50_000
"""Validation rows that are read, evenly spread over all."""

ABLATED_ROWS = 10_000
"""Of these, rows that are answered without each expert."""

MOST_CLASSES = 20
"""Classes of a task that are listed by themselves."""

MOST_RAISING = 3
"""Cells listed of those that raise an expert's gate."""

LEAST_SHARE = 0.01
"""Share of rows of a cell that is said to raise a gate."""


def baseline(module: ServingModule, rows: Rows) -> dict[str, Any]:
    """Describe validation rows for the manifest's `baseline`; empty without any.

    Args:
        module: the served network, on the CPU.
        rows: of the validation split.
    """
    some = spread(rows, MOST_ROWS)
    weights = weights_of(some)
    if not weights.sum() > 0.0:
        return {}
    counted = cells_of(module.features, some)
    predictions = predict(module.model, some).tasks
    kinds = {task.name: task.kind for task in module.tasks}
    entry = {
        "rows": len(some),
        "features": [cells.entry(weights) for cells in counted],
        "predictions": {
            name: _classes(values, weights) if kinds.get(name) == "multiclass" else _numbers(values, weights)
            for name, values in predictions.items()
        },
    }
    if module.gated:
        entry |= _contributions(module, some, counted, weights)
        entry["without"] = without_experts(module, spread(some, ABLATED_ROWS))
    return {"baseline": entry}


def spread(rows: Rows, most: int) -> Rows:
    """Take at most so many rows, evenly spread."""
    if len(rows) <= most:
        return rows
    chosen = np.linspace(0, len(rows) - 1, most).astype(np.int64)
    return replace(
        rows,
        numeric=rows.numeric[chosen],
        codes=rows.codes[chosen],
        labels=rows.labels[chosen],
        text=rows.text[:0],
        bags=tuple(take(bag, chosen) for bag in rows.bags),
        datetimes=None if rows.datetimes is None else rows.datetimes[chosen],
        weights=None if rows.weights is None else rows.weights[chosen],
        groups=None,
        segments=None,
    )


def _numbers(values: NDArray[np.float32], weights: Doubles) -> dict[str, Any]:
    """Describe predictions by bins; differences in the fifth digit are none."""
    scale = float(10.0 ** np.ceil(np.log10(np.abs(values).max(initial=1e-30)))) * 1e-5
    edges = inner_edges(np.round(values.astype(np.float64) / scale) * scale, weights)
    place = np.searchsorted(np.array(edges, np.float32), values, side="right")
    return {"edges": edges, "shares": _rounded(np.bincount(place, weights, len(edges) + 1) / weights.sum())}


def _classes(values: NDArray[np.float32], weights: Doubles) -> dict[str, Any]:
    """Describe predictions by their most probable class."""
    shares = np.bincount(values.argmax(axis=1), weights, values.shape[1]) / weights.sum()
    listed = np.argsort(-shares, kind="stable")[:MOST_CLASSES]
    other = max(0.0, 1.0 - float(shares[listed].sum()))
    return {"classes": listed.tolist(), "shares": _rounded(shares[listed]), "other": round(other, 7)}


@torch.inference_mode()
def _contributions(module: ServingModule, rows: Rows, counted: Sequence[Cells], weights: Doubles) -> dict[str, Any]:
    """Describe the mean contributions, and the cells that raise each expert's gate most.

    A contribution is linear in the encoded row, so the mean encoding of rows has the mean
    contribution.
    """
    owners = module.model.encoder.column_feature.numpy()
    columns = [np.flatnonzero(owners == f) for f in range(len(counted))]
    sums = [np.zeros((cells.cells, len(own))) for cells, own in zip(counted, columns, strict=True)]
    total = np.zeros(len(owners))
    for begin in range(0, len(rows), BATCH_ROWS):
        part = slice(begin, min(begin + BATCH_ROWS, len(rows)))
        encoded = module.model.encoder(inputs_of(rows, part)).double().numpy()  # (B, D)
        encoded = (encoded - module.average_input.double().numpy()) * weights[part, None]
        total += encoded.sum(axis=0)
        for summed, cells, own in zip(sums, counted, columns, strict=True):
            summed += cells.dense(part) @ encoded[:, own]
    gates = module.gate_matrix.double().numpy()  # (T * E, D)
    means = np.stack([gates[:, own] @ total[own] / weights.sum() for own in columns], axis=-1)  # (T * E, F)
    shaped = means.reshape(len(module.tasks), module.experts, -1)
    mass = [cells.shares(weights) * weights.sum() for cells in counted]
    by_cell = [
        gates[:, own] @ (summed / np.maximum(of, 1e-9)[:, None]).T
        for own, summed, of in zip(columns, sums, mass, strict=True)
    ]
    common = [of >= LEAST_SHARE * weights.sum() for of in mass]
    return {
        "contributions": {task.name: _short(shaped[t]) for t, task in enumerate(module.tasks)},
        "raising": _raising(module, by_cell, common),
    }


def _raising(module: ServingModule, by_cell: list[Doubles], common: list[NDArray[np.bool_]]) -> dict[str, Any]:
    """List, by task and expert, the cells that contribute most above the experts' mean.

    Args:
        module: the served network.
        by_cell: of each feature (T * E, cells) mean contributions.
        common: of each feature (cells,), whether rows enough are there.
    """
    owner = np.concatenate([np.full(len(cells), f) for f, cells in enumerate(common)])
    place = np.concatenate([np.arange(len(cells)) for cells in common])
    kept = np.concatenate(common)
    every = np.concatenate(by_cell, axis=1).reshape(len(module.tasks), module.experts, -1)[..., kept]
    owner, place, names = owner[kept], place[kept], module.features.names
    listed: dict[str, Any] = {}
    for task, seen, values in zip(module.tasks, module.seen_experts(), every, strict=True):
        centred = values - values[seen].mean(axis=0)
        listed[task.name] = [
            [
                {"feature": names[owner[c]], "cell": int(place[c]), "contribution": float(f"{row[c]:.4g}")}
                for c in np.argsort(-row, kind="stable")[: MOST_RAISING if sees else 0]
            ]
            for row, sees in zip(centred, seen, strict=True)
        ]
    return listed


def _short(values: Doubles) -> list[list[float]]:
    """Write numbers with five digits, which keeps the manifest small."""
    return [[float(f"{value:.5g}") for value in row] for row in values.tolist()]


def _rounded(shares: Doubles) -> list[float]:
    return [round(share, 7) for share in shares.tolist()]
