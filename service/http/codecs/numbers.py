"""Numbers of a JSON body straight into an array, by simdjson.

No Python object is made for any of them.

This is the fast path and nothing else. It takes a body only if all is as expected, and never says
what is not: the caller then parses the body with orjson, which is slower and finds the words. So
the service answers the same with and without simdjson, for which there is not a wheel for every
Python.
"""

from typing import Any

import numpy as np
from numpy.typing import NDArray

from service.http.codecs.json_size import count

Numbers = NDArray[np.float32]

_BLANKS = b" \t\r\n"
_USUAL = b'{"instances":[[', b'{"instances": [['
_FAR_FROM_INFINITE = 1e38
_FEW = 4096
"""So many numbers are checked by one dot product, half as dear as their extremes; of more, BLAS
would start threads."""

_REFUSALS = (ValueError, TypeError, RuntimeError, KeyError, AttributeError, IndexError)
"""Errors of simdjson, and of a shape that is not the expected one."""

_TENSOR_KEYS = {"name", "shape", "datatype", "data"}


class NumberParser:
    """Reader of bodies that are mostly numbers. Not for several threads at a time.

    It keeps its memory between calls.
    """

    def __init__(self, parser: Any = None) -> None:
        self._parser = parser

    @classmethod
    def create(cls) -> "NumberParser":
        """Return one that uses simdjson where it is installed, and else takes no body at all."""
        try:
            import simdjson
        except ImportError:
            return cls()
        return cls(simdjson.Parser())

    @property
    def available(self) -> bool:
        """Tell whether there is a fast path."""
        return self._parser is not None

    def instances(self, body: bytes, width: int) -> Numbers | None:
        """Return the rows of `{"instances": [[...], ...]}` as float32 (B, width)."""
        if self._parser is None:
            return None
        if not body.startswith(_USUAL) and not body[:64].translate(None, _BLANKS).startswith(_USUAL[0]):
            return None
        try:
            document = self._parser.parse(body)
            rows = document["instances"]
            # Flattening hides nesting: each row must have its width, and no bracket but its own.
            if len(document) != 1 or count(body, b"[") != len(rows) + 1 or set(map(len, rows)) != {width}:
                return None
            return _float32(rows, width)
        except _REFUSALS:
            return None

    def tensor(self, body: bytes, name: str, width: int, datatypes: set[str]) -> tuple[Numbers, dict[str, Any]] | None:
        """Return a v2 request's only input, `name`, as float32 (B, width), and the rest of it."""
        if self._parser is None:
            return None
        try:
            return self._tensor(body, name, width, datatypes)
        except _REFUSALS:
            return None

    def _tensor(self, body: bytes, name: str, width: int, datatypes: set[str]) -> tuple[Numbers, dict[str, Any]] | None:
        document = self._parser.parse(body)
        (entry,) = document["inputs"]
        shape, data = entry["shape"].as_list(), entry["data"]
        rows, brackets = shape[0], 3 + ("outputs" in document)
        if len(data) == rows and rows * width != rows:
            brackets += rows
            if set(map(len, data)) != {width}:
                return None
        elif len(data) != rows * width:
            return None
        sound = (
            shape == [rows, width]
            and {type(size) for size in shape} == {int}
            and entry["name"] == name
            and entry["datatype"] in datatypes
            and sorted(entry) == sorted(_TENSOR_KEYS)
            and len(set(document)) == len(document)
            and count(body, b"[") == brackets
        )
        numbers = _float32(data, width) if sound else None
        if numbers is None:
            return None
        return numbers, {key: _plain(document[key]) for key in document if key != "inputs"}


@np.errstate(over="ignore")  # a square beyond float64 is infinite, and so refused
def _float32(array: Any, width: int) -> Numbers | None:
    numbers = np.frombuffer(array.as_buffer(of_type="d"), np.float64)
    if not len(numbers):
        return None
    largest = numbers.dot(numbers) ** 0.5 if len(numbers) <= _FEW else max(-numbers.min(), numbers.max())
    if not largest < _FAR_FROM_INFINITE:
        return None
    return numbers.astype(np.float32).reshape(-1, width)


def _plain(value: Any) -> Any:
    if hasattr(value, "as_dict"):
        return value.as_dict()
    return value.as_list() if hasattr(value, "as_list") else value
