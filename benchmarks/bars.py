"""Bars that the service has to clear, each with its measurement; none is loosened here."""

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, field

from benchmarks import cases
from benchmarks.cases import Case
from benchmarks.contenders import BY_HAND, FLOOR, OURS, RAW, SERVICE
from benchmarks.results import Measurement, Spread, contenders_of, ratio, select

PEER_ONE_ROW, PEER_MANY_ROWS = 1.5, 2.4
"""Best real peers on record, over the service by hand.

Triton with dynamic batching, and KServe's Python server on V1. They stand in where no peer was
measured in the same run.
"""

FLAT_MB = 2.0
"""Growth of resident memory over the million rows that still counts as flat, in MB."""


@dataclass(frozen=True)
class Extras:
    """Measurements beside the cases; empty where there are none.

    Attributes:
        start_cpu_s: CPU time from start to ready, one figure per start.
        memory_mb: resident memory of a worker after each round of load, the last after a million
            rows or more.
        workers: requests/s of two workers over those of one, by case.
        telemetry: share of requests/s kept with gate statistics and metrics, by case.
        stages_us: mean time of each stage by case, as the service itself counts it.
    """

    start_cpu_s: Mapping[str, list[float]] = field(default_factory=dict)
    memory_mb: list[float] = field(default_factory=list)
    workers: Mapping[str, list[float]] = field(default_factory=dict)
    telemetry: Mapping[str, list[float]] = field(default_factory=dict)
    stages_us: Mapping[str, Mapping[str, float]] = field(default_factory=dict)


@dataclass(frozen=True)
class Verdict:
    """Outcome of one bar.

    Attributes:
        met: by the median; None if it was not measured.
    """

    bar: str
    required: str
    measured: str
    met: bool | None


def judge(results: Sequence[Measurement], extras: Extras) -> list[Verdict]:
    """Compare what was measured with every bar."""
    return [*_against_servers(results), *_against_peers(results), *_alone(extras)]


def _against_servers(results: Sequence[Measurement]) -> Iterator[Verdict]:
    rate, rows_per_s = (lambda m: m.requests_per_s), (lambda m: m.rows_per_s)
    busy, alone, many = cases.ONE_ROW_BUSY, cases.ONE_ROW_ALONE, cases.MANY_ROWS_JSON
    yield _least(f"{busy}: requests/s over by hand", 7, ratio(results, busy, SERVICE, BY_HAND, rate))
    yield _least(f"{busy}: p99 of by hand over ours", 7, ratio(results, busy, BY_HAND, SERVICE, lambda m: m.p99_ms))
    yield _least(f"{busy}: requests/s over the floor", 0.75, ratio(results, busy, SERVICE, FLOOR, rate))
    yield _most(f"{alone}: p50 over the floor", 1.35, ratio(results, alone, SERVICE, FLOOR, lambda m: m.p50_ms))
    yield _least(f"{many}: rows/s over by hand", 5, ratio(results, many, SERVICE, BY_HAND, rows_per_s))
    binary, strings = cases.MANY_ROWS_BINARY, cases.STRINGS_BUSY
    yield _least(f"{binary}: rows/s over raw onnxruntime", 0.85, ratio(results, binary, SERVICE, RAW, rows_per_s))
    yield _least(f"{strings}: requests/s over the floor", 0.5, ratio(results, strings, SERVICE, FLOOR, rate))


def _against_peers(results: Sequence[Measurement]) -> Iterator[Verdict]:
    for case, least, recorded in (
        (cases.ONE_ROW_BUSY, 4.5, PEER_ONE_ROW),
        (cases.MANY_ROWS_JSON, 2.0, PEER_MANY_ROWS),
    ):
        stand_in = ratio(results, case, SERVICE, BY_HAND, lambda m: m.requests_per_s)
        if stand_in is not None:
            over = Spread.of(figure / recorded for figure in (stand_in.median, stand_in.least, stand_in.most))
            yield _least(f"{case}: over the best peer on record ({recorded:g} times by hand)", least, over)
        peer = best_peer(results, case)
        if peer is not None:
            yield _least(f"{case}: over the best peer here ({peer[0]})", least, peer[1])


def best_peer(results: Sequence[Measurement], case: Case) -> tuple[str, Spread] | None:
    """Find the real peer that serves these rows fastest in any form, and our rate over its."""
    ours = {m.repeat: m.requests_per_s for m in select(results, case, SERVICE)}
    found: list[tuple[str, Spread]] = []
    for other in dict.fromkeys(m.case for m in results):
        if (other.model, other.rows, other.connections) != (case.model, case.rows, case.connections):
            continue
        for name in contenders_of(results, other):
            theirs = {m.repeat: m.requests_per_s for m in select(results, other, name) if not m.failed}
            shared = ours.keys() & theirs.keys()
            if name not in OURS and shared:
                found.append((f"{name}, {other.form}", Spread.of(ours[r] / theirs[r] for r in shared)))
    return min(found, key=lambda pair: pair[1].median) if found else None


def _alone(extras: Extras) -> Iterator[Verdict]:
    for case, ratios in extras.workers.items():
        yield _least(f"{case}: two workers over one", 1.8, Spread.of(ratios))
    for case, shares in extras.telemetry.items():
        yield _least(f"{case}: with telemetry over without", 0.97, Spread.of(shares))
    if own := extras.start_cpu_s.get(SERVICE):
        yield _most("start to ready, demo model: CPU seconds", 1.0, Spread.of(own))
    if extras.memory_mb:
        first, last = extras.memory_mb[0], extras.memory_mb[-1]
        words = f"{first:.1f} MB at first, {last:.1f} MB at the end"
        yield Verdict("resident memory over a million rows", "flat", words, last - first <= FLAT_MB)
        largest = max(extras.memory_mb)
        yield Verdict("resident memory of a worker", "under 120 MB", f"{largest:.1f} MB", largest < 120)


def _least(bar: str, least: float, measured: Spread | None) -> Verdict:
    met = None if measured is None else measured.median >= least
    return Verdict(bar, f"at least {least:g}", "not measured" if measured is None else str(measured), met)


def _most(bar: str, most: float, measured: Spread | None) -> Verdict:
    met = None if measured is None else measured.median <= most
    return Verdict(bar, f"at most {most:g}", "not measured" if measured is None else str(measured), met)
