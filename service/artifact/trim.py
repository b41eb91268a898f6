"""Trim an ONNX file to what a session needs, at the level of protobuf's wire format."""

from collections.abc import Mapping
from types import MappingProxyType

from service.artifact.protobuf import FLOAT, GRAPH, INPUT, METADATA, NODE, OUTPUT, fields, name_of
from service.artifact.protobuf_writer import encode_field, encode_value
from service.errors import ArtifactError

_NODE_INPUT, _NODE_OUTPUT, _NODE_OPERATOR, _NODE_ATTRIBUTE, _NODE_DOMAIN = 1, 2, 4, 5, 7
_ATTRIBUTE_GRAPH, _ATTRIBUTE_GRAPHS = 6, 11


_ATTRIBUTE_PARTS = {_ATTRIBUTE_GRAPH, _ATTRIBUTE_GRAPHS}

Shapes = Mapping[str, tuple[int | str, ...]]


def keep_outputs(model: bytes, names: frozenset[str] | set[str], overridden: Shapes = MappingProxyType({})) -> bytes:
    """Return the model with only the named graph outputs and the nodes that they need.

    onnxruntime drops initializers that nothing uses, but runs every node of the graph it is given,
    needed or not.

    Args:
        model: an ONNX file.
        names: of the outputs.
        overridden: float32 initializers that become optional inputs, unless they are; name ->
            shape, free axes named.

    Raises:
        ArtifactError: the file is not an ONNX model, or lacks a named output.
    """
    message = memoryview(model)
    parts: list[bytes | memoryview] = []
    found: set[str] = set()
    for entry in fields(message):
        if entry.number == GRAPH:
            graph, kept = _graph_with_outputs(entry.payload, names, overridden)
            found |= kept
            parts.append(encode_field(GRAPH, graph))
        else:
            parts.append(message[entry.start : entry.end])
    if found != set(names):
        raise ArtifactError(f"The graph has no output {', '.join(sorted(set(names) - found))}")
    return b"".join(parts)


def for_complete_rows(model: bytes, tensor: str, defaults: frozenset[str]) -> bytes:
    """Return the model for runs in which no number is missing and optional inputs are left out.

    `Where(IsNaN(x), fill, x)` becomes x, which spares a fifth of a large run, and inputs that have
    a default become constants, which onnxruntime folds; the logarithm of such masks, zero, is not
    added. Where there is nothing of the kind, the model comes back as it was.

    Args:
        model: an ONNX file.
        tensor: the graph input that holds no NaN.
        defaults: names of the optional inputs, masks whose default is ones, and which the graph
            only multiplies.
    """
    message = memoryview(model)
    parts: list[bytes | memoryview] = []
    for entry in fields(message):
        if entry.number == GRAPH:
            parts.append(encode_field(GRAPH, _graph_of_complete_rows(entry.payload, tensor, defaults)))
        else:
            parts.append(message[entry.start : entry.end])
    return b"".join(parts)


def with_metadata(model: bytes, key: str, text: str) -> bytes:
    """Return the model with another text of a metadata property that it has.

    Args:
        model: an ONNX file.
        key: of the property.
        text: of the property from now on.
    """
    message = memoryview(model)
    parts: list[bytes | memoryview] = []
    for entry in fields(message):
        if entry.number != METADATA or name_of(entry.payload) != key:
            parts.append(message[entry.start : entry.end])
    pair = encode_field(1, key.encode()) + encode_field(2, text.encode())
    return b"".join([*parts, encode_field(METADATA, pair)])


