"""The rate limiter counts events by source, and remembers a bounded number of sources."""

import pytest
from hypothesis import given
from hypothesis import strategies as st

from service.http.rate_limiter import RateLimiter


class Clock:
    def __init__(self) -> None:
        self.now = 100.0

    def __call__(self) -> float:
        return self.now


def test_so_many_pass_at_once_and_then_so_many_a_second() -> None:
    clock = Clock()
    limiter = RateLimiter(3, 2.0, 10, clock)
    assert [limiter.wait_s("a") for _ in range(5)] == [0, 0, 0, 0.5, 0.5]
    assert limiter.wait_s("b") == 0
    clock.now += 0.5
    assert [limiter.wait_s("a") for _ in range(2)] == [0, 0.5]
    clock.now += 1000
    assert [limiter.wait_s("a") for _ in range(4)] == [0, 0, 0, 0.5]


@given(st.lists(st.floats(0, 2), max_size=60), st.integers(1, 5), st.floats(0.5, 4))
def test_no_more_than_the_rate_pass(pauses: list[float], at_once: int, per_s: float) -> None:
    clock = Clock()
    limiter, passed = RateLimiter(at_once, per_s, 10, clock), 0
    for pause in pauses:
        clock.now += pause
        wait_s = limiter.wait_s("a")
        passed += wait_s == 0
        if wait_s > 0:
            clock.now += wait_s + 1e-6
            assert limiter.wait_s("a") == pytest.approx(0)
            passed += 1
    assert passed <= at_once + (clock.now - 100) * per_s + 1


def test_the_sources_remembered_are_bounded() -> None:
    limiter = RateLimiter(1, 1.0, 5, Clock())
    for source in range(100):
        assert limiter.wait_s(str(source)) == 0
        assert len(limiter) <= 5
    assert limiter.wait_s("99") > 0
    assert limiter.wait_s("1") == 0
