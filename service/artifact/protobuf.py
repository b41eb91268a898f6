"""ONNX files at the level of protobuf's wire format, so that the service needs no onnx package.

An ONNX file is one ModelProto message. A message is a sequence of fields: a key (field number and
wire type), then a varint, eight bytes, four bytes, or a length and that many bytes. Field numbers
are those of onnx.proto3.
"""

import re
from collections.abc import Collection, Iterator
from typing import NamedTuple

from service.errors import ArtifactError

GRAPH, METADATA, NODE, INITIALIZER, INPUT, OUTPUT = 7, 14, 1, 5, 11, 12
FLOAT, INT64, STRING = 1, 7, 8
_ELEMENT_TYPES = {FLOAT: "float", INT64: "int64", STRING: "string", 11: "double"}
_VARINT, _EIGHT_BYTES, BYTES, _FOUR_BYTES = 0, 1, 2, 5
_KEY_END, _NUMBER_END = 1 << 32, 1 << 64
"""A key has 32 bits and a number 64. Protobuf drops what stands above, and would read another
field or value than here; no writer makes such bytes."""
_TENSOR_EXTERNAL_DATA, _TENSOR_DATA_LOCATION, _LOCATION_DEFAULT = 13, 14, 0

INTEGER_KEY = 8 << 3 | _VARINT
INTEGER_RUN = re.compile(rb"(?:\x40[\x80-\xff]{0,9}[\x00-\x7f]){1,4096}")
"""A run of an attribute's whole numbers, such as the codes of a lookup; so short that other
threads get their turn."""

_TENSORS_WITHIN: dict[str, dict[int, str]] = {
    "model": {7: "graph", 25: "function"},
    "graph": {1: "node", 5: "tensor", 15: "sparse tensor"},
    "function": {7: "node", 11: "attribute"},
    "node": {5: "attribute"},
    "attribute": {5: "tensor", 6: "graph", 10: "tensor", 11: "graph", 22: "sparse tensor", 23: "sparse tensor"},
    "sparse tensor": {1: "tensor", 2: "tensor"},
    "tensor": {_TENSOR_EXTERNAL_DATA: "", _TENSOR_DATA_LOCATION: ""},
}
"""Per kind of message, the fields that lead to tensors, and what they hold; of a tensor, those
that say where it is."""


