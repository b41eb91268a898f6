"""Hand-made model as the file of docs/artifact.md.

Its ONNX graph, its manifest, and files with faults.
"""

import json
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Any

import numpy as np
import onnx
from onnx import TensorProto, helper, numpy_helper

from tests.support.hand_weights import (
    CLASSES,
    CONSTANTS,
    KINDS,
    MISSING_TIME,
    Array,
    HandBag,
    HandWeights,
    make_weights,
    raw_rows,
    raw_times,
)

SEPARATOR = "\x1f"


class Graph:
    """Builder of a graph; each method returns the name of the value it adds."""

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


def build_graph(w: HandWeights, mask_inputs: bool = False) -> onnx.ModelProto:
    """Write the graph for these weights: every preprocessing step inside, masks, all outputs."""
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
    return _model(g, w, mask_inputs)


def _encoding(g: Graph, w: HandWeights) -> str:
    columns = []
    if w.names:
        filled = g.op("Where", g.op("IsNaN", "numeric"), g.const(w.mean), "numeric")
        columns.append(g.op("Div", g.op("Sub", filled, g.const(w.mean)), g.const(w.std)))
    if w.vocabularies:
        keys, codes = [], []
        offsets = w.offsets()[: len(w.vocabularies)]
        text = _columns(g, "categorical", len(offsets)) if len(w.texts) > len(offsets) else "categorical"
        for c, (offset, values) in enumerate(zip(offsets, w.vocabularies.values(), strict=True)):
            keys += [f"{c}{SEPARATOR}{value}" for value in ["", *values]]
            codes += [offset + 1 + i for i in range(len(values) + 1)]
        prefixes = g.const([[f"{c}{SEPARATOR}" for c in range(len(w.vocabularies))]], np.object_)
        text = g.op("StringConcat", prefixes, text)
        found = g.op(
            "LabelEncoder", text, domain="ai.onnx.ml", keys_strings=keys, values_int64s=codes, default_int64=-1
        )
        unknown = g.op("Less", found, g.const(0, np.int64))
        found = g.op("Where", unknown, g.const([offsets], np.int64), found)
        table = g.const(w.table)
        embedded = g.op("Gather", table, found, axis=0)
        columns.append(g.op("Reshape", embedded, g.const([0, 2 * len(w.vocabularies)], np.int64)))
        places = enumerate(w.offsets()[len(offsets) :], len(offsets))
        others: list[int | HandBag] = [*w.hashed.values(), *w.bags.values()]
        for (place, offset), other in zip(places, others, strict=True):
            cells = g.op("Gather", "categorical", g.const(place, np.int64), axis=1)
            encode = _bag if isinstance(other, HandBag) else _hashed
            columns.append(encode(g, cells, other, table, offset))  # type: ignore[arg-type]
    columns += [_moment(g, place) for place in range(len(w.times))]
    return g.op("Concat", *columns, axis=1)


def _columns(g: Graph, tensor: str, count: int) -> str:
    """Take the first columns of a tensor."""
    return g.op("Slice", tensor, *(g.const([value], np.int64) for value in (0, count, 1)))


def _codes(g: Graph, text: str, values: list[str] | int) -> str:
    """Return the codes of texts of any shape: unknown 0, missing 1, then values or buckets."""
    keys = [] if isinstance(values, int) else values
    known: dict[str, Any] = {
        "keys_strings": ["", *keys],
        "values_int64s": [1, *range(2, 2 + len(keys))],
        "default_int64": 0,
    }
    found = g.op("LabelEncoder", text, domain="ai.onnx.ml", **known)
    if not isinstance(values, int):
        return found
    hashed = g.op("Cast", g.op("MurmurHash3", text, domain="com.microsoft", positive=1), to=TensorProto.INT64)
    bucket = g.op("Add", g.op("Mod", hashed, g.const(values, np.int64)), g.const(2, np.int64))
    return g.op("Where", g.op("Equal", found, g.const(1, np.int64)), found, bucket)


