"""Tensors of the Open Inference Protocol v2: JSON or raw bytes -> batches, answers -> tensors.

A model has one to three inputs, `numeric` FP32 [B, N], `categorical` BYTES [B, C + H + G] and
`datetime` INT64 [B, K], in manifest order. A missing number is NaN in raw bytes and null in JSON,
a missing text the empty string, a missing moment -2**63, or null in JSON. A request has all of
them, or one input per feature by name. Any faulty body is malformed here: clients of this protocol
expect 400 for all of them.
"""

from collections.abc import Collection, Mapping, Sequence
from itertools import chain
from typing import Any

import numpy as np
from numpy.typing import NDArray

from service.artifact.entries import MISSING_TIME
from service.artifact.manifest import CATEGORICAL, DATETIME, GATE_CONTRIBUTIONS, GATE_WEIGHTS, NUMERIC, Manifest
from service.errors import MalformedRequest
from service.http.codecs.numbers import NumberParser
from service.http.codecs.v2_data import DTYPES, Input, array_of, column_of, rows_of
from service.http.codecs.v2_inputs import DATATYPES, InputReader
from service.http.openapi.protocol import Tensor, Tensors
from service.inference.answer import Answer
from service.inference.features import Batch, FeatureReader
from service.inference.reading.bags import Bag
from service.system.quoting import quote, quotes

_FAST = {"FP32", "FP64"}
"""Types that the fast path takes; whole numbers are checked one by one."""
_TAKEN_AT_ONCE = {NUMERIC: tuple(DTYPES), CATEGORICAL: ("BYTES",), DATETIME: ("INT64",)}
"""Types of raw inputs that are put into the graph's tensors without a look at each value."""
_MISSING: Mapping[str, tuple[Any, Any]] = {
    NUMERIC: (np.nan, np.float32), CATEGORICAL: ("", np.object_), DATETIME: (MISSING_TIME, np.int64),
}  # fmt: skip


class Signature:
    """Tensors of one model: read from requests, described for callers.

    Args:
        reader: checks rows.
        manifest: of the model.
        numbers: shared by the models of the process.
    """

    def __init__(self, reader: FeatureReader, manifest: Manifest, numbers: NumberParser) -> None:
        self._reader = reader
        self._manifest = manifest
        self._numbers = numbers
        self._inputs = InputReader(manifest, reader.check_rows)
        self._numbers_alone = list(self._inputs.tensors) == [NUMERIC]
        self._names = {
            tensor: [feature.name for feature in features]
            for tensor, features in (
                (NUMERIC, manifest.numeric),
                (CATEGORICAL, manifest.texts),
                (DATETIME, manifest.datetimes),
            )
        }
        first = reader.categorical - len(manifest.bags)
        self._bags = {first + place: Bag(feature.separator) for place, feature in enumerate(manifest.bags)}
        self.outputs = manifest.predicted + ((GATE_WEIGHTS,) if manifest.has_gates else ())
        self.known = manifest.outputs

    def describe(self) -> Tensors:
        """Return the inputs and outputs as the protocol's metadata.

        -1 stands for the number of rows.
        """
        inputs = [
            Tensor(name=name, datatype=DATATYPES[name], shape=[-1, width])
            for name, width in self._inputs.tensors.items()
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
            MalformedRequest: the model has another input, or the bytes are not a whole number of
                rows.
        """
        width = self._reader.numeric
        if not self._numbers_alone:
            raise MalformedRequest(
                f"the body is raw bytes, and the model's inputs are {quotes(self._inputs.tensors, ' and ')}",
                "a JSON header that names the inputs",
            )
        if len(body) % (4 * width):
            raise MalformedRequest(f"the body has {len(body)} raw bytes", f"a multiple of {4 * width}, FP32 x {width}")
        numeric = np.frombuffer(body, "<f4").reshape(-1, width)
        return self._reader.from_arrays({NUMERIC: numeric}, nan_is_missing=True)

    def read(self, entries: object, raw: memoryview) -> Batch:
        """Read the inputs of a request: all tensors, or any features by name.

        Args:
            entries: its "inputs".
            raw: the bytes behind the JSON, of the inputs that have `binary_data_size`, in order.

        Raises:
            MalformedRequest: inputs are missing, unknown, named twice, of a wrong shape, type or
                size.
            InvalidFeatures: a value is wrong.
            RequestTooLarge: too many rows.
        """
        inputs = self._inputs.read(entries, raw)
        if not inputs.keys() <= self._inputs.tensors.keys():
            return self._read_features(inputs)
        if missing := [name for name in self._inputs.tensors if name not in inputs]:
            raise MalformedRequest(
                f"the input {quotes(missing, ' and ')} is missing",
                f"all of {quotes(self._inputs.tensors, ' and ')}, or one input per feature",
            )
        if all(each.is_raw for each in inputs.values()):
            arrays = {name: array_of(each) for name, each in inputs.items()}
            return self._reader.from_arrays(arrays, nan_is_missing=True)
        rows = [rows_of(inputs[name], self._bags) for name in self._inputs.tensors]
        return self._reader.from_instances([list(chain(*parts)) for parts in zip(*rows, strict=True)])

    def tensors(self, answer: Answer, names: Sequence[str]) -> list[tuple[str, NDArray[np.float32]]]:
        """Return the named outputs of an answer, contiguous and little-endian."""
        everything = {**answer.tasks, GATE_WEIGHTS: answer.gate_weights, GATE_CONTRIBUTIONS: answer.contributions}
        return [(name, np.ascontiguousarray(everything[name], "<f4")) for name in names]

    def _read_features(self, inputs: Mapping[str, Input]) -> Batch:
        """Read features by name; one that is not there is missing in all rows."""
        if all(each.is_raw and each.datatype in _TAKEN_AT_ONCE[each.tensor] for each in inputs.values()):
            return self._reader.from_arrays(self._assembled(inputs), nan_is_missing=True)
        columns: dict[str, list[Any]] = {}
        for name, each in inputs.items():
            column = self._inputs.place(name).column
            if column is None:
                parts = zip(*rows_of(each, self._bags), strict=True)
                found = dict(zip(self._names[each.tensor], map(list, parts), strict=True))
            else:
                found = {name: column_of(each, self._bags.get(column) if each.tensor == CATEGORICAL else None)}
            _refuse_twice(columns.keys() & found.keys())
            columns |= found
        return self._reader.from_inputs(columns)

    def _assembled(self, inputs: Mapping[str, Input]) -> dict[str, NDArray[Any]]:
        """Put raw inputs into the graph's tensors."""
        rows = next(iter(inputs.values())).shape[0]
        arrays = {name: np.full((rows, width), *_MISSING[name]) for name, width in self._inputs.tensors.items()}
        whole = {each.tensor for name, each in inputs.items() if self._inputs.place(name).column is None}
        for name, each in inputs.items():
            column = self._inputs.place(name).column
            if column is None:
                arrays[name] = array_of(each)
            else:
                _refuse_twice([name] if each.tensor in whole else [])
                arrays[each.tensor][:, column] = array_of(each)[:, 0]
        return arrays


def _refuse_twice(names: Collection[str]) -> None:
    if names:
        raise MalformedRequest(f"feature {quote(min(names))} is an input and in a tensor too", "each feature once")
