"""What happens often is told seldom."""

import asyncio

from service.logs.log import Allowance, Flood


def test_a_flood_is_told_at_once_then_summed_up_until_it_ends() -> None:
    told: list[int] = []

    async def main() -> None:
        heard = asyncio.Event()

        def tell(count: int) -> None:
            told.append(count)
            heard.set()

        flood = Flood(tell, every_s=0.01)
        for _ in range(1000):
            flood.count()
        assert told == [1]
        heard.clear()
        await heard.wait()
        assert told == [1, 999]
        while flood._timer is not None:
            await asyncio.sleep(0)
        flood.count()
        assert told == [1, 999, 1]

    asyncio.run(main())


def test_an_allowance_is_by_the_second() -> None:
    now = 100.0
    allowance = Allowance(3, lambda: now)
    assert [allowance.take() for _ in range(5)] == [True, True, True, False, False]
    now += 1.0
    assert [allowance.take() for _ in range(4)] == [True, True, True, False]
