"""Weights of a hand-made model, and the numpy closed form of its answers, the tests' oracle."""

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray

Array = NDArray[Any]
TASKS = {"price": 1, "sold": 1, "grade": 3}
KINDS = {"price": "regression", "sold": "binary", "grade": "multiclass"}
CLASSES: dict[str, list[str]] = {"price": [], "sold": ["no", "yes"], "grade": ["low", "middle", "high"]}
NAMES = ["age", "height", "balance"]
VOCABULARIES = {"colour": ["red", "green", "blue"], "city": ["Paris", "Oslo"]}


@dataclass(frozen=True)
class HandWeights:
    """Weights of N numeric and C categorical features, T tasks, E experts of width H.

    D encoded columns, two per category.
    """

    names: list[str]
    vocabularies: dict[str, list[str]]
    tasks: dict[str, int]
    mean: Array  # (N,)
    std: Array  # (N,)
    table: Array  # (codes, 2); each category's codes: unknown, missing, vocabulary
    gate: Array | None  # (T, E, D)
    experts: Array  # (E, D, H); one expert without gates
    towers: list[Array]  # (H, K) per task
    average: Array  # (D,)

    @property
    def owner(self) -> Array:
        """The feature each encoded column belongs to, as an indicator (D, N + C)."""
        n, c = len(self.names), len(self.vocabularies)
        return np.eye(n + c)[[*range(n), *np.repeat(range(n, n + c), 2)]]

    def offsets(self) -> list[int]:
        sizes = [len(values) + 2 for values in self.vocabularies.values()]
        return [sum(sizes[:i]) for i in range(len(sizes))]

    def encode(self, numeric: Array | None, categorical: Array | None) -> Array:
        columns: list[Array] = []
        if numeric is not None:
            standard = (np.asarray(numeric, np.float64) - self.mean) / self.std
            columns.append(np.where(np.isnan(standard), 0.0, standard))
        if categorical is not None:
            for c, (offset, values) in enumerate(zip(self.offsets(), self.vocabularies.values(), strict=True)):
                known = {"": 1} | {value: code for code, value in enumerate(values, start=2)}
                codes = [known.get(v, 0) for v in categorical[:, c]]
                columns.append(self.table[offset + np.array(codes)])
        return np.concatenate(columns, axis=1)

    def answer(self, numeric: Array | None, categorical: Array | None, mask: Array | None = None) -> dict[str, Array]:
        """Compute every output in float64; `mask` is (E,) or (B, E)."""
        x = self.encode(numeric, categorical)
        hidden = np.maximum(np.einsum("bd,edh->beh", x, self.experts), 0)
        outputs: dict[str, Array] = {}
        if self.gate is None:
            mixture = np.repeat(hidden, len(self.tasks), axis=1)
        else:
            logits = np.einsum("bd,ted->bte", x, self.gate)
            weights = np.exp(logits - logits.max(axis=-1, keepdims=True))
            weights = weights if mask is None else weights * np.broadcast_to(mask, (len(x), weights.shape[-1]))[:, None]
            weights = weights / weights.sum(axis=-1, keepdims=True)
            mixture = np.einsum("bte,beh->bth", weights, hidden)
            outputs["gate_weights"] = weights
            outputs["gate_contributions"] = np.einsum("bd,ted,df->btef", x - self.average, self.gate, self.owner)
        for t, task in enumerate(self.tasks):
            raw = mixture[:, t] @ self.towers[t]
            outputs[task] = raw[:, 0]
            if KINDS[task] == "binary":
                outputs[task] = 1 / (1 + np.exp(-raw[:, 0]))
            elif KINDS[task] == "multiclass":
                e = np.exp(raw - raw.max(axis=1, keepdims=True))
                outputs[task] = e / e.sum(axis=1, keepdims=True)
        return outputs


def make_weights(
    kind: str = "full",
    tasks: Sequence[str] = ("price", "sold", "grade"),
    experts: int = 4,
    seed: int = 0,
    expert_width: int = 3,
) -> HandWeights:
    """Draw weights of a kind.

    "full", "plain" (no gates) or "wide" (100 numeric features, no categories).
    """
    rng = np.random.default_rng(seed)
    names = [f"x{i}" for i in range(100)] if kind == "wide" else NAMES
    vocabularies = {} if kind == "wide" else VOCABULARIES
    n, d, h = len(names), len(names) + 2 * len(vocabularies), expert_width
    e = 1 if kind == "plain" else experts
    return HandWeights(
        names=names,
        vocabularies=vocabularies,
        tasks={task: TASKS[task] for task in tasks},
        mean=rng.normal(10, 3, n).round(2),
        std=rng.uniform(0.5, 4, n).round(2),
        table=rng.normal(size=(sum(len(v) + 2 for v in vocabularies.values()), 2)).round(2),
        gate=None if kind == "plain" else (rng.normal(size=(len(tasks), e, d)) / np.sqrt(d)).round(3),
        experts=(rng.normal(size=(e, d, h)) / np.sqrt(d)).round(3),
        towers=[(rng.normal(size=(h, TASKS[task])) / np.sqrt(h / 3)).round(2) for task in tasks],
        average=rng.normal(0, 0.3, d).round(2),
    )


def raw_rows(weights: HandWeights, rows: int, seed: int = 1) -> tuple[Array | None, Array | None]:
    """Draw raw rows with missing and unknown values.

    numeric float32 (B, N), categorical object (B, C).
    """
    rng = np.random.default_rng(seed)
    numeric = rng.normal(weights.mean, weights.std, (rows, len(weights.names))).round(3).astype(np.float32)
    numeric[rng.random(numeric.shape) < 0.1] = np.nan
    picks = [rng.choice([*values, "", "never seen"], rows) for values in weights.vocabularies.values()]
    return numeric, np.stack(picks, axis=1).astype(object) if picks else None
