"""Batcher: every caller gets its own rows, however they arrive, on a clock that tests move."""

import asyncio
from itertools import chain
from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from service.errors import DeadlineExceeded, Overloaded
from service.inference.lane import Lane, Limits
from tests.support.virtual_batcher import BadRowError, Bench, Rows, Runs, doubled


def test_a_lone_request_does_not_wait() -> None:
    bench = Bench()
    rows = bench.rows(3)
    assert bench.ask_all([rows]) == [doubled(rows)]
    assert bench.loop.time() == 0.0
    bench.assert_idle()


def test_requests_of_one_turn_share_a_run() -> None:
    bench = Bench()
    asked = [bench.rows(n) for n in (1, 5, 2)]
    assert bench.ask_all(asked) == [doubled(r) for r in asked]
    assert bench.runs.seen == [[1, 5, 2]]


def test_requests_read_while_others_are_parsed_share_their_run() -> None:
    bench = Bench()

    async def two_turns() -> None:
        first = asyncio.ensure_future(bench.ask(bench.rows(1)))
        await asyncio.sleep(0)
        await asyncio.gather(first, bench.ask(bench.rows(2)))

    bench.play(two_turns())
    assert bench.runs.seen == [[1, 2]]


def test_requests_one_at_a_time_run_without_a_turn_between_until_two_meet() -> None:
    bench = Bench()

    async def conversation() -> list[bool]:
        await bench.ask(bench.rows(1))
        at_once = []
        for together in (1, 1, 2, 2, 1, 1):
            asking = [asyncio.ensure_future(bench.ask(bench.rows(1))) for _ in range(together)]
            await asyncio.sleep(0)
            at_once.append(asking[0].done())
            await asyncio.gather(*asking)
            await asyncio.sleep(0)
        return at_once

    assert bench.play(conversation()) == [True, True, True, False, False, True]
    assert bench.runs.seen == [[1], [1], [1], [1], [1], [1, 1], [1], [1]]


def test_a_request_run_at_once_is_checked_like_any_other() -> None:
    bench = Bench()

    async def one_by_one() -> None:
        await bench.ask(bench.rows(1))
        with pytest.raises(BadRowError):
            await bench.ask(bench.rows(1, bad=True))
        await asyncio.sleep(0)
        with pytest.raises(DeadlineExceeded):
            await bench.lane.submit(bench.rows(1), 1, bench.loop.time() - 1, 0.5)
        await asyncio.sleep(0)
        with pytest.raises(RuntimeError, match="rows"):
            await bench.lane.submit(bench.rows(2), 1, bench.loop.time(), 0.5)

    bench.play(one_by_one())
    assert bench.runs.seen == [[1], [1], [2]]


def test_a_batch_is_never_overfilled_and_a_larger_request_runs_alone() -> None:
    bench = Bench(Limits(batch_rows=10, threads=4), inline_rows=10)
    asked = [bench.rows(n) for n in (4, 6, 7, 25, 4, 1)]
    assert bench.ask_all(asked) == [doubled(r) for r in asked]
    assert sorted(bench.runs.seen) == [[4, 1], [4, 6], [7], [25]]


def test_large_runs_go_to_as_many_threads_as_there_are() -> None:
    bench = Bench(Limits(threads=2), inline_rows=10, run_s=0.01)
    asked = [bench.rows(300) for _ in range(6)]
    assert bench.ask_all(asked) == [doubled(r) for r in asked]
    assert bench.threads.most_busy == 2
    assert bench.loop.time() == pytest.approx(0.03)
    bench.assert_idle()


def test_small_requests_pass_large_ones_that_wait_for_a_thread() -> None:
    bench = Bench(inline_rows=10)

    async def small_after_large() -> float:
        large = [asyncio.ensure_future(bench.ask(bench.rows(300))) for _ in range(3)]
        await asyncio.sleep(0.001)
        await bench.ask(bench.rows(1))
        answered = bench.loop.time()
        await asyncio.gather(*large)
        return answered

    assert bench.play(small_after_large()) == pytest.approx(0.001)


def test_a_long_flush_lets_the_loop_do_other_things_in_between() -> None:
    bench = Bench(Limits(batch_rows=10), inline_rows=10)
    log: list[str] = []

    def slow(items: list[Rows]) -> list[list[int]]:
        bench.loop.pass_time(0.0015)
        log.append("run")
        return bench.runs(items)

    lane: Lane[Rows, list[int]] = bench.batcher.lane(slow, 10)

    async def ask() -> None:
        await lane.submit(bench.rows(10), 10, bench.loop.time(), 9.0)
        log.append("answered")

    async def eight() -> None:
        await asyncio.gather(*(ask() for _ in range(8)))

    bench.play(eight())
    assert log[:4] == ["run", "run", "answered", "answered"]
    assert log.count("run") == log.count("answered") == 8
    bench.assert_idle()


