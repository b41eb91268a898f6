"""A small model built by hand: the ONNX graph of docs/artifact.md beside a numpy closed form that is its oracle."""

import json
import os
import queue
import re
import signal
import subprocess
import sys
import threading
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import onnx
import pytest
from numpy.typing import NDArray
from onnx import TensorProto, helper, numpy_helper

Array = NDArray[Any]
SEPARATOR = "\x1f"
TASKS = {"price": 1, "sold": 1, "grade": 3}
KINDS = {"price": "regression", "sold": "binary", "grade": "multiclass"}
CLASSES: dict[str, list[str]] = {"price": [], "sold": ["no", "yes"], "grade": ["low", "middle", "high"]}
NAMES = ["age", "height", "balance"]
VOCABULARIES = {"colour": ["red", "green", "blue"], "city": ["Paris", "Oslo"]}


@dataclass(frozen=True)
class HandWeights:
    """N numeric and C categorical features, T tasks, E experts of width H; D encoded columns, two per category."""

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
                codes = [1 if v == "" else 2 + values.index(v) if v in values else 0 for v in categorical[:, c]]
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
    kind: str = "full", tasks: Sequence[str] = ("price", "sold", "grade"), experts: int = 4, seed: int = 0
) -> HandWeights:
    """Draw weights; kind is "full", "plain" (no gates) or "wide" (100 numeric features, no categories)."""
    rng = np.random.default_rng(seed)
    names = [f"x{i}" for i in range(100)] if kind == "wide" else NAMES
    vocabularies = {} if kind == "wide" else VOCABULARIES
    n, d, h = len(names), len(names) + 2 * len(vocabularies), 3
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
        towers=[rng.normal(size=(h, TASKS[task])).round(2) for task in tasks],
        average=rng.normal(0, 0.3, d).round(2),
    )


def raw_rows(weights: HandWeights, rows: int, seed: int = 1) -> tuple[Array | None, Array | None]:
    """Draw raw rows with missing and unknown values: numeric float32 (B, N), categorical object (B, C)."""
    rng = np.random.default_rng(seed)
    numeric = rng.normal(weights.mean, weights.std, (rows, len(weights.names))).round(3).astype(np.float32)
    numeric[rng.random(numeric.shape) < 0.1] = np.nan
    picks = [rng.choice([*values, "", "never seen"], rows) for values in weights.vocabularies.values()]
    return numeric, np.stack(picks, axis=1).astype(object) if picks else None


class Graph:
    """Collect nodes and constants; each method returns the name of the value it adds."""

    def __init__(self) -> None:
        self.nodes: list[onnx.NodeProto] = []
        self.initializers: list[onnx.TensorProto] = []

    def op(self, kind: str, *inputs: str, out: str | None = None, domain: str = "", **attributes: Any) -> str:
        name = out or f"v{len(self.nodes)}"
        self.nodes.append(helper.make_node(kind, inputs, [name], domain=domain, **attributes))
        return name

    def const(self, value: Any, dtype: type = np.float32, name: str | None = None) -> str:
        name = name or f"c{len(self.initializers)}"
        self.initializers.append(numpy_helper.from_array(np.asarray(value, dtype), name))
        return name


def build_graph(w: HandWeights) -> onnx.ModelProto:
    """Write the graph for these weights: every preprocessing step inside, optional masks, all outputs."""
    g = Graph()
    x = _encoding(g, w)
    e, d, h = w.experts.shape
    hidden = g.op("MatMul", x, g.const(w.experts.transpose(1, 0, 2).reshape(d, e * h)))
    hidden = g.op("Relu", g.op("Reshape", hidden, g.const([0, e, h], np.int64)))
    if w.gate is not None:
        hidden = g.op("MatMul", _gates(g, w, x), hidden)
    for t, (task, width) in enumerate(w.tasks.items()):
        mixture = g.op("Gather", hidden, g.const(t if w.gate is not None else 0, np.int64), axis=1)
        raw = g.op("MatMul", mixture, g.const(w.towers[t]))
        if width > 1:
            g.op("Softmax", raw, out=task, axis=-1)
        else:
            raw = g.op("Sigmoid", raw) if KINDS[task] == "binary" else raw
            g.op("Squeeze", raw, g.const([1], np.int64), out=task)
    return _model(g, w)


