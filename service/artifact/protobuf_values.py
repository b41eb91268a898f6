"""Values of protobuf's fields: strings and whole numbers, a million in a fraction of a second."""

import numpy as np
from numpy.typing import NDArray

from service.artifact.protobuf import BYTES, INTEGER_KEY, INTEGER_RUN, fields


def text(message: memoryview, of: int) -> str:
    """Return a field's text; empty without it."""
    return next((bytes(field.payload).decode(errors="replace") for field in fields(message, {of})), "")


def number(message: memoryview, of: int) -> int:
    """Return a field's whole number of 64 bits with a sign; 0 without it."""
    value = next((field.value for field in fields(message, {of})), 0)
    return value - (1 << 64) if value >> 63 else value


def strings(message: memoryview, of: int) -> list[bytes]:
    """Return the values of a repeated field of bytes.

    Raises:
        ArtifactError: the message is not protobuf.
    """
    content, position, end, short = bytes(message), 0, len(message) - 1, of << 3 | BYTES
    found: list[bytes] = []
    while position < end:
        length = content[position + 1]
        if content[position] == short and length < 0x80 and position + 2 + length <= end + 1:
            found.append(content[position + 2 : position + 2 + length])
            position += 2 + length
            continue
        field = next(fields(message[position:]))
        if field.number == of:
            found.append(bytes(field.payload))
        position += field.end
    return found


def integers(message: memoryview, of: int) -> NDArray[np.int64]:
    """Return the values of a repeated field of 64-bit whole numbers, packed or not.

    Raises:
        ArtifactError: the message is not protobuf.
    """
    parts: list[NDArray[np.int64]] = []
    position, end, key = 0, len(message), of << 3
    while position < end:
        run = INTEGER_RUN.match(message, position) if message[position] == key == INTEGER_KEY else None
        if run is not None:
            parts.append(_varints(message[position : run.end()])[1::2])
            position = run.end()
            continue
        field = next(fields(message[position:]))
        if field.number == of:
            parts.append(_varints(field.payload) if len(field.payload) else _signed([field.value]))
        position += field.end
    return np.concatenate(parts) if parts else np.zeros(0, np.int64)


def _signed(values: list[int]) -> NDArray[np.int64]:
    return np.array(values, np.uint64).astype(np.int64)


def _varints(message: memoryview) -> NDArray[np.int64]:
    """Decode numbers that stand one behind the other, seven bits a byte, the lowest first."""
    content = np.frombuffer(message, np.uint8)
    last = np.flatnonzero(content < 0x80)
    if not len(last):
        return np.zeros(0, np.int64)
    content = content[: last[-1] + 1]
    first = np.concatenate([[0], last[:-1] + 1])
    place = np.arange(len(content)) - np.repeat(first, last - first + 1)
    bits = (content & 0x7F).astype(np.uint64) << (7 * place).astype(np.uint64)
    return np.bitwise_or.reduceat(bits, first).astype(np.int64)
