"""Throttles and limiters of the log: often in, seldom out."""

import asyncio

from service.logs.throttle import FixedWindowLimiter, Throttle


def test_a_flood_is_told_at_once_then_summed_up_until_it_ends() -> None:
    told: list[int] = []

    async def main() -> None:
        heard = asyncio.Event()

        def tell(count: int) -> None:
            told.append(count)
            heard.set()

        throttle = Throttle(tell, every_s=0.01)
        for _ in range(1000):
            throttle.count()
        assert told == [1]
        heard.clear()
        await heard.wait()
        assert told == [1, 999]
        while throttle._timer is not None:
            await asyncio.sleep(0)
        throttle.count()
        assert told == [1, 999, 1]

    asyncio.run(main())


def test_an_allowance_is_by_the_second() -> None:
    now = 100.0
    limiter = FixedWindowLimiter(3, lambda: now)
    assert [limiter.take() for _ in range(5)] == [True, True, True, False, False]
    now += 1.0
    assert [limiter.take() for _ in range(4)] == [True, True, True, False]
