"""The eager protocol answers, byte for byte, what uvicorn's own protocol answers for the same application."""

import asyncio
import gzip
import json
import re
import socket
from collections.abc import AsyncIterator, Awaitable, Callable, Iterator, Sequence
from contextlib import asynccontextmanager
from pathlib import Path
from typing import Any

import pytest
import uvicorn
from uvicorn.protocols.http.httptools_impl import HttpToolsProtocol
from uvicorn.server import ServerState

from service.engine import Engine
from service.http import eager
from service.http.app import create_app
from service.http.body import Receive
from service.http.eager import EagerProtocol
from service.http.heads import Call
from service.http.predict import Answer, HotPath
from service.settings import Settings

ROW = {"age": 11.0, "height": 9.5, "balance": 10.0, "colour": "red", "city": "Oslo"}
BODY = json.dumps({"instances": [ROW]}).encode()
PREDICT = "/v1/models/hand:predict"


@pytest.fixture
def engine(tmp_path: Path, hand_model: Callable[..., Path]) -> Iterator[Engine]:
    hand_model(tmp_path, "hand", 1)
    engine = Engine(Settings(models=tmp_path, max_body_bytes=4096))
    engine.scan()
    yield engine
    engine.close()


@pytest.fixture
def impatient(tmp_path: Path, hand_model: Callable[..., Path]) -> Iterator[Engine]:
    hand_model(tmp_path, "hand", 1)
    engine = Engine(Settings(models=tmp_path, client_timeout_s=0.05))
    engine.scan()
    yield engine
    engine.close()


@pytest.fixture
def patient(tmp_path: Path, hand_model: Callable[..., Path]) -> Iterator[Engine]:
    hand_model(tmp_path, "hand", 1)
    engine = Engine(Settings(models=tmp_path))
    engine.scan()
    yield engine
    engine.close()


def request(
    body: bytes = BODY, path: str = PREDICT, *headers: str, method: str = "POST", version: str = "1.1"
) -> bytes:
    lines = [f"{method} {path} HTTP/{version}", "Host: test", "Content-Type: application/json", "X-Request-Id: 7"]
    if not any("chunked" in header for header in headers):
        lines.append(f"Content-Length: {len(body)}")
    return "\r\n".join([*lines, *headers, "", ""]).encode() + body


class Bench:
    """One listening server in this loop."""

    def __init__(self, port: int, state: ServerState) -> None:
        self.port, self.state = port, state

    async def talk(self, *pieces: bytes, answers: int = 1) -> list[tuple[str, bytes]]:
        """Send pieces, a turn apart, over one connection; read so many answers as (head without the date, body)."""
        reader, writer = await asyncio.open_connection("127.0.0.1", self.port)
        for piece in pieces:
            writer.write(piece)
            await writer.drain()
            for _ in range(3):
                await asyncio.sleep(0)
        found = [await _read(reader) for _ in range(answers)]
        writer.close()
        await writer.wait_closed()
        return found


async def _read(reader: asyncio.StreamReader) -> tuple[str, bytes]:
    head = (await reader.readuntil(b"\r\n\r\n")).decode()
    if head.startswith("HTTP/1.1 100"):
        head += (await reader.readuntil(b"\r\n\r\n")).decode()
    length = re.search(r"content-length: (\d+)", head)
    assert length is not None, head
    return re.sub(r"date: .*\r\n", "", head), await reader.readexactly(int(length[1]))


@asynccontextmanager
async def serving(app: Any, protocol: type[HttpToolsProtocol]) -> AsyncIterator[Bench]:
    config = uvicorn.Config(
        app, http=protocol, lifespan="off", log_config=None, server_header=False, proxy_headers=False
    )
    config.load()
    state = ServerState()
    loop = asyncio.get_running_loop()
    server = await loop.create_server(lambda: protocol(config=config, server_state=state, app_state={}), "127.0.0.1", 0)
    try:
        yield Bench(server.sockets[0].getsockname()[1], state)
    finally:
        server.close()
        await server.wait_closed()


def both(app: Any, act: Callable[[Bench], Awaitable[Any]]) -> tuple[Any, Any]:
    """Do the same with uvicorn's protocol and with ours."""

    async def run(protocol: type[HttpToolsProtocol]) -> Any:
        async with serving(app, protocol) as bench, asyncio.timeout(20):
            return await act(bench)

    return asyncio.run(run(HttpToolsProtocol)), asyncio.run(run(EagerProtocol))


