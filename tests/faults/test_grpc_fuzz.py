"""Messages of gRPC, mutated in their fields and in their bytes.

A status each time, never INTERNAL, from a worker of bounded memory.
"""

import random
from collections import Counter
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

pytest.importorskip("grpc", reason="the extra [grpc] is not installed")

from service.grpc.messages import MESSAGES
from tests.support.effort import Effort
from tests.support.grpc_calls import SERVICE, both, calling, place, raw_both
from tests.support.metrics import metric
from tests.support.processes import forget_peak, peak_mb, resident_mb
from tests.support.server import running

INFER = f"{SERVICE}ModelInfer"
TAKEN = {"OK", "INVALID_ARGUMENT", "NOT_FOUND", "RESOURCE_EXHAUSTED"}
NUMBERS = [0, 1, 2, 3, 4, 6, 255, 9999, 10_000, 10_001, 2**31, 2**40, 2**62, 2**63 - 1, -1, -(2**63)]
DATATYPES = ["FP32", "FP64", "FP16", "BYTES", "BOOL", "INT8", "INT64", "UINT16", "UINT64", "fp32", ""]
TEXTS = ["numeric", "categorical", "age", "city", "gate_weights", "hand", "1", "7", "", "x" * 5000, "Å\n\0"]
FIELDS = {
    "int_contents": 1, "int64_contents": 2**40, "uint_contents": 3, "uint64_contents": 2**63, "fp32_contents": 1.5,
    "fp64_contents": 1e300, "bool_contents": True, "bytes_contents": b"\xff",
}  # fmt: skip


class Mutator:
    """Source of ModelInferRequests that are wrong in a few places; a seed makes the same again."""

    def __init__(self, seed: int) -> None:
        self.random = random.Random(seed)

    def __call__(self) -> bytes:
        pick = self.random.choice
        message = MESSAGES["ModelInferRequest"](model_name="hand", **(pick([lambda: {"inputs": both()}, raw_both])()))
        for _ in range(pick([0, 1, 1, 2, 3])):
            self._spoil(message, pick([*message.inputs] or [message.inputs.add()]))
        body = bytes(message.SerializeToString())
        for _ in range(pick([0, 0, 0, 1, 4])):
            at = self.random.randint(0, len(body))
            body = pick([
                body[:at], body[:at] + self.random.randbytes(3) + body[at + 3 :], body[:at] + body[at + 1 :],
                body + body[at:], body[:at] + b"\xff" * 10 + body[at:],
            ])  # fmt: skip
        return body

    def _spoil(self, message: Any, tensor: Any) -> None:
        pick = self.random.choice
        kind = pick(
            ["name", "datatype", "shape", "axes", "field", "raw", "parameter", "output", "model", "again", "gone"]
        )
        if kind == "name":
            tensor.name = pick(TEXTS)
        elif kind == "datatype":
            tensor.datatype = pick(DATATYPES)
        elif kind == "shape" and len(tensor.shape):
            tensor.shape[self.random.randrange(len(tensor.shape))] = pick(NUMBERS)
        elif kind == "axes":
            tensor.shape[:] = [pick(NUMBERS) for _ in range(pick([0, 1, 3, 500]))]
        elif kind == "field":
            field = pick([*FIELDS])
            getattr(tensor.contents, field).extend([FIELDS[field]] * pick([1, 4, 6]))
        elif kind == "raw":
            raw = [*message.raw_input_contents] or [b""]
            raw[self.random.randrange(len(raw))] = self.random.randbytes(pick([0, 1, 12, 24, 25]))
            message.raw_input_contents[:] = raw
        elif kind == "parameter":
            self._parameter(pick([message, tensor]).parameters)
        elif kind == "output":
            self._parameter(message.outputs.add(name=pick([*TEXTS, "price", "gate_contributions"])).parameters)
        elif kind == "model":
            setattr(message, pick(["model_name", "model_version", "id"]), pick(TEXTS))
        elif kind == "again":
            message.inputs.append(tensor)
        else:
            message.inputs.remove(tensor)

    def _parameter(self, parameters: Any) -> None:
        name = self.random.choice(["binary_data_size", "binary_data", "shared_memory_region", "content_type", "x"])
        field, value = self.random.choice(
            [("int64_param", 24), ("bool_param", True), ("string_param", "base64"), ("double_param", 1e9)]
        )
        setattr(parameters[name], field, value)


def test_mutated_messages_are_answered_with_a_status(
    models: Path, effort: Effort, measured: Callable[[str], None]
) -> None:
    make, codes = Mutator(random.randrange(2**32) if effort.soak else 0), Counter[str]()
    with running(models, grpc_port="0", log_requests="off") as service, calling(place(service)) as call:
        expected = call("ModelInfer", model_name="hand", inputs=both())
        pid = service.process.pid
        before = resident_mb(pid)
        forget_peak(pid)
        for number in range(effort.bodies // 10):
            body = make()
            codes[code := "OK" if call.send(INFER, body) is not None else call.code] += 1
            assert code in TAKEN, (code, call.said, body)
            if code != "OK":
                assert call.said
                assert len(call.said) < 4096
            if number % 100 == 0:
                assert call("ModelInfer", model_name="hand", inputs=both()) == expected
        assert metric(service.url, "mmoe_requests_total", route="grpc_infer", status="500") == 0
        measured(f"{codes.total()} messages: {dict(codes)}; memory {before:.0f}, at most {peak_mb(pid):.0f} MB")
        assert codes["OK"] > codes.total() / 50
        assert codes["INVALID_ARGUMENT"] > codes.total() / 10
        assert peak_mb(pid) < before + 64
        assert service.process.poll() is None


SWOLLEN = {
    "inputs": b"\x2a\x00",
    "outputs": b"\x32\x00",
    "raw bytes": b"\x3a\x00",
    "parameters": b"\x22\x00",
    "parameters of an input": b"\x22\x00",
    "axes": b"\x01",
}


@pytest.mark.parametrize("what", SWOLLEN)
def test_16_mb_of_small_parts_take_little_memory(models: Path, what: str, measured: Callable[[str], None]) -> None:
    body = SWOLLEN[what] * ((15 << 20) // len(SWOLLEN[what]))
    if what in ("parameters of an input", "axes"):
        if what == "axes":
            body = b"\x1a" + _varint(len(body)) + body
        body = b"\x2a" + _varint(len(body)) + body
    with running(models, grpc_port="0") as service, calling(place(service)) as call:
        assert call("ModelInfer", model_name="hand", inputs=both()) is not None
        pid = service.process.pid
        before = resident_mb(pid)
        forget_peak(pid)
        assert call.send(INFER, b"\x0a\x04hand" + body) is None
        assert call.code == "INVALID_ARGUMENT"
        measured(f"{what}: {peak_mb(pid) - before:.0f} MB more")
        assert peak_mb(pid) < before + 100
        assert call("ModelInfer", model_name="hand", inputs=both()) is not None


def _varint(value: int) -> bytes:
    found = b""
    while value > 0x7F:
        found += bytes([value & 0x7F | 0x80])
        value >>= 7
    return found + bytes([value])
