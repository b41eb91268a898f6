"""ONNX graph of the artifact: the served network traced, category lookup in front, masks of ones.

    numeric ----------------------------------------------> encoder -> network -> tasks,
    categorical -> StringConcat(column's prefix)               ^          ^      gate_weights,
                     -> LabelEncoder -> /codes ----------------'          |      gate_contributions
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
from model.schema import FIRST_VALUE, MISSING, UNKNOWN, FeatureSchema

OPSET, ML_OPSET, IR_VERSION = 20, 4, 10

INTERNAL = "/"
"""Start of every name in the graph that is not of the contract.

A task's name begins with a letter.
"""

MASKS = ("expert_mask", "row_expert_mask")

DESCRIPTIONS = {
    "numeric": "Raw numeric features in the manifest's order; NaN is a missing value.",
    "categorical": "Raw category values in the manifest's order; the empty string is a missing value.",
    "gate_weights": "Each task's softmax over the experts; the rows sum to 1.",
    "gate_contributions": "Each raw feature's share in each gate logit, less its value at the average input.",
}


def build_graph(module: ServingModule, missing_values: Sequence[str] = ()) -> onnx.ModelProto:
    """Build the whole graph from raw features to answers.

    Args:
        module: the network to serve, on the CPU and in evaluation mode.
        missing_values: strings that mean "no value" in a categorical column besides the empty one.
    """
    traced = _trace(fuse(module))
    graph = traced.graph
    _rename_values(graph, module.output_names)
    _look_up_categories(graph, lookup_table(module.features, missing_values))
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
    ml = [helper.make_opsetid("ai.onnx.ml", ML_OPSET)] if features.categorical else []
    return [helper.make_opsetid("", OPSET), *ml]


def _trace(module: ServingModule) -> onnx.ModelProto:
    """Trace the module with any number of rows.

    An example of one row would be taken for a constant 1.
    """
    rows, features = 3, module.features
    numeric = torch.zeros(rows, len(features.numeric))
    codes = torch.zeros(rows, len(features.categorical), dtype=torch.int64)
    example = [numeric, codes]
    free = torch.export.Dim.DYNAMIC
    shapes: list[dict[int, object] | None] = [{0: free} if tensor.shape[1] else None for tensor in example]
    names = ["numeric", "codes"]
    if module.gated:
        example += [torch.ones(module.experts), torch.ones(1, 1, module.experts)]
        shapes += [None, None]
        names += MASKS
    with _quiet():
        program = torch.onnx.export(
            module,
            tuple(example),
            dynamo=True,
            input_names=names,
            output_names=[_placeholder(index) for index in range(len(module.output_names))],
            opset_version=OPSET,
            dynamic_shapes=tuple(shapes),
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
    names = {"": "", **{name: name for name in ("numeric", *MASKS)}}
    names |= {_placeholder(index): name for index, name in enumerate(outputs)}

    def renamed(name: str) -> str:
        return names.get(name, INTERNAL + name)

    for node in graph.node:
        node.name = renamed(node.name)
        node.input[:] = [renamed(name) for name in node.input]
        node.output[:] = [renamed(name) for name in node.output]
    for value in (*graph.initializer, *graph.output):
        value.name = renamed(value.name)


def lookup_table(features: FeatureSchema, missing_values: Sequence[str] = ()) -> list[dict[str, int]]:
    """Return the code of every known string, by column; all others are unknown."""
    tables = []
    for feature in features.categorical:
        codes = dict.fromkeys(("", *missing_values), MISSING)
        codes |= {value: code for code, value in enumerate(feature.vocabulary, start=FIRST_VALUE)}
        codes |= {given: codes[value] for given, value in feature.spellings if given not in codes}
        tables.append(codes)
    return tables


def _look_up_categories(graph: onnx.GraphProto, tables: Sequence[dict[str, int]]) -> None:
    """Insert the lookup from strings to codes before the first node.

    It takes two nodes for all columns together.

    The prefixes keep equal values of different columns apart; no prefix begins another one. A
    value that is in no table gets the lookup's default, which is the code of an unknown value.
    """
    if not tables:
        return
    prefixes = [f"{index}:" for index in range(len(tables))]
    prefixes_name, prefixed = INTERNAL + "category_prefixes", INTERNAL + "prefixed"
    joined = {
        prefix + value: code for prefix, table in zip(prefixes, tables, strict=True) for value, code in table.items()
    }
    nodes = [
        helper.make_node("StringConcat", [prefixes_name, "categorical"], [prefixed], INTERNAL + "prefix_categories"),
        helper.make_node(
            "LabelEncoder",
            [prefixed],
            [INTERNAL + "codes"],
            INTERNAL + "look_up_categories",
            domain="ai.onnx.ml",
            keys_strings=list(joined),
            values_int64s=list(joined.values()),
            default_int64=UNKNOWN,
        ),
    ]
    graph.initializer.append(numpy_helper.from_array(np.array(prefixes, dtype=object), prefixes_name))
    rest = list(graph.node)
    del graph.node[:]
    graph.node.extend([*nodes, *rest])


def _keep_inputs(graph: onnx.GraphProto, module: ServingModule) -> None:
    """List the inputs of the contract, without kinds of features that the model does not have."""
    widths = {"numeric": len(module.features.numeric), "categorical": len(module.features.categorical)}
    types = {"numeric": TensorProto.FLOAT, "categorical": TensorProto.STRING}
    del graph.input[:]
    graph.input.extend(
        helper.make_tensor_value_info(name, types[name], ["rows", width], DESCRIPTIONS[name])
        for name, width in widths.items()
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