def _hashed(g: Graph, text: str, buckets: int, table: str, offset: int) -> str:
    return g.op("Gather", table, g.op("Add", _codes(g, text, buckets), g.const(offset, np.int64)), axis=0)


def _bag(g: Graph, text: str, bag: HandBag, table: str, offset: int) -> str:
    parts, missing, axis = g.op("StringSplit", text, delimiter=bag.separator), g.const(1, np.int64), [1]
    g.nodes[-1].output.append(f"{parts}/count")
    codes = _codes(g, parts, bag.values)
    present = g.op("Cast", g.op("Not", g.op("Equal", codes, missing)), to=TensorProto.FLOAT)
    weights = g.op("Unsqueeze", present, g.const([2], np.int64))
    rows = g.op("Gather", table, g.op("Add", codes, g.const(offset, np.int64)), axis=0)
    pooled = g.op("ReduceSum", g.op("Mul", rows, weights), g.const(axis, np.int64), keepdims=0)
    count = g.op("ReduceSum", present, g.const(axis, np.int64), keepdims=1)
    if bag.pooling == "mean":
        pooled = g.op("Div", pooled, g.op("Max", count, g.const(1.0)))
    empty = g.op("Gather", table, g.const([offset + 1], np.int64), axis=0)
    return g.op("Where", g.op("Equal", count, g.const(0.0)), empty, pooled)


def _moment(g: Graph, place: int) -> str:
    """Encode the time of day and the weekday, in integers for as long as that goes."""
    seconds = g.op("Gather", "datetime", g.const([place], np.int64), axis=1)
    missing, day = g.op("Equal", seconds, g.const(MISSING_TIME, np.int64)), g.const(86400, np.int64)
    seconds = g.op("Where", missing, g.const(0, np.int64), seconds)
    of_day = g.op("Mod", seconds, day)
    days = g.op("Div", g.op("Sub", seconds, of_day), day)
    weekday = g.op("Mod", g.op("Add", days, g.const(3, np.int64)), g.const(7, np.int64))
    parts = []
    for part, period in ((of_day, 86400), (weekday, 7)):
        angle = g.op("Mul", g.op("Cast", part, to=TensorProto.FLOAT), g.const(2 * np.pi / period))
        parts += [g.op("Where", missing, g.const(0.0), g.op(function, angle)) for function in ("Sin", "Cos")]
    return g.op("Concat", *parts, axis=1)


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


def _model(g: Graph, w: HandWeights, mask_inputs: bool) -> onnx.ModelProto:
    float32, n, c, k, t = TensorProto.FLOAT, len(w.names), len(w.texts), len(w.times), len(w.tasks)
    info = helper.make_tensor_value_info
    inputs = [info("numeric", float32, ["rows", n])] if n else []
    inputs += [info("categorical", TensorProto.STRING, ["rows", c])] if c else []
    inputs += [info("datetime", TensorProto.INT64, ["rows", k])] if k else []
    outputs = [info(task, float32, ["rows", width] if width > 1 else ["rows"]) for task, width in w.tasks.items()]
    if w.gate is not None:
        e = w.gate.shape[1]
        if mask_inputs:
            inputs += [info("expert_mask", float32, [e]), info("row_expert_mask", float32, ["mask_rows", 1, e])]
        outputs += [info("gate_weights", float32, ["rows", t, e])]
        outputs += [info("gate_contributions", float32, ["rows", t, e, n + c + k])]
    graph = helper.make_graph(g.nodes, "hand", inputs, outputs, g.initializers)
    opsets = [helper.make_opsetid("", 20), helper.make_opsetid("ai.onnx.ml", 4)]
    opsets += [helper.make_opsetid("com.microsoft", 1)] if w.hashed else []
    return helper.make_model(graph, opset_imports=opsets, ir_version=10)