CHUNKED = b"%x\r\n%b\r\n0\r\n\r\n" % (len(BODY), BODY)
GZIPPED = gzip.compress(BODY)
TENSOR = json.dumps({"inputs": []}).encode()
REQUESTS = {
    "rows": request(),
    "columns": request(json.dumps({"inputs": {name: [value] for name, value in ROW.items()}}).encode()),
    "short path": request(BODY, "/v1/predict"),
    "version": request(BODY, "/v1/models/hand/versions/1:predict"),
    "close": request(BODY, PREDICT, "Connection: close"),
    "bad row": request(json.dumps({"instances": [{"age": True}]}).encode()),
    "not json": request(b"{"),
    "empty": request(b""),
    "no such model": request(BODY, "/v1/models/other:predict"),
    "no such version": request(BODY, "/v1/models/hand/versions/9:predict"),
    "another type": request(BODY, PREDICT, "Content-Encoding: identity"),
    "deadline": request(BODY, PREDICT, "X-Request-Timeout-Ms: nonsense"),
    "too large": request(b" " * 5000),
    "gzip": request(GZIPPED, PREDICT, "Content-Encoding: gzip"),
    "chunked": request(CHUNKED, PREDICT, "Transfer-Encoding: chunked"),
    "expect": request(BODY, PREDICT, "Expect: 100-continue"),
    "http 1.0": request(version="1.0"),
    "escaped path": request(BODY, "/v1/models/h%61nd:predict"),
    "query": request(BODY, PREDICT + "?a=b"),
    "get": request(b"", method="GET"),
    "v2": request(TENSOR, "/v2/models/hand/infer"),
    "elsewhere": request(b"", "/health/live", method="GET"),
}


@pytest.mark.parametrize("name", REQUESTS)
def test_every_request_has_the_answer_it_has_from_uvicorn(name: str, engine: Engine) -> None:
    theirs, ours = both(create_app(engine), lambda bench: bench.talk(REQUESTS[name]))
    assert ours == theirs


@pytest.mark.parametrize("protocol", ["h2c", "websocket"])
@pytest.mark.parametrize("path", ["/health/live", "/v1/models", PREDICT])
def test_an_upgrade_is_not_made_and_the_request_answered(
    engine: Engine, caplog: pytest.LogCaptureFixture, path: str, protocol: str
) -> None:
    plain = request(b"", path, method="GET")
    upgrade = request(b"", path, "Connection: Upgrade", f"Upgrade: {protocol}", method="GET")

    async def run() -> None:
        async with serving(create_app(engine), EagerProtocol) as bench, asyncio.timeout(20):
            ((expected, content),) = await bench.talk(plain)
            reader, writer = await asyncio.open_connection("127.0.0.1", bench.port)
            writer.write(upgrade)
            assert await _read(reader) == (expected.replace("\r\n\r\n", "\r\nconnection: close\r\n\r\n"), content)
            assert await reader.read() == b""
            writer.close()

    asyncio.run(run())
    assert not caplog.records


@pytest.mark.parametrize("path", [PREDICT, "/v2/repository/index", "/nothing"])
def test_an_upgrade_with_a_body_is_refused(engine: Engine, caplog: pytest.LogCaptureFixture, path: str) -> None:
    async def run() -> None:
        async with serving(create_app(engine), EagerProtocol) as bench, asyncio.timeout(20):
            upgrade = request(BODY, path, "Connection: Upgrade", "Upgrade: websocket")
            ((head, content),) = await bench.talk(upgrade)
            assert head.startswith("HTTP/1.1 400 ")
            assert b"without asking" in content

    asyncio.run(run())
    assert not caplog.records


HEAD = b"GET /health/live HTTP/1.1\r\nHost: test\r\n"


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
        async with serving(create_app(engine), EagerProtocol) as bench, asyncio.timeout(20):
            found = await bench.talk(*pieces, answers=1 + pieces[0].startswith(b"POST"))
            assert found[-1][0].startswith("HTTP/1.1 431 ")
            assert b"100 headers" in found[-1][1]
            ((fine, _),) = await bench.talk(HEAD + b"long: " + b"x" * 60_000 + b"\r\n\r\n")
            assert fine.startswith("HTTP/1.1 200 ")
            ((large, _),) = await bench.talk(request(b" " * 70_000))  # a body does not count
            assert large.startswith("HTTP/1.1 413 ")

    asyncio.run(run())


