"""ModelInferRequest -> batch and wanted outputs; answer -> ModelInferResponse.

Inputs are either all in `raw_input_contents`, in order, or all in their `contents`; the answer
comes in kind. Both become what binary tensors over HTTP are, so that checks and sentences are the
same.
"""

import math
import struct
from collections.abc import Mapping
from typing import Any, NamedTuple

import numpy as np

from service.errors import MalformedRequest
from service.grpc.messages import MESSAGES
from service.http.codecs import v2_infer
from service.http.codecs.v2_data import DTYPES
from service.http.codecs.v2_tensors import Signature
from service.inference.answer import RunSlice
from service.inference.features import Batch
from service.inference.model import Model
from service.system.quoting import quote

_FIELDS: Mapping[str, str] = {
    **dict.fromkeys(("INT8", "INT16", "INT32"), "int_contents"),
    **dict.fromkeys(("UINT8", "UINT16", "UINT32"), "uint_contents"),
    "INT64": "int64_contents", "UINT64": "uint64_contents", "FP32": "fp32_contents", "FP64": "fp64_contents",
    "BYTES": "bytes_contents",
}  # fmt: skip
"""Field of `contents` that holds the values of a datatype; there is none for FP16."""
_NARROW = ("INT8", "INT16", "UINT8", "UINT16")
_MOST_AXES = 8
_LENGTH = struct.Struct("<I")


class InferCall(NamedTuple):
    """Parsed ModelInferRequest.

    Attributes:
        raw: whether its tensors came as raw bytes, and the answer's are to go so.
    """

    batch: Batch
    wanted: v2_infer.RequestedOutputs
    raw: bool


def parse(signature: Signature, model: Model, message: Any) -> InferCall:
    """Read a ModelInferRequest.

    Raises:
        MalformedRequest: anything about its form.
        InvalidFeatures: a value is wrong.
        RequestTooLarge: too many rows.
    """
    raw, inputs = message.raw_input_contents, message.inputs
    if raw and len(raw) != len(inputs):
        came = f"the request has {len(raw)} raw_input_contents and {len(inputs)} inputs"
        raise MalformedRequest(came, "one for each input, in their order, or none")
    most = model.reader.max_rows * len(model.reader.names)
    parts = [_raw_of(tensor, raw[place]) if raw else _packed(tensor, most) for place, tensor in enumerate(inputs)]
    entries = [_entry(tensor, len(part)) for tensor, part in zip(inputs, parts, strict=True)]
    batch = signature.read(entries, memoryview(parts[0] if len(parts) == 1 else b"".join(parts)))
    outputs = [{"name": output.name, "parameters": _parameters(output)} for output in message.outputs]
    request = {"id": message.id or None, "outputs": outputs, "parameters": _parameters(message)}
    return InferCall(batch, v2_infer.requested_outputs(signature, request), bool(raw))


def render(signature: Signature, model: Model, call: InferCall, part: RunSlice) -> Any:
    """Return the answer as a ModelInferResponse."""
    identity = call.wanted.id or ""
    answer = MESSAGES["ModelInferResponse"](model_name=model.name, model_version=str(model.version), id=identity)
    for name, values in signature.tensors(part.answer(), call.wanted.outputs):
        output = answer.outputs.add(name=name, datatype="FP32", shape=values.shape)
        if call.raw:
            answer.raw_output_contents.append(values.tobytes())
        else:
            output.contents.fp32_contents.extend(values.reshape(-1).tolist())
    return answer


def _entry(tensor: Any, size: int) -> dict[str, Any]:
    """Return the head of an input as it would be in JSON."""
    return {
        "name": tensor.name,
        "datatype": tensor.datatype,
        "shape": list(tensor.shape[:_MOST_AXES]),  # with more it is refused too
        "parameters": {**_parameters(tensor), "binary_data_size": size},
    }


def _parameters(holder: Any) -> dict[str, Any]:
    found = {}
    for key, value in holder.parameters.items():
        kind = value.WhichOneof("parameter_choice")
        found[key] = None if kind is None else getattr(value, kind)
    return found


def _raw_of(tensor: Any, raw: bytes) -> bytes:
    if tensor.contents.ByteSize():
        came = f"input {quote(tensor.name)} has contents, and the request has raw_input_contents"
        raise MalformedRequest(came, "all inputs in raw_input_contents, or each in its own contents")
    return raw


def _packed(tensor: Any, most: int) -> bytes:
    """Return the contents of an input as raw bytes.

    None are made of more than `most` values, nor of an unknown datatype: both are refused for
    that.
    """
    name, datatype = quote(tensor.name), tensor.datatype
    if datatype == "FP16":
        raise MalformedRequest(f"input {name} is FP16 without raw bytes", "FP16 in raw_input_contents, or FP32")
    if datatype not in _FIELDS:
        return b""
    field = _FIELDS[datatype]
    filled = [one.name for one, _ in tensor.contents.ListFields()]
    if filled and filled != [field]:
        came = f"input {name} is {datatype} and has {' and '.join(filled)}"
        raise MalformedRequest(came, f"its values in {field}, and in no other field")
    values = getattr(tensor.contents, field)
    shape = list(tensor.shape[:_MOST_AXES])
    if len(shape) in (1, 2) and len(values) != math.prod(shape):
        raise MalformedRequest(f"input {name} has {len(values)} values", f"as many as its shape {shape} says")
    if len(values) > most:
        return b""
    if datatype == "BYTES":
        return b"".join([part for each in values for part in (_LENGTH.pack(len(each)), each)])
    if datatype in _NARROW:
        return _narrowed(name, datatype, np.fromiter(values, np.int64, len(values)))
    return np.fromiter(values, DTYPES[datatype], len(values)).tobytes()


def _narrowed(name: str, datatype: str, numbers: Any) -> bytes:
    """Return whole numbers in the declared type; refuse those that it cannot hold."""
    narrow = numbers.astype(DTYPES[datatype])
    beyond = numbers[narrow != numbers]
    if len(beyond):
        limits = np.iinfo(DTYPES[datatype])
        came = f"input {name} is {datatype} and has the number {beyond[0]}"
        raise MalformedRequest(came, f"whole numbers from {limits.min} to {limits.max}, or another datatype")
    packed: bytes = narrow.tobytes()
    return packed
