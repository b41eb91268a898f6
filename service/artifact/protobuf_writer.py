"""Write fields of an ONNX file at the level of protobuf's wire format; protobuf.py reads them."""

from service.artifact.protobuf import BYTES, INPUT


def encode_input(name: str, shape: tuple[int | str, ...]) -> bytes:
    """Write a float32 graph input: ValueInfoProto of a name (1) and a type (2)."""
    dimensions = [encode_field(2, s.encode()) if isinstance(s, str) else b"\x08" + _encode_varint(s) for s in shape]
    tensor = b"\x08\x01" + encode_field(2, b"".join(encode_field(1, dimension) for dimension in dimensions))
    return encode_field(INPUT, encode_field(1, name.encode()) + encode_field(2, encode_field(1, tensor)))


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
