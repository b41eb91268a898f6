"""Inputs of v2's requests, checked against what a model takes: its tensors, or features by name.

A client that has columns, such as a DataFrame, sends one input per feature, of shape [rows] or
[rows, 1]; what it leaves out is missing, as in a row of JSON.
"""

from collections.abc import Callable, Mapping
from typing import Any, Literal, NamedTuple

from service.artifact.manifest import CATEGORICAL, DATETIME, NUMERIC, Manifest
from service.errors import MalformedRequest
from service.http.codecs.rows import as_integer
from service.http.codecs.v2_data import DTYPES, TEXT, Input, check_size
from service.http.codecs.v2_parameters import BASE64, CONTENT_TYPE, optional_object, refuse_unsupported
from service.inference.problems import unknown_feature
from service.system.quoting import quote, quotes

DATATYPES: Mapping[str, Literal["FP32", "BYTES", "INT64"]] = {NUMERIC: "FP32", CATEGORICAL: "BYTES", DATETIME: "INT64"}
"""Types of a model's tensors."""
_CONTENT_TYPES = {NUMERIC: ("np",), CATEGORICAL: ("np", "str", BASE64), DATETIME: ("np", "str", "datetime")}
_MOMENTS = (TEXT, "INT64", "INT32", "UINT64", "UINT32", "FP64")
_WHOLE = tuple(name for name, dtype in DTYPES.items() if dtype.kind in "iu")
_MOST_ELEMENTS = 1 << 40
_EXPECTED = '{"name", "shape", "datatype", "data"}, or "parameters": {"binary_data_size"} instead of data'


class Place(NamedTuple):
    """Tensor that an input belongs to.

    Attributes:
        tensor: its name.
        column: of a feature; None for the whole tensor.
        width: columns that the input has.
        datatypes: that it may have.
    """

    tensor: str
    column: int | None
    width: int
    datatypes: tuple[str, ...]


class InputReader:
    """Reader of inputs, checked against a model.

    Args:
        manifest: of the model.
        check_rows: refuses a number of rows.

    Attributes:
        tensors: the model's, by name, and the columns of each.
    """

    def __init__(self, manifest: Manifest, check_rows: Callable[[int], None]) -> None:
        self.tensors = {name: manifest.input_shape(name, 1)[1] for name in manifest.inputs}
        self._check_rows, self._names = check_rows, manifest.feature_names
        self._places = _feature_places(manifest) | {
            name: Place(name, None, width, tuple(DTYPES) if name == NUMERIC else (DATATYPES[name],))
            for name, width in self.tensors.items()
        }

    def place(self, name: str) -> Place:
        """Return where a known input belongs."""
        return self._places[name]

    def read(self, entries: object, raw: memoryview) -> dict[str, Input]:
        """Return the inputs of a request by name.

        Raises:
            MalformedRequest: inputs are unknown, named twice, of a wrong shape, type or size, or
                of different numbers of rows.
        """
        if type(entries) is not list or not entries:
            raise MalformedRequest('the request has no "inputs"', f"an array of {quotes(self.tensors, ' and ')}")
        rest = raw
        inputs: dict[str, Input] = {}
        for entry in entries:
            one, rest = self._read(entry, rest)
            if one.name in inputs:
                raise MalformedRequest(f"input {quote(one.name)} is there twice", "each input once")
            inputs[one.name] = one
        if len(rest):
            raise MalformedRequest(f"the body has {len(rest)} bytes after the last tensor", "none")
        if len({one.shape[0] for one in inputs.values()}) != 1:
            shapes = quotes((f"{name} {list(one.shape)}" for name, one in inputs.items()))
            raise MalformedRequest(f"the inputs have different numbers of rows: {shapes}", "the same for all")
        return inputs

    def _read(self, entry: object, raw: memoryview) -> tuple[Input, memoryview]:
        """Check one input; return it and the raw bytes behind its own."""
        if type(entry) is not dict or type(entry.get("name")) is not str:
            raise MalformedRequest('an input is not an object with a "name"', _EXPECTED)
        name, datatype, parameters = entry["name"], entry.get("datatype"), optional_object(entry)
        place = self._places.get(name)
        if place is None:
            expected = (
                f"{quotes(self.tensors, ' and ')}, or one input per feature ({unknown_feature(name, self._names)})"
            )
            raise MalformedRequest(f"the input {quote(name)} is unknown", expected)
        what = f"input {quote(name)}"
        if datatype not in place.datatypes:
            raise MalformedRequest(f"{what} has datatype {quote(datatype)}", " or ".join(place.datatypes))
        shape = _shape(what, entry.get("shape"), place)
        self._check_rows(shape[0])
        if parameters is None:
            raise MalformedRequest(f'{what} has "parameters" that are not an object', _EXPECTED)
        refuse_unsupported(parameters, what, _CONTENT_TYPES[place.tensor])
        one = Input(name, datatype, shape, entry.get("data"), place.tensor, parameters.get(CONTENT_TYPE) == BASE64)
        return _with_data(one, what, as_integer(parameters.get("binary_data_size")), raw)


def _feature_places(manifest: Manifest) -> dict[str, Place]:
    kinds = {"numeric": tuple(DTYPES), "hashed": (TEXT, *_WHOLE), "datetime": _MOMENTS}
    return {
        feature.name: Place(tensor, column, 1, kinds.get(feature.kind, (TEXT,)))
        for tensor, features in (
            (NUMERIC, manifest.numeric),
            (CATEGORICAL, manifest.texts),
            (DATETIME, manifest.datetimes),
        )
        for column, feature in enumerate(features)
    }


def _with_data(one: Input, what: str, size: Any, raw: memoryview) -> tuple[Input, memoryview]:
    """Return an input with its data, of JSON or as many raw bytes, and the bytes behind those."""
    if size is None:
        if one.data is None:
            raise MalformedRequest(f"{what} has no data", _EXPECTED)
        if one.datatype == "FP16":
            raise MalformedRequest(f"{what} is FP16 as JSON", "FP16 as binary data, or FP32")
        return one, raw
    if type(size) is not int or size < 0 or one.data is not None:
        raise MalformedRequest(f"{what} has binary_data_size {quote(size)}", 'a size in bytes, and no "data"')
    if size > len(raw):
        raise MalformedRequest(f"{what} announces {size} bytes, and {len(raw)} are left", "all of them")
    check_size(one.name, one.datatype, one.shape, size)
    return one._replace(data=raw[:size]), raw[size:]


def _shape(what: str, shape: object, place: Place) -> tuple[int, int]:
    """Return the shape of an input as (rows, columns)."""
    expected = f"[rows, {place.width}]" if place.column is None else "[rows] or [rows, 1]"
    sizes = [as_integer(size) for size in shape] if type(shape) is list else []
    if place.column is not None and len(sizes) == 1:
        sizes = [*sizes, 1]
    if len(sizes) == 2 and all(type(size) is int for size in sizes):
        rows, width = sizes
        if width == place.width and 0 <= rows * width <= _MOST_ELEMENTS:  # type: ignore[operator]
            return rows, width  # type: ignore[return-value]
    raise MalformedRequest(f"{what} has shape {quote(shape)}", expected)
