"""Bodies are let in up to a total of bytes, and large ones one after the other."""

import asyncio
import functools
import gzip
import itertools
import threading
import tracemalloc
from collections.abc import AsyncIterator
from typing import Any

import pytest

from service.errors import Overloaded, RequestTooLarge
from service.http.admission import Admission
from service.http.codecs.json_size import FREE_BYTES, JsonLimits
from service.http.types import Receive
from service.settings import Settings

SETTINGS = Settings(max_body_bytes=1000_000, max_inflated_bytes=4_000_000, max_buffered_bytes=4_000_000)
FEW = JsonLimits(1000, 100, 10, "MMOE_MAX_ROWS")


def receiver(*pieces: bytes) -> Receive:
    async def messages() -> AsyncIterator[dict[str, Any]]:
        for piece in pieces:
            yield {"type": "http.request", "body": piece, "more_body": piece is not pieces[-1]}

    coming = messages()

    async def receive() -> dict[str, Any]:
        return await anext(coming)

    return receive


def test_a_body_is_held_until_it_was_answered_and_then_given_back() -> None:
    async def run() -> None:
        admission = Admission(SETTINGS)
        with admission.incoming(receiver(b"a" * 600, b"b" * 400)) as incoming:
            assert len(await incoming.read({})) == 1000
            assert admission.budget.held == 1000
        assert admission.budget.held == 0
        bomb = gzip.compress(bytes(3_000_000))
        with admission.incoming(receiver(bomb)) as incoming:
            assert len(await incoming.read({b"content-encoding": b"gzip"})) == 3_000_000
            assert admission.budget.held == 3_000_000
        assert admission.budget.held == 0

    asyncio.run(run())


def test_the_loop_goes_on_while_a_large_body_becomes_objects_and_one_does_at_a_time() -> None:
    async def run() -> list[str]:
        admission, go_on, seen = Admission(SETTINGS), threading.Event(), list[str]()

        def parse(name: str) -> str:
            seen.append(f"{name} begins")
            assert go_on.wait(20)
            seen.append(f"{name} ends")
            return name

        parsing = [asyncio.ensure_future(admission.apart(functools.partial(parse, name))) for name in "ab"]
        while not seen:
            await asyncio.sleep(0)
        go_on.set()
        assert await asyncio.gather(*parsing) == ["a", "b"]
        return seen

    assert asyncio.run(run()) == ["a begins", "a ends", "b begins", "b ends"]


def test_what_does_not_fit_is_refused_before_it_is_read() -> None:
    async def run() -> None:
        admission = Admission(SETTINGS)
        admission.budget.take(3_500_000)
        pieces = b"x" * 400_000, b"x" * 100_001, b"not read"
        full = "3500000 bytes of request bodies are waiting of 4000000 allowed"
        with pytest.raises(Overloaded, match=full), admission.incoming(receiver()) as incoming:
            await incoming.read({b"content-length": b"500001"})
        with pytest.raises(Overloaded), admission.incoming(receiver(*pieces)) as incoming:
            await incoming.read({})
        with pytest.raises(Overloaded), admission.incoming(receiver(gzip.compress(bytes(600_000)))) as incoming:
            await incoming.read({b"content-encoding": b"gzip"})
        assert admission.budget.held == 3_500_000, "a refused one takes nothing"

    asyncio.run(run())


def test_many_bombs_inflate_one_after_the_other() -> None:
    bomb = gzip.compress(bytes(4_000_000))

    async def run() -> int:
        admission = Admission(SETTINGS.model_copy(update={"max_buffered_bytes": 1 << 40}))
        asked = [admission.inflate(bomb, b"gzip") for _ in range(20)]
        tracemalloc.start()
        try:
            assert {len(body) for body in await asyncio.gather(*asked)} == {4_000_000}
            return tracemalloc.get_traced_memory()[1]
        finally:
            tracemalloc.stop()

    assert asyncio.run(run()) < 20 * 4_000_000 + 2 * 8_000_000, "the twenty, and at most two in the making"


def test_large_bodies_take_turns_and_the_loop_looks_around_in_between() -> None:
    body = b" " * (FREE_BYTES + 1)

    async def run() -> None:
        admission = Admission(SETTINGS)
        let_in: list[int] = []
        turns = 0

        async def enter() -> None:
            await admission.count_json(body, len(body), FEW)
            let_in.append(turns)

        entering = [asyncio.ensure_future(enter()) for _ in range(5)]
        while len(let_in) < len(entering):
            await asyncio.sleep(0)
            turns += 1
        apart = [later - sooner for sooner, later in itertools.pairwise(let_in)]
        assert min(apart) > 3
        await asyncio.gather(*entering)
        await asyncio.wait_for(enter(), 10)  # and another one later

    asyncio.run(run())


def test_a_small_body_waits_for_nothing() -> None:
    weighing = Admission(SETTINGS).count_json(b"[" * FREE_BYTES, FREE_BYTES, FEW)
    with pytest.raises(StopIteration):
        weighing.send(None)


def test_only_the_json_of_a_body_is_weighed() -> None:
    async def run() -> None:
        admission = Admission(SETTINGS)
        body = b"{}" + b"[" * 2 * FREE_BYTES
        await admission.count_json(body, 2, FEW)
        with pytest.raises(RequestTooLarge):
            await admission.count_json(body, len(body), FEW)
        strings = b'["' + b"[" * 2 * FREE_BYTES + b'"]'
        await admission.count_json(strings, len(strings), FEW)

    asyncio.run(run())
