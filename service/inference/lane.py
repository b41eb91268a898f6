"""Lane of the batcher: a queue of items that may share a run, and their runs."""

import asyncio
import math
from collections import deque
from collections.abc import Callable, Sequence
from concurrent.futures import Executor
from dataclasses import dataclass
from typing import Any, Generic, Protocol

from service.errors import DeadlineExceeded
from service.inference.execution import Clock, Execution, Item, Result, RunFunction, checked, execute


@dataclass(frozen=True)
class Limits:
    """Bounds of the batcher, in rows.

    Attributes:
        queue_rows: rows that may wait; a request that would go beyond is refused.
        batch_rows: rows of requests joined into one run; a larger request runs alone.
        threads: runs that may be in threads at the same time.
        wait_us: how long to wait for a full batch; 0 waits for nothing but the end of the turn.
    """

    queue_rows: int = 20_000
    batch_rows: int = 256
    threads: int = 1
    wait_us: int = 0


class Scheduler(Protocol):
    """Scheduler of several lanes, as a lane sees it.

    Attributes:
        limits: of all lanes together.
        clock: seconds, monotonic.
        executor: where large runs go.
        queued_rows: rows that wait in all lanes.
        free_threads: of the executor.
    """

    limits: Limits
    clock: Clock
    executor: Executor
    queued_rows: int
    free_threads: int

    def refuse_if_full(self, rows: int) -> None:
        """Raise Overloaded if `rows` more would not fit."""

    def enqueued(self, lane: "Lane[Any, Any]", rows: int) -> None:
        """Count a lane's new rows; have it drained soon."""

    def ran(self, requests: int, rows: int, queue_s: float, run_s: float) -> None:
        """Note a finished run."""

    def thread_freed(self) -> None:
        """Take a thread back."""


_Queued = tuple[Item, int, asyncio.Future[Result], float, float]
"""One request between its submission and its run: item, rows, future, when it arrived, how long it
may wait. A plain tuple, for there is one per request."""


class Lane(Generic[Item, Result]):
    """Queue of items that may share a run; made by `Batcher.lane`."""

    def __init__(
        self,
        batcher: Scheduler,
        run: RunFunction[Item, Result],
        inline_rows: int,
        finished: Callable[[Sequence[Result]], None] | None = None,
    ) -> None:
        self.queued_rows = 0
        self.inline_rows = inline_rows
        self._batcher = batcher
        self._run = run
        self._finished = finished
        self._queue: deque[_Queued[Item, Result]] = deque()
        self._one_at_a_time = False
        self._ran_this_turn = False
        self._two_met = False
        self._to_note: tuple[Sequence[Result], int, float, float] | None = None

    async def submit(self, item: Item, rows: int, arrived: float, timeout_s: float) -> Result:
        """Run an item, by itself or with others, and return its result.

        Args:
            item: what `run` takes.
            rows: at least 1.
            arrived: when the request came in, on the batcher's clock.
            timeout_s: time after `arrived` within which its run must begin.

        Raises:
            Overloaded: too many rows are waiting.
            DeadlineExceeded: the time was over before the run could begin.
            Exception: what the run raised for this item.
        """
        loop, batcher = asyncio.get_running_loop(), self._batcher
        if self._one_at_a_time and not self._ran_this_turn and rows <= self.inline_rows and not self._queue:
            self._ran_this_turn = True
            loop.call_soon(self._end_turn)
            return self._run_at_once(item, rows, arrived, timeout_s)
        if batcher.queued_rows + rows > batcher.limits.queue_rows:
            batcher.refuse_if_full(rows)
        if self._ran_this_turn:
            self._two_met = True
        future: asyncio.Future[Result] = loop.create_future()
        self._queue.append((item, rows, future, arrived, timeout_s))
        self.queued_rows += rows
        batcher.enqueued(self, rows)
        return await future

    def _run_at_once(self, item: Item, rows: int, arrived: float, timeout_s: float) -> Result:
        """Run a request that came alone; what is to be noted of it waits until it is answered."""
        clock = self._batcher.clock
        started = clock()
        if started - arrived > timeout_s:
            raise DeadlineExceeded(timeout_s)
        results = checked(self._run, [item], [rows])
        self._to_note = results, rows, started - arrived, clock() - started
        return results[0]

    def _end_turn(self) -> None:
        self._ran_this_turn = False
        if self._to_note is not None:
            results, rows, queue_s, run_s = self._to_note
            self._to_note = None
            self._batcher.ran(1, rows, queue_s, run_s)
            if self._finished is not None:
                self._finished(results)

    def drain(self, until: float) -> bool:
        """Start as many runs as the loop and the free threads can take.

        Tell whether time ran out before that.
        """
        self._one_at_a_time = len(self._queue) == 1 and not self._two_met and not self._batcher.limits.wait_us
        self._two_met = False
        while batch := self._take():
            items, counts = [item for item, _, _, _, _ in batch], [rows for _, rows, _, _, _ in batch]
            rows = sum(counts)
            if rows <= self.inline_rows:
                self._deliver(batch, rows, execute(self._run, items, counts, self._batcher.clock))
            else:
                self._run_in_thread(batch, items, counts, rows)
            if self._queue and self._batcher.clock() > until:
                return True
        return False

    def _take(self) -> list[_Queued[Item, Result]]:
        """Remove the next batch from the queue, in order.

        Small requests pass large ones that wait for a thread.
        """
        queue, now, passed = self._queue, self._batcher.clock(), []
        most, largest = self._batcher.limits.batch_rows, math.inf
        if not self._batcher.free_threads:
            most, largest = min(most, self.inline_rows), self.inline_rows
        batch: list[_Queued[Item, Result]] = []
        taken = dropped = 0
        while queue and taken < most:
            waiting = queue[0]
            _, rows, future, arrived, timeout_s = waiting
            if batch and taken + rows > most:
                break
            queue.popleft()
            if future.done():
                dropped += rows
            elif now - arrived > timeout_s:
                future.set_exception(DeadlineExceeded(timeout_s))
                dropped += rows
            elif rows > largest:
                passed.append(waiting)
            else:
                batch.append(waiting)
                taken += rows
        queue.extendleft(reversed(passed))
        self._release(taken + dropped)
        return batch

    def _release(self, rows: int) -> None:
        self.queued_rows -= rows
        self._batcher.queued_rows -= rows

    def _run_in_thread(
        self, batch: list[_Queued[Item, Result]], items: list[Item], counts: list[int], rows: int
    ) -> None:
        batcher = self._batcher

        def finish(future: "asyncio.Future[Execution[Result]]") -> None:
            batcher.thread_freed()
            if not future.cancelled():
                self._deliver(batch, rows, future.result())

        batcher.free_threads -= 1
        loop = asyncio.get_running_loop()
        running = loop.run_in_executor(batcher.executor, execute, self._run, items, counts, batcher.clock)
        running.add_done_callback(finish)

    def _deliver(self, batch: list[_Queued[Item, Result]], rows: int, execution: Execution[Result]) -> None:
        """Give every caller its own outcome."""
        if self._finished is not None:
            self._finished(execution.results)
        for (_, _, future, _, _), outcome in zip(batch, execution.outcomes, strict=True):
            if future.done():
                continue
            if isinstance(outcome, Exception):
                future.set_exception(outcome)
            else:
                future.set_result(outcome)
        self._batcher.ran(len(batch), rows, execution.started - batch[0][3], execution.run_s)
