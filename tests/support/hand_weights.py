"""Weights of a hand-made model, and the numpy closed form of its answers, the tests' oracle."""

from collections.abc import Iterable, Sequence
from dataclasses import dataclass, field
from typing import Any

import numpy as np
from numpy.typing import NDArray

from tests.support.murmur import bucket

Array = NDArray[Any]
TASKS = {"price": 1, "sold": 1, "grade": 3}
KINDS = {"price": "regression", "sold": "binary", "grade": "multiclass"}
CLASSES: dict[str, list[str]] = {"price": [], "sold": ["no", "yes"], "grade": ["low", "middle", "high"]}
CONSTANTS: dict[str, Any] = {"price": 0.25, "sold": 0.4, "grade": [0.5, 0.3, 0.2]}
for _table in (TASKS, KINDS, CLASSES, CONSTANTS):  # as many tasks of each kind as a test wants
    _table |= {f"{task}_{i}": value for task, value in _table.items() for i in range(1, 5)}
NAMES = ["age", "height", "balance"]
VOCABULARIES = {"colour": ["red", "green", "blue"], "city": ["Paris", "Oslo"]}
MISSING_TIME = -(2**63)


@dataclass(frozen=True)
class HandBag:
    """Bag of a vocabulary or of buckets, into a table of its own or that of another feature."""

    separator: str
    pooling: str
    values: list[str] | int
    table: str = ""


HASHED = {"user": 50}
BAGS = {"tags": HandBag("|", "mean", ["sport", "news", "art"]), "seen": HandBag(", ", "sum", 50, "user")}
TIMES = ["clicked_at"]


@dataclass(frozen=True)
class HandWeights:
    """Weights of N numeric and C categorical features, T tasks, E experts of width H.

    By choice also of H hashed features, G bags and K moments. D encoded columns: two per feature
    of text, four per moment (sine and cosine of the time of day, then of the weekday).
    """

    names: list[str]
    vocabularies: dict[str, list[str]]
    tasks: dict[str, int]
    mean: Array  # (N,)
    std: Array  # (N,)
    table: Array  # (codes, 2); each feature's codes: unknown, missing, vocabulary or buckets
    gate: Array | None  # (T, E, D)
    experts: Array  # (E, D, H); one expert without gates
    towers: list[Array]  # (H, K) per task
    average: Array  # (D,)
    hashed: dict[str, int] = field(default_factory=dict)
    bags: dict[str, HandBag] = field(default_factory=dict)
    times: list[str] = field(default_factory=list)

    @property
    def texts(self) -> list[str]:
        return [*self.vocabularies, *self.hashed, *self.bags]

    @property
    def owner(self) -> Array:
        """The feature each encoded column belongs to, as an indicator (D, F)."""
        n, c, k = len(self.names), len(self.texts), len(self.times)
        owners = [*range(n), *np.repeat(range(n, n + c), 2), *np.repeat(range(n + c, n + c + k), 4)]
        return np.eye(n + c + k)[owners]

    def offsets(self) -> list[int]:
        """Return the first row of each feature of text in the table, in their order."""
        return list(offsets_of(self.vocabularies, self.hashed, self.bags)[0].values())

    def encode(self, numeric: Array | None, categorical: Array | None, times: Array | None = None) -> Array:
        columns: list[Array] = []
        if numeric is not None:
            standard = (np.asarray(numeric, np.float64) - self.mean) / self.std
            columns.append(np.where(np.isnan(standard), 0.0, standard))
        if categorical is not None:
            single: list[list[str] | int] = [*self.vocabularies.values(), *self.hashed.values()]
            for c, (offset, values) in enumerate(zip(self.offsets(), single, strict=False)):
                columns.append(self.table[offset + np.array(codes_of(categorical[:, c], values))])
            for c, bag in enumerate(self.bags.values(), len(single)):
                columns.append(np.stack([self._pooled(text, bag, self.offsets()[c]) for text in categorical[:, c]]))
        if times is not None:
            columns += [_parts(times[:, k]) for k in range(len(self.times))]
        return np.concatenate(columns, axis=1)

    def _pooled(self, text: str, bag: HandBag, offset: int) -> Array:
        codes = codes_of([value for value in text.split(bag.separator) if value], bag.values) or [1]
        rows = self.table[offset + np.array(codes)]
        pooled: Array = rows.mean(axis=0) if bag.pooling == "mean" else rows.sum(axis=0)
        return pooled

    def answer(
        self,
        numeric: Array | None,
        categorical: Array | None,
        mask: Array | None = None,
        times: Array | None = None,
    ) -> dict[str, Array]:
        """Compute every output in float64; `mask` is (E,) or (B, E)."""
        x = self.encode(numeric, categorical, times)
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
            outputs["gate_contributions"] = ((x - self.average)[:, None, None] * self.gate) @ self.owner
        for t, task in enumerate(self.tasks):
            raw = mixture[:, t] @ self.towers[t]
            outputs[task] = raw[:, 0]
            if KINDS[task] == "binary":
                outputs[task] = 1 / (1 + np.exp(-raw[:, 0]))
            elif KINDS[task] == "multiclass":
                e = np.exp(raw - raw.max(axis=1, keepdims=True))
                outputs[task] = e / e.sum(axis=1, keepdims=True)
        return outputs