def _graph_of_complete_rows(graph: memoryview, tensor: str, defaults: frozenset[str]) -> bytes:
    parts: list[bytes | memoryview] = []
    missing: set[str] = set()
    ones, zeros = set(defaults), set[str]()
    for entry in fields(graph):
        kept: bytes | memoryview = graph[entry.start : entry.end]
        if entry.number == INPUT and name_of(entry.payload) in defaults:
            continue
        if entry.number == NODE:  # a graph lists a node before those that read it
            operator, inputs, outputs = _operation(entry.payload)
            if operator == "IsNaN" and inputs == [tensor]:
                missing.update(outputs)
            if operator == "Where" and inputs[0] in missing and inputs[2] == tensor:
                kept = encode_field(NODE, _identity(tensor, outputs[0]))
            if operator == "Mul" and ones.issuperset(inputs):
                ones.update(outputs)
            if operator == "Log" and ones.issuperset(inputs):
                zeros.update(outputs)
            if operator == "Add" and inputs[1] in zeros:
                kept = encode_field(NODE, _identity(inputs[0], outputs[0]))
        parts.append(kept)
    return b"".join(parts)


def _operation(node: memoryview) -> tuple[str, list[str], list[str]]:
    """Return a node's operator, its inputs and its outputs in order.

    No operator for one of another domain.
    """
    operator, domain = "", ""
    names: dict[int, list[str]] = {_NODE_INPUT: [], _NODE_OUTPUT: []}
    for entry in fields(node, {*names, _NODE_OPERATOR, _NODE_DOMAIN}):
        text = bytes(entry.payload).decode(errors="replace")
        if entry.number in names:
            names[entry.number].append(text)
        elif entry.number == _NODE_OPERATOR:
            operator = text
        elif entry.number == _NODE_DOMAIN:
            domain = text
    return "" if domain not in ("", "ai.onnx") else operator, names[_NODE_INPUT], names[_NODE_OUTPUT]


def _identity(read: str, written: str) -> bytes:
    return (
        encode_field(_NODE_INPUT, read.encode())
        + encode_field(_NODE_OUTPUT, written.encode())
        + encode_field(_NODE_OPERATOR, b"Identity")
    )


def _graph_with_outputs(
    graph: memoryview, names: frozenset[str] | set[str], overridden: Shapes
) -> tuple[bytes, set[str]]:
    entries = list(fields(graph))
    inputs = {name_of(entry.payload) for entry in entries if entry.number == INPUT}
    found = {name_of(entry.payload) for entry in entries if entry.number == OUTPUT} & set(names)
    needed = _needed_nodes([entry.payload for entry in entries if entry.number == NODE], found)
    parts: list[bytes | memoryview] = [
        encode_value(INPUT, name, FLOAT, shape) for name, shape in overridden.items() if name not in inputs
    ]
    node = 0
    for entry in entries:
        kept = entry.number != OUTPUT or name_of(entry.payload) in names
        if entry.number == NODE:
            kept = node in needed
            node += 1
        if kept:
            parts.append(graph[entry.start : entry.end])
    return b"".join(parts), found


def _needed_nodes(nodes: list[memoryview], outputs: set[str]) -> set[int]:
    """Return the places of the nodes that the outputs depend on.

    A graph lists a node before those that read it.
    """
    needed: set[int] = set()
    wanted = set(outputs)
    for index in range(len(nodes) - 1, -1, -1):
        inputs, produced, nested = _ends(nodes[index])
        if nested:  # its inner graphs may read any name of this one
            return set(range(len(nodes)))
        if wanted & produced:
            needed.add(index)
            wanted |= inputs
    return needed


def _ends(node: memoryview) -> tuple[set[str], set[str], bool]:
    """Return the names a node reads, those it writes, and whether it holds graphs of its own."""
    names: dict[int, set[str]] = {_NODE_INPUT: set(), _NODE_OUTPUT: set()}
    nested = False
    for entry in fields(node):
        if entry.number in names:
            names[entry.number].add(bytes(entry.payload).decode(errors="replace"))
        elif entry.number == _NODE_ATTRIBUTE:
            nested |= any(True for _ in fields(entry.payload, _ATTRIBUTE_PARTS))
    return names[_NODE_INPUT] - {""}, names[_NODE_OUTPUT], nested
