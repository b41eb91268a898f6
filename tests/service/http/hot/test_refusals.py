"""Refusals leave in order, at once while there are few, and then only as CPU time is spent."""

import asyncio

from service.http.hot.refusals import AT_ONCE, PER_CPU_S, Refusals


class CpuClock:
    """A clock of CPU time that stands still until it is told otherwise, and counts how often it
    was read.
    """

    def __init__(self) -> None:
        self.now = 0.0
        self.read = 0

    def __call__(self) -> float:
        self.read += 1
        return self.now


async def looked(clock: CpuClock, times: int = 3) -> None:
    """Wait until the refusals have looked at the clock again."""
    until = clock.read + times
    while clock.read < until:
        await asyncio.sleep(0)


def test_few_leave_at_once_and_in_order() -> None:
    async def play() -> list[int]:
        refusals, left = Refusals(CpuClock()), []

        async def refuse(number: int) -> None:
            await refusals.turn()
            left.append(number)

        await asyncio.gather(*(refuse(number) for number in range(AT_ONCE)))
        return left

    assert asyncio.run(play()) == list(range(AT_ONCE))


def test_more_leave_as_cpu_time_is_spent() -> None:
    async def play() -> None:
        clock = CpuClock()
        refusals = Refusals(clock)
        waiting = [asyncio.ensure_future(refusals.turn()) for _ in range(AT_ONCE + 30)]
        await looked(clock)
        assert sum(one.done() for one in waiting) == AT_ONCE
        clock.now += 10.5 / PER_CPU_S
        await looked(clock)
        assert sum(one.done() for one in waiting) == AT_ONCE + 10
        clock.now += 19.6 / PER_CPU_S
        await asyncio.gather(*waiting)

    asyncio.run(play())


def test_a_caller_that_is_gone_takes_nobodys_place() -> None:
    async def play() -> None:
        clock = CpuClock()
        refusals = Refusals(clock)
        waiting = [asyncio.ensure_future(refusals.turn()) for _ in range(AT_ONCE + 10)]
        await looked(clock)
        for gone in waiting[AT_ONCE:-1]:
            gone.cancel()
        clock.now += 1.5 / PER_CPU_S
        await waiting[-1]

    asyncio.run(play())


def test_however_long_none_was_refused_only_so_many_leave_at_once() -> None:
    async def play() -> None:
        clock = CpuClock()
        clock.now = 1e6
        refusals = Refusals(clock)
        waiting = [asyncio.ensure_future(refusals.turn()) for _ in range(AT_ONCE + 1)]
        await looked(clock)
        assert not waiting[-1].done()
        clock.now += 1.5 / PER_CPU_S
        await waiting[-1]

    asyncio.run(play())
