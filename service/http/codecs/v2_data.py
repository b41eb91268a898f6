"""Data of v2's inputs: raw bytes or lists of JSON -> arrays, or rows or columns of values."""

import base64
import binascii
import struct
from collections.abc import Iterator, Mapping, Sequence
from itertools import chain
from typing import Any, NamedTuple

import numpy as np
from numpy.typing import NDArray

from service.artifact.entries import MISSING_TIME
from service.artifact.manifest import CATEGORICAL, DATETIME
from service.errors import InvalidFeatures, MalformedRequest, ValueProblem
from service.inference.reading.bags import Bag
from service.inference.reading.values import describe
from service.system.quoting import quote

DTYPES: Mapping[str, np.dtype[Any]] = {
    "UINT8": np.dtype("<u1"), "UINT16": np.dtype("<u2"), "UINT32": np.dtype("<u4"), "UINT64": np.dtype("<u8"),
    "INT8": np.dtype("<i1"), "INT16": np.dtype("<i2"), "INT32": np.dtype("<i4"), "INT64": np.dtype("<i8"),
    "FP16": np.dtype("<f2"), "FP32": np.dtype("<f4"), "FP64": np.dtype("<f8"),
}  # fmt: skip
"""Types of numbers that are taken for `numeric`; true and false are not numbers, so BOOL is not
among them."""
TEXT = "BYTES"

_LENGTH = struct.Struct("<I")


class Input(NamedTuple):
    """Input of a request, as it came: a tensor of the model, or one of its features.

    Attributes:
        shape: (rows, columns) as declared, checked against the model and the most rows.
        data: nested or flat lists of JSON, or raw bytes, as many as the shape needs (of strings at
            least).
        tensor: of the model that the values belong to; its own name, but for a feature.
        base64: whether its texts are coded so.
    """

    name: str
    datatype: str
    shape: tuple[int, int]
    data: Any
    tensor: str
    base64: bool = False

    @property
    def is_raw(self) -> bool:
        """Tell whether the data came as bytes."""
        return isinstance(self.data, memoryview)


def encode_strings(values: Sequence[str]) -> bytes:
    """Write BYTES elements: each its length in 4 bytes, then itself in UTF-8."""
    encoded = [value.encode() for value in values]
    return b"".join([part for each in encoded for part in (_LENGTH.pack(len(each)), each)])


def check_size(name: str, datatype: str, shape: tuple[int, int], size: int) -> None:
    """Refuse raw bytes that are not what a shape claims, before anything of that shape is made.

    Raises:
        MalformedRequest: not the size of so many numbers, or too few bytes for the lengths of so
            many strings.
    """
    count = shape[0] * shape[1]
    if datatype == TEXT:
        if size < _LENGTH.size * count:
            expected = f"at least {_LENGTH.size * count}, {_LENGTH.size} for the length of each of {count} elements"
            raise MalformedRequest(f"input {name!r} has {size} bytes", expected)
    elif size != count * DTYPES[datatype].itemsize:
        expected = f"{count * DTYPES[datatype].itemsize} for {datatype} {list(shape)}"
        raise MalformedRequest(f"input {name!r} has {size} bytes", expected)


def array_of(each: Input) -> NDArray[Any]:
    """Turn raw bytes, of a checked size, into the type of their tensor in the graph.

    Float32, str as object, or int64, of the input's shape.
    """
    if each.datatype == TEXT:
        strings = np.empty(each.shape[0] * each.shape[1], np.object_)
        strings[:] = list(_strings(each, len(strings)))
        return strings.reshape(each.shape)
    numbers = _numbers(each)
    if each.tensor == DATETIME:
        return numbers.astype(np.int64)
    if numbers.dtype.kind in "iu" and numbers.dtype.itemsize == 8:
        numbers = numbers.astype(np.float64)  # rounded as the same number in JSON, or in a table, is
    with np.errstate(over="ignore"):
        # Behind a JSON header numbers are rarely aligned; this copy spares one in the run.
        return numbers.astype(np.float32, copy=not numbers.flags.aligned)


def _numbers(each: Input) -> NDArray[Any]:
    return np.frombuffer(each.data, DTYPES[each.datatype]).reshape(each.shape)


def _strings(each: Input, count: int) -> Iterator[str]:
    data, position, end = bytes(each.data), 0, len(each.data)
    for index in range(count):
        start = position + 4
        if start > end:
            raise MalformedRequest(f"input {each.name!r} ends before element {index} of {count}", "all elements")
        position = start + _LENGTH.unpack_from(data, position)[0]
        if position > end:
            raise MalformedRequest(f"element {index} of input {each.name!r} reaches beyond its bytes", "all its bytes")
        yield _text(each, index, data[start:position])
    if position != end:
        raise MalformedRequest(f"input {each.name!r} has {end - position} bytes too many", f"{count} elements")


