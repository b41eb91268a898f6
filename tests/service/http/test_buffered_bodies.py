"""Bodies that are on their way are counted, refused where they are too many, and dropped where
a key is missing.
"""

import asyncio
import json
import tracemalloc
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from service.engine import Engine
from service.http.app import create_app
from service.http.hot.predict import HotPath
from service.http.hot.protocol import HotPathProtocol
from service.keys import line_of, new_key
from tests.support.served_protocol import BODY, PREDICT, Bench, both, read_answer, request, serving

LARGE = 100_000
ROOM = 250_000
"""For two large bodies, and not for three."""

Connection = tuple[asyncio.StreamReader, asyncio.StreamWriter]


def padded(size: int = LARGE) -> bytes:
    return BODY + b" " * (size - len(BODY))


def hot_path(engine: Engine) -> HotPath:
    app = create_app(engine)
    assert isinstance(app, HotPath)
    return app


@pytest.fixture
def hot(own_hand: Path, open_engine: Callable[..., Engine]) -> HotPath:
    most = {"max_body_bytes": LARGE, "max_inflated_bytes": LARGE, "max_buffered_bytes": ROOM}
    return hot_path(open_engine(own_hand, **most))


def held(hot: HotPath) -> int:
    return hot._admission.budget.held


async def begin(bench: Bench, *headers: str) -> Connection:
    """Send all of a large body but its last byte."""
    connection = await asyncio.open_connection("127.0.0.1", bench.port)
    connection[1].write(request(padded(), PREDICT, *headers)[:-1])
    await connection[1].drain()
    return connection


async def finish(connection: Connection) -> tuple[str, bytes]:
    connection[1].write(b" ")
    answer = await read_answer(connection[0])
    connection[1].close()
    await connection[1].wait_closed()
    return answer


async def until(condition: Callable[[], bool]) -> None:
    while not condition():
        await asyncio.sleep(0)


def test_a_body_beyond_the_budget_is_refused_until_others_are_answered_or_gone(hot: HotPath) -> None:
    async def act(bench: Bench) -> list[Any]:
        first, second = await begin(bench), await begin(bench)
        await until(lambda: held(hot) == 2 * LARGE)
        ((head, body),) = await bench.talk(request(padded()))
        assert "HTTP/1.1 429" in head
        assert "retry-after: 1" in head
        assert b"200000 bytes of request bodies are waiting of 250000 allowed" in body
        small = await bench.talk(request())
        assert "HTTP/1.1 200" in small[0][0], "small ones go on"
        first[1].close()
        await first[1].wait_closed()
        await until(lambda: held(hot) == LARGE)
        answers = [await finish(second), *await bench.talk(request(padded()))]
        await until(lambda: held(hot) == 0 and not bench.state.connections)
        return [(head[:12], body) for head, body in answers]

    ours, theirs = both(hot, act)
    assert ours == theirs
    assert {head for head, _ in ours} == {"HTTP/1.1 200"}


def test_a_connection_goes_on_after_its_body_was_refused(hot: HotPath) -> None:
    async def run() -> None:
        async with serving(hot, HotPathProtocol) as bench, asyncio.timeout(20):
            full = [await begin(bench), await begin(bench)]
            await until(lambda: held(hot) == 2 * LARGE)
            reader, writer = await begin(bench)
            writer.write(b" " + request())
            statuses = [(await read_answer(reader))[0][:12] for _ in range(2)]
            assert statuses == ["HTTP/1.1 429", "HTTP/1.1 200"]
            writer.close()
            await writer.wait_closed()
            for connection in full:
                assert (await finish(connection))[0].startswith("HTTP/1.1 200")
            await until(lambda: held(hot) == 0 and not bench.state.connections)

    asyncio.run(run())


@pytest.mark.parametrize("refused", ["slow", "gone"])
def test_a_refused_body_that_does_not_end_is_answered_or_forgotten(
    own_hand: Path, open_engine: Callable[..., Engine], refused: str
) -> None:
    most = {"max_body_bytes": LARGE, "max_inflated_bytes": LARGE, "max_buffered_bytes": LARGE}
    hot = hot_path(open_engine(own_hand, client_timeout_s=0.1 if refused == "slow" else 10, **most))

    async def run() -> None:
        async with serving(hot, HotPathProtocol) as bench, asyncio.timeout(20):
            hot._admission.budget.take(LARGE)
            reader, writer = await begin(bench)
            if refused == "slow":
                head, _ = await read_answer(reader)
                assert "HTTP/1.1 429" in head
                assert "connection: close" in head
                assert await reader.read() == b""
            writer.close()
            await writer.wait_closed()
            await until(lambda: not bench.state.connections)
            assert held(hot) == LARGE

    asyncio.run(run())


@pytest.mark.parametrize("chunked", [False, True])
@pytest.mark.parametrize("path", [PREDICT, "/v2/models/hand/infer", "/v1/models/hand:gates", "/v2/repository/index"])
def test_without_a_key_no_body_is_kept(
    own_hand: Path, tmp_path: Path, open_engine: Callable[..., Engine], path: str, chunked: bool
) -> None:
    file = tmp_path / "keys"
    file.write_text(line_of("predict", "web", new_key()) + "\n")
    hot = hot_path(open_engine(own_hand, keys_file=file))
    large, connections = 8 << 20, 10

    def sent(*headers: str) -> bytes:
        if not chunked:
            return request(padded(large), path, *headers)
        return request(b"%x\r\n%b\r\n0\r\n\r\n" % (large, padded(large)), path, "Transfer-Encoding: chunked", *headers)

    async def ask(bench: Bench) -> tuple[str, bytes]:
        reader, writer = await asyncio.open_connection("127.0.0.1", bench.port)
        writer.write(sent())
        answer = await read_answer(reader)
        writer.close()
        await writer.wait_closed()
        return answer

    async def run() -> None:
        async with serving(hot, HotPathProtocol) as bench, asyncio.timeout(60):
            tracemalloc.start()
            try:
                answers = [await ask(bench) for _ in range(connections)]
                most = tracemalloc.get_traced_memory()[1]
            finally:
                tracemalloc.stop()
            await until(lambda: not bench.state.connections)
        assert {head[:12] for head, _ in answers} == {"HTTP/1.1 401"}
        assert all(json.loads(body) for _, body in answers)
        assert most < 3.5 * large, "what this test itself sends, twice, and no body more"
        assert held(hot) == 0

    asyncio.run(run())
