"""Baseline of a hand-made model, so that drift, experts and segments have something to tell."""

from collections.abc import Callable
from typing import Any

import numpy as np

from tests.support.hand_weights import KINDS, Array, HandWeights, make_weights, raw_rows

ROWS = 200
FEW = 10
BINS = 4


def live(kind: str = "full", **options: Any) -> Callable[[dict[str, Any]], None]:
    """Return what adds a baseline to a manifest; `options` as `make_weights` takes them."""
    weights = make_weights(kind, **options)

    def edit(manifest: dict[str, Any]) -> None:
        numeric, categorical = raw_rows(weights, ROWS, seed=3)
        assert numeric is not None
        answer = weights.answer(numeric, categorical)
        features = _features(manifest, numeric, categorical)
        manifest["baseline"] = {
            "rows": ROWS,
            "features": [entry for entry, _ in features],
            "predictions": {task: _prediction(task, answer[task]) for task in weights.tasks},
        }
        if weights.gate is not None:
            shares = answer["gate_contributions"]
            manifest["baseline"] |= {
                "contributions": dict(zip(weights.tasks, shares.mean(axis=0).tolist(), strict=True)),
                "raising": _raising(weights, manifest, shares, [cells for _, cells in features]),
                "without": _without(weights, numeric, categorical, answer),
            }

    return edit


def _features(
    manifest: dict[str, Any], numeric: Array, categorical: Array | None
) -> list[tuple[dict[str, Any], Array]]:
    """Describe each feature, and the cell of each row; -1 where it is missing or unknown."""
    found = []
    for place, feature in enumerate(manifest["features"]):
        if feature["kind"] == "numeric":
            values = numeric[:, place]
            missing, low, high = np.isnan(values), values < feature["minimum"], values > feature["maximum"]
            inside = ~(missing | low | high)
            edges = np.quantile(values[inside], np.linspace(0, 1, BINS + 1)[1:-1])
            cells = np.where(inside, np.searchsorted(edges, values, side="right"), -1)
            tail = {"below": low.mean(), "above": high.mean(), "missing": missing.mean()}
            entry: dict[str, Any] = {"edges": edges.tolist()}
        else:
            assert categorical is not None
            texts = categorical[:, place - numeric.shape[1]]
            cells = np.array([[*feature["vocabulary"], text].index(text) for text in texts])
            cells[cells == len(feature["vocabulary"])] = -1
            tail = {"unknown": ((cells < 0) & (texts != "")).mean(), "missing": (texts == "").mean()}
            entry = {"values": feature["vocabulary"]}
        count = BINS if "edges" in entry else len(entry["values"])
        shares = [float((cells == cell).mean()) for cell in range(count)]
        found.append((entry | {"shares": shares} | {name: float(share) for name, share in tail.items()}, cells))
    return found


def _prediction(task: str, values: Array) -> dict[str, Any]:
    if KINDS[task] == "multiclass":
        return {"classes": [0, 1, 2], "shares": (np.bincount(values.argmax(axis=1), minlength=3) / ROWS).tolist()}
    edges = np.quantile(values, np.linspace(0, 1, BINS + 1)[1:-1])
    places = np.searchsorted(edges, values, side="right")
    return {"edges": edges.tolist(), "shares": (np.bincount(places, minlength=BINS) / ROWS).tolist()}


def _raising(w: HandWeights, manifest: dict[str, Any], shares: Array, cells: list[Array]) -> dict[str, Any]:
    """List the two cells of each expert whose rows raise its logit most above the others'."""
    centred = shares - shares.mean(axis=2, keepdims=True)  # (B, T, E, F)
    every = [
        (feature["name"], cell, centred[places == cell, :, :, f].mean(axis=0))
        for f, (feature, places) in enumerate(zip(manifest["features"], cells, strict=True))
        for cell in sorted(set(places[places >= 0].tolist()))
    ]
    return {
        task: [
            [
                {"feature": name, "cell": cell, "contribution": float(means[t, e])}
                for name, cell, means in sorted(every, key=lambda one, t=t, e=e: -one[2][t, e])[:2]  # type: ignore[misc]
            ]
            for e in range(shares.shape[2])
        ]
        for t, task in enumerate(w.tasks)
    }


def _without(w: HandWeights, numeric: Array, categorical: Array | None, answer: dict[str, Array]) -> dict[str, Any]:
    """Say how far predictions move without each expert.

    The rise of the loss is made up, there being no labels.
    """
    experts = answer["gate_weights"].shape[2]
    some = numeric[:FEW], None if categorical is None else categorical[:FEW]
    masked = [w.answer(*some, 1.0 - np.eye(experts)[e]) for e in range(experts)]
    return {
        task: [
            {"loss": 0.01 * (e + 1), "moved": float(np.abs(without[task] - answer[task][:FEW]).mean())}
            for e, without in enumerate(masked)
        ]
        for task in w.tasks
    }
