"""Bodies are bounded before, while and after they are read; slow ones are given up."""

import asyncio
import gzip
from collections.abc import Awaitable, Callable
from typing import Any

import pytest

from service.errors import MalformedRequest, RequestTooLarge, SlowClient
from service.http.admission import Admission
from service.http.body import Disconnected, inflate, timeout_s
from service.settings import Settings

SETTINGS = Settings(max_body_bytes=1024, max_inflated_bytes=2048, client_timeout_s=0.01)
END = {"type": "http.disconnect"}


def pieces(*bodies: bytes) -> list[dict[str, Any]]:
    last = len(bodies) - 1
    return [{"type": "http.request", "body": body, "more_body": i < last} for i, body in enumerate(bodies)]


def receiver(messages: list[dict[str, Any]]) -> Callable[[], Awaitable[dict[str, Any]]]:
    waiting = iter(messages)

    async def receive() -> dict[str, Any]:
        for message in waiting:
            return message
        await asyncio.Event().wait()
        raise AssertionError("nothing ever comes")

    return receive


def read(messages: list[dict[str, Any]], **headers: str) -> bytes:
    encoded = {name.replace("_", "-").encode(): value.encode() for name, value in headers.items()}

    async def run() -> bytes:
        with Admission(SETTINGS).incoming(receiver(messages)) as incoming:
            return await incoming.read(encoded)

    return asyncio.run(run())


def test_whole_and_in_pieces() -> None:
    assert read(pieces(b"abc"), content_length="3") == b"abc"
    assert read(pieces(b"a", b"", b"bc")) == b"abc"
    assert read([{"type": "http.request"}]) == b""


def test_the_limit_holds_exactly() -> None:
    assert len(read(pieces(b"x" * 1024))) == 1024
    assert len(read(pieces(b"x" * 1000, b"x" * 24))) == 1024
    for messages in (pieces(b"x" * 1025), pieces(b"x" * 1000, b"x" * 25)):
        with pytest.raises(RequestTooLarge, match="at most 1024"):
            read(messages)


def test_nothing_is_read_of_a_body_announced_as_too_large() -> None:
    with pytest.raises(RequestTooLarge, match="5000 bytes"):
        read([], content_length="5000")


def test_reading_stops_at_the_limit() -> None:
    with pytest.raises(RequestTooLarge):
        read(pieces(*[b"x" * 600] * 3)[:2])  # the third would never come


def test_a_body_that_does_not_come_is_given_up() -> None:
    with pytest.raises(SlowClient):
        read(pieces(b"x", b"y")[:1])
    with pytest.raises(SlowClient):
        read([])


def test_a_client_that_leaves_is_told_apart() -> None:
    for messages in ([END], [*pieces(b"x", b"y")[:1], END]):
        with pytest.raises(Disconnected):
            read(messages)


def test_the_inflated_size_is_bounded_exactly() -> None:
    assert read(pieces(gzip.compress(b"x" * 2048)), content_encoding="gzip") == b"x" * 2048
    with pytest.raises(RequestTooLarge, match="MMOE_MAX_INFLATED_BYTES"):
        read(pieces(gzip.compress(b"x" * 2049)), content_encoding="gzip")
    halves = gzip.compress(b"x" * 1024) + gzip.compress(b"x" * 1025)
    with pytest.raises(RequestTooLarge):
        inflate(halves, b"gzip", 2048)


def test_many_members_do_not_take_long() -> None:
    with pytest.raises(MalformedRequest, match="members"):
        inflate(gzip.compress(b"") * 100_000, b"gzip", 2048)


def test_timeouts() -> None:
    assert timeout_s({}, 10.0) == 10.0
    assert timeout_s({b"x-request-timeout-ms": b"250"}, 10.0) == 0.25
    assert timeout_s({b"x-request-timeout-ms": b"250000"}, 10.0) == 10.0, "the setting is the most"
    with pytest.raises(MalformedRequest):
        timeout_s({b"x-request-timeout-ms": "²".encode("latin-1")}, 10.0)