def test_what_waited_for_a_thread_is_joined_when_one_is_free() -> None:
    bench = Bench(Limits(batch_rows=100), inline_rows=10)
    bench.ask_all([bench.rows(300), *(bench.rows(20) for _ in range(5))])
    assert bench.runs.seen == [[300], [20] * 5]


def test_a_bad_request_fails_alone() -> None:
    bench = Bench()
    good, bad, other = bench.rows(2), bench.rows(3, bad=True), bench.rows(4)
    answers = bench.ask_all([good, bad, other])
    assert answers[0] == doubled(good)
    assert isinstance(answers[1], BadRowError)
    assert answers[2] == doubled(other)
    assert bench.runs.seen == [[2, 3, 4], [2], [3], [4]]


def test_a_cancelled_request_is_not_run() -> None:
    bench = Bench()

    async def cancel_one() -> list[int]:
        gone = asyncio.ensure_future(bench.ask(bench.rows(5)))
        await asyncio.sleep(0)  # it has submitted, and the flush comes later
        gone.cancel()
        return await bench.ask(bench.rows(1))

    assert bench.play(cancel_one()) == [10]
    assert bench.runs.seen == [[1]]
    bench.assert_idle()


def test_a_request_that_waited_too_long_is_not_run() -> None:
    bench = Bench(inline_rows=10, run_s=1.0)
    first, second = bench.ask_all([bench.rows(300), bench.rows(300)], timeout_s=0.5)
    assert isinstance(first, list)
    assert isinstance(second, DeadlineExceeded)
    assert second.timeout_s == 0.5
    assert bench.runs.seen == [[300]]
    bench.assert_idle()


def test_beyond_the_bound_a_request_is_refused_at_once_and_told_when_to_return() -> None:
    bench = Bench(Limits(queue_rows=1000), inline_rows=10, run_s=0.25)

    async def overload() -> tuple[int, list[float]]:
        refused: list[float] = []

        async def client() -> int:
            answered = 0
            while bench.loop.time() < 5.0:
                try:
                    answered += len(await bench.ask(bench.rows(250)))
                except Overloaded as error:
                    refused.append(error.retry_after_s)
                    await asyncio.sleep(0.1)
            return answered

        return sum(await asyncio.gather(*(client() for _ in range(20)))), refused

    answered, refused = bench.play(overload())
    assert answered >= 250 * 20  # 4 runs a second, all the while
    assert refused
    assert set(refused[-20:]) == {1}  # at 1,000 rows a second the thousand that may wait are done in one
    bench.assert_idle()


def test_retry_after_follows_the_rate_measured() -> None:
    bench = Bench(Limits(queue_rows=1000, batch_rows=100), inline_rows=10, run_s=1.0)

    async def slow() -> float:
        waiting = [asyncio.ensure_future(bench.ask(bench.rows(100))) for _ in range(10)]
        await asyncio.sleep(3.5)
        waiting += [asyncio.ensure_future(bench.ask(bench.rows(100))) for _ in range(4)]
        await asyncio.sleep(0)
        with pytest.raises(Overloaded) as caught:
            await bench.ask(bench.rows(1))
        await asyncio.gather(*waiting)
        return caught.value.retry_after_s

    assert bench.play(slow()) == 10  # a thousand rows wait, at a hundred a second


def test_a_short_wait_fills_a_batch_but_a_full_one_goes_at_once() -> None:
    bench = Bench(Limits(batch_rows=4, wait_us=5000))

    async def trickle() -> list[float]:
        async def one(delay: float) -> float:
            await asyncio.sleep(delay)
            await bench.ask(bench.rows(1))
            return bench.loop.time()

        return list(await asyncio.gather(*(one(d) for d in (0.0, 0.002, 0.010, 0.011, 0.012, 0.013))))

    assert bench.play(trickle()) == pytest.approx([0.005, 0.005, 0.013, 0.013, 0.013, 0.013])
    assert bench.runs.seen == [[1, 1], [1] * 4]


@pytest.mark.parametrize("wrong", [[[1.0]], [[1.0], [2.0, 3.0]], []])
def test_rows_out_must_be_rows_in(wrong: list[list[float]]) -> None:
    bench = Bench()
    lane: Lane[int, list[float]] = bench.batcher.lane(lambda items: wrong, 100)

    async def ask() -> list[list[float] | BaseException]:
        return await asyncio.gather(*(lane.submit(0, 2, 0.0, 9.0) for _ in range(2)), return_exceptions=True)

    for answer in bench.play(ask()):
        assert isinstance(answer, RuntimeError)
        assert "rows" in str(answer)


