"""Models that fit their manifest and should never be loaded by a worker.

One never ends, one takes all memory.
"""

from pathlib import Path

import onnx
from onnx import TensorProto, helper

from tests.support.hand_model import write_model

OUTPUT = "price"


def write_endless(directory: Path, name: str = "hand", version: int = 2) -> Path:
    """Write the hand-made model with a loop before an output that goes on as long as it is let."""
    path = write_model(directory, name, version)
    model = onnx.load(path)
    info = helper.make_tensor_value_info
    state = info("state", TensorProto.FLOAT, None)
    body = helper.make_graph(
        [helper.make_node("Identity", ["goes_on"], ["still"]), helper.make_node("Identity", ["state"], ["same"])],
        "endless",
        [info("turn", TensorProto.INT64, []), info("goes_on", TensorProto.BOOL, []), state],
        [info("still", TensorProto.BOOL, []), info("same", TensorProto.FLOAT, None)],
    )  # fmt: skip
    before = _rename_output(model)
    model.graph.initializer.append(helper.make_tensor("always", TensorProto.BOOL, [], [True]))
    model.graph.node.append(helper.make_node("Loop", ["", "always", before], [OUTPUT], body=body))
    path.write_bytes(model.SerializeToString())
    return path


def write_hungry(directory: Path, name: str = "hand", version: int = 2, floats: int = 1 << 31) -> Path:
    """Write the hand-made model with so many zeros added to an output.

    229 bytes stand for gigabytes.
    """
    path = write_model(directory, name, version)
    model = onnx.load(path)
    before = _rename_output(model)
    model.graph.initializer.append(helper.make_tensor("shape", TensorProto.INT64, [1], [floats]))
    model.graph.node.extend([
        helper.make_node("ConstantOfShape", ["shape"], ["zeros"]),
        helper.make_node("ReduceMax", ["zeros"], ["zero"], keepdims=0),
        helper.make_node("Add", [before, "zero"], [OUTPUT]),
    ])  # fmt: skip
    path.write_bytes(model.SerializeToString())
    return path


def _rename_output(model: onnx.ModelProto) -> str:
    node = next(node for node in model.graph.node if OUTPUT in node.output)
    node.output[:] = ["before_" + OUTPUT]
    return "before_" + OUTPUT
