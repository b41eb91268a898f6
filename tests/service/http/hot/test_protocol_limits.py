"""The hot path's protocol bounds heads, bodies and clients that are slow to send or to take, and
says so in HTTP.
"""

import asyncio
import json
import re
import socket
from collections.abc import Callable
from pathlib import Path

import pytest

from service.engine import Engine
from service.http.app import create_app
from service.http.hot.protocol import HotPathProtocol
from tests.support.served_protocol import BODY, PREDICT, ROW, Bench, read_answer, request, serving


@pytest.fixture
def impatient(own_hand: Path, open_engine: Callable[..., Engine]) -> Engine:
    return open_engine(own_hand, client_timeout_s=0.05)


@pytest.fixture
def patient(own_hand: Path, open_engine: Callable[..., Engine]) -> Engine:
    return open_engine(own_hand)


HEAD = b"GET /health/live HTTP/1.1\r\nHost: localhost\r\n"


@pytest.mark.parametrize(
    "pieces",
    [
        [HEAD + b"a: b\r\n" * 200 + b"\r\n"],
        [HEAD, b"long: " + b"x" * 70_000 + b"\r\n\r\n"],
        [HEAD + b"endless: ", *[b"x" * 10_000] * 8],
        [b"GET /" + b"x" * 70_000],
        [request(BODY), HEAD + b"a: b\r\n" * 200 + b"\r\n"],
    ],
)
def test_a_head_over_the_limits_is_431(engine: Engine, pieces: list[bytes]) -> None:
    async def run() -> None:
        async with serving(create_app(engine), HotPathProtocol) as bench, asyncio.timeout(20):
            found = await bench.talk(*pieces, answers=1 + pieces[0].startswith(b"POST"))
            assert found[-1][0].startswith("HTTP/1.1 431 ")
            assert b"100 headers" in found[-1][1]
            ((fine, _),) = await bench.talk(HEAD + b"long: " + b"x" * 60_000 + b"\r\n\r\n")
            assert fine.startswith("HTTP/1.1 200 ")
            ((large, _),) = await bench.talk(request(b" " * 70_000))  # a body does not count
            assert large.startswith("HTTP/1.1 413 ")

    asyncio.run(run())


def test_a_head_that_begins_where_a_large_body_ends_is_not_measured_by_that_body(patient: Engine) -> None:
    large = request(json.dumps({"instances": [ROW] * 2000}).encode())
    chunked = request(b"%x\r\n" % 200_000 + b" " * 200_000, PREDICT, "Transfer-Encoding: chunked") + b"\r\n0\r\n\r\n"

    async def run() -> None:
        async with serving(create_app(patient), HotPathProtocol) as bench, asyncio.timeout(20):
            for before in (large, chunked, request(b" " * 200_000, f"{PREDICT}?query"), request() * 300):
                for cut in (1, 20, len(HEAD)):
                    reader, writer = await asyncio.open_connection("127.0.0.1", bench.port)
                    while not bench.state.connections:
                        await asyncio.sleep(0)
                    (connection,) = bench.state.connections
                    connection.data_received(before + HEAD[:cut])  # as it comes from one read
                    connection.data_received(HEAD[cut:] + b"connection: close\r\n\r\n")
                    heads = re.findall(rb"HTTP/1.1 (\d+) ", await reader.read())
                    assert b"431" not in heads
                    assert heads[-1] == b"200"
                    writer.close()
                    while bench.state.connections:
                        await asyncio.sleep(0)

    asyncio.run(run())


def test_a_head_that_begins_in_such_a_read_is_bounded_as_any(patient: Engine) -> None:
    async def run() -> None:
        async with serving(create_app(patient), HotPathProtocol) as bench, asyncio.timeout(20):
            for end in (b"", b"\r\n\r\n"):
                found = await bench.talk(request(b" " * 70_000), HEAD + b"a: " + b"x" * 300_000 + end, answers=2)
                assert found[-1][0].startswith("HTTP/1.1 431 ")

    asyncio.run(run())


@pytest.mark.parametrize(
    ("sent", "answers"), [(b"", b""), (HEAD, b"HTTP/1.1 408 "), (request() + HEAD, b"HTTP/1.1 200 ")]
)
def test_a_head_that_is_slow_to_come_ends_the_connection(impatient: Engine, sent: bytes, answers: bytes) -> None:
    async def run() -> None:
        async with serving(create_app(impatient), HotPathProtocol) as bench, asyncio.timeout(20):
            reader, writer = await asyncio.open_connection("127.0.0.1", bench.port)
            writer.write(sent)
            came = await reader.read()
            assert came.startswith(answers)
            assert (b"HTTP/1.1 408 " in came) == (HEAD in sent)
            writer.close()

    asyncio.run(run())


@pytest.mark.parametrize("begun", [b"", BODY[:5]])
@pytest.mark.parametrize(
    "path", [PREDICT, f"{PREDICT}?query", "/v1/gates", "/v2/models/hand/infer", "/v2/repository/index"]
)
def test_a_body_that_does_not_come_is_408_and_ends_the_connection(impatient: Engine, path: str, begun: bytes) -> None:
    for head in (request(BODY, path), request(b"", path, "Transfer-Encoding: chunked") + b"2c\r\n"):
        stalled = head.removesuffix(BODY) + begun

        async def run(sent: bytes = stalled) -> None:
            async with serving(create_app(impatient), HotPathProtocol) as bench, asyncio.timeout(20):
                reader, writer = await asyncio.open_connection("127.0.0.1", bench.port)
                writer.write(sent)
                answer, content = await read_answer(reader)
                assert answer.startswith("HTTP/1.1 408 ")
                assert answer.lower().count("connection: close") == 1
                assert "x-request-id: 7" in answer
                refusal = json.loads(content)
                sentence = refusal["error"] if path.startswith("/v2") else refusal["detail"]
                assert "MMOE_CLIENT_TIMEOUT_S" in sentence
                assert await reader.read() == b""
                writer.close()

        asyncio.run(run())


