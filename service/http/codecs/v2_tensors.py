"""Tensors of the Open Inference Protocol v2: JSON or raw bytes -> batches, answers -> tensors.

A model has one or two inputs, `numeric` FP32 [B, N] and `categorical` BYTES [B, C], in manifest
order. A missing number is NaN in raw bytes and null in JSON, a missing category the empty string.
Any faulty body is malformed here: clients of this protocol expect 400 for all of them.
"""

import struct
from collections.abc import Iterator, Mapping, Sequence
from itertools import chain
from typing import Any, NamedTuple

import numpy as np
from numpy.typing import NDArray

from service.artifact.manifest import CATEGORICAL, GATE_CONTRIBUTIONS, GATE_WEIGHTS, NUMERIC, Manifest
from service.errors import InvalidFeatures, MalformedRequest, ValueProblem
from service.http.codecs.numbers import NumberParser
from service.http.codecs.rows import as_integer
from service.http.openapi.answers import Tensor, Tensors
from service.inference.answer import Answer
from service.inference.features import Batch, FeatureReader
from service.system.quoting import quote, quotes

DTYPES: Mapping[str, np.dtype[Any]] = {
    "UINT8": np.dtype("<u1"), "UINT16": np.dtype("<u2"), "UINT32": np.dtype("<u4"), "UINT64": np.dtype("<u8"),
    "INT8": np.dtype("<i1"), "INT16": np.dtype("<i2"), "INT32": np.dtype("<i4"), "INT64": np.dtype("<i8"),
    "FP16": np.dtype("<f2"), "FP32": np.dtype("<f4"), "FP64": np.dtype("<f8"),
}  # fmt: skip
"""Types of numbers that are taken for `numeric`; true and false are no numbers, so BOOL is not
among them."""

_FAST = {"FP32", "FP64"}
"""Types that the fast path takes; whole numbers are checked one by one."""
_MOST_ELEMENTS = 1 << 40
_LENGTH = struct.Struct("<I")
_UNSUPPORTED = ("shared_memory_region", "shared_memory_offset", "shared_memory_byte_size", "classification")


class Input(NamedTuple):
    """Input tensor of a request, as it came.

    Attributes:
        shape: as declared, checked against the model and the most rows.
        data: nested or flat lists of JSON, or raw bytes, as many as the shape needs (of strings at
            least).
    """

    name: str
    datatype: str
    shape: tuple[int, ...]
    data: Any