def _encoding(g: Graph, w: HandWeights) -> str:
    columns = []
    if w.names:
        filled = g.op("Where", g.op("IsNaN", "numeric"), g.const(w.mean), "numeric")
        columns.append(g.op("Div", g.op("Sub", filled, g.const(w.mean)), g.const(w.std)))
    if w.vocabularies:
        keys, codes = [], []
        for c, (offset, values) in enumerate(zip(w.offsets(), w.vocabularies.values(), strict=True)):
            keys += [f"{c}{SEPARATOR}{value}" for value in ["", *values]]
            codes += [offset + 1 + i for i in range(len(values) + 1)]
        prefixes = g.const([[f"{c}{SEPARATOR}" for c in range(len(w.vocabularies))]], np.object_)
        text = g.op("StringConcat", "categorical", prefixes)
        g.nodes[-1].input[:] = [prefixes, "categorical"]
        found = g.op(
            "LabelEncoder", text, domain="ai.onnx.ml", keys_strings=keys, values_int64s=codes, default_int64=-1
        )
        unknown = g.op("Less", found, g.const(0, np.int64))
        found = g.op("Where", unknown, g.const([w.offsets()], np.int64), found)
        embedded = g.op("Gather", g.const(w.table), found, axis=0)
        columns.append(g.op("Reshape", embedded, g.const([0, 2 * len(w.vocabularies)], np.int64)))
    return g.op("Concat", *columns, axis=1)


def _gates(g: Graph, w: HandWeights, x: str) -> str:
    assert w.gate is not None
    t, e, d = w.gate.shape
    g.const(np.ones(e), name="expert_mask")
    g.const(np.ones((1, 1, e)), name="row_expert_mask")
    logits = g.op("MatMul", x, g.const(w.gate.reshape(t * e, d).T))
    logits = g.op("Reshape", logits, g.const([0, t, e], np.int64))
    log_mask = g.op("Log", g.op("Mul", "expert_mask", "row_expert_mask"))
    weights = g.op("Softmax", g.op("Add", logits, log_mask), out="gate_weights", axis=-1)
    centred = g.op("Reshape", g.op("Sub", x, g.const(w.average)), g.const([0, 1, 1, d], np.int64))
    products = g.op("Mul", centred, g.const(w.gate))
    g.op("MatMul", products, g.const(w.owner), out="gate_contributions")
    return weights


def _model(g: Graph, w: HandWeights) -> onnx.ModelProto:
    float32, n, c, t = TensorProto.FLOAT, len(w.names), len(w.vocabularies), len(w.tasks)
    info = helper.make_tensor_value_info
    inputs = [info("numeric", float32, ["rows", n])] if n else []
    inputs += [info("categorical", TensorProto.STRING, ["rows", c])] if c else []
    outputs = [info(task, float32, ["rows", width] if width > 1 else ["rows"]) for task, width in w.tasks.items()]
    if w.gate is not None:
        e = w.gate.shape[1]
        inputs += [info("expert_mask", float32, [e]), info("row_expert_mask", float32, ["mask_rows", 1, e])]
        outputs += [info("gate_weights", float32, ["rows", t, e])]
        outputs += [info("gate_contributions", float32, ["rows", t, e, n + c])]
    graph = helper.make_graph(g.nodes, "hand", inputs, outputs, g.initializers)
    opsets = [helper.make_opsetid("", 20), helper.make_opsetid("ai.onnx.ml", 4)]
    return helper.make_model(graph, opset_imports=opsets, ir_version=10)


