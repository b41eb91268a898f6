from dataclasses import replace

import pytest

from benchmarks.bars import Extras, Verdict, best_peer, judge
from benchmarks.cases import MANY_ROWS_BINARY, ONE_ROW_ALONE, ONE_ROW_BUSY, QUICK, Case
from benchmarks.contenders import BY_HAND, FLOOR, RAW, SERVICE
from benchmarks.results import Measurement


def _measured(contender: str, case: Case, requests_per_s: float, repeat: int = 0, ms: float = 1.0) -> Measurement:
    return Measurement(
        contender, case.model, case.form, case.rows, case.connections, repeat, requests_per_s, ms, ms, 0, 1.0, 0.3, 80.0
    )  # fmt: skip


def _verdict(verdicts: list[Verdict], words: str) -> Verdict:
    (found,) = [verdict for verdict in verdicts if words in verdict.bar]
    return found


def test_nothing_measured_meets_no_bar() -> None:
    verdicts = judge([], Extras())
    assert verdicts
    assert all(verdict.met is None for verdict in verdicts)


@pytest.mark.parametrize(("rate", "met"), [(7_500, True), (7_490, False)])
def test_three_quarters_of_the_floor_is_the_bar(rate: float, met: bool) -> None:
    results = [_measured(SERVICE, ONE_ROW_BUSY, rate), _measured(FLOOR, ONE_ROW_BUSY, 10_000)]
    assert _verdict(judge(results, Extras()), f"{ONE_ROW_BUSY}: requests/s over the floor").met is met


@pytest.mark.parametrize(("ms", "met"), [(1.35, True), (1.36, False)])
def test_p50_alone_may_be_a_third_above_the_floor(ms: float, met: bool) -> None:
    results = [_measured(SERVICE, ONE_ROW_ALONE, 1, ms=ms), _measured(FLOOR, ONE_ROW_ALONE, 1, ms=1.0)]
    assert _verdict(judge(results, Extras()), "p50 over the floor").met is met


def test_ratios_pair_the_same_repeat() -> None:
    rates = [(700, 100), (1400, 200), (80, 10)]  # the machine was twice as fast once, and ten times slower once
    results = [_measured(SERVICE, ONE_ROW_BUSY, ours, repeat) for repeat, (ours, _) in enumerate(rates)]
    results += [_measured(BY_HAND, ONE_ROW_BUSY, theirs, repeat) for repeat, (_, theirs) in enumerate(rates)]
    verdict = _verdict(judge(results, Extras()), "requests/s over by hand")
    assert (verdict.measured, verdict.met) == ("7 (7 to 8)", True)


def test_rows_are_compared_with_raw_onnxruntime() -> None:
    results = [_measured(SERVICE, MANY_ROWS_BINARY, 86), _measured(RAW, MANY_ROWS_BINARY, 100)]
    assert _verdict(judge(results, Extras()), "over raw onnxruntime").met is True


def test_the_best_peer_is_the_fastest_in_any_form() -> None:
    other_form = replace(ONE_ROW_BUSY, form="binary")
    results = [_measured(SERVICE, ONE_ROW_BUSY, 900), _measured("slow", ONE_ROW_BUSY, 100)]
    results += [_measured("fast", other_form, 300), _measured(BY_HAND, ONE_ROW_BUSY, 800)]
    peer = best_peer(results, ONE_ROW_BUSY)
    assert peer is not None
    assert (peer[0], peer[1].median) == ("fast, binary", 3.0)


def test_a_peer_that_answers_errors_is_not_compared() -> None:
    results = [_measured(SERVICE, ONE_ROW_BUSY, 900), replace(_measured("broken", ONE_ROW_BUSY, 5000), failed=3)]
    assert best_peer(results, ONE_ROW_BUSY) is None


@pytest.mark.parametrize(("sizes", "flat", "small"), [([80.0, 81.0], True, True), ([110.0, 121.0], False, False)])
def test_memory_has_to_be_flat_and_small(sizes: list[float], flat: bool, small: bool) -> None:
    verdicts = judge([], Extras(memory_mb=sizes))
    assert _verdict(verdicts, "over a million rows").met is flat
    assert _verdict(verdicts, "of a worker").met is small


def test_start_and_workers_are_judged_by_their_medians() -> None:
    verdicts = judge([], Extras(start_cpu_s={SERVICE: [0.9, 0.95, 3.0]}, workers={"one row": [1.7, 1.9, 1.9]}))
    assert _verdict(verdicts, "CPU seconds").met is True
    assert _verdict(verdicts, "two workers").met is True


def test_the_quick_cases_are_all_that_the_bars_need() -> None:
    results = [_measured(name, case, 1) for case in QUICK for name in (SERVICE, FLOOR, BY_HAND, RAW)]
    unmeasured = [verdict.bar for verdict in judge(results, Extras()) if verdict.met is None]
    assert unmeasured == ["start to ready, demo model: CPU seconds"] * bool(unmeasured)