class Signature:
    """Read and describe the tensors of one model.

    Args:
        reader: checks rows.
        manifest: of the model.
        numbers: shared by the models of the process.
    """

    def __init__(self, reader: FeatureReader, manifest: Manifest, numbers: NumberParser) -> None:
        self._reader = reader
        self._manifest = manifest
        self._numbers = numbers
        self._widths = {NUMERIC: reader.numeric, CATEGORICAL: reader.categorical}
        self._inputs = {name: width for name, width in self._widths.items() if width}
        self.outputs = manifest.task_names + ((GATE_WEIGHTS,) if manifest.has_gates else ())
        self.known = manifest.outputs

    def describe(self) -> Tensors:
        """Return the inputs and outputs as the protocol's metadata.

        -1 stands for the number of rows.
        """
        inputs = [
            Tensor(name=name, datatype="FP32" if name == NUMERIC else "BYTES", shape=[-1, width])
            for name, width in self._inputs.items()
        ]
        outputs = [
            Tensor(name=name, datatype="FP32", shape=[-1, *self._manifest.output_shape(name, 1)[1:]])
            for name in self.outputs
        ]
        return {"inputs": inputs, "outputs": outputs}

    def from_json(self, body: bytes) -> tuple[Batch, dict[str, Any]] | None:
        """Read a body with the one input `numeric` the fast way.

        The batch, and the rest of the request.

        Returns:
            None for any other body, and for one with any fault.
        """
        if self._widths[CATEGORICAL]:
            return None
        found = self._numbers.tensor(body, NUMERIC, self._widths[NUMERIC], _FAST)
        if found is None:
            return None
        numeric, request = found
        self._reader.check_rows(len(numeric))
        return Batch(numeric, None, len(numeric), complete=True), request

    def from_raw(self, body: bytes) -> Batch:
        """Read a body that is nothing but the raw bytes of the one input.

        Raises:
            MalformedRequest: the model has another input, or the bytes are no whole number of
                rows.
        """
        width = self._widths[NUMERIC]
        if list(self._inputs) != [NUMERIC]:
            raise MalformedRequest(
                f"the body is raw bytes, and the model's inputs are {quotes(self._inputs, ' and ')}",
                "a JSON header that names the inputs",
            )
        if len(body) % (4 * width):
            raise MalformedRequest(f"the body has {len(body)} raw bytes", f"a multiple of {4 * width}, FP32 x {width}")
        numeric = np.frombuffer(body, "<f4").reshape(-1, width)
        return self._reader.from_arrays(numeric, None, nan_is_missing=True)

    def read(self, entries: object, raw: memoryview) -> Batch:
        """Read the inputs of a request.

        Args:
            entries: its "inputs".
            raw: the bytes behind the JSON, of the inputs that have `binary_data_size`, in order.

        Raises:
            MalformedRequest: inputs are missing, unknown, named twice, of a wrong shape, type or
                size.
            InvalidFeatures: a value is wrong.
            RequestTooLarge: too many rows.
        """
        inputs = self._collect(entries, raw)
        if all(isinstance(each.data, memoryview) for each in inputs.values()):
            arrays = {name: _array(each) for name, each in inputs.items()}
            return self._reader.from_arrays(arrays.get(NUMERIC), arrays.get(CATEGORICAL), nan_is_missing=True)
        rows = [_rows(inputs[name]) for name in self._inputs]
        return self._reader.from_instances([list(chain(*parts)) for parts in zip(*rows, strict=True)])

    def tensors(self, answer: Answer, names: Sequence[str]) -> list[tuple[str, NDArray[np.float32]]]:
        """Return the named outputs of an answer, contiguous and little-endian."""
        everything = {**answer.tasks, GATE_WEIGHTS: answer.gate_weights, GATE_CONTRIBUTIONS: answer.contributions}
        return [(name, np.ascontiguousarray(everything[name], "<f4")) for name in names]

    def _collect(self, entries: object, raw: memoryview) -> dict[str, Input]:
        if type(entries) is not list or not entries:
            raise MalformedRequest('the request has no "inputs"', f"an array of {quotes(self._inputs, ' and ')}")
        rest = raw
        inputs: dict[str, Input] = {}
        for entry in entries:
            one, rest = self._input(entry, rest)
            if one.name in inputs:
                raise MalformedRequest(f"input {one.name!r} is there twice", "each input once")
            inputs[one.name] = one
        if len(rest):
            raise MalformedRequest(f"the body has {len(rest)} bytes after the last tensor", "none")
        if missing := [name for name in self._inputs if name not in inputs]:
            raise MalformedRequest(
                f"the input {quotes(missing, ' and ')} is missing", f"all of {quotes(self._inputs, ' and ')}"
            )
        if len({one.shape[0] for one in inputs.values()}) != 1:
            shapes = ", ".join(f"{one.name!r} {list(one.shape)}" for one in inputs.values())
            raise MalformedRequest(f"the inputs have different numbers of rows: {shapes}", "the same for all")
        return inputs

    def _input(self, entry: object, raw: memoryview) -> tuple[Input, memoryview]:
        """Check one input against the model; return it and the raw bytes behind its own."""
        if type(entry) is not dict or type(entry.get("name")) is not str:
            raise MalformedRequest('an input is no object with a "name"', _EXPECTED_INPUT)
        name, datatype, parameters = entry["name"], entry.get("datatype"), optional_object(entry)
        if name not in self._inputs:
            raise MalformedRequest(f"the input {quote(name)} is unknown", f"{quotes(self._inputs, ' and ')}")
        taken = ["BYTES"] if name == CATEGORICAL else [*DTYPES]
        if datatype not in taken:
            raise MalformedRequest(f"input {name!r} has datatype {quote(datatype)}", " or ".join(taken))
        shape = _shape(name, entry.get("shape"), self._inputs[name])
        self._reader.check_rows(shape[0])
        if parameters is None:
            raise MalformedRequest(f'input {name!r} has "parameters" that are no object', _EXPECTED_INPUT)
        refuse_unsupported(parameters, f"input {name!r}")
        size, data = as_integer(parameters.get("binary_data_size")), entry.get("data")
        if size is None:
            if data is None:
                raise MalformedRequest(f"input {name!r} has no data", _EXPECTED_INPUT)
            if datatype == "FP16":
                raise MalformedRequest(f"input {name!r} is FP16 as JSON", "FP16 as binary data, or FP32")
            return Input(name, datatype, shape, data), raw
        if type(size) is not int or size < 0 or data is not None:
            raise MalformedRequest(
                f"input {name!r} has binary_data_size {quote(size)}", 'a size in bytes, and no "data"'
            )
        if size > len(raw):
            raise MalformedRequest(f"input {name!r} announces {size} bytes, and {len(raw)} are left", "all of them")
        _check_size(name, datatype, shape, size)
        return Input(name, datatype, shape, raw[:size]), raw[size:]


_EXPECTED_INPUT = '{"name", "shape", "datatype", "data"}, or "parameters": {"binary_data_size"} instead of data'


def optional_object(holder: Mapping[str, Any]) -> dict[str, Any] | None:
    """Return the "parameters" of a request, an input or an output.

    Empty where absent or null, None if no object.
    """
    parameters = holder.get("parameters")
    if parameters is None:
        return {}
    return parameters if type(parameters) is dict else None


