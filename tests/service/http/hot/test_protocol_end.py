"""End of the hot path's protocol's connections.

With the server, by the client, by a failure, by silence.
"""

import asyncio
import socket
import struct
from typing import Any

import pytest

from service.engine import Engine
from service.http.admission import IncomingBody
from service.http.app import create_app
from service.http.hot import timeouts
from service.http.hot.head_cache import Call
from service.http.hot.predict import HotPath
from service.http.hot.protocol import HotPathProtocol
from service.http.hot.replies import Reply
from tests.support.served_protocol import BODY, PREDICT, both, read_answer, request, serving


class Held(HotPath):
    """Answer when told to."""

    arrived: asyncio.Event
    go: asyncio.Future[None]

    async def respond(self, call: Call, peer: str, body: bytes | None, incoming: IncomingBody | None = None) -> Reply:
        assert body is not None
        self.arrived.set()
        await self.go
        return 200, [(b"content-length", b"3")], body[:3], 0.0, None, None, None


def _held(engine: Engine) -> Held:
    real = create_app(engine)
    assert isinstance(real, HotPath)
    held = Held.__new__(Held)
    held.__dict__.update(real.__dict__)
    held.arrived, held.go = asyncio.Event(), asyncio.get_running_loop().create_future()
    return held


def test_a_call_in_flight_is_answered_when_the_server_shuts_down_and_then_the_connection_closes(
    engine: Engine,
) -> None:
    async def act() -> tuple[str, bytes]:
        held = _held(engine)
        async with serving(held, HotPathProtocol) as bench, asyncio.timeout(20):
            talking = asyncio.ensure_future(bench.talk(request()))
            await held.arrived.wait()
            for connection in list(bench.state.connections):
                connection.shutdown()
            held.go.set_result(None)
            return (await talking)[0]

    head, body = asyncio.run(act())
    assert "connection: close" in head
    assert body == BODY[:3]


@pytest.mark.parametrize("path", [PREDICT, f"{PREDICT}?query"])
def test_an_idle_connection_is_answered_once_more_when_the_server_shuts_down(path: str, engine: Engine) -> None:
    async def act() -> None:
        async with serving(create_app(engine), HotPathProtocol) as bench, asyncio.timeout(20):
            reader, writer = await asyncio.open_connection("127.0.0.1", bench.port)
            writer.write(request(BODY, path))
            head, body = await read_answer(reader)
            assert "connection: close" not in head
            for connection in list(bench.state.connections):
                connection.shutdown()
            writer.write(request(BODY, path))  # it was on its way
            head, again = await read_answer(reader)
            assert "connection: close" in head
            assert again == body
            assert await reader.read() == b""
            writer.close()

    asyncio.run(act())


def test_an_idle_connection_that_asks_nothing_ends_when_the_server_shuts_down(
    engine: Engine, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(timeouts, "LEAVE_S", 0.0)

    async def act() -> None:
        async with serving(create_app(engine), HotPathProtocol) as bench, asyncio.timeout(20):
            reader, writer = await asyncio.open_connection("127.0.0.1", bench.port)
            writer.write(request())
            await read_answer(reader)
            for connection in list(bench.state.connections):
                connection.shutdown()
            assert await reader.read() == b""
            writer.close()

    asyncio.run(act())


def test_a_client_that_leaves_is_not_answered_and_harms_nobody(engine: Engine) -> None:
    async def act() -> list[tuple[str, bytes]]:
        held = _held(engine)
        async with serving(held, HotPathProtocol) as bench, asyncio.timeout(20):
            _, writer = await asyncio.open_connection("127.0.0.1", bench.port)
            writer.write(request())
            await held.arrived.wait()
            writer.get_extra_info("socket").setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, struct.pack("ii", 1, 0))
            writer.close()  # by a reset: a client that only ends its sending may still wait for the answer
            while bench.state.connections:
                await asyncio.sleep(0)
            held.go.set_result(None)
            return await bench.talk(request())

    assert asyncio.run(act())[0][1] == BODY[:3]


def test_a_client_that_has_stopped_sending_is_answered_and_then_the_connection_ends(engine: Engine) -> None:
    async def act() -> bytes:
        held = _held(engine)
        async with serving(held, HotPathProtocol) as bench, asyncio.timeout(20):
            reader, writer = await asyncio.open_connection("127.0.0.1", bench.port)
            writer.write(request())
            writer.write_eof()
            await held.arrived.wait()
            (connection,) = bench.state.connections
            assert isinstance(connection, HotPathProtocol)
            while not connection.input_closed:
                await asyncio.sleep(0)
            held.go.set_result(None)
            came = await reader.read()
            writer.close()
            while bench.state.connections:
                await asyncio.sleep(0)
            return came

    assert asyncio.run(act()).endswith(b"\r\n\r\n" + BODY[:3])