def codes_of(texts: Iterable[str], values: list[str] | int) -> list[int]:
    """Return the codes of texts: missing 1, unknown 0, else 2 + a text's place or bucket."""
    if isinstance(values, int):
        return [2 + bucket(text, values) if text else 1 for text in texts]
    known = {"": 1} | {value: code for code, value in enumerate(values, start=2)}
    return [known.get(text, 0) for text in texts]


def _parts(seconds: Array) -> Array:
    missing = seconds == MISSING_TIME
    angles = (seconds % 86400) / 86400, ((seconds // 86400 + 3) % 7) / 7
    parts = [part(2 * np.pi * angle) for angle in angles for part in (np.sin, np.cos)]
    return np.where(missing[:, None], 0.0, np.stack(parts, axis=1))


def offsets_of(
    vocabularies: dict[str, list[str]], hashed: dict[str, int], bags: dict[str, HandBag]
) -> tuple[dict[str, int], int]:
    """Return the first row of each feature of text in the table, and how many rows there are."""
    found: dict[str, int] = {}
    sizes = {name: len(values) for name, values in vocabularies.items()} | hashed
    sizes |= {name: bag.values if isinstance(bag.values, int) else len(bag.values) for name, bag in bags.items()}
    rows = 0
    for name, size in sizes.items():
        if name in bags and bags[name].table:
            found[name] = found[bags[name].table]
        else:
            found[name], rows = rows, rows + size + 2
    return found, rows


def make_weights(
    kind: str = "full",
    tasks: Sequence[str] = ("price", "sold", "grade"),
    experts: int = 4,
    seed: int = 0,
    expert_width: int = 3,
) -> HandWeights:
    """Draw weights of a kind.

    "full", "plain" (no gates), "wide" and "widest" (100 and 300 numeric features, no categories)
    or "kinds" (features of every kind).
    """
    rng = np.random.default_rng(seed)
    numbers = {"wide": 100, "widest": 300}.get(kind)
    names = NAMES if numbers is None else [f"x{i}" for i in range(numbers)]
    vocabularies = VOCABULARIES if numbers is None else {}
    hashed, bags, times = (HASHED, BAGS, TIMES) if kind == "kinds" else ({}, {}, [])
    codes, h, n = offsets_of(vocabularies, hashed, bags)[1], expert_width, len(names)
    d = n + 2 * len({**vocabularies, **hashed, **bags}) + 4 * len(times)
    e = 1 if kind == "plain" else experts
    return HandWeights(
        names=names,
        vocabularies=vocabularies,
        tasks={task: TASKS[task] for task in tasks},
        mean=rng.normal(10, 3, n).round(2),
        std=rng.uniform(0.5, 4, n).round(2),
        table=rng.normal(size=(codes, 2)).round(2),
        gate=None if kind == "plain" else (rng.normal(size=(len(tasks), e, d)) / np.sqrt(d)).round(3),
        experts=(rng.normal(size=(e, d, h)) / np.sqrt(d)).round(3),
        towers=[(rng.normal(size=(h, TASKS[task])) / np.sqrt(h / 3)).round(2) for task in tasks],
        average=rng.normal(0, 0.3, d).round(2),
        hashed=hashed,
        bags=bags,
        times=times,
    )


def raw_rows(weights: HandWeights, rows: int, seed: int = 1) -> tuple[Array | None, Array | None]:
    """Draw raw rows with missing and unknown values.

    numeric float32 (B, N), categorical object (B, C + H + G).
    """
    rng = np.random.default_rng(seed)
    numeric = rng.normal(weights.mean, weights.std, (rows, len(weights.names))).round(3).astype(np.float32)
    numeric[rng.random(numeric.shape) < 0.1] = np.nan
    picks = [rng.choice([*values, "", "never seen"], rows) for values in weights.vocabularies.values()]
    picks += [rng.choice(["", *[f"user {i}" for i in range(80)]], rows) for _ in weights.hashed]
    for bag in weights.bags.values():
        values = bag.values if isinstance(bag.values, list) else [f"user {i}" for i in range(80)]
        cells = [rng.choice([*values, "", "never seen"], size) for size in rng.integers(0, 5, rows)]
        picks.append(np.array([bag.separator.join(cell) for cell in cells], object))
    texts = np.stack([pick.astype(object) for pick in picks], axis=1) if picks else None
    return numeric, texts


def raw_times(weights: HandWeights, rows: int, seed: int = 1) -> Array | None:
    """Draw moments, some of them missing or before 1970: int64 (B, K); None if K = 0."""
    if not weights.times:
        return None
    rng = np.random.default_rng(seed)
    times = rng.integers(-(10**9), 2 * 10**9, (rows, len(weights.times)))
    times[rng.random(times.shape) < 0.2] = MISSING_TIME
    return times
