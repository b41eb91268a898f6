"""Protocol of uvicorn's kind that listens in this loop, and raw requests to it."""

import asyncio
import json
import re
from collections.abc import AsyncIterator, Awaitable, Callable
from contextlib import asynccontextmanager
from typing import Any

import uvicorn
from uvicorn.protocols.http.httptools_impl import HttpToolsProtocol
from uvicorn.server import ServerState

from service.http.hot.protocol import HotPathProtocol

ROW = {"age": 11.0, "height": 9.5, "balance": 10.0, "colour": "red", "city": "Oslo"}
BODY = json.dumps({"instances": [ROW]}).encode()
PREDICT = "/v1/models/hand:predict"


def request(
    body: bytes = BODY, path: str = PREDICT, *headers: str, method: str = "POST", version: str = "1.1"
) -> bytes:
    lines = [f"{method} {path} HTTP/{version}", "Host: localhost", "Content-Type: application/json", "X-Request-Id: 7"]
    if not any("chunked" in header for header in headers):
        lines.append(f"Content-Length: {len(body)}")
    return "\r\n".join([*lines, *headers, "", ""]).encode() + body


class Bench:
    """One listening server in this loop."""

    def __init__(self, port: int, state: ServerState) -> None:
        self.port, self.state = port, state

    async def talk(self, *pieces: bytes, answers: int = 1) -> list[tuple[str, bytes]]:
        """Send pieces, a turn apart, over one connection.

        Reads so many answers as (head without the date, body).
        """
        reader, writer = await asyncio.open_connection("127.0.0.1", self.port)
        for piece in pieces:
            writer.write(piece)
            await writer.drain()
            for _ in range(3):
                await asyncio.sleep(0)
        found = [await read_answer(reader) for _ in range(answers)]
        writer.close()
        await writer.wait_closed()
        return found


async def read_answer(reader: asyncio.StreamReader) -> tuple[str, bytes]:
    """Read one answer: its head without the date, and its body."""
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
    """Repeat a call with uvicorn's protocol and with ours."""

    async def run(protocol: type[HttpToolsProtocol]) -> Any:
        async with serving(app, protocol) as bench, asyncio.timeout(20):
            return await act(bench)

    return asyncio.run(run(HttpToolsProtocol)), asyncio.run(run(HotPathProtocol))
