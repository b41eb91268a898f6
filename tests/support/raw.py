"""Raw requests to a real service, and its answers, byte by byte."""

import re
import socket
from typing import Any, NamedTuple
from urllib.parse import urlsplit

BODY = b'{"instances":[{"age":1}]}'
ALIVE = b"GET /health/live HTTP/1.1\r\nhost: localhost\r\n\r\n"
LAST = ALIVE.replace(b"\r\n\r\n", b"\r\nconnection: close\r\n\r\n")


class Answer(NamedTuple):
    status: int
    head: str
    body: bytes


def post(body: bytes = BODY, *headers: str, path: str = "/v1/predict", host: str | None = "localhost") -> bytes:
    lines = [f"POST {path} HTTP/1.1", "content-type: application/json", *headers]
    if host is not None:
        lines.append(f"host: {host}")
    if not any("chunked" in header.lower() for header in headers):
        lines.append(f"content-length: {len(body)}")
    return "\r\n".join([*lines, "", ""]).encode() + body


def talk(service: Any, *pieces: bytes, half: bool = False) -> list[Answer]:
    """Send pieces over one connection, and read answers until the service ends it.

    Args:
        service: or its port.
        pieces: one after the other.
        half: whether to end the sending after them.
    """
    port = service if isinstance(service, int) else urlsplit(service.url).port
    with socket.create_connection(("127.0.0.1", port), timeout=30) as connection:
        for piece in pieces:
            connection.sendall(piece)
        if half:
            connection.shutdown(socket.SHUT_WR)
        came = bytearray()
        while more := connection.recv(65536):
            came += more
    return list(split(bytes(came)))


def split(came: bytes) -> Any:
    while came:
        head, _, rest = came.partition(b"\r\n\r\n")
        length = int(re.search(rb"content-length: (\d+)", head)[1])  # type: ignore[index]
        yield Answer(int(head[9:12]), head.decode(), rest[:length])
        came = rest[length:]


def statuses(answers: list[Answer]) -> list[int]:
    return [answer.status for answer in answers]
