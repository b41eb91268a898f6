"""Tensors of the Open Inference Protocol v2: JSON or raw bytes -> batches, answers -> tensors.

A model has one to three inputs, `numeric` FP32 [B, N], `categorical` BYTES [B, C + H + G] and
`datetime` INT64 [B, K], in manifest order. A missing number is NaN in raw bytes and null in JSON,
a missing text the empty string, a missing moment -2**63, or null in JSON. Any faulty body is
malformed here: clients of this protocol expect 400 for all of them.
"""

from collections.abc import Mapping, Sequence
from itertools import chain
from typing import Any, Literal

import numpy as np
from numpy.typing import NDArray

from service.artifact.manifest import CATEGORICAL, DATETIME, GATE_CONTRIBUTIONS, GATE_WEIGHTS, NUMERIC, Manifest
from service.errors import MalformedRequest
from service.http.codecs.numbers import NumberParser
from service.http.codecs.rows import as_integer
from service.http.codecs.v2_data import DTYPES, Input, array_of, check_size, rows_of
from service.http.openapi.answers import Tensor, Tensors
from service.inference.answer import Answer
from service.inference.features import Batch, FeatureReader
from service.inference.reading.bags import Bag
from service.system.quoting import quote, quotes

_DATATYPES: Mapping[str, Literal["FP32", "BYTES", "INT64"]] = {NUMERIC: "FP32", CATEGORICAL: "BYTES", DATETIME: "INT64"}
_FAST = {"FP32", "FP64"}
"""Types that the fast path takes; whole numbers are checked one by one."""
_MOST_ELEMENTS = 1 << 40
_UNSUPPORTED = ("shared_memory_region", "shared_memory_offset", "shared_memory_byte_size", "classification")


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
        self._inputs = {name: manifest.input_shape(name, 1)[1] for name in manifest.inputs}
        self._numbers_alone = list(self._inputs) == [NUMERIC]
        first = reader.categorical - len(manifest.bags)
        self._bags = {first + place: Bag(feature.separator) for place, feature in enumerate(manifest.bags)}
        self.outputs = manifest.predicted + ((GATE_WEIGHTS,) if manifest.has_gates else ())
        self.known = manifest.outputs

    def describe(self) -> Tensors:
        """Return the inputs and outputs as the protocol's metadata.

        -1 stands for the number of rows.
        """
        inputs = [
            Tensor(name=name, datatype=_DATATYPES[name], shape=[-1, width]) for name, width in self._inputs.items()
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
        if not self._numbers_alone:
            return None
        found = self._numbers.tensor(body, NUMERIC, self._reader.numeric, _FAST)
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
        width = self._reader.numeric
        if not self._numbers_alone:
            raise MalformedRequest(
                f"the body is raw bytes, and the model's inputs are {quotes(self._inputs, ' and ')}",
                "a JSON header that names the inputs",
            )
        if len(body) % (4 * width):
            raise MalformedRequest(f"the body has {len(body)} raw bytes", f"a multiple of {4 * width}, FP32 x {width}")
        numeric = np.frombuffer(body, "<f4").reshape(-1, width)
        return self._reader.from_arrays({NUMERIC: numeric}, nan_is_missing=True)

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
            arrays = {name: array_of(each) for name, each in inputs.items()}
            return self._reader.from_arrays(arrays, nan_is_missing=True)
        rows = [rows_of(inputs[name], self._bags) for name in self._inputs]
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
        taken: list[str] = [*DTYPES] if name == NUMERIC else [_DATATYPES[name]]
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
        check_size(name, datatype, shape, size)
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


def _shape(name: str, shape: object, width: int) -> tuple[int, ...]:
    if type(shape) is list:
        shape = [as_integer(size) for size in shape]
    if type(shape) is not list or not all(type(size) is int for size in shape):
        raise MalformedRequest(f"input {name!r} has shape {quote(shape)}", f"[rows, {width}]")
    if len(shape) != 2 or shape[1] != width or not 0 <= shape[0] * shape[1] <= _MOST_ELEMENTS:
        raise MalformedRequest(f"input {name!r} has shape {quote(shape)}", f"[rows, {width}]")
    return tuple(shape)
