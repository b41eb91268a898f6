"""Parts of a message are counted before it is parsed."""

import contextlib

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from service.errors import RequestTooLarge
from service.grpc.messages import MESSAGES
from service.grpc.wire import MOST_PARTS, check_parts
from service.http.codecs.json_size import FREE_BYTES


def test_large_tensors_of_few_parts_pass() -> None:
    message = MESSAGES["ModelInferRequest"](model_name="hand")
    message.inputs.add(name="numeric", datatype="FP32", shape=[500_000, 1])
    message.inputs[0].contents.fp32_contents.extend(np.zeros(500_000).tolist())
    strings = message.inputs.add(name="categorical", datatype="BYTES", shape=[100_000, 1])
    strings.contents.bytes_contents.extend([b"red"] * 100_000)
    message.raw_input_contents.append(bytes(FREE_BYTES))
    check_parts(message.SerializeToString())


def test_an_input_for_each_of_two_thousand_features_passes() -> None:
    message = MESSAGES["ModelInferRequest"]()
    for place in range(2000):
        message.inputs.add(name=f"x{place}", datatype="FP32", shape=[100]).contents.fp32_contents.extend([0.5] * 100)
    check_parts(message.SerializeToString())


@pytest.mark.parametrize("part", ["inputs", "outputs", "raw_input_contents"])
def test_too_many_parts_are_refused(part: str) -> None:
    message = MESSAGES["ModelInferRequest"](id="x" * FREE_BYTES)
    message.outputs.add(name="price")
    for _ in range(MOST_PARTS):
        getattr(message, part).append(b"") if part.startswith("raw") else getattr(message, part).add()
    with pytest.raises(RequestTooLarge, match="more than 20000 fields beside the values of its tensors"):
        check_parts(message.SerializeToString())


def test_too_many_axes_are_refused() -> None:
    message = MESSAGES["ModelInferRequest"](id="x" * FREE_BYTES)
    message.inputs.add(shape=[1] * (MOST_PARTS + 1))
    with pytest.raises(RequestTooLarge):
        check_parts(message.SerializeToString())


@settings(deadline=None)
@given(st.binary(max_size=200))
def test_any_bytes_pass_or_are_too_many(body: bytes) -> None:
    for large in (body + bytes(FREE_BYTES + 1), b"\x0a\xff\xff\xff\x7f" + body + b"\xff" * FREE_BYTES):
        with contextlib.suppress(RequestTooLarge):
            check_parts(large)
