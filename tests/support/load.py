"""Load on a service from one event loop.

Every answer is counted by its status, and every success is checked.
"""

import asyncio
import re
import time
from array import array
from collections import Counter
from collections.abc import Callable, Coroutine, Sequence
from dataclasses import dataclass, field
from types import TracebackType
from typing import Any, Self, TypeVar, cast
from urllib.parse import urlsplit

import orjson
import uvloop

T = TypeVar("T")

_LENGTH = re.compile(rb"\r\ncontent-length: (\d+)", re.I)
_CLOSE = re.compile(rb"\r\nconnection: close", re.I)
_TICK_S = 1e-3
LONGEST_S = 60
"""A load that has waited so long for answers fails its test."""

RECONNECT_S = 0.01
"""Seconds that a client waits before it tries again to reach a port that takes no connection."""


@dataclass
class Question:
    """Request, and the check of its answer.

    Attributes:
        request: the whole request, as bytes.
        check: called with the body of a success; raises AssertionError if it is wrong. Each
            distinct body once.
        rows: of the request.
        good: bodies that were checked.
    """

    request: bytes
    check: Callable[[bytes], object]
    rows: int = 1
    good: set[bytes] = field(default_factory=set)


def post(path: str, content: object, check: Callable[[bytes], object], rows: int = 1) -> Question:
    """Make the question that posts an object as JSON."""
    body = orjson.dumps(content)
    lines = (f"POST {path} HTTP/1.1", "host: localhost", "content-type: application/json")
    head = "\r\n".join((*lines, f"content-length: {len(body)}", "", ""))
    return Question(head.encode() + body, check, rows)


def get(path: str, check: Callable[[bytes], object] = lambda body: None) -> Question:
    """Make the question that gets a path, such as a probe."""
    return Question(f"GET {path} HTTP/1.1\r\nhost: localhost\r\n\r\n".encode(), check)


def play(scenario: Coroutine[Any, Any, T]) -> T:
    """Run a test's coroutine on a fast loop; an error in a callback ends it."""
    errors: list[BaseException] = []

    async def watched() -> T:
        task = asyncio.ensure_future(scenario)

        def end(loop: asyncio.AbstractEventLoop, context: dict[str, Any]) -> None:
            errors.append(context.get("exception") or RuntimeError(context["message"]))
            task.cancel()

        asyncio.get_running_loop().set_exception_handler(end)
        return await task

    with asyncio.Runner(loop_factory=uvloop.new_event_loop) as runner:
        try:
            return runner.run(watched())
        except asyncio.CancelledError:
            raise errors[0] from None


class Load:
    """Connections busy with questions.

    Each asks the next as soon as it is answered, or at a given rate.

    A connection that breaks or that the service closes is opened anew.

    Args:
        url: of the service.
        questions: asked in turn.
        connections: how many clients there are.
        per_s: how many questions to ask per second, on whichever connections are free; None for as
            many as can be.

    Attributes:
        statuses: answers by status.
        broken: connections that ended while an answer was owed.
        bereft: the clients that this happened to, until somebody empties the set.
        unreached: connections that could not be opened.
        late: questions of the rate that found no free connection.
        wrong: what was wrong with answers; the first few.
        refused: the heads of answers other than successes, the latest of each status.
    """

    def __init__(
        self, url: str, questions: Sequence[Question], connections: int = 16, per_s: float | None = None
    ) -> None:
        parts = urlsplit(url)
        assert parts.hostname
        assert parts.port
        self.address = (parts.hostname, parts.port)
        self.statuses: Counter[int] = Counter()
        self.broken = self.unreached = self.late = self.rows = 0
        self.bereft: set[_Client] = set()
        self.wrong: list[str] = []
        self.refused: dict[int, bytes] = {}
        self.stopping = False
        self.paced = per_s is not None
        self._questions, self._per_s = questions, per_s
        self._next = 0
        self._clients = [_Client(self) for _ in range(connections)]
        self._waiting: list[tuple[int, asyncio.Future[None]]] = []
        self._when, self._took, self._status = array("d"), array("d"), array("h")
        self._pacing: asyncio.TimerHandle | None = None

    async def __aenter__(self) -> Self:
        self._due = time.monotonic()
        for client in self._clients:
            client.open()
        if self.paced:
            self._pace()
        return self

    async def __aexit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        await self.stop()

    async def stop(self) -> None:
        """Ask nothing more, wait for the answers that are owed, close."""
        self.stopping = True
        if self._pacing is not None:
            self._pacing.cancel()
        async with asyncio.timeout(LONGEST_S):
            await asyncio.gather(*(client.end() for client in self._clients))

    @property
    def answered(self) -> int:
        """Count the successes."""
        return self.statuses[200]

    @property
    def asked(self) -> int:
        """Count the questions that were asked and answered, or broke."""
        return self.statuses.total() + self.broken

    async def answers(self, more: int) -> None:
        """Wait for so many more successes."""
        reached: asyncio.Future[None] = asyncio.get_running_loop().create_future()
        self._waiting.append((self.answered + more, reached))
        self._waiting.sort(key=lambda wait: wait[0])
        async with asyncio.timeout(LONGEST_S):
            await reached

    def rate(self, start: float, stop: float, status: int = 200) -> float:
        """Return the answers per second of a status between two moments of time.monotonic."""
        times = (t for t, s in zip(self._when, self._status, strict=True) if s == status)
        return sum(start <= t < stop for t in times) / (stop - start)

    def took(self, status: int = 200, since: float = 0.0) -> list[float]:
        """Return how long each answer of a status took, in seconds, in ascending order."""
        every = zip(self._when, self._took, self._status, strict=True)
        return sorted(took for when, took, s in every if s == status and when >= since)

    def question(self) -> tuple[int, bytes]:
        """Return a client's next question."""
        number = self._next
        self._next = (number + 1) % len(self._questions)
        return number, self._questions[number].request

    def note(self, number: int, took: float, head: bytes, body: bytes) -> None:
        """Count and check one answer."""
        status = int(head[9:12])
        self.statuses[status] += 1
        self._when.append(time.monotonic())
        self._took.append(took)
        self._status.append(status)
        if status != 200:
            self.refused[status] = head
            return
        self.rows += self._questions[number].rows
        if body not in self._questions[number].good:
            self._check(number, body)
        if self._waiting and self.answered >= self._waiting[0][0]:
            self._waiting.pop(0)[1].set_result(None)

    def _check(self, number: int, body: bytes) -> None:
        try:
            self._questions[number].check(body)
        except Exception as error:
            if len(self.wrong) < 5:
                self.wrong.append(f"{error!r}: {body[:500]!r}")
        else:
            self._questions[number].good.add(body)

    def _pace(self) -> None:
        """Ask what has become due, on connections that owe nothing."""
        assert self._per_s is not None
        free = iter([client for client in self._clients if client.idle])
        while self._due <= time.monotonic():
            self._due += 1 / self._per_s
            client = next(free, None)
            if client is None:
                self.late += 1
            else:
                client.ask()
        self._pacing = asyncio.get_running_loop().call_later(_TICK_S, self._pace)