@pytest.mark.parametrize(
    ("sent", "answers"), [(b"", b""), (HEAD, b"HTTP/1.1 408 "), (request() + HEAD, b"HTTP/1.1 200 ")]
)
def test_a_head_that_is_slow_to_come_ends_the_connection(impatient: Engine, sent: bytes, answers: bytes) -> None:
    async def run() -> None:
        async with serving(create_app(impatient), EagerProtocol) as bench, asyncio.timeout(20):
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
            async with serving(create_app(impatient), EagerProtocol) as bench, asyncio.timeout(20):
                reader, writer = await asyncio.open_connection("127.0.0.1", bench.port)
                writer.write(sent)
                answer, content = await _read(reader)
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
        async with serving(create_app(impatient), EagerProtocol) as bench, asyncio.timeout(20):
            reader, writer = await asyncio.open_connection("127.0.0.1", bench.port)
            writer.write(sent.replace(b"/health/live", path.encode()))
            head, content = await _read(reader)
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
    """Ask for more than the kernel keeps for a connection, of which the service's half is made small."""
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
        async with serving(create_app(impatient), EagerProtocol) as bench, asyncio.timeout(20):
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
        async with serving(create_app(patient), EagerProtocol) as bench, asyncio.timeout(20):
            loop, asking = asyncio.get_running_loop(), await _ask_without_reading(bench)
            (connection,) = bench.state.connections
            assert isinstance(connection, EagerProtocol)
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


@pytest.mark.parametrize("cut", [10, len(request()) - len(BODY), len(request()) - 5])
def test_a_request_may_come_in_pieces(cut: int, engine: Engine) -> None:
    whole = request()
    theirs, ours = both(create_app(engine), lambda bench: bench.talk(whole[:cut], whole[cut:]))
    assert ours == theirs


@pytest.mark.parametrize(
    "names", [("rows", "columns", "bad row"), ("rows", "elsewhere", "gzip", "rows"), ("chunked", "rows", "get")]
)
def test_requests_sent_before_the_answer_are_answered_in_order(names: Sequence[str], engine: Engine) -> None:
    together = b"".join(REQUESTS[name] for name in names)
    theirs, ours = both(create_app(engine), lambda bench: bench.talk(together, answers=len(names)))
    assert ours == theirs


def test_a_connection_serves_many_requests(engine: Engine) -> None:
    theirs, ours = both(create_app(engine), lambda bench: bench.talk(*[request()] * 5, answers=5))
    assert ours == theirs


OTHER_BODY = BODY.replace(b"11.0", b"12.5")
KNOWN = request(BODY, PREDICT, "X-Request-Id-Not: 7").replace(b"X-Request-Id: 7\r\n", b"")
"""Without an id of its own, the head of a request is remembered."""


@pytest.mark.parametrize(
    "pieces",
    [
        [KNOWN, KNOWN.replace(BODY, OTHER_BODY), KNOWN],
        [KNOWN, KNOWN[:-5], KNOWN[-5:]],
        [KNOWN, KNOWN[:50], KNOWN[50:]],
        [KNOWN, KNOWN + KNOWN, KNOWN],
        [KNOWN + KNOWN, KNOWN],
        [KNOWN, KNOWN + KNOWN[:50], KNOWN[50:]],
        [KNOWN, KNOWN.replace(b"11.0", b"null"), KNOWN],
        [KNOWN, KNOWN.replace(PREDICT.encode(), b"/v1/models/other:predict"), KNOWN],
        [KNOWN, REQUESTS["elsewhere"], KNOWN],
        [KNOWN, REQUESTS["chunked"], KNOWN],
        [b"\r\n" + KNOWN, b"\r\n" + KNOWN, KNOWN],
        [request(b""), request(b"")],
        [KNOWN, KNOWN.replace(BODY, b"\r\n\r\n" + BODY[4:])],
        [KNOWN, KNOWN, request(BODY, PREDICT, "Connection: close")],
    ],
)
def test_a_head_that_came_before_means_the_same_again(pieces: Sequence[bytes], engine: Engine) -> None:
    answers = b"".join(pieces).count(b" HTTP/1.1\r\n")
    theirs, ours = both(create_app(engine), lambda bench: bench.talk(*pieces, answers=answers))
    ids = re.compile("[0-9a-f]{12}-[0-9]+")  # made for requests that bring none
    assert ids.sub("", str(ours)) == ids.sub("", str(theirs))


