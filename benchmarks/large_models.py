"""Made models of one network that differ in one feature: a few categories, many, or hashed ids.

They are written as docs/artifact.md says, without the trainer, so that a million rows of a table
cost nothing to train; the weights are random, and golden rows have the answers of onnxruntime.
"""

import json
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import numpy as np
import onnx
import onnxruntime
from numpy.typing import NDArray
from onnx import TensorProto, helper, numpy_helper

SMALL, HASHED, VOCABULARY = "small", "hashed", "vocabulary"
NUMBERS, CATEGORIES, VALUES = 8, 13, 40
WIDTH, EXPERTS, EXPERT_WIDTH = 8, 8, 64
TASKS = "click", "conversion"
FEATURES = NUMBERS + CATEGORIES + 1
GOLDEN_ROWS = 5
Array = NDArray[Any]


class _Graph:
    """Builder of a graph; each method returns the name of the value that it adds."""

    def __init__(self) -> None:
        self.nodes: list[onnx.NodeProto] = []
        self.tensors: list[onnx.TensorProto] = []

    def op(self, kind: str, *inputs: str, out: str = "", domain: str = "", **attributes: Any) -> str:
        name = out or f"/v{len(self.nodes)}"
        self.nodes.append(helper.make_node(kind, inputs, [name], domain=domain, **attributes))
        return name

    def const(self, value: Any, dtype: Any = np.float32, name: str = "") -> str:
        name = name or f"/c{len(self.tensors)}"
        self.tensors.append(numpy_helper.from_array(np.asarray(value, dtype), name))
        return name


def write(models: Path, kind: str, ids: int) -> Path:
    """Write models/<kind>/1/model.onnx and return its path.

    Args:
        models: directory of the models.
        kind: SMALL (the last feature is a category like the others), HASHED (buckets) or
            VOCABULARY.
        ids: buckets, or values of the vocabulary; SMALL has VALUES.
    """
    rng = np.random.default_rng(0)
    values = VALUES if kind == SMALL else ids
    known = [[f"value {i}" for i in range(VALUES)] for _ in range(CATEGORIES)]
    known += [] if kind == HASHED else [[f"user-{i:08d}" for i in range(values)]]
    graph = _Graph()
    x = graph.op("Concat", _numbers(graph), _embeddings(graph, rng, known, values if kind == HASHED else 0), axis=1)
    _network(graph, rng, x)
    model = _model(graph)
    numeric, categorical = _rows(rng, values)
    helper.set_model_props(
        model, {"mmoe.manifest": json.dumps(_manifest(model, kind, known, ids, numeric, categorical))}
    )
    path = models / kind / "1" / "model.onnx"
    path.parent.mkdir(parents=True)
    path.write_bytes(model.SerializeToString())
    return path


def rows(kind: str, ids: int, count: int) -> Iterator[list[float | str]]:
    """Yield rows as lists in the model's order, their ids drawn from all."""
    numeric, categorical = _rows(np.random.default_rng(1), VALUES if kind == SMALL else ids, count)
    for numbers, texts in zip(numeric.tolist(), categorical.tolist(), strict=True):
        yield [*numbers, *texts]


def _numbers(graph: _Graph) -> str:
    zero = graph.const(np.zeros(NUMBERS))
    return graph.op("Where", graph.op("IsNaN", "numeric"), zero, "numeric")


def _embeddings(graph: _Graph, rng: np.random.Generator, known: list[list[str]], buckets: int) -> str:
    """Look the categories up, and by choice hash the last column: (B, columns x WIDTH)."""
    places = graph.const(np.arange(len(known)), np.int64)
    texts = graph.op("Gather", "categorical", places, axis=1) if buckets else "categorical"
    prefixed = graph.op("StringConcat", graph.const([f"{i}:" for i in range(len(known))], object), texts)
    keys = [(f"{i}:{value}", code) for i, of in enumerate(known) for code, value in enumerate(["", *of], start=1)]
    codes = graph.op(
        "LabelEncoder", prefixed, domain="ai.onnx.ml", default_int64=0,
        keys_strings=[key for key, _ in keys], values_int64s=[code for _, code in keys],
    )  # fmt: skip
    sizes = [len(of) + 2 for of in known]
    if buckets:
        last = graph.op("Gather", "categorical", graph.const([len(known)], np.int64), axis=1)
        hashed = graph.op("MurmurHash3", last, domain="com.microsoft", positive=1, seed=0)
        bucket = graph.op("Mod", hashed, graph.const([buckets], np.uint32))
        number = graph.op("Add", graph.op("Cast", bucket, to=TensorProto.INT64), graph.const(2, np.int64))
        codes = graph.op("Concat", codes, number, axis=1)
        sizes.append(buckets + 2)
    offsets = graph.const(np.cumsum([0, *sizes[:-1]]), np.int64)
    table = graph.const(rng.normal(0, 0.3, (sum(sizes), WIDTH)))
    found = graph.op("Gather", table, graph.op("Add", codes, offsets), axis=0)
    return graph.op("Reshape", found, graph.const([0, WIDTH * len(sizes)], np.int64))