def make_manifest(w: HandWeights, name: str) -> dict[str, Any]:
    """Write the manifest for these weights, with the oracle's golden rows."""
    numeric, categorical = raw_rows(w, 4, seed=2)
    assert numeric is not None
    outputs = w.answer(numeric, categorical)
    outputs.pop("gate_contributions", None)
    features: list[dict[str, Any]] = [
        {
            "name": f,
            "kind": "numeric",
            "minimum": m - 3 * s,
            "maximum": m + 3 * s,
            "mean": m,
            "std": s,
            "missing_share": 0.1,
        }
        for f, m, s in zip(w.names, w.mean.tolist(), w.std.tolist(), strict=True)
    ]
    features += [
        {"name": f, "kind": "categorical", "vocabulary": values, "missing_share": 0.1, "unknown_share": 0.05}
        for f, values in w.vocabularies.items()
    ]
    golden = {
        "tolerance": 1e-5,
        "numeric": [[None if np.isnan(v) else float(v) for v in row] for row in numeric],
        "outputs": {output: values.tolist() for output, values in outputs.items()},
    }
    if categorical is not None:
        golden["categorical"] = categorical.tolist()
    return {
        "schema_version": 1,
        "name": name,
        "architecture": "mmoe" if w.gate is not None else "shared_bottom",
        "experts": 0 if w.gate is None else w.gate.shape[1],
        "features": features,
        "tasks": [{"name": t, "kind": KINDS[t], "classes": CLASSES[t], "metrics": {"loss": 0.5}} for t in w.tasks],
        "gates": None if w.gate is None else _baseline(w),
        "golden": golden,
        "provenance": {"created_at": "2026-01-02T03:04:05Z", "seed": 0, "versions": {"numpy": np.__version__}},
    }


def _baseline(w: HandWeights) -> dict[str, Any]:
    assert w.gate is not None
    weights = w.answer(*raw_rows(w, 200, seed=3))["gate_weights"]
    edges = np.linspace(0, 1, 11)
    rows, tasks, experts = weights.shape
    entropy = -(weights * np.log(weights)).sum(axis=-1).mean(axis=0)
    return {
        "rows": rows,
        "average_logits": np.einsum("d,ted->te", w.average, w.gate).tolist(),
        "histogram_edges": edges.tolist(),
        "tasks": {
            task: {
                "utilisation": weights[:, t].mean(axis=0).tolist(),
                "histogram": [np.histogram(weights[:, t, e], edges)[0].tolist() for e in range(experts)],
                "entropy": float(entropy[t]),
                "normalised_entropy": float(entropy[t] / np.log(max(experts, 2))),
                "top_expert_share": (weights[:, t].argmax(axis=1)[:, None] == np.arange(experts)).mean(axis=0).tolist(),
            }
            for t, task in enumerate(w.tasks)
        },
        "similarity": [[_alike(weights[:, a], weights[:, b]) for b in range(tasks)] for a in range(tasks)],
    }


def _alike(p: Array, q: Array) -> float:
    """Mean over rows of 1 - Jensen-Shannon divergence in base 2, by its definition through Kullback-Leibler."""
    middle = (p + q) / 2
    divergence = (p * np.log2(p / middle) + q * np.log2(q / middle)).sum(axis=-1) / 2
    return float(1 - divergence.mean())