def test_heads_are_kept_but_not_without_end(engine: Engine) -> None:
    app = create_app(engine)
    assert isinstance(app, HotPath)
    kept = app.heads

    async def run() -> None:
        async with serving(app, EagerProtocol) as bench, asyncio.timeout(20):
            await bench.talk(KNOWN, REQUESTS["rows"], REQUESTS["gzip"], REQUESTS["elsewhere"], answers=4)
            head = KNOWN.removesuffix(BODY)
            known = kept.get(head)
            assert known is not None
            assert (known.call.path, known.length, known.keep_alive) == (PREDICT, len(BODY), True)
            assert kept.get(REQUESTS["rows"].removesuffix(BODY)) is None  # with an id of its own
            assert kept.get(REQUESTS["gzip"].removesuffix(GZIPPED)) is None
            for number in range(1000):
                kept.learn(b"%d" % number, known)
            assert kept.get(head) is None
            kept.learn(b"x" * 5000, known)
            assert kept.get(b"x" * 5000) is None

    asyncio.run(run())


def test_a_body_that_is_slow_to_come_is_left_to_uvicorn(engine: Engine, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(eager, "SLOW_BODY_S", 0.0)
    whole = request()
    theirs, ours = both(create_app(engine), lambda bench: bench.talk(whole[:-20], whole[-20:-9], whole[-9:]))
    assert ours == theirs


class Held(HotPath):
    """Answer when told to."""

    arrived: asyncio.Event
    go: asyncio.Future[None]

    async def respond(self, call: Call, body: bytes | None, receive: Receive | None = None) -> Answer:
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
        async with serving(held, EagerProtocol) as bench, asyncio.timeout(20):
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
        async with serving(create_app(engine), EagerProtocol) as bench, asyncio.timeout(20):
            reader, writer = await asyncio.open_connection("127.0.0.1", bench.port)
            writer.write(request(BODY, path))
            head, body = await _read(reader)
            assert "connection: close" not in head
            for connection in list(bench.state.connections):
                connection.shutdown()
            writer.write(request(BODY, path))  # it was on its way
            head, again = await _read(reader)
            assert "connection: close" in head
            assert again == body
            assert await reader.read() == b""
            writer.close()

    asyncio.run(act())


def test_an_idle_connection_that_asks_nothing_ends_when_the_server_shuts_down(
    engine: Engine, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(eager, "LEAVE_S", 0.0)

    async def act() -> None:
        async with serving(create_app(engine), EagerProtocol) as bench, asyncio.timeout(20):
            reader, writer = await asyncio.open_connection("127.0.0.1", bench.port)
            writer.write(request())
            await _read(reader)
            for connection in list(bench.state.connections):
                connection.shutdown()
            assert await reader.read() == b""
            writer.close()

    asyncio.run(act())


def test_a_client_that_leaves_is_not_answered_and_harms_nobody(engine: Engine) -> None:
    async def act() -> list[tuple[str, bytes]]:
        held = _held(engine)
        async with serving(held, EagerProtocol) as bench, asyncio.timeout(20):
            _, writer = await asyncio.open_connection("127.0.0.1", bench.port)
            writer.write(request())
            await held.arrived.wait()
            writer.close()
            await writer.wait_closed()
            while bench.state.connections:
                await asyncio.sleep(0)
            held.go.set_result(None)
            return await bench.talk(request())

    assert asyncio.run(act())[0][1] == BODY[:3]


def test_a_call_that_breaks_closes_its_connection(engine: Engine, caplog: pytest.LogCaptureFixture) -> None:
    async def act() -> bytes:
        held = _held(engine)
        held.go.set_exception(ValueError("broken"))
        async with serving(held, EagerProtocol) as bench, asyncio.timeout(20):
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
        async with serving(create_app(engine), EagerProtocol) as bench, asyncio.timeout(20):
            reader, writer = await asyncio.open_connection("127.0.0.1", bench.port)
            method = "GET" if path == "/health/live" else "POST"
            writer.write(request(BODY, path, method=method))
            await _read(reader)
            (connection,) = bench.state.connections
            assert isinstance(connection, EagerProtocol)
            connection._close_if_silent()  # as its timer does: too early, so the connection stays
            writer.write(request(BODY, path, method=method))
            head, _ = await _read(reader)
            connection._answered -= connection.timeout_keep_alive
            connection._close_if_silent()
            rest = await reader.read()
            writer.close()
            await writer.wait_closed()
            return head.encode(), rest

    head, rest = asyncio.run(act())
    assert head.startswith(b"HTTP/1.1 200")
    assert rest == b""