def _network(graph: _Graph, rng: np.random.Generator, x: str) -> None:
    """Add experts, a gate and a tower per task, and contributions of the features."""
    width, tasks = NUMBERS + WIDTH * (CATEGORIES + 1), len(TASKS)
    graph.const(np.ones(EXPERTS), name="expert_mask")
    graph.const(np.ones((1, 1, EXPERTS)), name="row_expert_mask")
    hidden = graph.op("MatMul", x, graph.const(rng.normal(0, 0.1, (width, EXPERTS * EXPERT_WIDTH))))
    hidden = graph.op("Relu", graph.op("Reshape", hidden, graph.const([0, EXPERTS, EXPERT_WIDTH], np.int64)))
    gate = rng.normal(0, 0.1, (tasks, EXPERTS, width))
    logits = graph.op("MatMul", x, graph.const(gate.reshape(tasks * EXPERTS, width).T))
    logits = graph.op("Reshape", logits, graph.const([0, tasks, EXPERTS], np.int64))
    masked = graph.op("Add", logits, graph.op("Log", graph.op("Mul", "expert_mask", "row_expert_mask")))
    mixtures = graph.op("MatMul", graph.op("Softmax", masked, out="gate_weights", axis=-1), hidden)
    for place, task in enumerate(TASKS):
        mixture = graph.op("Gather", mixtures, graph.const(place, np.int64), axis=1)
        raw = graph.op("MatMul", mixture, graph.const(rng.normal(0, 0.1, (EXPERT_WIDTH, 1))))
        graph.op("Squeeze", graph.op("Sigmoid", raw), graph.const([1], np.int64), out=task)
    owner = np.eye(FEATURES)[[*range(NUMBERS), *np.repeat(range(NUMBERS, FEATURES), WIDTH)]]
    shares = graph.op("Mul", graph.op("Reshape", x, graph.const([0, 1, 1, width], np.int64)), graph.const(gate))
    graph.op("MatMul", shares, graph.const(owner), out="gate_contributions")


def _model(graph: _Graph) -> onnx.ModelProto:
    info, float32 = helper.make_tensor_value_info, TensorProto.FLOAT
    inputs = [info("numeric", float32, ["rows", NUMBERS])]
    inputs += [info("categorical", TensorProto.STRING, ["rows", CATEGORIES + 1])]
    outputs = [info(task, float32, ["rows"]) for task in TASKS]
    outputs += [info("gate_weights", float32, ["rows", len(TASKS), EXPERTS])]
    outputs += [info("gate_contributions", float32, ["rows", len(TASKS), EXPERTS, FEATURES])]
    made = helper.make_graph(graph.nodes, "made", inputs, outputs, graph.tensors)
    opsets = [helper.make_opsetid(domain, version) for domain, version in OPSETS.items()]
    return helper.make_model(made, opset_imports=opsets, ir_version=10)


OPSETS = {"": 20, "ai.onnx.ml": 4, "com.microsoft": 1}


def _rows(rng: np.random.Generator, ids: int, count: int = GOLDEN_ROWS) -> tuple[Array, Array]:
    numeric = rng.normal(size=(count, NUMBERS)).astype(np.float32)
    categorical = np.array(
        [[f"value {i}" for i in row] for row in rng.integers(0, VALUES, (count, CATEGORIES))], object
    )
    users = np.array([[f"user-{i:08d}"] for i in rng.integers(0, ids, count)], object)
    return numeric, np.concatenate([categorical, users], axis=1)


def _manifest(
    model: onnx.ModelProto, kind: str, known: list[list[str]], ids: int, numeric: Array, categorical: Array
) -> dict[str, Any]:
    outputs = [*TASKS, "gate_weights"]
    options = onnxruntime.SessionOptions()
    options.log_severity_level = 3
    session = onnxruntime.InferenceSession(model.SerializeToString(), options)
    answers = session.run(outputs, {"numeric": numeric, "categorical": categorical})
    features: list[dict[str, Any]] = [
        {"name": f"number_{i}", "kind": "numeric", "minimum": -4.0, "maximum": 4.0, "mean": 0.0, "std": 1.0}
        for i in range(NUMBERS)
    ]
    names = [*(f"category_{i}" for i in range(CATEGORIES)), "user"]
    features += [
        {"name": name, "kind": "categorical", "vocabulary": of} for name, of in zip(names, known, strict=False)
    ]
    features += [{"name": "user", "kind": "hashed", "buckets": ids, "seed": 0}] if kind == HASHED else []
    return {
        "schema_version": 2,
        "name": kind,
        "architecture": "mmoe",
        "experts": EXPERTS,
        "features": features,
        "tasks": [{"name": task, "kind": "binary", "classes": ["no", "yes"]} for task in TASKS],
        "gates": _baseline(),
        "golden": {
            "tolerance": 1e-4,
            "numeric": numeric.tolist(),
            "categorical": categorical.tolist(),
            "outputs": {name: values.tolist() for name, values in zip(outputs, answers, strict=True)},
        },
        "provenance": {},
    }


def _baseline() -> dict[str, Any]:
    even = [1 / EXPERTS] * EXPERTS
    gate = {"utilisation": even, "histogram": [[1, 0]] * EXPERTS, "entropy": 2.0, "normalised_entropy": 0.9,
            "top_expert_share": even}  # fmt: skip
    return {
        "rows": 1,
        "average_logits": [[0.0] * EXPERTS] * len(TASKS),
        "histogram_edges": [0.0, 0.5, 1.0],
        "tasks": dict.fromkeys(TASKS, gate),
        "similarity": [[1.0] * len(TASKS)] * len(TASKS),
    }