class Field(NamedTuple):
    """Field of a message, and where it stands.

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


def fields(message: memoryview, numbers: Collection[int] | None = None) -> Iterator[Field]:
    """Yield the fields of a message in order.

    Args:
        message: to read.
        numbers: those of the fields that are wanted, all by default. The rest is passed over,
            which for the lookup of a large vocabulary, an attribute of a short field per value,
            takes a tenth of the time.

    Raises:
        ArtifactError: the message ends within a field or is not protobuf at all.
    """
    position, end = 0, len(message)
    while position < end:
        if numbers is not None and (position := _skip_fields(message, position, numbers)) >= end:
            break
        start = position
        key, position = _varint(message, position, _KEY_END)
        wire_type, value, payload = key & 7, 0, message[:0]
        if wire_type == _VARINT:
            value, position = _varint(message, position)
        elif wire_type == BYTES:
            length, position = _varint(message, position)
            payload = message[position : position + length]
            position += length
        elif wire_type in (_EIGHT_BYTES, _FOUR_BYTES):
            position += 8 if wire_type == _EIGHT_BYTES else 4
        else:
            raise ArtifactError(f"The file is not an ONNX model: unknown wire type {wire_type}")
        if position > end:
            break
        if numbers is None or key >> 3 in numbers:
            yield Field(key >> 3, start, position, payload, value)
    if position > end:
        raise ArtifactError("The file is truncated: it ends within a field", "Copy or export it again")


def _skip_fields(message: memoryview, position: int, numbers: Collection[int]) -> int:
    """Return the place behind a run of short fields that are not wanted.

    Beyond the end where the last is cut.
    """
    last, unwanted = len(message) - 1, -1
    while position < last:
        key, length = message[position], message[position + 1]
        if key != unwanted:
            if key >= 0x80 or key >> 3 in numbers:
                return position
            if key == INTEGER_KEY:
                run = INTEGER_RUN.match(message, position)
                if run is None:
                    return position
                position = run.end()
                continue
            if key & 7 != BYTES:
                return position
            unwanted = key
        if length >= 0x80:
            return position
        position += 2 + length
    return position


def metadata(model: bytes) -> dict[str, str]:
    """Return the metadata properties of a model.

    Raises:
        ArtifactError: the file is not an ONNX model.
    """
    _refuse_text(model)
    properties: dict[str, str] = {}
    for entry in fields(memoryview(model), {METADATA}):
        pair = {field.number: bytes(field.payload) for field in fields(entry.payload)}
        try:
            properties[pair.get(1, b"").decode()] = pair.get(2, b"").decode()
        except UnicodeDecodeError:
            raise ArtifactError("The file is not an ONNX model: its metadata is not UTF-8") from None
    return properties


def _refuse_text(model: bytes) -> None:
    """Refuse what begins like text, such as a pointer of Git LFS.

    A model begins with a number below 32.
    """
    head = bytes(model[:64]).decode("latin-1")
    if head and all(character.isprintable() or character in "\t\r\n" for character in head):
        raise ArtifactError(
            f"The file is not an ONNX model but text, which begins with {head[:40]!r}",
            "Put the exported file in its place",
        )


class Tensor(NamedTuple):
    """Input, output or constant as its graph declares it.

    Attributes:
        type: element type, for example "float" or "string".
        shape: a free dimension is a name, or None without one.
    """

    name: str
    type: str
    shape: tuple[int | str | None, ...]


class Interface(NamedTuple):
    """Interface of a graph: inputs without a default, those with one, outputs, initializers."""

    inputs: tuple[Tensor, ...]
    optional: tuple[Tensor, ...]
    outputs: tuple[Tensor, ...]
    constants: tuple[Tensor, ...]


def interface(model: bytes) -> Interface:
    """Return what goes into a model and what comes out.

    Raises:
        ArtifactError: the file is not an ONNX model.
    """
    listed: dict[int, list[Tensor]] = {INPUT: [], OUTPUT: []}
    constants: list[Tensor] = []
    for entry in _within(memoryview(model), GRAPH):
        for field in fields(entry, (INITIALIZER, INPUT, OUTPUT)):
            if field.number == INITIALIZER:
                constants.append(_constant(field.payload))
            else:
                listed[field.number].append(_tensor(field.payload))
    names = {tensor.name for tensor in constants}
    return Interface(
        tuple(tensor for tensor in listed[INPUT] if tensor.name not in names),
        tuple(tensor for tensor in listed[INPUT] if tensor.name in names),
        tuple(listed[OUTPUT]),
        tuple(constants),
    )


def holds_external_data(model: bytes) -> bool:
    """Tell whether any tensor, in nested graphs and functions too, keeps its values elsewhere."""
    pending = [("model", memoryview(model))]
    while pending:
        kind, message = pending.pop()
        for field in fields(message, _TENSORS_WITHIN[kind]):
            if kind != "tensor":
                pending.append((_TENSORS_WITHIN[kind][field.number], field.payload))
            elif field.number == _TENSOR_EXTERNAL_DATA or field.value != _LOCATION_DEFAULT:
                return True
    return False


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
    return Tensor(name_of(value_info), _ELEMENT_TYPES.get(element, f"type {element}"), tuple(shape))


def _constant(tensor: memoryview) -> Tensor:
    """Read the head of a TensorProto: its dimensions (1), element type (2) and name (8)."""
    shape: list[int | str | None] = []
    element, name = 0, ""
    for field in fields(tensor, (1, 2, 8)):
        if field.number == 8:
            name = bytes(field.payload).decode(errors="replace")
        elif field.number == 2:
            element = field.value
        elif len(field.payload):  # packed, as some writers do
            shape += _varints(field.payload)
        else:
            shape.append(field.value)
    return Tensor(name, _ELEMENT_TYPES.get(element, f"type {element}"), tuple(shape))


def _varints(message: memoryview) -> Iterator[int]:
    position = 0
    while position < len(message):
        value, position = _varint(message, position)
        yield value


def _within(message: memoryview, *path: int) -> Iterator[memoryview]:
    """Yield the payloads of the fields at a path of field numbers."""
    for field in fields(message, path[:1]):
        yield from _within(field.payload, *path[1:]) if len(path) > 1 else (field.payload,)


def name_of(value_info: memoryview) -> str:
    """Return the name of a ValueInfoProto, which describes an input or output."""
    return next((bytes(f.payload).decode(errors="replace") for f in fields(value_info) if f.number == 1), "")


def _varint(message: memoryview, position: int, end: int = _NUMBER_END) -> tuple[int, int]:
    """Return the shortest-form number at a position below `end`, and the position after it."""
    value = shift = 0
    while shift < 70:
        if position >= len(message):
            raise ArtifactError("The file is truncated: it ends within a number", "Copy or export it again")
        byte = message[position]
        position += 1
        value |= (byte & 0x7F) << shift
        if byte < 0x80:
            if value >= end or (shift and not byte):
                raise ArtifactError("The file is not an ONNX model: it holds a number in more bytes than it needs")
            return value, position
        shift += 7
    raise ArtifactError("The file is not an ONNX model: it holds an endless number")
