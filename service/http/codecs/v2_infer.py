"""One inference of the Open Inference Protocol v2.

A request of JSON, raw tensors or both -> the answer in kind.
"""

from collections.abc import Awaitable, Sequence
from typing import Any, NamedTuple

from service.artifact.manifest import GATE_CONTRIBUTIONS, GATE_WEIGHTS
from service.errors import MalformedRequest
from service.http.body import CONTENT_TYPE, whole_number
from service.http.codecs.render import dumps
from service.http.codecs.rows import load_object
from service.http.codecs.v2_parameters import OF_OUTPUTS, OF_REQUESTS, optional_object, refuse_unsupported
from service.http.codecs.v2_tensors import Signature
from service.http.openapi.protocol import InferHead, InferOutput
from service.http.types import Headers, RawHeaders
from service.inference.answer import RunSlice
from service.inference.features import Batch
from service.inference.model import Model
from service.system.quoting import quote, quotes

HEADER_LENGTH = b"inference-header-content-length"
EXPECTED = '{"inputs": [{"name", "shape", "datatype", "data"}]}'


class RequestedOutputs(NamedTuple):
    """Outputs that a request asks for.

    Attributes:
        id: the caller's own, sent back.
        outputs: names, in the order asked for.
        binary: which of them as raw bytes.
    """

    id: str | None
    outputs: Sequence[str]
    binary: Sequence[bool]


class InferRequest(NamedTuple):
    """Parsed request: its rows and the outputs that it asks for."""

    batch: Batch
    wanted: RequestedOutputs


def parse(signature: Signature, headers: Headers, body: bytes) -> InferRequest:
    """Read a request.

    Raises:
        MalformedRequest: anything about its form.
        InvalidFeatures: a value is wrong.
        RequestTooLarge: too many rows.
    """
    length = json_length(headers, body)
    if length == 0 and HEADER_LENGTH in headers:
        batch = signature.from_raw(body)
        return InferRequest(batch, RequestedOutputs(None, signature.outputs, [True] * len(signature.outputs)))
    if length == len(body):
        found = signature.from_json(body)
        if found is not None:
            return InferRequest(found[0], requested_outputs(signature, found[1]))
    request = load_object(body[:length], EXPECTED)
    return InferRequest(
        signature.read(request.get("inputs"), memoryview(body)[length:]), requested_outputs(signature, request)
    )


def infer(
    model: Model, batch: Batch, wanted: RequestedOutputs, arrived: float, timeout_s: float
) -> Awaitable[RunSlice]:
    """Run what the wanted outputs need and no more; errors as in `Model.predict`."""
    outputs = set(wanted.outputs)
    if GATE_CONTRIBUTIONS in outputs:
        return model.inspect(batch, arrived, timeout_s, contributions=True)
    if outputs == {GATE_WEIGHTS}:
        return model.gate_weights(batch, arrived, timeout_s)
    return model.predict(batch, arrived, timeout_s)


def render(signature: Signature, model: Model, wanted: RequestedOutputs, part: RunSlice) -> tuple[RawHeaders, bytes]:
    """Write the answer: JSON alone, or JSON and the raw tensors behind it."""
    heads: list[bytes] = []
    raw: list[bytes] = []
    tensors = signature.tensors(part.answer(), wanted.outputs)
    for (name, values), binary in zip(tensors, wanted.binary, strict=True):
        head: InferOutput = {"name": name, "shape": values.shape, "datatype": "FP32"}
        if binary:
            raw.append(values.tobytes())
            head["parameters"] = {"binary_data_size": len(raw[-1])}
            heads.append(dumps(head))
        else:
            heads.append(dumps(head)[:-1] + b',"data":' + dumps(values.reshape(-1)) + b"}")
    first: InferHead = {"model_name": model.name, "model_version": str(model.version)}
    if wanted.id is not None:
        first["id"] = wanted.id
    text = dumps(first)[:-1] + b',"outputs":[' + b",".join(heads) + b"]}"
    if not raw:
        return [(b"content-type", b"application/json"), (b"content-length", b"%d" % len(text))], text
    body = b"".join((text, *raw))
    return [
        (b"content-type", b"application/octet-stream"),
        (b"content-length", b"%d" % len(body)),
        (HEADER_LENGTH, b"%d" % len(text)),
    ], body


def json_length(headers: Headers, body: bytes) -> int:
    """Return the length of the JSON at the beginning of a body; raw tensors follow.

    A length of 0 means a body of raw numbers alone, unless its content type says that it is JSON:
    then all of it is.

    Raises:
        MalformedRequest: the header that announces it is wrong.
    """
    announced, size = headers.get(HEADER_LENGTH), len(body)
    if announced is None:
        return size
    length = whole_number(announced)
    if length == 0 and headers.get(CONTENT_TYPE, b"").startswith(b"application/json"):
        return size
    if length is None or length > size:
        raise MalformedRequest(
            f"Inference-Header-Content-Length is {quote(announced)}",
            f"a whole number from 0 to {size}, the length of the body",
        )
    return length


def requested_outputs(signature: Signature, request: dict[str, Any]) -> RequestedOutputs:
    """Read "id", "parameters" and "outputs", of which null is absent.

    Unknown keys are allowed by the protocol.
    """
    identity, outputs, parameters = request.get("id"), request.get("outputs"), optional_object(request)
    if identity is not None and type(identity) is not str:
        raise MalformedRequest('the request\'s "id" is not a string', "a string, or none")
    if parameters is None:
        raise MalformedRequest('the request\'s "parameters" are not an object', "an object, or none")
    refuse_unsupported(parameters, "the request", OF_REQUESTS)
    binary = _flag(parameters, "binary_data_output", False, "the request")
    if not outputs:
        return RequestedOutputs(identity, signature.outputs, [binary] * len(signature.outputs))
    if type(outputs) is not list:
        raise MalformedRequest('the request\'s "outputs" are not an array', '[{"name"}]')
    pairs = [_output(signature, output, binary) for output in outputs]
    names = [name for name, _ in pairs]
    if len(set(names)) != len(names):
        raise MalformedRequest(f"an output is asked for twice: {quotes(names)}", "each output once")
    return RequestedOutputs(identity, names, [flag for _, flag in pairs])


def _output(signature: Signature, output: object, binary: bool) -> tuple[str, bool]:
    if type(output) is not dict or type(output.get("name")) is not str:
        raise MalformedRequest('an output is not an object with a "name"', '{"name", "parameters"?}')
    name, parameters = output["name"], optional_object(output)
    if name not in signature.known:
        raise MalformedRequest(f"the output {quote(name)} is unknown", quotes(signature.known, " or "))
    if parameters is None:
        raise MalformedRequest(f'output {quote(name)} has "parameters" that are not an object', "an object, or none")
    refuse_unsupported(parameters, f"output {quote(name)}", OF_OUTPUTS)
    return name, _flag(parameters, "binary_data", binary, f"output {quote(name)}")


def _flag(parameters: dict[str, Any], key: str, default: bool, what: str) -> bool:
    value = parameters.get(key)
    if value is None:
        return default
    if type(value) is not bool:
        raise MalformedRequest(f"{what} has {key} {quote(value)}", "true or false")
    return value
