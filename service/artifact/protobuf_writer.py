"""Write fields of an ONNX file at the level of protobuf's wire format; protobuf.py reads them."""

from collections.abc import Sequence

from service.artifact.protobuf import BYTES


def encode_value(number: int, name: str, element: int, shape: Sequence[int | str] | None) -> bytes:
    """Write an input or output of a graph: ValueInfoProto of a name (1) and a type (2).

    Args:
        number: of the field, INPUT or OUTPUT.
        name: of the tensor.
        element: type of its elements, as onnx.proto3 numbers them.
        shape: free axes named; None where even their count is free.
    """
    tensor = b"\x08" + _encode_varint(element)
    if shape is not None:
        sizes = [encode_field(2, s.encode()) if isinstance(s, str) else b"\x08" + _encode_varint(s) for s in shape]
        tensor += encode_field(2, b"".join(encode_field(1, size) for size in sizes))
    return encode_field(number, encode_field(1, name.encode()) + encode_field(2, encode_field(1, tensor)))


def encode_field(number: int, payload: bytes) -> bytes:
    """Write a field of bytes."""
    return _encode_varint(number << 3 | BYTES) + _encode_varint(len(payload)) + payload


def _encode_varint(value: int) -> bytes:
    encoded = bytearray()
    while value > 0x7F:
        encoded.append((value & 0x7F) | 0x80)
        value >>= 7
    encoded.append(value)
    return bytes(encoded)
