"""Batcher on a virtual clock that only moves when all is quiet.

Threads and runs take as long as they are told.
"""

import asyncio
import selectors
from collections.abc import Callable, Coroutine, Iterable
from concurrent.futures import Executor, Future
from dataclasses import dataclass
from typing import Any, TypeVar

from service.inference.batcher import Batcher
from service.inference.lane import Lane, Limits

T = TypeVar("T")


class VirtualSelector(selectors.SelectSelector):
    """Selector that advances a clock instead of waiting."""

    now = 0.0

    def select(self, timeout: float | None = None) -> list[tuple[selectors.SelectorKey, int]]:
        ready = super().select(0)
        if not ready:
            assert timeout is not None, "everybody waits and nothing will ever happen"
            self.now += max(timeout, 0)
        return ready


class VirtualLoop(asyncio.SelectorEventLoop):
    def __init__(self) -> None:
        self._virtual = VirtualSelector()
        super().__init__(self._virtual)

    def time(self) -> float:
        return self._virtual.now

    def pass_time(self, seconds: float) -> None:
        """Let something take time that does not wait."""
        self._virtual.now += seconds


class VirtualThreads(Executor):
    """Executor that finishes work when its (virtual) duration is over.

    Remembers how much ran at the same time.
    """

    def __init__(self, loop: asyncio.AbstractEventLoop, run_s: float) -> None:
        self.loop, self.run_s = loop, run_s
        self.busy = self.most_busy = 0

    def submit(self, fn: Callable[..., T], /, *args: Any, **kwargs: Any) -> Future[T]:
        future: Future[T] = Future()
        self.busy += 1
        self.most_busy = max(self.most_busy, self.busy)

        def finish() -> None:
            self.busy -= 1
            future.set_result(fn(*args, **kwargs))

        self.loop.call_later(self.run_s, finish)
        return future


class BadRowError(Exception):
    pass


@dataclass(frozen=True)
class Rows:
    """Stand-in for a request's rows: values that no other request has."""

    values: tuple[int, ...]
    bad: bool = False


class Runs:
    """Runner that doubles every value, and fails on a bad item; remembers the runs."""

    def __init__(self) -> None:
        self.seen: list[list[int]] = []

    def __call__(self, items: list[Rows]) -> list[list[int]]:
        self.seen.append([len(item.values) for item in items])
        for item in items:
            if item.bad:
                raise BadRowError(item.values)
        return [[2 * value for value in item.values] for item in items]


class Bench:
    """Batcher with one lane on a virtual clock."""

    def __init__(
        self, limits: Limits | None = None, inline_rows: int = 100, run_s: float = 0.01, observer: Any = None
    ) -> None:
        self.loop = VirtualLoop()
        self.threads = VirtualThreads(self.loop, run_s)
        self.batcher = Batcher(limits or Limits(), self.threads, self.loop.time, observer)
        self.runs = Runs()
        self.lane: Lane[Rows, list[int]] = self.batcher.lane(self.runs, inline_rows)
        self._next = 0

    def rows(self, count: int, bad: bool = False) -> Rows:
        self._next += count
        return Rows(tuple(range(self._next - count, self._next)), bad)

    async def ask(self, rows: Rows, timeout_s: float = 60.0) -> list[int]:
        return await self.lane.submit(rows, len(rows.values), self.loop.time(), timeout_s)

    def play(self, coroutine: Coroutine[Any, Any, T]) -> T:
        try:
            return self.loop.run_until_complete(coroutine)
        finally:
            self.loop.close()

    def ask_all(self, rows: Iterable[Rows], timeout_s: float = 60.0) -> list[list[int] | BaseException]:
        async def together() -> list[list[int] | BaseException]:
            return await asyncio.gather(*(self.ask(r, timeout_s) for r in rows), return_exceptions=True)

        return self.play(together())

    def assert_idle(self) -> None:
        assert self.batcher.queued_rows == self.lane.queued_rows == 0
        assert self.batcher.free_threads == self.batcher.limits.threads


def doubled(rows: Rows) -> list[int]:
    return [2 * value for value in rows.values]
