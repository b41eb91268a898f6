"""Count of a message's parts before it is parsed: two bytes of it may become a hundred of memory.

Values of tensors are left out: they are too many to count here, and take at most 8 bytes a number
or 16 a string while the message is parsed.
"""

from service.errors import RequestTooLarge
from service.http.codecs.json_size import FREE_BYTES

MOST_PARTS = 20_000
"""Fields of a message and of its tensors; an input takes about six, another for its raw bytes."""

_TENSORS, _SHAPE = (5, 6), 3
"""Fields of a ModelInferRequest: inputs, outputs asked for; and the field of an input's shape."""
_VARINT, _FIXED_64, _LENGTH, _FIXED_32 = 0, 1, 2, 5


def check_parts(body: bytes) -> None:
    """Let a ModelInferRequest pass that is small or has few parts.

    What is no message ends the count: the parser says so then.

    Raises:
        RequestTooLarge: it has more.
    """
    if len(body) > FREE_BYTES:
        _count(memoryview(body), MOST_PARTS, top=True)


def _count(body: memoryview, left: int, top: bool) -> int:
    at, end = 0, len(body)
    while at < end:
        left -= 1
        if left < 0:
            raise _too_many()
        tag, at = _varint(body, at)
        kind = tag & 7
        if kind == _LENGTH:
            size, at = _varint(body, at)
            if top and tag >> 3 in _TENSORS:
                left = _count(body[at : at + size], left, top=False)
            elif not top and tag >> 3 == _SHAPE:
                left -= size  # a byte an axis
                if left < 0:
                    raise _too_many()
            at += size
        elif kind == _VARINT:
            _, at = _varint(body, at)
        elif kind in (_FIXED_64, _FIXED_32):
            at += 8 if kind == _FIXED_64 else 4
        else:
            break
    return left


def _varint(body: memoryview, at: int) -> tuple[int, int]:
    """Return a number and the place behind it; the end of the body where it is cut off."""
    value = shift = 0
    for place in range(at, min(at + 10, len(body))):
        value |= (body[place] & 0x7F) << shift
        if body[place] < 0x80:
            return value, place + 1
        shift += 7
    return 0, len(body)


def _too_many() -> RequestTooLarge:
    return RequestTooLarge("the message", None, MOST_PARTS, "fields beside the values of its tensors", None)