def _text(each: Input, index: int, coded: bytes) -> str:
    """Return an element of text, decoded as the input says."""
    try:
        return (base64.b64decode(coded, validate=True) if each.base64 else coded).decode()
    except binascii.Error:
        raise MalformedRequest(
            f"element {index} of input {each.name!r} is not base64, its content type", "text in UTF-8 as base64"
        ) from None
    except UnicodeDecodeError:
        raise MalformedRequest(f"element {index} of input {each.name!r} is not UTF-8", "text in UTF-8") from None


def rows_of(each: Input, bags: Mapping[int, Bag]) -> list[list[Any]]:
    """Return a tensor as rows of values fit for `from_instances`.

    Null stands for a missing one.

    Args:
        each: as it came.
        bags: of the tensor `categorical`, by column.
    """
    rows = array_of(each).tolist() if each.is_raw else _rows_of_json(each)
    if each.tensor == DATETIME:
        return [list(map(_moment, row)) for row in rows]
    if each.tensor == CATEGORICAL:
        if bags:
            return [[_bag(each, cell, bags.get(place)) for place, cell in enumerate(row)] for row in rows]
    elif each.is_raw:
        return [[None if value != value else value for value in row] for row in rows]
    return rows


def column_of(each: Input, bag: Bag | None) -> list[Any]:
    """Return a feature's input as a column of values fit for `from_inputs`; null is missing."""
    if each.is_raw:
        cells = (array_of(each) if each.datatype == TEXT else _numbers(each)).ravel().tolist()
        if each.datatype.startswith("FP"):
            return [None if value != value else value for value in cells]
    else:
        cells = list(chain.from_iterable(_rows_of_json(each)))
    if each.tensor == DATETIME:
        return [None if cell in ("", MISSING_TIME) else cell for cell in cells]
    return cells if bag is None else [_bag(each, cell, bag) for cell in cells]


def _moment(value: object) -> int | None:
    """Return seconds, of an input checked for whole numbers."""
    if value is None or value == MISSING_TIME:
        return None
    if type(value) not in (int, float):
        raise MalformedRequest(f"input {DATETIME!r} has {describe(value)}", "whole numbers of epoch seconds, or null")
    return int(value)  # type: ignore[call-overload, no-any-return]


def _bag(each: Input, cell: object, bag: Bag | None) -> object:
    """Return the cell of a bag as an array; another as it is."""
    if bag is None or cell is None:
        return cell
    if type(cell) is not str:
        expected = f"a string, such as {quote(bag.join(['a', 'b']))}: a bag's values with its separator between them"
        raise MalformedRequest(f"input {quote(each.name)} has {describe(cell)} for a bag", expected)
    return bag.split(cell)


def _rows_of_json(each: Input) -> list[list[Any]]:
    rows, width = each.shape
    data = each.data
    if type(data) is not list:
        raise MalformedRequest(f'the "data" of input {each.name!r} is not an array', "a flat or a nested array")
    if len(data) not in (rows, rows * width):
        raise _other_length(each)
    if each.datatype != TEXT and DTYPES[each.datatype].kind in "iu":
        _check_whole(each)
    if len(data) == rows * width and (width > 1 or not any(type(value) is list for value in data)):
        return _decoded(each, [data[start : start + width] for start in range(0, len(data), width)])
    if len(data) == rows and all(type(row) is list for row in data):
        for index, row in enumerate(data):
            if len(row) != width:
                problem = ValueProblem(index, None, f"has {len(row)} values; expected {width}")
                raise InvalidFeatures([problem])
        return _decoded(each, data)
    raise _other_length(each)


def _decoded(each: Input, rows: list[list[Any]]) -> list[list[Any]]:
    if not each.base64:
        return rows
    width = each.shape[1]
    return [
        [
            _text(each, index * width + place, cell.encode()) if type(cell) is str else cell
            for place, cell in enumerate(row)
        ]
        for index, row in enumerate(rows)
    ]


def _other_length(each: Input) -> MalformedRequest:
    rows, width = each.shape
    return MalformedRequest(
        f'the "data" of input {each.name!r} has {len(each.data)} elements',
        f"{rows * width} values, or {rows} arrays of {width}, as its shape {list(each.shape)} says",
    )


def _check_whole(each: Input) -> None:
    """Refuse a number of JSON that the declared type of whole numbers cannot hold.

    Raw bytes of it never could.
    """
    limits = np.iinfo(DTYPES[each.datatype])
    values = chain.from_iterable(row if type(row) is list else [row] for row in each.data)
    for value in values:
        if type(value) in (int, float) and not (value == value // 1 and limits.min <= value <= limits.max):
            raise MalformedRequest(
                f"input {each.name!r} is {each.datatype} and has the number {quote(value)}",
                f"whole numbers from {limits.min} to {limits.max}, or another datatype",
            )
