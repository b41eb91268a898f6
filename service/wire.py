"""Read and trim an ONNX file at the level of protobuf's wire format, so that the service needs no onnx package.

An ONNX file is one ModelProto message. A message is a sequence of fields: a key (field number and wire type), then
a varint, eight bytes, four bytes, or a length and that many bytes. Field numbers are those of onnx.proto3.
"""

from collections.abc import Iterator
from typing import NamedTuple

from service.errors import ArtifactError

_GRAPH, _METADATA, _NODE, _OUTPUT = 7, 14, 1, 12
_NODE_INPUT, _NODE_OUTPUT, _NODE_ATTRIBUTE = 1, 2, 5
_ATTRIBUTE_GRAPH, _ATTRIBUTE_GRAPHS = 6, 11
_INITIALIZER, _INPUT = 5, 11
_ELEMENT_TYPES = {1: "float", 7: "int64", 8: "string", 11: "double"}
_VARINT, _EIGHT_BYTES, _BYTES, _FOUR_BYTES = 0, 1, 2, 5
_TENSOR_EXTERNAL_DATA, _TENSOR_DATA_LOCATION, _LOCATION_EXTERNAL = 13, 14, 1

_TENSORS_WITHIN = {
    "model": {7: "graph", 25: "function"},
    "graph": {1: "node", 5: "tensor", 15: "sparse tensor"},
    "function": {7: "node", 11: "attribute"},
    "node": {5: "attribute"},
    "attribute": {5: "tensor", 6: "graph", 10: "tensor", 11: "graph", 22: "sparse tensor", 23: "sparse tensor"},
    "sparse tensor": {1: "tensor", 2: "tensor"},
}
"""Per kind of message, the fields that lead to tensors, and what they hold."""


class Field(NamedTuple):
    """Place one field of a message.

    Attributes:
        number: field number.
        start: where its key begins in the message.
        end: where the next field begins.
        payload: its bytes without key and length; empty for a number.
        value: its number; 0 for bytes.
    """

    number: int
    start: int
    end: int
    payload: memoryview
    value: int


def fields(message: memoryview) -> Iterator[Field]:
    """Yield the fields of a message in order.

    Raises:
        ArtifactError: the message ends within a field or is no protobuf at all.
    """
    position = 0
    while position < len(message):
        start = position
        key, position = _varint(message, position)
        wire_type, value, payload = key & 7, 0, message[:0]
        if wire_type == _VARINT:
            value, position = _varint(message, position)
        elif wire_type == _BYTES:
            length, position = _varint(message, position)
            payload = message[position : position + length]
            position += length
        elif wire_type in (_EIGHT_BYTES, _FOUR_BYTES):
            position += 8 if wire_type == _EIGHT_BYTES else 4
        else:
            raise ArtifactError(f"The file is no ONNX model: unknown wire type {wire_type}")
        if position > len(message):
            raise ArtifactError("The file is truncated: it ends within a field", "Copy or export it again")
        yield Field(key >> 3, start, position, payload, value)


def metadata(model: bytes) -> dict[str, str]:
    """Return the metadata properties of a model.

    Raises:
        ArtifactError: the file is no ONNX model.
    """
    properties: dict[str, str] = {}
    for entry in fields(memoryview(model)):
        if entry.number == _METADATA:
            pair = {field.number: bytes(field.payload) for field in fields(entry.payload)}
            try:
                properties[pair.get(1, b"").decode()] = pair.get(2, b"").decode()
            except UnicodeDecodeError:
                raise ArtifactError("The file is no ONNX model: its metadata is not UTF-8") from None
    return properties


class Tensor(NamedTuple):
    """Describe an input or output as its graph declares it.

    Attributes:
        type: element type, for example "float" or "string".
        shape: a free dimension is a name, or None without one.
    """

    name: str
    type: str
    shape: tuple[int | str | None, ...]


class Interface(NamedTuple):
    """List a graph's inputs without a default, those with one, and its outputs."""

    inputs: tuple[Tensor, ...]
    optional: tuple[Tensor, ...]
    outputs: tuple[Tensor, ...]


def interface(model: bytes) -> Interface:
    """Return what goes into a model and what comes out.

    Raises:
        ArtifactError: the file is no ONNX model.
    """
    listed: dict[int, list[Tensor]] = {_INPUT: [], _OUTPUT: []}
    defaults: set[str] = set()
    for entry in _within(memoryview(model), _GRAPH):
        for field in fields(entry):
            if field.number in listed:
                listed[field.number].append(_tensor(field.payload))
            elif field.number == _INITIALIZER:
                defaults.update(bytes(name).decode(errors="replace") for name in _within(field.payload, 8))
    return Interface(
        tuple(tensor for tensor in listed[_INPUT] if tensor.name not in defaults),
        tuple(tensor for tensor in listed[_INPUT] if tensor.name in defaults),
        tuple(listed[_OUTPUT]),
    )