def refuse_unsupported(parameters: Mapping[str, Any], what: str) -> None:
    """Refuse extensions that are not spoken here, rather than ignore them.

    Raises:
        MalformedRequest: one was asked for.
    """
    for key in _UNSUPPORTED:
        if parameters.get(key) is not None:
            raise MalformedRequest(f"{what} asks for {key!r}", "neither shared memory nor classification")


def encode_strings(values: Sequence[str]) -> bytes:
    """Write BYTES elements: each its length in 4 bytes, then itself in UTF-8."""
    encoded = [value.encode() for value in values]
    return b"".join([part for each in encoded for part in (_LENGTH.pack(len(each)), each)])


def _shape(name: str, shape: object, width: int) -> tuple[int, ...]:
    if type(shape) is list:
        shape = [as_integer(size) for size in shape]
    if type(shape) is not list or not all(type(size) is int for size in shape):
        raise MalformedRequest(f"input {name!r} has shape {quote(shape)}", f"[rows, {width}]")
    if len(shape) != 2 or shape[1] != width or not 0 <= shape[0] * shape[1] <= _MOST_ELEMENTS:
        raise MalformedRequest(f"input {name!r} has shape {quote(shape)}", f"[rows, {width}]")
    return tuple(shape)


def _check_size(name: str, datatype: str, shape: tuple[int, ...], size: int) -> None:
    """Refuse raw bytes that are not what a shape claims, before anything of that shape is made.

    Raises:
        MalformedRequest: not the size of so many numbers, or too few bytes for the lengths of so
            many strings.
    """
    count = shape[0] * shape[1]
    if name == CATEGORICAL:
        if size < _LENGTH.size * count:
            expected = f"at least {_LENGTH.size * count}, {_LENGTH.size} for the length of each of {count} elements"
            raise MalformedRequest(f"input {name!r} has {size} bytes", expected)
    elif size != count * DTYPES[datatype].itemsize:
        expected = f"{count * DTYPES[datatype].itemsize} for {datatype} {list(shape)}"
        raise MalformedRequest(f"input {name!r} has {size} bytes", expected)


def _array(each: Input) -> NDArray[Any]:
    """Turn raw bytes, of a checked size, into the graph's type.

    Float32 (B, N), or str as object (B, C).
    """
    rows, width = each.shape
    if each.name == CATEGORICAL:
        strings = np.empty(rows * width, np.object_)
        strings[:] = list(_strings(each, rows * width))
        return strings.reshape(rows, width)
    dtype = DTYPES[each.datatype]
    numbers = np.frombuffer(each.data, dtype).reshape(rows, width)
    if dtype.kind in "iu" and dtype.itemsize == 8:
        numbers = numbers.astype(np.float64)  # rounded as the same number in JSON, or in a table, is
    with np.errstate(over="ignore"):
        # Behind a JSON header numbers are rarely aligned; this copy spares one in the run.
        return numbers.astype(np.float32, copy=not numbers.flags.aligned)


def _strings(each: Input, count: int) -> Iterator[str]:
    data, position, end = bytes(each.data), 0, len(each.data)
    for index in range(count):
        start = position + 4
        if start > end:
            raise MalformedRequest(f"input {each.name!r} ends before element {index} of {count}", "all elements")
        position = start + _LENGTH.unpack_from(data, position)[0]
        if position > end:
            raise MalformedRequest(f"element {index} of input {each.name!r} reaches beyond its bytes", "all its bytes")
        try:
            yield data[start:position].decode()
        except UnicodeDecodeError:
            raise MalformedRequest(f"element {index} of input {each.name!r} is not UTF-8", "text in UTF-8") from None
    if position != end:
        raise MalformedRequest(f"input {each.name!r} has {end - position} bytes too many", f"{count} elements")


def _rows(each: Input) -> list[list[Any]]:
    """Return an input as rows of values fit for `from_instances`.

    Null stands for a missing one.
    """
    rows, width = each.shape
    if isinstance(each.data, memoryview):
        values = _array(each).tolist()
        return [[None if value != value else value for value in row] for row in values]
    data = each.data
    if type(data) is not list:
        raise MalformedRequest(f'the "data" of input {each.name!r} is no array', "a flat or a nested array")
    if len(data) not in (rows, rows * width):
        raise _other_length(each)
    if each.name == NUMERIC and DTYPES[each.datatype].kind in "iu":
        _check_whole(each)
    if len(data) == rows * width and (width > 1 or not any(type(value) is list for value in data)):
        return [data[start : start + width] for start in range(0, len(data), width)]
    if len(data) == rows and all(type(row) is list for row in data):
        for index, row in enumerate(data):
            if len(row) != width:
                problem = ValueProblem(index, None, f"has {len(row)} values; expected {width}")
                raise InvalidFeatures([problem])
        return data
    raise _other_length(each)


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