class _Client(asyncio.Protocol):
    """Client of one connection."""

    def __init__(self, load: Load) -> None:
        self._load = load
        self._buffer = b""
        self._number: int | None = None
        self._asked = 0.0
        self._transport: asyncio.Transport | None = None
        self._opening: asyncio.Task[None] | None = None
        self._ended: asyncio.Future[None] | None = None

    @property
    def idle(self) -> bool:
        return self._transport is not None and self._number is None

    def open(self) -> None:
        self._opening = asyncio.ensure_future(self._open())

    async def _open(self) -> None:
        loop = asyncio.get_running_loop()
        while not self._load.stopping:
            try:
                await loop.create_connection(lambda: self, *self._load.address)
            except OSError:
                self._load.unreached += 1
                await asyncio.sleep(RECONNECT_S)
            else:
                return

    async def end(self) -> None:
        """Wait for the answer that is owed, close the connection."""
        if self._opening is not None:
            await self._opening
        if self._transport is not None:
            self._ended = asyncio.get_running_loop().create_future()
            if self._number is None:
                self._transport.close()
            await self._ended

    def ask(self) -> None:
        """Send the next question."""
        assert self._transport is not None
        self._number, request = self._load.question()
        self._asked = time.monotonic()
        self._transport.write(request)

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        self._transport, self._buffer = cast(asyncio.Transport, transport), b""  # uvloop's is not a subclass
        if not self._load.paced and not self._load.stopping:
            self.ask()

    def data_received(self, data: bytes) -> None:
        self._buffer += data
        head_end = self._buffer.find(b"\r\n\r\n") + 4
        if head_end < 4:
            return
        head = self._buffer[:head_end]
        length = _LENGTH.search(head)
        assert length, f"an answer without a length: {head!r}"
        end = head_end + int(length[1])
        if len(self._buffer) < end:
            return
        body, self._buffer = self._buffer[head_end:end], self._buffer[end:]
        number, self._number = self._number, None
        assert self._transport is not None
        if number is None or self._buffer:
            self._load.wrong.append(f"an answer to no question: {head!r}")
            self._transport.close()
            return
        self._load.note(number, time.monotonic() - self._asked, head, body)
        if self._load.stopping or _CLOSE.search(head):
            self._transport.close()
        elif not self._load.paced:
            self.ask()

    def connection_lost(self, error: Exception | None) -> None:
        self._transport = None
        if self._number is not None:
            self._load.broken += 1
            self._load.bereft.add(self)
        self._number = None
        if self._ended is not None:
            self._ended.set_result(None)
        elif not self._load.stopping:
            self.open()
