"""Bytes that are meant to hold the loop, to fill the memory or to end a worker.

It serves on, as quick as before.
"""

import contextlib
import socket
import threading
import time
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest

from tests.support.effort import Effort
from tests.support.probing import LONGEST_S, PIECE, PROBE, Probing, address_of, ask
from tests.support.processes import resident_mb
from tests.support.server import Service, running

pytestmark = pytest.mark.alone

HEAD = b"POST /v1/models/hand:predict HTTP/1.1\r\nhost: localhost\r\ncontent-type: application/json\r\n"
ROW = b'{"instances":[{"age":1}]}'
PLAIN = HEAD + b"content-length: 25\r\n\r\n" + ROW
CHUNKED = HEAD + b"transfer-encoding: chunked\r\n\r\n"
BODY = b"19\r\n" + ROW + b"\r\n"
MB, MOST_MB = 1 << 20, 96

Attack = Callable[[], Iterator[bytes]]
"""Bytes that one connection sends, piece by piece, for as long as it is taken."""


def pieces(start: bytes, more: bytes, size: int = 64 * MB) -> Iterator[bytes]:
    yield start
    piece = more * max(PIECE // len(more), 1)
    for _ in range(size // len(piece)):
        yield piece


ATTACKS: dict[str, Attack] = {
    "64 MB of trailers": lambda: pieces(CHUNKED + BODY + b"0\r\n", b"a: b\r\n"),
    "one trailer of 64 MB": lambda: pieces(CHUNKED + BODY + b"0\r\na: ", b"b"),
    "the name of a trailer of 64 MB": lambda: pieces(CHUNKED + BODY + b"0\r\n", b"b"),
    "a chunk extension of 64 MB": lambda: pieces(CHUNKED + b"1;a=", b"b"),
    "64 MB of blank lines": lambda: pieces(b"", b"\r\n"),
    "64 MB of blank lines between requests": lambda: pieces(PLAIN, b"\r\n"),
    "a header of 64 MB": lambda: pieces(HEAD + b"a: ", b"b"),
    "a URL of 64 MB": lambda: pieces(b"GET /", b"a"),
    "64 MB of garbage behind a request": lambda: pieces(PLAIN.replace(b":predict", b":gates"), b"\x00"),
    "a million chunks of one byte": lambda: pieces(CHUNKED, b"1\r\n \r\n", 6 * MB),
    "wishes to upgrade": lambda: iter(
        [PLAIN.replace(b"content-l", b"connection: upgrade\r\nupgrade: h2c\r\ncontent-l") * 100]
    ),
    "requests that wait for others": lambda: pieces(b"", PROBE.replace(b"connection: close\r\n", b""), MB),
    "strangers' hosts": lambda: iter(
        [b"".join(PROBE.replace(b"localhost\r\nconnection: close", b"%d.example" % n) for n in range(1000))]
    ),
    "numbers of many digits": lambda: iter(
        [(HEAD + b"x-request-timeout-ms: " + b"9" * 20_000 + b"\r\ncontent-length: 25\r\n\r\n" + ROW) * 20]
    ),
}


def attack(address: tuple[str, int], sent: Iterator[bytes]) -> None:
    """Send while it is taken, end the sending, and read what comes until the end, both for a
    bounded time.
    """
    end = time.monotonic() + LONGEST_S
    with contextlib.suppress(OSError), socket.create_connection(address, timeout=LONGEST_S) as connection:
        for piece in sent:
            connection.settimeout(0.2)
            with contextlib.suppress(TimeoutError):
                connection.sendall(piece)
            if time.monotonic() > end:
                break
        connection.shutdown(socket.SHUT_WR)
        connection.settimeout(LONGEST_S)
        while connection.recv(PIECE) and time.monotonic() < end:
            pass


@pytest.fixture(scope="module")
def attacked(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Service]:
    from tests.support.hand_model import write_model

    root: Path = tmp_path_factory.mktemp("attacked")
    write_model(root, "hand", 1)
    with running(root, client_timeout_s="5", log_format="text") as service:
        yield service


@pytest.mark.parametrize("name", ATTACKS)
def test_what_is_sent_to_harm_holds_up_nobody(
    attacked: Service, name: str, effort: Effort, measured: Callable[[str], None]
) -> None:
    address, connections = address_of(attacked), 4
    assert ask(address, PLAIN).startswith(b"HTTP/1.1 200 ")
    before = resident_mb(attacked.process.pid)
    with Probing(attacked) as probing:
        for _ in range(effort.attacks):
            threads = [threading.Thread(target=attack, args=(address, ATTACKS[name]())) for _ in range(connections)]
            for thread in threads:
                thread.start()
            for thread in threads:
                thread.join(2 * LONGEST_S)
                assert not thread.is_alive()
    assert not probing.failed
    assert ask(address, PLAIN).startswith(b"HTTP/1.1 200 ")
    assert attacked.process.poll() is None
    assert "Traceback" not in "".join(attacked.log())
    measured(f"{probing.told()}, memory {before:.0f} MB, at most {probing.peak_mb:.0f}")
    assert probing.peak_mb - before < MOST_MB