def write_model(
    directory: Path,
    name: str = "hand",
    version: int = 1,
    *,
    kind: str = "full",
    tasks: Sequence[str] = ("price", "sold", "grade"),
    experts: int = 4,
    seed: int = 0,
    fault: str | None = None,
    edit: Callable[[dict[str, Any]], object] | None = None,
) -> Path:
    """Write directory/name/version/model.onnx and return its path.

    Args:
        directory: the directory of models.
        name: of the model.
        version: positive integer.
        kind: "full", "plain" (no gates) or "wide" (100 numeric features).
        tasks: some of "price", "sold" and "grade".
        experts: E.
        seed: of the weights, so that versions differ.
        fault: "wrong_golden", "no_manifest", "unknown_schema", "zero_bytes", "truncated", "not_onnx", "external_data".
        edit: changes the manifest in place before it is written.
    """
    weights = make_weights(kind, tasks, experts, seed)
    model, manifest = build_graph(weights), make_manifest(weights, name)
    if fault == "wrong_golden":
        first = manifest["golden"]["outputs"][tasks[0]]
        first[0] = first[0] + 0.01
    if fault == "unknown_schema":
        manifest["schema_version"] = 99
    if edit is not None:
        edit(manifest)
    if fault != "no_manifest":
        helper.set_model_props(model, {"mmoe.manifest": json.dumps(manifest)})
    if fault == "external_data":
        tensor = model.graph.initializer[0]
        tensor.data_location = TensorProto.EXTERNAL
        tensor.ClearField("raw_data")
        tensor.external_data.add(key="location", value="../../../weights.bin")
    content = model.SerializeToString()
    content = {"zero_bytes": b"", "truncated": content[: len(content) // 2], "not_onnx": b"not a model at all"}.get(
        fault or "", content
    )
    path = directory / name / str(version) / "model.onnx"
    path.parent.mkdir(parents=True)
    path.write_bytes(content)
    return path


@pytest.fixture(scope="session")
def hand_model() -> Callable[..., Path]:
    """Write a hand-made model: `hand_model(directory, name, version, **variations)`; see `write_model`."""
    return write_model


@pytest.fixture(scope="session")
def hand_weights() -> Callable[..., Any]:
    """Give the weights of a hand-made model: `hand_weights(kind, ...)`; its `answer` is the oracle."""
    return make_weights


@pytest.fixture(scope="session")
def hand_rows() -> Callable[..., Any]:
    """Draw raw rows for such weights: `hand_rows(weights, rows, seed)` -> (numeric, categorical)."""
    return raw_rows


ROOT = Path(__file__).parents[2]
START_TIMEOUT_S, END_TIMEOUT_S = 60, 30
"""Real services on free ports: `python -m service` in a process of its own, up when it says so, ended by SIGTERM."""


class Service:
    """Hold a running service."""

    def __init__(self, models: Path, settings: dict[str, str]) -> None:
        quiet = {key: value for key, value in os.environ.items() if not key.startswith("MMOE_")}
        environment = quiet | {"MMOE_MODELS": str(models), "MMOE_PORT": "0", "PYTHONUNBUFFERED": "1"} | settings
        self.process = subprocess.Popen(
            [sys.executable, "-m", "service"], cwd=ROOT, env=environment, stderr=subprocess.PIPE, text=True
        )
        self.lines: list[str] = []
        self._queue: queue.Queue[str | None] = queue.Queue()
        self._reader = threading.Thread(target=self._read)
        self._reader.start()
        self.url = ""

    def _read(self) -> None:
        assert self.process.stderr
        for line in self.process.stderr:
            self._queue.put(line)
        self._queue.put(None)

    def wait_for(self, pattern: str) -> "re.Match[str]":
        """Read the log up to a line that matches."""
        while True:
            line = self._queue.get(timeout=START_TIMEOUT_S)
            assert line is not None, f"the service ended before it said {pattern!r}:\n{''.join(self.lines)}"
            self.lines.append(line)
            if found := re.search(pattern, line):
                return found

    def end(self, number: signal.Signals = signal.SIGTERM) -> int:
        """Signal the process, wait until it ends, return its status; kill it if it does not."""
        if self.process.poll() is None:
            self.process.send_signal(number)
        try:
            return self.process.wait(END_TIMEOUT_S)
        except subprocess.TimeoutExpired:
            self.process.kill()
            self.process.wait()
            raise
        finally:
            self._reader.join()
            assert self.process.stderr
            self.process.stderr.close()


@contextmanager
def running(models: Path, **settings: str) -> Iterator[Service]:
    service = Service(models, {f"MMOE_{key.upper()}": value for key, value in settings.items()})
    try:
        service.url = service.wait_for(r"Serving .* on (http://\S+)")[1]
        yield service
    finally:
        service.end()


@pytest.fixture(scope="session")
def start_service() -> Callable[..., Any]:
    """Give a context manager that runs a service: `with start_service(models, max_rows="5") as service`."""
    return running


@pytest.fixture(scope="session")
def models(tmp_path_factory: pytest.TempPathFactory, hand_model: Callable[..., Path]) -> Path:
    """Write the models that the shared service serves: `hand` (versions 1 and 2), `wide`, `plain`."""
    root = tmp_path_factory.mktemp("models")
    hand_model(root, "hand", 1)
    hand_model(root, "hand", 2, seed=5)
    hand_model(root, "wide", 1, kind="wide", tasks=("price", "sold"))
    hand_model(root, "plain", 1, kind="plain")
    return root
