"""Calls to the gRPC port of a service; works on messages of the service's own."""

import json
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from typing import Any

import grpc

from service.grpc.messages import MESSAGES
from tests.support.server import Service
from tests.support.v2 import CATEGORICAL, NUMERIC, strings

OPTIONS = [("grpc.max_receive_message_length", -1), ("grpc.max_send_message_length", -1)]
SERVICE = "/inference.GRPCInferenceService/"
TIMEOUT_S = 60
Metadata = Sequence[tuple[str, str]]


def place(service: Service) -> str:
    """Return the address that a service's log gives for gRPC, once the service is ready."""
    if not any('"event":"ready"' in line for line in service.lines):
        service.wait_for('"event":"ready"')
    events = [json.loads(line) for line in service.lines]
    (found,) = [event["bound"] for event in events if event["event"] == "grpc"]
    return str(found)


class Caller:
    """Caller of all methods on one connection; `code` and `said` are those of the last refusal."""

    def __init__(self, channel: grpc.Channel) -> None:
        self.channel = channel
        self.refusal: Any = None
        self.trailing: dict[str, str] = {}

    def send(self, path: str, body: bytes, metadata: Metadata = (), **more: Any) -> bytes | None:
        """Send a message to any path; None where it was refused."""
        try:
            answer, call = self.channel.unary_unary(path).with_call(
                body, metadata=metadata, timeout=more.pop("timeout", TIMEOUT_S), **more
            )
        except grpc.RpcError as error:
            self.refusal = error
            print(error)  # shown where a test that counted on an answer fails
            self.trailing = dict(error.trailing_metadata() or ())
            return None
        self.trailing = dict(call.trailing_metadata() or ())
        return bytes(answer)

    def __call__(self, method: str, /, metadata: Metadata = (), message: Any = None, **fields: Any) -> Any:
        """Call a method; None where it was refused."""
        more = {key: fields.pop(key) for key in ("timeout", "compression") if key in fields}
        message = MESSAGES[f"{method}Request"](**fields) if message is None else message
        answer = self.send(SERVICE + method, message.SerializeToString(), metadata, **more)
        return None if answer is None else MESSAGES[f"{method}Response"].FromString(answer)

    @property
    def code(self) -> str:
        return str(self.refusal.code().name)

    @property
    def said(self) -> str:
        return str(self.refusal.details())


@contextmanager
def calling(address: str) -> Iterator[Caller]:
    with grpc.insecure_channel(address, options=OPTIONS) as channel:
        yield Caller(channel)


def numeric(values: Any = NUMERIC, datatype: str = "FP32", field: str = "fp32_contents", **more: Any) -> dict[str, Any]:
    flat = [value for row in values for value in row]
    return {
        "name": "numeric", "datatype": datatype, "shape": [len(values), len(values[0])], "contents": {field: flat},
    } | more  # fmt: skip


def categorical(values: Any = CATEGORICAL) -> dict[str, Any]:
    flat = [str(value).encode() for row in values for value in row]
    shape = [len(values), len(values[0])]
    return {"name": "categorical", "datatype": "BYTES", "shape": shape, "contents": {"bytes_contents": flat}}


def both() -> list[dict[str, Any]]:
    """Return the inputs of tests/support/v2.py, each in its own contents."""
    return [numeric(), categorical()]


def raw_both() -> dict[str, Any]:
    """Return the same inputs in raw_input_contents."""
    import numpy as np

    inputs = [{key: value for key, value in one.items() if key != "contents"} for one in both()]
    return {"inputs": inputs, "raw_input_contents": [np.array(NUMERIC, "<f4").tobytes(), strings(CATEGORICAL)]}


def outputs(answer: Any) -> dict[str, Any]:
    """Return the outputs of a ModelInferResponse as arrays, raw or not."""
    import numpy as np

    found = {}
    for place, output in enumerate(answer.outputs):
        raw = answer.raw_output_contents
        values = np.frombuffer(raw[place], "<f4") if raw else np.array(list(output.contents.fp32_contents), np.float32)
        found[output.name] = values.reshape(list(output.shape))
    return found