CHUNKED = f"POST {PREDICT} HTTP/1.1\r\nHost: localhost\r\nTransfer-Encoding: chunked\r\n\r\n5\r\nhal".encode()
BROKEN_OFF = {
    "in a body": request(BODY)[:-3],
    "in a body that the application reads": request(BODY, "/v1/gates")[:-3],
    "in a chunk": CHUNKED,
    "in a head": request(BODY)[:20],
}


@pytest.mark.parametrize("ahead", [0, 2])
@pytest.mark.parametrize("place", BROKEN_OFF)
def test_a_client_that_stops_sending_in_the_middle_of_a_request_is_told_so(
    place: str, ahead: int, engine: Engine
) -> None:
    async def act() -> bytes:
        async with serving(create_app(engine), HotPathProtocol) as bench, asyncio.timeout(20):
            reader, writer = await asyncio.open_connection("127.0.0.1", bench.port)
            writer.write(request(BODY) * ahead + BROKEN_OFF[place])
            writer.write_eof()
            came = await reader.read()
            writer.close()
            while bench.state.connections:
                await asyncio.sleep(0)
            return came

    *answered, refused = asyncio.run(act()).split(b"HTTP/1.1 ")[1:]
    assert [answer[:3] for answer in answered] == [b"200"] * ahead
    assert refused.startswith(b"400")
    assert b"The sending ended before the request did" in refused


@pytest.mark.parametrize("sent", [b"", b"\r\n", request(BODY)])
def test_a_client_that_stops_sending_between_requests_is_not(sent: bytes, engine: Engine) -> None:
    async def act() -> bytes:
        async with serving(create_app(engine), HotPathProtocol) as bench, asyncio.timeout(20):
            reader, writer = await asyncio.open_connection("127.0.0.1", bench.port)
            writer.write(sent)
            writer.write_eof()
            came = await reader.read()
            writer.close()
            return came

    assert b" 400 " not in asyncio.run(act())


def test_a_call_that_breaks_closes_its_connection(engine: Engine, caplog: pytest.LogCaptureFixture) -> None:
    async def act() -> bytes:
        held = _held(engine)
        held.go.set_exception(ValueError("broken"))
        async with serving(held, HotPathProtocol) as bench, asyncio.timeout(20):
            reader, writer = await asyncio.open_connection("127.0.0.1", bench.port)
            writer.write(request())
            answer = await reader.read()
            writer.close()
            await writer.wait_closed()
            return answer

    assert asyncio.run(act()) == b""
    assert "broken" in caplog.text


def test_another_application_is_served_as_by_uvicorn() -> None:
    async def app(scope: Any, receive: Any, send: Any) -> None:
        body = (await receive())["body"]
        await send({"type": "http.response.start", "status": 200, "headers": [(b"content-length", b"%d" % len(body))]})
        await send({"type": "http.response.body", "body": body})

    theirs, ours = both(app, lambda bench: bench.talk(request()))
    assert ours == theirs
    assert ours[0][1] == BODY


@pytest.mark.parametrize("path", [PREDICT, "/health/live"])
def test_a_connection_that_has_been_silent_for_its_time_is_closed(path: str, engine: Engine) -> None:
    async def act() -> tuple[bytes, bytes]:
        async with serving(create_app(engine), HotPathProtocol) as bench, asyncio.timeout(20):
            reader, writer = await asyncio.open_connection("127.0.0.1", bench.port)
            method = "GET" if path == "/health/live" else "POST"
            writer.write(request(BODY, path, method=method))
            await read_answer(reader)
            (connection,) = bench.state.connections
            assert isinstance(connection, HotPathProtocol)
            connection._close_if_silent()  # as its timer does: too early, so the connection stays
            writer.write(request(BODY, path, method=method))
            head, _ = await read_answer(reader)
            connection.answered -= connection.timeout_keep_alive
            connection._close_if_silent()
            rest = await reader.read()
            writer.close()
            await writer.wait_closed()
            return head.encode(), rest

    head, rest = asyncio.run(act())
    assert head.startswith(b"HTTP/1.1 200")
    assert rest == b""
