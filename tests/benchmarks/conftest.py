import json
from pathlib import Path
from typing import Any

import onnx
import pytest
from onnx import TensorProto, helper

from benchmarks.artifacts import Artifact

NUMBERS = [{"name": "age", "kind": "numeric", "mean": 40.0, "std": 10.0, "minimum": 0.0, "maximum": 90.0}]
STRINGS = [{"name": "colour", "kind": "categorical", "vocabulary": ["red", " blue"]}]


def _model(features: list[dict[str, Any]]) -> onnx.ModelProto:
    """Sum the numbers of a row: output total (B,).

    A second output gate_contributions doubles them.
    """
    names = [f["name"] for f in features if f["kind"] == "numeric"]
    texts = [f["name"] for f in features if f["kind"] == "categorical"]
    inputs = [helper.make_tensor_value_info("numeric", TensorProto.FLOAT, ["B", len(names)])]
    if texts:
        inputs.append(helper.make_tensor_value_info("categorical", TensorProto.STRING, ["B", len(texts)]))
    nodes = [
        helper.make_node("ReduceSum", ["numeric", "axes"], ["total"], keepdims=0),
        helper.make_node("Add", ["numeric", "numeric"], ["gate_contributions"]),
    ]
    outputs = [
        helper.make_tensor_value_info("total", TensorProto.FLOAT, ["B"]),
        helper.make_tensor_value_info("gate_contributions", TensorProto.FLOAT, ["B", len(names)]),
    ]
    axes = helper.make_tensor("axes", TensorProto.INT64, [1], [1])
    graph = helper.make_graph(nodes, "sum", inputs, outputs, [axes])
    model = helper.make_model(graph, opset_imports=[helper.make_opsetid("", 20)], ir_version=10)
    entry = model.metadata_props.add()
    entry.key, entry.value = "mmoe.manifest", json.dumps({"name": "sum", "features": features})
    return model


@pytest.fixture(params=["numbers", "strings"])
def features(request: pytest.FixtureRequest) -> list[dict[str, Any]]:
    return NUMBERS if request.param == "numbers" else NUMBERS + STRINGS


@pytest.fixture
def models(tmp_path: Path, features: list[dict[str, Any]]) -> Path:
    for version in (2, 10):
        directory = tmp_path / "published" / "sum" / str(version)
        directory.mkdir(parents=True)
        onnx.save(_model(features), directory / "model.onnx")
    return tmp_path / "published"


@pytest.fixture
def artifact(tmp_path: Path, models: Path) -> Artifact:
    from benchmarks.artifacts import find_or_train

    return find_or_train("sum", models, tmp_path)
