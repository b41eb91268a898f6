"""Measurements beside the cases.

Start, memory over a million rows, two workers, telemetry's cost, the stages.
"""

import urllib.request
from collections import defaultdict
from collections.abc import Sequence

from benchmarks.bars import Extras
from benchmarks.cases import MANY_ROWS_BINARY, MANY_ROWS_JSON, ONE_ROW_BUSY, Case
from benchmarks.contenders import SERVICE, Contender, service
from benchmarks.servers import Server
from benchmarks.suite import Cores, Entry, Suite

MILLION = 1_000_000
MOST_ROUNDS = 30


def measure(suite: Suite, contenders: Sequence[Contender], repeats: int) -> Extras:
    """Measure all of it on the suite's model; servers run one at a time."""
    return Extras(
        start_cpu_s={contender.name: starts(suite, contender, repeats) for contender in contenders},
        memory_mb=memory(suite),
        workers=workers(suite, repeats),
        telemetry=telemetry(suite, repeats),
        stages_us=stages(suite),
    )


def starts(suite: Suite, contender: Contender, repeats: int) -> list[float]:
    """Start a server some times; CPU seconds of its processes until it is ready."""
    figures = []
    for _ in range(repeats):
        with suite.start([contender]) as entries:
            figures += [entry.server.start_cpu_s for entry in entries.values()]
    suite.say(f"start of {contender.name}: CPU s {figures}")
    return figures


def memory(suite: Suite) -> list[float]:
    """Send a million rows in rounds of every kind.

    Returns a worker's resident memory in MB after each round.
    """
    sizes: list[float] = []
    rows = 0.0
    with suite.start([service(suite.artifact)]) as entries:
        for entry in entries.values():
            while rows < MILLION and len(sizes) < MOST_ROUNDS:
                for case in (ONE_ROW_BUSY, MANY_ROWS_JSON, MANY_ROWS_BINARY):
                    measured = suite.burst(entry, case, 0)
                    rows += measured.rows_per_s * suite.seconds if sizes else 0
                sizes.append(measured.memory_mb)
                suite.say(f"memory after {rows:,.0f} rows beyond the first round: {sizes[-1]:.1f} MB")
    return sizes


def workers(suite: Suite, repeats: int) -> dict[str, list[float]]:
    """Compare two workers on two cores with one on one.

    The load generator keeps to the same core in both.
    """
    both = Suite(suite.artifact, suite.scratch, two_cores(suite.cores), suite.seconds, suite.say)
    ratios: dict[str, list[float]] = defaultdict(list)
    with suite.start([service(suite.artifact)]) as one, both.start([service(suite.artifact, 2)]) as two:
        for repeat in range(repeats):
            for case in (ONE_ROW_BUSY, MANY_ROWS_JSON):
                rates = [s.burst(e[SERVICE], case, repeat).requests_per_s for s, e in ((suite, one), (both, two))]
                ratios[str(case)].append(rates[1] / rates[0])
                suite.say(f"two workers, {case}: {rates[0]:,.0f} -> {rates[1]:,.0f} requests/s")
    return dict(ratios)


def telemetry(suite: Suite, repeats: int) -> dict[str, list[float]]:
    """Compare the service with itself without gate statistics and metrics.

    Returns the share of requests/s that it keeps.

    Told by the CPU time of a request, which is what a busy core's requests/s follow and which
    neighbours hardly touch.
    """
    kept: list[float] = []
    with (
        suite.start([service(suite.artifact)]) as noting,
        suite.start([service(suite.artifact, telemetry=False)]) as silent,
    ):
        for repeat in range(2 * repeats):
            order = (noting, silent) if repeat % 2 else (silent, noting)
            cpu_us = {id(e): suite.burst(e[SERVICE], ONE_ROW_BUSY, repeat).cpu_us for e in order}
            kept.append(cpu_us[id(silent)] / cpu_us[id(noting)])
    suite.say(f"with telemetry over without: {', '.join(f'{share:.3f}' for share in kept)}")
    return {str(ONE_ROW_BUSY): kept}


def two_cores(cores: Cores) -> Cores:
    """Choose the server's second core: the load generator's, unless the machine has a third."""
    import os

    others = sorted(os.sched_getaffinity(0) - cores.server - cores.load)
    return Cores(cores.server | (frozenset(others[:1]) or cores.load), cores.load)


def stages(suite: Suite) -> dict[str, dict[str, float]]:
    """Read the mean time of each stage in microseconds, case by case.

    From the service's metrics.
    """
    figures: dict[str, dict[str, float]] = {}
    with suite.start([service(suite.artifact)]) as entries:
        for entry in entries.values():
            for case in (ONE_ROW_BUSY, MANY_ROWS_JSON, MANY_ROWS_BINARY):
                figures[str(case)] = _stages_of(suite, entry, case)
    return {case: by_stage for case, by_stage in figures.items() if by_stage}


def _stages_of(suite: Suite, entry: Entry, case: Case) -> dict[str, float]:
    before = _read_stages(entry.server)
    suite.burst(entry, case, 0)
    after = _read_stages(entry.server)
    means = {}
    for stage, (total, count) in after.items():
        earlier_total, earlier_count = before.get(stage, (0.0, 0.0))
        if count > earlier_count:
            means[stage] = 1e6 * (total - earlier_total) / (count - earlier_count)
    return means


def _read_stages(server: Server) -> dict[str, tuple[float, float]]:
    with urllib.request.urlopen(f"{server.url}/metrics", timeout=10) as answer:
        return parse_stages(answer.read().decode())


def parse_stages(text: str) -> dict[str, tuple[float, float]]:
    """Sum the histograms labelled stage="..." in a Prometheus text: stage -> (seconds, count)."""
    sums: dict[str, list[float]] = defaultdict(lambda: [0.0, 0.0])
    for line in text.splitlines():
        name, _, value = line.rpartition(" ")
        if 'stage="' not in name or name.startswith("#"):
            continue
        stage = name.split('stage="')[1].split('"')[0]
        metric = name.split("{")[0]
        if metric.endswith("_sum"):
            sums[stage][0] += float(value)
        elif metric.endswith("_count"):
            sums[stage][1] += float(value)
    return {stage: (total, count) for stage, (total, count) in sums.items()}