@pytest.mark.parametrize(
    ("sent", "code"),
    [(b"nonsense\r\n\r\n", "malformed"), (HEAD, "slow_client"), (HEAD + b"a: b\r\n" * 200 + b"\r\n", "head_too_large")],
)
@pytest.mark.parametrize("path", ["/health/live", "/v2/health/live"])
def test_what_is_no_request_is_refused_in_the_shape_of_its_protocol(
    impatient: Engine, sent: bytes, code: str, path: str
) -> None:
    async def run() -> None:
        async with serving(create_app(impatient), HotPathProtocol) as bench, asyncio.timeout(20):
            reader, writer = await asyncio.open_connection("127.0.0.1", bench.port)
            writer.write(sent.replace(b"/health/live", path.encode()))
            head, content = await read_answer(reader)
            refusal = json.loads(content)
            identity = re.search("x-request-id: (.+)\r\n", head)
            assert identity
            if path.startswith("/v2") and sent.startswith(b"GET"):
                assert list(refusal) == ["error"]
            else:
                assert refusal["code"] == code
                assert refusal["request_id"] == identity[1]
            assert await reader.read() == b""
            writer.close()

    asyncio.run(run())


MANY_ROWS = json.dumps({"instances": [ROW] * 2000}).encode()


async def _ask_without_reading(bench: Bench) -> socket.socket:
    """Ask for more than the kernel keeps for a connection, of which the service's half is made
    small.
    """
    loop, asking = asyncio.get_running_loop(), socket.socket()
    asking.setsockopt(socket.SOL_SOCKET, socket.SO_RCVBUF, 65536)
    asking.setblocking(False)
    await loop.sock_connect(asking, ("127.0.0.1", bench.port))
    while not bench.state.connections:
        await asyncio.sleep(0)
    (connection,) = bench.state.connections
    answering = connection.transport.get_extra_info("socket")
    answering.setsockopt(socket.SOL_SOCKET, socket.SO_SNDBUF, 8192)
    await loop.sock_sendall(asking, request(MANY_ROWS))
    return asking


def test_a_client_that_does_not_take_its_answers_is_cut_off(impatient: Engine) -> None:
    async def run() -> None:
        async with serving(create_app(impatient), HotPathProtocol) as bench, asyncio.timeout(20):
            asking = await _ask_without_reading(bench)
            (slow,) = bench.state.connections
            while slow in bench.state.connections:
                assert len(await bench.talk(request())) == 1
                await asyncio.sleep(0)
            asking.close()

    asyncio.run(run())


def test_nothing_more_is_read_from_a_client_that_does_not_take_its_answers_until_it_does(
    patient: Engine,
) -> None:
    async def run() -> None:
        async with serving(create_app(patient), HotPathProtocol) as bench, asyncio.timeout(20):
            loop, asking = asyncio.get_running_loop(), await _ask_without_reading(bench)
            (connection,) = bench.state.connections
            assert isinstance(connection, HotPathProtocol)
            while not connection.flow.write_paused:
                await asyncio.sleep(0)
            assert connection.flow.read_paused
            taken = bytearray()
            while connection.flow.write_paused:
                taken += await loop.sock_recv(asking, 1 << 20)
            assert not connection.flow.read_paused
            head, _, content = bytes(taken).partition(b"\r\n\r\n")
            left = int(re.search(rb"content-length: (\d+)", head)[1]) - len(content)  # type: ignore[index]
            while left:
                left -= len(await loop.sock_recv(asking, left))
            await loop.sock_sendall(asking, request())
            assert (await loop.sock_recv(asking, 20)).startswith(b"HTTP/1.1 200")
            asking.close()

    asyncio.run(run())


def test_a_flood_of_small_pieces_leaves_the_loop_to_others_and_is_answered(patient: Engine) -> None:
    """So many requests, or chunks of a byte, as come in one read are taken in turns."""
    spaces = b"1\r\n \r\n" * 40_000
    chunks = request(
        b"%x\r\n" % len(BODY) + BODY + b"\r\n" + spaces + b"0\r\n\r\n", PREDICT, "Transfer-Encoding: chunked"
    )
    requests = (HEAD + b"\r\n") * 3000

    async def run(sent: bytes, answers: int) -> None:
        turns, counting, waiting, loop = 0, True, 0, asyncio.get_running_loop()
        watched: list[HotPathProtocol] = []

        def count() -> None:
            nonlocal turns, waiting
            turns += 1
            waiting = max(waiting, len(watched[0].pipeline))
            if counting:
                loop.call_soon(count)

        async with serving(create_app(patient), HotPathProtocol) as bench, asyncio.timeout(60):
            reader, writer = await asyncio.open_connection("127.0.0.1", bench.port)
            while not bench.state.connections:
                await asyncio.sleep(0)
            (connection,) = bench.state.connections
            assert isinstance(connection, HotPathProtocol)
            watched.append(connection)
            loop.call_soon(count)
            connection.data_received(sent)
            assert connection.flow.read_paused
            assert [(await read_answer(reader))[0][9:12] for _ in range(answers)] == ["200"] * answers
            counting = False
            assert turns > 10
            assert waiting < 400
            writer.write(request())
            assert (await read_answer(reader))[0].startswith("HTTP/1.1 200 ")
            writer.close()

    asyncio.run(run(chunks, 1))
    asyncio.run(run(requests, 3000))
