"""The size of a JSON body in values, counted in its bytes before a parser makes an object of any.

Three bytes, `[],`, become an object of sixty, and a parser written in C lets nothing else run
until it is done. What a comma or a bracket stands for is not parsed here: outside of strings each
value but the first follows a comma or opens a container. Small bodies are not looked at; of the
others a count of brackets is mostly all, 0.1 ms for a megabyte.
"""

from typing import NamedTuple

import numpy as np
from numpy.typing import NDArray

from service.errors import RequestTooLarge

FREE_BYTES = 256 << 10
"""A body of so many bytes is parsed whatever it holds: 90,000 empty arrays take 6 MB and 3 ms."""

_CHUNK, _SMALL_CHUNK, _WORTH_AN_ARRAY = 256 << 10, 64 << 10, 16 << 10
_COMMA, _QUOTE, _BRACE, _CASE = b","[0], b'"'[0], b"{"[0], b"{"[0] ^ b"["[0]
_FEW = 1000
"""Values and containers beside the rows: the protocols' own, and a client's parameters."""


class JsonLimits(NamedTuple):
    """Bounds of the JSON of one request.

    Attributes:
        values: numbers, strings, nulls and containers, and keys as one with their values.
        containers: arrays and objects.
        rows: that these bounds stand for.
        setting: the environment variable that raises them; None where they are fixed.
    """

    values: int
    containers: int
    rows: int
    setting: str | None

    @classmethod
    def of_rows(cls, rows: int, width: int, outputs: int) -> "JsonLimits":
        """Bound a body of at most so many rows of `width` values that asks for `outputs`."""
        containers = 2 * rows + width + 2 * outputs + _FEW
        return cls(rows * (width + 2) + containers, containers, rows, "MMOE_MAX_ROWS")

    def fits_roughly(self, body: bytes, length: int) -> bool:
        """Tell whether the first `length` bytes fit even with what strings hold counted.

        False as soon as not.
        """
        containers = values = 0
        for start in range(0, length, _CHUNK):
            characters = _bytes(body, start, length)
            containers += int(np.count_nonzero((characters | _CASE) == _BRACE))
            if containers > self.containers:
                return False
        if length // 2 <= self.values:  # a value takes two bytes, with its comma
            return True
        values = containers
        for start in range(0, length, _CHUNK):
            values += int(np.count_nonzero(_bytes(body, start, length) == _COMMA))
            if values > self.values:
                return False
        return True

    def check(self, body: bytes, length: int) -> None:
        """Let a body pass whose first `length` bytes hold no more than that.

        Raises:
            RequestTooLarge: they hold more.
        """
        values, containers = self._count(body, length)
        if containers > self.containers:
            raise RequestTooLarge("the body", None, self.containers, "arrays and objects", self.setting)
        if values > self.values:
            raise RequestTooLarge("the body", None, self.values, "values", self.setting)

    def _count(self, body: bytes, length: int) -> tuple[int, int]:
        """Count values and containers outside of strings, until there are too many."""
        values = containers = start = 0
        inside = False
        while start < length and containers <= self.containers and values <= self.values:
            chunk = body[start : min(start + _SMALL_CHUNK, length)]
            if (len(chunk) - len(chunk.rstrip(b"\\"))) % 2 and len(chunk) > 1:
                chunk = chunk[:-1]  # what it escapes is in the next
            start += len(chunk)
            text = chunk.replace(rb"\\", b"  ").replace(rb"\"", b"  ") if b"\\" in chunk else chunk
            characters = np.frombuffer(text, np.uint8)
            quotes = characters == _QUOTE
            outside = (np.cumsum(quotes, dtype=np.uint8) & 1) == inside
            inside ^= bool(np.count_nonzero(quotes) & 1)
            opened = int(np.count_nonzero(outside & ((characters | _CASE) == _BRACE)))
            containers += opened
            values += opened + int(np.count_nonzero(outside & (characters == _COMMA)))
        return values, containers


def count(body: bytes, character: bytes) -> int:
    """Count a character in a body; six times as fast as `bytes.count` on large ones."""
    if len(body) < _WORTH_AN_ARRAY:
        return body.count(character)
    return int(np.count_nonzero(np.frombuffer(body, np.uint8) == character[0]))


def _bytes(body: bytes, start: int, length: int) -> NDArray[np.uint8]:
    return np.frombuffer(body, np.uint8, min(_CHUNK, length - start), start)


FEW_VALUES = JsonLimits(_FEW, _FEW, 0, None)
"""Of the bodies that hold no rows."""
