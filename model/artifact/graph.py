"""ONNX graph of the artifact: the served network traced, text lookup in front, masks of ones.

    numeric, datetime -------------------------> encoder -> network -> tasks,
    categorical -> text.py -> /codes, /bag_0 ... -'          ^      gate_weights,
                                                             |      gate_contributions
                     expert_mask, row_expert_mask (ones) ----'

Whatever else the graph names begins with INTERNAL, which no task may. docs/artifact.md is the
contract.
"""

import logging
import warnings
from collections.abc import Iterator, Sequence
from contextlib import contextmanager

import numpy as np
import onnx
import torch
from onnx import TensorProto, helper, numpy_helper

from model.artifact.fused import fuse
from model.artifact.serving_module import ServingModule
from model.artifact.text import MICROSOFT, TextLookup, hashes
from model.network.inputs import Inputs
from model.schema import FeatureSchema

OPSET, ML_OPSET, IR_VERSION = 20, 4, 10

INTERNAL = "/"
"""Start of every name in the graph that is not of the contract.

A task's name begins with a letter.
"""

MASKS = ("expert_mask", "row_expert_mask")

DESCRIPTIONS = {
    "numeric": "Raw numeric features in the manifest's order; NaN is a missing value.",
    "categorical": "Raw texts in the manifest's order, a bag's values joined by its separator; the empty string is a "
    "missing value.",
    "datetime": "Epoch seconds UTC in the manifest's order; -2**63 is a missing value.",
    "gate_weights": "Each task's softmax over the experts; the rows sum to 1.",
    "gate_contributions": "Each raw feature's share in each gate logit, less its value at the average input.",
}


def build_graph(module: ServingModule, missing_values: Sequence[str] = ()) -> onnx.ModelProto:
    """Build the whole graph from raw features to answers.

    Args:
        module: the network to serve, on the CPU and in evaluation mode.
        missing_values: texts that mean "no value" in a text column besides the empty one.
    """
    traced = _trace(fuse(module))
    graph = traced.graph
    _rename_values(graph, module.output_names)
    TextLookup(module.features, missing_values, INTERNAL).insert_into(graph)
    _keep_inputs(graph, module)
    if module.gated:
        ones = np.ones(module.experts, np.float32)
        for name, mask in zip(MASKS, (ones, ones.reshape(1, 1, -1)), strict=True):
            graph.initializer.append(numpy_helper.from_array(mask, name))
    _name_axes(graph)
    model = helper.make_model(graph, ir_version=IR_VERSION, opset_imports=_opsets(module.features))
    onnx.checker.check_model(model, full_check=True)
    return model


def with_mask_inputs(model: bytes) -> bytes:
    """Return a model whose masks are inputs that must be fed.

    They take the place of its initializers of ones.
    """
    changed = onnx.load_from_string(model)
    graph = changed.graph
    for mask in [tensor for tensor in graph.initializer if tensor.name in MASKS]:
        shape = [*mask.dims] if len(mask.dims) == 1 else ["mask_rows", *mask.dims[1:]]
        graph.input.append(helper.make_tensor_value_info(mask.name, mask.data_type, shape))
        graph.initializer.remove(mask)
    content: bytes = changed.SerializeToString()
    return content


def _opsets(features: FeatureSchema) -> list[onnx.OperatorSetIdProto]:
    ml = [helper.make_opsetid("ai.onnx.ml", ML_OPSET)] if features.texts else []
    hashing = [helper.make_opsetid(MICROSOFT, 1)] if hashes(features) else []
    return [helper.make_opsetid("", OPSET), *ml, *hashing]