def test_lanes_share_the_bound_and_the_threads_but_no_run() -> None:
    bench = Bench(Limits(queue_rows=600), inline_rows=10)
    other_runs = Runs()
    other: Lane[Rows, list[int]] = bench.batcher.lane(other_runs, 10)

    async def both() -> None:
        mine = [asyncio.ensure_future(bench.lane.submit(bench.rows(n), n, 0.0, 9.0)) for n in (1, 298)]
        theirs = [asyncio.ensure_future(other.submit(bench.rows(n), n, 0.0, 9.0)) for n in (1, 300)]
        await asyncio.sleep(0)
        with pytest.raises(Overloaded):
            await other.submit(bench.rows(1), 1, 0.0, 9.0)
        await asyncio.gather(*mine, *theirs)

    bench.play(both())
    assert sorted(bench.runs.seen) == [[1], [298]]
    assert sorted(other_runs.seen) == [[1], [300]]
    assert bench.threads.most_busy == 1


def test_the_observer_is_told_of_every_run() -> None:
    told: list[tuple[int, int, float, float]] = []

    class Notebook:
        def ran(self, requests: int, rows: int, queue_s: float, run_s: float) -> None:
            told.append((requests, rows, queue_s, run_s))

    bench = Bench(observer=Notebook(), inline_rows=10)
    bench.ask_all([bench.rows(1), bench.rows(2), bench.rows(50)])
    assert [(requests, rows) for requests, rows, _, _ in told] == [(3, 53)]


def test_results_are_shown_but_no_failures() -> None:
    bench = Bench()
    shown: list[list[int]] = []
    lane: Lane[Rows, list[int]] = bench.batcher.lane(bench.runs, 100, lambda results: shown.append([*chain(*results)]))

    async def ask() -> None:
        asked = [bench.rows(2), bench.rows(1, bad=True), bench.rows(1)]
        await asyncio.gather(*(lane.submit(r, len(r.values), 0.0, 9.0) for r in asked), return_exceptions=True)
        await lane.submit(bench.rows(1), 1, 0.0, 9.0)
        await lane.submit(bench.rows(1), 1, 0.0, 9.0)

    bench.play(ask())
    assert shown == [[0, 2, 6], [8], [10]]


requests = st.fixed_dictionaries(
    {
        "at": st.integers(0, 20),
        "rows": st.integers(1, 40),
        "bad": st.booleans(),
        "timeout": st.sampled_from([1, 10, 1000]),
        "cancel": st.none() | st.integers(0, 10),
    }
)
limits = st.builds(
    Limits,
    queue_rows=st.sampled_from([40, 100, 10_000]),
    batch_rows=st.integers(1, 50),
    threads=st.integers(1, 3),
    wait_us=st.sampled_from([0, 0, 3000]),
)


@settings(max_examples=300, deadline=None)
@given(st.lists(requests, max_size=25), limits, st.integers(0, 50), st.sampled_from([0.0, 0.004]))
def test_every_caller_gets_exactly_its_own_rows(
    asked: list[dict[str, Any]], bounds: Limits, inline_rows: int, run_s: float
) -> None:
    bench = Bench(bounds, inline_rows, run_s)
    outcomes: list[str] = []

    async def caller(request: dict[str, Any]) -> None:
        await asyncio.sleep(request["at"] / 1000)
        rows = bench.rows(request["rows"], request["bad"])
        asking = asyncio.ensure_future(bench.ask(rows, request["timeout"] / 1000))
        if request["cancel"] is not None:
            bench.loop.call_later(request["cancel"] / 1000, asking.cancel)
        try:
            assert await asking == doubled(rows)
            assert not rows.bad
            outcomes.append("answered")
        except (BadRowError, Overloaded, DeadlineExceeded) as error:
            outcomes.append(type(error).__name__)
            mine = not isinstance(error, BadRowError) or (rows.bad and error.args == (rows.values,))
            assert mine, "another caller's error"
        except asyncio.CancelledError:
            assert request["cancel"] is not None
            outcomes.append("cancelled")

    async def everybody() -> None:
        await asyncio.gather(*(caller(request) for request in asked))
        await asyncio.sleep(1)  # what was cancelled in a thread ends too

    bench.play(everybody())
    assert len(outcomes) == len(asked)
    bench.assert_idle()
    for run in bench.runs.seen:
        assert run
        assert len(run) == 1 or sum(run) <= bounds.batch_rows
    assert bench.threads.most_busy <= bounds.threads
