"""Requests that are made to become large.

Each is refused, probes are answered, and memory stays bounded.
"""

import asyncio
import gzip
import json
import socket
from collections.abc import Callable
from contextlib import ExitStack
from pathlib import Path

import pytest

from tests.support.effort import Effort
from tests.support.load import Load, Question, get, play
from tests.support.probing import Probing
from tests.support.processes import forget_peak, peak_mb, resident_mb
from tests.support.server import running

pytestmark = pytest.mark.alone

MOST = 16 << 20
"""Bytes of a body, as sent and when inflated, by default."""

PREDICT, GATES, INFER = "/v1/models/hand:predict", "/v1/models/hand:gates", "/v2/models/hand/infer"
INDEX = "/v2/repository/index"
CLIENTS = 4
START = b'{"instances": ['


def flood(piece: bytes, start: bytes = START) -> bytes:
    return start + piece * ((MOST - len(start)) // len(piece))


def keys(count: int) -> bytes:
    return START + b"{" + b",".join(b'"%x":1' % number for number in range(count))


def claim(rows: int) -> bytes:
    """Claim rows that are not there, the categories first."""
    names = ("categorical", "BYTES", 2), ("numeric", "FP32", 3)
    empty = {"binary_data_size": 0}
    return json.dumps(
        {"inputs": [{"name": n, "datatype": t, "shape": [rows, w], "parameters": empty} for n, t, w in names]}
    ).encode()


def packed(path: str, body: bytes) -> bytes:
    return sent(path, gzip.compress(body, 1), "content-encoding: gzip")


def sent(path: str, body: bytes, *headers: str) -> bytes:
    lines = [f"POST {path} HTTP/1.1", "host: localhost", "content-type: application/json", *headers]
    return "\r\n".join([*lines, f"content-length: {len(body)}", "", ""]).encode() + body


def claimed(rows: int) -> bytes:
    body = claim(rows)
    return sent(INFER, body, f"inference-header-content-length: {len(body)}")


LONG = b"x" * (MOST - 100)
ESCAPES = b'{"instances": [{"colour": "' + rb",\"[" * ((MOST - 100) // 4) + b'", "stranger": 1}]}'

ATTACKS: dict[str, Callable[[], list[bytes]]] = {
    "claims": lambda: [claimed(10**9), claimed(10**7), claimed(9999)],
    "arrays": lambda: [packed(path, flood(b"[],")) for path in (PREDICT, GATES, INFER, INDEX)],
    "arrays beyond": lambda: [packed(PREDICT, flood(b"[],") * 4)],
    "arrays plain": lambda: [sent(path, flood(b"[],")) for path in (PREDICT, GATES, INFER, INDEX)],
    "fast path": lambda: [sent(PREDICT, flood(piece, b'{"instances":[[')) for piece in (b"[],", b"1,")],
    "objects": lambda: [packed(path, flood(b'{"a":1},')) for path in (PREDICT, GATES, INFER)],
    "numbers": lambda: [packed(path, flood(b"1,")) for path in (PREDICT, GATES, INFER)],
    "strings": lambda: [packed(path, flood(b'"y",')) for path in (PREDICT, GATES, INFER)],
    "depth": lambda: [packed(path, b"[" * MOST) for path in (PREDICT, GATES, INFER, INDEX)],
    "a long key": lambda: [packed(path, b'{"' + LONG + b'": 1}') for path in (PREDICT, GATES, INFER)],
    "a long feature": lambda: [packed(path, b'{"instances": [{"' + LONG + b'": 1}]}') for path in (PREDICT, GATES)],
    "tiny keys": lambda: [packed(path, keys(1_500_000)) for path in (PREDICT, GATES, INFER, INDEX)],
    "escapes": lambda: [packed(path, ESCAPES) for path in (PREDICT, GATES)],
    "no json": lambda: [packed(path, b'{"instances": NaN' + b" nan" * (MOST // 5)) for path in (PREDICT, GATES, INFER)],
}  # fmt: skip

GROWTH_MB = 200
"""Four clients at once.

Their bodies as sent and inflated, and what little is made of one of them.
"""


@pytest.mark.parametrize("name", [*ATTACKS])
def test_a_request_that_would_become_large_is_refused_and_hinders_nobody(
    models: Path, name: str, effort: Effort, measured: Callable[[str], None]
) -> None:
    questions = [Question(request, unexpected) for request in ATTACKS[name]()]
    with running(models) as service:
        pid = service.process.pid

        async def scenario() -> None:
            async with Load(service.url, [get("/health/ready")], 2, per_s=100) as readiness:
                await readiness.answers(20)
                before = resident_mb(pid)
                forget_peak(pid)
                with Probing(service) as probing:
                    async with Load(service.url, questions, CLIENTS) as attack:
                        await refusals(attack, effort.large_requests * len(questions))
                await readiness.answers(20)
            measured(
                f"{attack.statuses.total()} requests of {max(len(q.request) for q in questions) >> 10} KB: "
                f"{probing.told()}; memory {before:.0f}, at most {peak_mb(pid):.0f}, then {resident_mb(pid):.0f} MB"
            )
            assert set(attack.statuses) <= {400, 413, 422, 429}
            assert (attack.broken, attack.unreached) == (0, 0)
            assert set(readiness.statuses) == {200}
            assert not probing.failed
            assert peak_mb(pid) < before + GROWTH_MB

        play(scenario())


def unexpected(body: bytes) -> None:
    raise AssertionError("no such request is answered with success")


async def refusals(attack: Load, count: int) -> None:
    while attack.statuses.total() < count:
        await asyncio.sleep(0.01)
        assert not attack.wrong


BUDGET_MB = 64
CONNECTIONS, GIVEN_BACK_S = 60, 30


@pytest.mark.parametrize("path", [PREDICT, GATES, INFER])
def test_bodies_that_come_at_once_have_a_total(
    models: Path, path: str, effort: Effort, measured: Callable[[str], None]
) -> None:
    body = b" " * MOST
    with running(models, max_buffered_bytes=str(BUDGET_MB << 20), client_timeout_s="60") as service:
        pid = service.process.pid
        before = resident_mb(pid)
        forget_peak(pid)

        async def scenario() -> list[int]:
            async with Load(service.url, [get("/health/ready")], 2, per_s=100) as readiness:
                statuses: list[int] = []
                with Probing(service) as probing:
                    for _ in range(effort.floods_of_bodies):
                        statuses += await asyncio.to_thread(ask_at_once, service.port, sent(path, body))
                await readiness.answers(20)
            measured(
                f"{CONNECTIONS} x 16 MB at once: {probing.told()}; memory {before:.0f}, at most {peak_mb(pid):.0f}, "
                f"then {resident_mb(pid):.0f} MB; {statuses.count(429)} of {len(statuses)} refused"
            )
            assert set(readiness.statuses) == {200}
            assert not probing.failed
            async with asyncio.timeout(GIVEN_BACK_S):
                while resident_mb(pid) > before + BUDGET_MB / 2:
                    await asyncio.sleep(0.1)
            measured(f"memory {resident_mb(pid):.0f} MB when it was given back")
            return statuses

        statuses = play(scenario())
        assert set(statuses) == {400, 429}
        assert peak_mb(pid) < before + 3 * BUDGET_MB


def ask_at_once(port: int, request: bytes) -> list[int]:
    """Send a request on many connections, on each all but its last byte before any is finished."""
    with ExitStack() as stack:
        clients = [
            stack.enter_context(socket.create_connection(("127.0.0.1", port), timeout=60)) for _ in range(CONNECTIONS)
        ]
        for client in clients:
            client.sendall(memoryview(request)[:-1])
        statuses = []
        for client in clients:
            client.sendall(request[-1:])
            statuses.append(int(client.recv(1 << 16)[9:12]))
        return statuses