def _trace(module: ServingModule) -> onnx.ModelProto:
    """Trace the module with any number of rows, and of values in a bag.

    An example of one would be taken for a constant 1.
    """
    rows, size, features = 3, 2, module.features
    inputs = Inputs(
        torch.zeros(rows, len(features.numeric)),
        torch.zeros(rows, len(features.single), dtype=torch.int64),
        tuple(torch.zeros(rows, size, dtype=torch.int64) for _ in features.bags),
        torch.zeros(rows, len(features.datetimes), dtype=torch.int64) if features.datetimes else None,
    )
    free = torch.export.Dim.DYNAMIC
    shapes = Inputs._make(
        (
            *({0: free} if tensor.shape[1] else None for tensor in inputs[:2]),
            tuple({0: free, 1: free} for _ in features.bags),
            {0: free} if features.datetimes else None,
        )
    )
    names = ["numeric", "codes", *(f"bag_{bag}" for bag in range(len(features.bags)))]
    names += ["datetime"] if features.datetimes else []
    masks = [torch.ones(module.experts), torch.ones(1, 1, module.experts)] if module.gated else []
    names += MASKS if module.gated else ()
    with _quiet():
        program = torch.onnx.export(
            module,
            (inputs, *masks),
            dynamo=True,
            input_names=names,
            output_names=[_placeholder(index) for index in range(len(module.output_names))],
            opset_version=OPSET,
            dynamic_shapes=(shapes, *(None for _ in masks)),
            external_data=False,
            verbose=False,
        )
    if program is None:
        raise RuntimeError("torch.onnx.export returned nothing")
    traced: onnx.ModelProto = program.model_proto
    return traced


@contextmanager
def _quiet() -> Iterator[None]:
    """Keep the exporter's notes about its own insides off the user's terminal."""
    logger = logging.getLogger("torch.onnx")
    level = logger.level
    logger.setLevel(logging.ERROR)
    try:
        with warnings.catch_warnings():
            warnings.simplefilter("ignore")
            yield
    finally:
        logger.setLevel(level)


def _placeholder(output: int) -> str:
    """Return the exporter's name of an output.

    It makes up names of its own beside it, but none with this mark.
    """
    return f"{INTERNAL}output_{output}"


def _rename_values(graph: onnx.GraphProto, outputs: Sequence[str]) -> None:
    """Rename outputs as the contract has them.

    Every other name but those of the inputs is marked as internal.
    """
    names = {"": "", **{name: name for name in ("numeric", "datetime", *MASKS)}}
    names |= {_placeholder(index): name for index, name in enumerate(outputs)}

    def renamed(name: str) -> str:
        return names.get(name, INTERNAL + name)

    for node in graph.node:
        node.name = renamed(node.name)
        node.input[:] = [renamed(name) for name in node.input]
        node.output[:] = [renamed(name) for name in node.output]
    for value in (*graph.initializer, *graph.output):
        value.name = renamed(value.name)


def _keep_inputs(graph: onnx.GraphProto, module: ServingModule) -> None:
    """List the inputs of the contract, without kinds of features that the model does not have."""
    features = module.features
    inputs = (
        ("numeric", TensorProto.FLOAT, len(features.numeric)),
        ("categorical", TensorProto.STRING, len(features.texts)),
        ("datetime", TensorProto.INT64, len(features.datetimes)),
    )
    del graph.input[:]
    graph.input.extend(
        helper.make_tensor_value_info(name, kind, ["rows", width], DESCRIPTIONS[name])
        for name, kind, width in inputs
        if width
    )


def _name_axes(graph: onnx.GraphProto) -> None:
    """Name the free axis of the outputs "rows" and drop the exporter's notes.

    The notes hold paths and lines of Python.
    """
    for output in graph.output:
        output.type.tensor_type.shape.dim[0].dim_param = "rows"
        output.doc_string = DESCRIPTIONS.get(output.name, "A task's prediction.")
    del graph.value_info[:]
    for item in (graph, *graph.node, *graph.initializer, *graph.input, *graph.output):
        del item.metadata_props[:]
    for node in graph.node:
        node.doc_string = ""
    graph.name = "mmoe"
    graph.doc_string = ""
