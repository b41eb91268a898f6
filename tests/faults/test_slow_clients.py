"""A thousand clients that are slow, silent or half gone at once.

The others are served, and these are cut off.
"""

import resource
import selectors
import socket
from collections.abc import Callable, Iterator
from contextlib import ExitStack, contextmanager, suppress
from pathlib import Path
from typing import cast
from urllib.parse import urlsplit

import pytest

from tests.support.load import Load, Question, get, play
from tests.support.processes import descriptors
from tests.support.server import running

pytestmark = pytest.mark.alone

TIMEOUT_S, KEEP_ALIVE_S, LONGEST_S, TRICKLE_S = 2, 5, 60, 0.2
ANSWERS = 500

HEAD = b"POST /v1/models/hand:predict HTTP/1.1\r\nhost: localhost\r\ncontent-type: application/json\r\n"
LARGE = b"GET /assets/vendor/swagger-ui/swagger-ui-bundle.js HTTP/1.1\r\nhost: localhost\r\n\r\n"
HEADS, BODIES, SILENT, IDLE, UNREAD = "heads", "bodies", "silent", "idle", "unread"
SENT = {
    HEADS: HEAD,
    BODIES: HEAD + b"content-length: 1000\r\n\r\n",
    SILENT: b"",
    IDLE: b"GET /health/live HTTP/1.1\r\nhost: localhost\r\n\r\n",
    UNREAD: LARGE * 4,  # more than the kernel takes for a connection
}
COUNTS = {HEADS: 300, BODIES: 300, SILENT: 150, IDLE: 200, UNREAD: 50}
NEEDED = sum(COUNTS.values()) + 300
TRICKLED = {HEADS: b"a: b\r\n", BODIES: b" "}


@pytest.fixture
def many_descriptors() -> Iterator[None]:
    """Allow this process enough descriptors; the service sees to its own."""
    soft, hard = resource.getrlimit(resource.RLIMIT_NOFILE)
    if hard != resource.RLIM_INFINITY and hard < NEEDED:
        pytest.skip(f"at most {hard} descriptors are allowed here (ulimit -Hn); {NEEDED} are needed")
    resource.setrlimit(resource.RLIMIT_NOFILE, (max(soft, NEEDED), hard))
    yield
    resource.setrlimit(resource.RLIMIT_NOFILE, (soft, hard))


@contextmanager
def few_descriptors() -> Iterator[None]:
    """Let what is started in here begin with the limit that is usual, or less."""
    soft, hard = resource.getrlimit(resource.RLIMIT_NOFILE)
    resource.setrlimit(resource.RLIMIT_NOFILE, (256, hard))
    yield
    resource.setrlimit(resource.RLIMIT_NOFILE, (soft, hard))


def open_slow(address: tuple[str, int], sent: bytes) -> socket.socket:
    """Connect, send as much as is taken at once, and read nothing."""
    client = socket.socket()
    client.setsockopt(socket.SOL_SOCKET, socket.SO_RCVBUF, 4096)
    client.connect(address)
    client.setblocking(False)
    if sent:
        client.send(sent)
    return client


def until_ended(clients: dict[socket.socket, str]) -> dict[str, list[bytes]]:
    """Trickle on and read until the service has ended every connection.

    What each client of a kind got.
    """
    got = dict.fromkeys(clients, b"")
    with selectors.DefaultSelector() as selector:
        for client in clients:
            selector.register(client, selectors.EVENT_READ)
        silent_s = 0.0
        while selector.get_map():
            ready = selector.select(TRICKLE_S)
            silent_s = 0.0 if ready else silent_s + TRICKLE_S
            assert silent_s < LONGEST_S, f"{len(selector.get_map())} slow clients were never cut off"
            for key, _ in ready:
                client = cast(socket.socket, key.fileobj)
                data = read(client)
                got[client] += data
                if not data:
                    selector.unregister(client)
            for client in {cast(socket.socket, key.fileobj) for key in selector.get_map().values()}:
                with suppress(OSError):
                    client.send(TRICKLED.get(clients[client], b""))
    came: dict[str, list[bytes]] = {kind: [] for kind in SENT}
    for client, kind in clients.items():
        came[kind].append(got[client])
    return came


def read(client: socket.socket) -> bytes:
    try:
        return client.recv(65536)
    except ConnectionResetError:
        return b""


@pytest.mark.usefixtures("many_descriptors")
def test_a_thousand_slow_clients_hinder_nobody_and_are_cut_off(
    models: Path, questions: Callable[..., list[Question]], measured: Callable[[str], None]
) -> None:
    async def others(url: str) -> None:
        probes = [get("/health/live"), get("/health/ready")]
        async with Load(url, [*questions(), *probes], connections=8) as load:
            await load.answers(ANSWERS)
        assert not load.wrong
        assert (load.broken, load.unreached, set(load.statuses)) == (0, 0, {200})
        took = load.took()
        measured(f"median {took[len(took) // 2] * 1000:.1f} ms, longest {took[-1] * 1000:.1f} ms")

    with ExitStack() as stack:
        with few_descriptors():
            settings = {"client_timeout_s": str(TIMEOUT_S), "keep_alive_s": str(KEEP_ALIVE_S)}
            service = stack.enter_context(running(models, **settings))
        parts = urlsplit(service.url)
        assert parts.hostname
        assert parts.port
        play(others(service.url))
        before = descriptors(service.process.pid)
        clients: dict[socket.socket, str] = {}
        for kind, count in COUNTS.items():
            for _ in range(count):
                clients[stack.enter_context(open_slow((parts.hostname, parts.port), SENT[kind]))] = kind
        play(others(service.url))
        came = until_ended({client: kind for client, kind in clients.items() if kind != UNREAD})
        for kind in (HEADS, BODIES):  # what is sent to an ended connection may drop the answer that had come
            assert {answer[:13] for answer in came[kind]} <= {b"HTTP/1.1 408 ", b""}
            assert any(came[kind])
        assert set(came[SILENT]) == {b""}
        assert {answer[:13] for answer in came[IDLE]} == {b"HTTP/1.1 200 "}
        play(others(service.url))
        assert descriptors(service.process.pid) <= before + 16  # those who never read have been cut off too
