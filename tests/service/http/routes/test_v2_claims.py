"""Claims of a request about what it holds, checked before anything of that size is made."""

import json
import struct
import tracemalloc
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from service.engine import Engine
from service.errors import InvalidFeatures, MalformedRequest, RequestError, RequestTooLarge
from service.http.codecs import v2_infer
from service.http.codecs.endpoint import Endpoint, Endpoints

MOST_ROWS = 4_000_000
LARGE = 3_000_000
"""Rows that are allowed; two categories each take 48 MB as an array of objects."""
MOST_BYTES = 1 << 20


@pytest.fixture
def endpoint(own_hand: Path, open_engine: Callable[..., Engine]) -> Endpoint:
    return Endpoints(open_engine(own_hand, max_rows=MOST_ROWS, max_queue_rows=MOST_ROWS)).get("hand")


def entry(name: str, shape: Any, size: int | None = None, data: Any = None) -> dict[str, Any]:
    made = {"name": name, "datatype": "BYTES" if name == "categorical" else "FP32", "shape": shape}
    return made | ({"data": data} if size is None else {"parameters": {"binary_data_size": size}})


def categories(shape: Any, size: int = 0) -> list[dict[str, Any]]:
    """Claim categories, which come first, and numbers of as many rows that are not there."""
    return [entry("categorical", shape, size), entry("numeric", [*shape[:1], 3], 0)]


CLAIMS: list[tuple[list[dict[str, Any]], int, type[RequestError]]] = [
    (categories([10**9, 2]), 0, RequestTooLarge),
    (categories([LARGE, 2]), 0, MalformedRequest),
    (categories([LARGE, 2], 100), 100, MalformedRequest),
    (categories([1, 2], 7), 7, MalformedRequest),
    (categories([MOST_ROWS + 1, 2]), 0, RequestTooLarge),
    (categories([0, 2]), 0, InvalidFeatures),
    (categories([-LARGE, 2]), 0, MalformedRequest),
    (categories([-LARGE, -2]), 0, MalformedRequest),
    (categories([2**63, 2]), 0, MalformedRequest),
    (categories([2**64 + 1, 2]), 0, MalformedRequest),
    (categories([1e9, 2]), 0, RequestTooLarge),
    (categories([LARGE + 0.5, 2]), 0, MalformedRequest),
    (categories([True, 2]), 0, MalformedRequest),
    (categories([LARGE * 2]), 0, MalformedRequest),
    ([entry("numeric", [10**9, 3], 0)], 0, RequestTooLarge),
    ([entry("numeric", [LARGE, 3], 0)], 0, MalformedRequest),
    ([entry("numeric", [LARGE, 3], 12)], 12, MalformedRequest),
    ([entry("numeric", [LARGE, 3], data=[1, 2, 3])], 0, MalformedRequest),
    ([entry("categorical", [LARGE, 2], data=["a", "b"])], 0, MalformedRequest),
    ([entry("numeric", [LARGE, 3], data=[1, 2, 3]), entry("categorical", [LARGE, 2], 8)], 8, MalformedRequest),
]


@pytest.mark.parametrize(("inputs", "size", "refusal"), CLAIMS)
def test_a_claim_allocates_nothing(
    endpoint: Endpoint, inputs: list[dict[str, Any]], size: int, refusal: type[RequestError]
) -> None:
    head = json.dumps({"inputs": inputs}).encode()
    headers = {b"inference-header-content-length": b"%d" % len(head)}
    tracemalloc.start()
    try:
        with pytest.raises(refusal):
            v2_infer.parse(endpoint.signature, headers, head + bytes(size))
        _, most = tracemalloc.get_traced_memory()
    finally:
        tracemalloc.stop()
    assert most < MOST_BYTES


@pytest.mark.parametrize("spare", [0, 4])
def test_the_least_bytes_of_strings_are_their_lengths(endpoint: Endpoint, spare: int) -> None:
    raw = struct.pack("<I", 0) * 4 + b"\0" * spare
    inputs = [entry("categorical", [2, 2], len(raw)), entry("numeric", [2, 3], 24)]
    head = json.dumps({"inputs": inputs}).encode()
    headers = {b"inference-header-content-length": b"%d" % len(head)}
    if spare:
        with pytest.raises(MalformedRequest, match="4 bytes too many"):
            v2_infer.parse(endpoint.signature, headers, head + raw + bytes(24))
    else:
        batch = v2_infer.parse(endpoint.signature, headers, head + raw + bytes(24)).batch
        assert batch.categorical is not None
        assert batch.categorical.tolist() == [["", ""], ["", ""]]