def make_manifest(w: HandWeights, name: str) -> dict[str, Any]:
    """Write the manifest for these weights, with the oracle's golden rows."""
    numeric, categorical = raw_rows(w, 4, seed=2)
    times = raw_times(w, 4, seed=2)
    assert numeric is not None
    outputs = w.answer(numeric, categorical, times=times)
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
    features += _other_features(w)
    golden = {
        "tolerance": 1e-5,
        "numeric": [[None if np.isnan(v) else float(v) for v in row] for row in numeric],
        "outputs": {output: values.tolist() for output, values in outputs.items()},
    }
    if categorical is not None:
        golden["categorical"] = categorical.tolist()
    if times is not None:
        golden["datetime"] = [[None if moment == MISSING_TIME else moment for moment in row] for row in times.tolist()]
    return {
        "schema_version": 2,
        "name": name,
        "architecture": "mmoe" if w.gate is not None else "shared_bottom",
        "experts": 0 if w.gate is None else w.gate.shape[1],
        "features": features,
        "tasks": [
            {
                "name": t,
                "kind": KINDS[t],
                "classes": CLASSES[t],
                "metrics": {"loss": 0.5},
                "baseline": {"constant": CONSTANTS[t]},
            }
            for t in w.tasks
        ],
        "training_table": {"missing": ["", "NA"], "dropped": ["row_id"]},
        "gates": None if w.gate is None else _baseline(w),
        "golden": golden,
        "provenance": {"created_at": "2026-01-02T03:04:05Z", "seed": 0, "versions": {"numpy": np.__version__}},
    }


def _other_features(w: HandWeights) -> list[dict[str, Any]]:
    """Describe hashed features, bags and moments."""
    features: list[dict[str, Any]] = [
        {"name": f, "kind": "hashed", "buckets": buckets, "seed": 0, "missing_share": 0.01, "collision_share": 0.5}
        for f, buckets in w.hashed.items()
    ]
    for f, bag in w.bags.items():
        values = {"buckets": bag.values, "seed": 0} if isinstance(bag.values, int) else {"vocabulary": bag.values}
        bag_only = {"separator": bag.separator, "pooling": bag.pooling, "mean_values": 2.5, "missing_share": 0.2}
        table = {"table": bag.table} if bag.table else {}
        features.append({"name": f, "kind": "bag", **values, **bag_only, "unknown_share": 0.1, **table})
    span = {"minimum": -(10**9), "maximum": 2 * 10**9, "missing_value": MISSING_TIME, "missing_share": 0.2}
    return features + [{"name": f, "kind": "datetime", "parts": ["hour", "weekday"], **span} for f in w.times]


def _baseline(w: HandWeights) -> dict[str, Any]:
    assert w.gate is not None
    weights = w.answer(*raw_rows(w, 200, seed=3), times=raw_times(w, 200, seed=3))["gate_weights"]
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
    """Compute the mean over rows of 1 - Jensen-Shannon divergence in base 2.

    By its definition through Kullback-Leibler.
    """
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
    expert_width: int = 3,
    schema: int = 2,
    fault: str | None = None,
    edit: Callable[[dict[str, Any]], object] | None = None,
) -> Path:
    """Write directory/name/version/model.onnx and return its path.

    Args:
        directory: the directory of models.
        name: of the model.
        version: positive integer.
        kind: "full", "plain" (no gates), "wide" (100 numeric features), "widest" (300) or
            "kinds" (features of every kind).
        tasks: some of "price", "sold" and "grade", and of each "price_1" to "price_4".
        experts: E.
        seed: of the weights, so that versions differ.
        expert_width: H; a run of thousands takes milliseconds.
        schema: version of the manifest; in the first, the masks are optional inputs of the graph.
        fault: "wrong_golden", "no_manifest", "unknown_schema", "zero_bytes", "truncated",
            "not_onnx", "external_data".
        edit: changes the manifest in place before it is written.
    """
    weights = make_weights(kind, tasks, experts, seed, expert_width)
    model, manifest = build_graph(weights, mask_inputs=schema == 1), make_manifest(weights, name)
    manifest["schema_version"] = schema
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