def holds_external_data(model: bytes) -> bool:
    """Tell whether any tensor of the model keeps its values in another file, nested graphs and functions included."""
    pending = [("model", memoryview(model))]
    while pending:
        kind, message = pending.pop()
        for field in fields(message):
            if kind == "tensor":
                if field.number == _TENSOR_EXTERNAL_DATA or (
                    field.number == _TENSOR_DATA_LOCATION and field.value == _LOCATION_EXTERNAL
                ):
                    return True
            elif field.number in _TENSORS_WITHIN[kind]:
                pending.append((_TENSORS_WITHIN[kind][field.number], field.payload))
    return False


def keep_outputs(model: bytes, names: frozenset[str] | set[str]) -> bytes:
    """Return the model with only the named graph outputs and the nodes that they need.

    onnxruntime drops initializers that nothing uses, but runs every node of the graph it is given, needed or not.

    Raises:
        ArtifactError: the file is no ONNX model, or lacks a named output.
    """
    message = memoryview(model)
    parts: list[bytes | memoryview] = []
    found: set[str] = set()
    for field in fields(message):
        if field.number == _GRAPH:
            graph, kept = _graph_with_outputs(field.payload, names)
            found |= kept
            parts += [_key(_GRAPH, _BYTES), _encode_varint(len(graph)), graph]
        else:
            parts.append(message[field.start : field.end])
    if found != set(names):
        raise ArtifactError(f"The graph has no output {', '.join(sorted(set(names) - found))}")
    return b"".join(parts)


def _graph_with_outputs(graph: memoryview, names: frozenset[str] | set[str]) -> tuple[bytes, set[str]]:
    entries = list(fields(graph))
    found = {_name(entry.payload) for entry in entries if entry.number == _OUTPUT} & set(names)
    needed = _needed_nodes([entry.payload for entry in entries if entry.number == _NODE], found)
    parts: list[memoryview] = []
    node = 0
    for entry in entries:
        kept = entry.number != _OUTPUT or _name(entry.payload) in names
        if entry.number == _NODE:
            kept = node in needed
            node += 1
        if kept:
            parts.append(graph[entry.start : entry.end])
    return b"".join(parts), found


def _needed_nodes(nodes: list[memoryview], outputs: set[str]) -> set[int]:
    """Return the places of the nodes that the outputs depend on; a graph lists a node before those that read it."""
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
    for field in fields(node):
        if field.number in names:
            names[field.number].add(bytes(field.payload).decode(errors="replace"))
        elif field.number == _NODE_ATTRIBUTE:
            nested |= any(inner.number in (_ATTRIBUTE_GRAPH, _ATTRIBUTE_GRAPHS) for inner in fields(field.payload))
    return names[_NODE_INPUT] - {""}, names[_NODE_OUTPUT], nested


def _tensor(value_info: memoryview) -> Tensor:
    """Read a ValueInfoProto: its name (1) and, within its type (2), the tensor type (1)."""
    element, shape = 0, []
    for tensor_type in _within(value_info, 2, 1):
        element = next((field.value for field in fields(tensor_type) if field.number == 1), 0)
        for dimension in _within(tensor_type, 2, 1):
            size: int | str | None = None
            for field in fields(dimension):
                size = field.value if field.number == 1 else bytes(field.payload).decode(errors="replace")
            shape.append(size)
    return Tensor(_name(value_info), _ELEMENT_TYPES.get(element, f"type {element}"), tuple(shape))


def _within(message: memoryview, *path: int) -> Iterator[memoryview]:
    """Yield the payloads of the fields at a path of field numbers."""
    for field in fields(message):
        if field.number == path[0]:
            yield from _within(field.payload, *path[1:]) if len(path) > 1 else (field.payload,)


def _name(value_info: memoryview) -> str:
    return next((bytes(f.payload).decode(errors="replace") for f in fields(value_info) if f.number == 1), "")


def _varint(message: memoryview, position: int) -> tuple[int, int]:
    """Return the number that begins at a position, and the position after it."""
    value = shift = 0
    while shift < 70:
        if position >= len(message):
            raise ArtifactError("The file is truncated: it ends within a number", "Copy or export it again")
        byte = message[position]
        position += 1
        value |= (byte & 0x7F) << shift
        if byte < 0x80:
            return value, position
        shift += 7
    raise ArtifactError("The file is no ONNX model: it holds an endless number")


def _encode_varint(value: int) -> bytes:
    encoded = bytearray()
    while value > 0x7F:
        encoded.append((value & 0x7F) | 0x80)
        value >>= 7
    encoded.append(value)
    return bytes(encoded)


def _key(number: int, wire_type: int) -> bytes:
    return _encode_varint(number << 3 | wire_type)
