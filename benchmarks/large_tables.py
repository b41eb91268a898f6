"""Service with a million ids: `python -m benchmarks.large_tables`, or `measure` from elsewhere.

The same network three times: with small vocabularies alone, with ids hashed into a million
buckets, and with a vocabulary of 1.25 million strings. Measured are the start, the memory of each
worker, and one row, by turns on all of them, so that no model is blamed for a busy machine.
"""

import argparse
import http.client
import json
import os
import re
import statistics
import sys
import tempfile
import time
from collections.abc import Iterator, Sequence
from contextlib import ExitStack, closing
from dataclasses import dataclass
from pathlib import Path

from benchmarks import large_models
from benchmarks.bars import Verdict
from benchmarks.large_models import HASHED, SMALL, VOCABULARY
from benchmarks.servers import TICKS, Launch, Server, running

BUCKETS, VALUES = 1_000_000, 1_250_000
START_CPU_S = {HASHED: 3.0, VOCABULARY: 6.0}
MORE_MEMORY_MB, ONE_ROW = 60.0, 1.4
"""Bars: memory of a worker beyond one with a small model; p50 of one row over that model's."""
BURST = 200


@dataclass(frozen=True)
class Measured:
    """Figures of one model with two workers.

    Attributes:
        file_mb: size of the model's file.
        start_s: from start to ready, by the clock.
        worker_cpu_s: processor time of each worker until then.
        start_cpu_s: of all processes, the one that proves the file too.
        anonymous_mb: memory that each worker has for itself alone, after a few rows.
        p50_us: of one row, the median of each turn.
    """

    kind: str
    file_mb: float
    start_s: float
    worker_cpu_s: list[float]
    start_cpu_s: float
    anonymous_mb: list[float]
    p50_us: list[float]


def measure(kinds: Sequence[str], ids: dict[str, int], turns: int, scratch: Path) -> list[Measured]:
    """Start a service of two workers per model, one after the other, and time rows by turns.

    Args:
        kinds: of models; see `large_models.write`.
        ids: buckets or values, by kind.
        turns: of BURST rows for each model.
        scratch: directory for models and logs.

    Raises:
        ServerFailed: a service did not start.
    """
    with ExitStack() as stack:
        started = [_start(stack, kind, ids.get(kind, 0), scratch) for kind in kinds]
        bodies = {kind: list(_bodies(kind, ids.get(kind, 0))) for kind in kinds}
        connections = {
            kind: stack.enter_context(closing(http.client.HTTPConnection("127.0.0.1", server.port)))
            for kind, server, *_ in started
        }
        p50_us: dict[str, list[float]] = {kind: [] for kind in kinds}
        for turn in range(turns + 1):
            for kind, connection in connections.items():
                took = _p50_us(connection, kind, bodies[kind])
                if turn:  # the first warms
                    p50_us[kind].append(took)
        return [
            Measured(kind, mb, server.start_s, cpu, server.start_cpu_s, _anonymous_mb(server), p50_us[kind])
            for kind, server, mb, cpu in started
        ]


def _start(stack: ExitStack, kind: str, ids: int, scratch: Path) -> tuple[str, Server, float, list[float]]:
    path = large_models.write(scratch / kind, kind, ids)
    environment = {
        "MMOE_MODELS": str(path.parents[2]), "MMOE_HOST": "127.0.0.1", "MMOE_PORT": "{port}", "MMOE_WORKERS": "2",
        "MMOE_LOG_LEVEL": "warning",
    }  # fmt: skip
    launch = Launch((sys.executable, "-m", "service"), "/health/ready", environment, timeout_s=300)
    server = stack.enter_context(running(launch, frozenset(os.sched_getaffinity(0)), scratch / f"{kind}.log"))
    return kind, server, path.stat().st_size / 2**20, [_cpu_s(pid) for pid in _workers(server)]


def _workers(server: Server) -> list[int]:
    """List the workers: processes below the launcher, but for the one that proves files."""
    found = []
    for pid in server.processes():
        command = Path(f"/proc/{pid}/cmdline").read_bytes()
        if pid != server.process.pid and b"service" in command and b"multiprocessing" not in command:
            found.append(pid)
    return found


def _cpu_s(pid: int) -> float:
    fields = Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()
    return sum(map(int, fields[11:13])) / TICKS


def _anonymous_mb(server: Server) -> list[float]:
    texts = [Path(f"/proc/{pid}/smaps_rollup").read_text() for pid in _workers(server)]
    return [int(found[1]) / 1024 for text in texts if (found := re.search(r"^Anonymous:\s+(\d+) kB", text, re.M))]


def _bodies(kind: str, ids: int) -> Iterator[bytes]:
    for row in large_models.rows(kind, ids, BURST):
        yield json.dumps({"instances": [row]}).encode()


def _p50_us(connection: http.client.HTTPConnection, kind: str, bodies: Sequence[bytes]) -> float:
    spent: list[float] = []
    for body in bodies:
        started = time.perf_counter()
        connection.request("POST", f"/v1/models/{kind}:predict", body, {"Content-Type": "application/json"})
        answer = connection.getresponse()
        answer.read()
        spent.append(time.perf_counter() - started)
        if answer.status != 200:
            raise RuntimeError(f"{kind}: status {answer.status}")
    return statistics.median(spent) * 1e6


def table(results: Sequence[Measured]) -> str:
    """Write the figures as a table of Markdown, and each bar with its outcome."""
    lines = [
        "| model | file, MB | start, s | CPU a worker, s | of all, s | anonymous memory a worker, MB | p50, us |",
        "|---|---|---|---|---|---|---|",
    ]
    for one in results:
        workers = ", ".join(f"{value:.2f}" for value in one.worker_cpu_s)
        memory = ", ".join(f"{value:.0f}" for value in one.anonymous_mb)
        figures = f"{one.file_mb:.1f} | {one.start_s:.1f} | {workers} | {one.start_cpu_s:.1f} | {memory}"
        lines.append(f"| {one.kind} | {figures} | {statistics.median(one.p50_us):.0f} |")
    told = [f"{v.bar}: {v.measured} ({v.required}): {'met' if v.met else 'MISSED'}" for v in verdicts(results)]
    return "\n".join([*lines, "", *told])


def verdicts(results: Sequence[Measured]) -> Iterator[Verdict]:
    """Judge every model but the small one, which comes first, by its worst worker."""
    small, *others = results
    for one in others:
        more = max(one.anonymous_mb) - min(small.anonymous_mb)
        ratio = statistics.median(a / b for a, b in zip(one.p50_us, small.p50_us, strict=True))
        for what, came, most in (
            ("start to ready, CPU s a worker", max(one.worker_cpu_s), START_CPU_S[one.kind]),
            ("memory of a worker beyond a small model's, MB", more, MORE_MEMORY_MB),
            ("p50 of one row over the small model's", ratio, ONE_ROW),
        ):
            yield Verdict(f"{one.kind}: {what}", f"at most {most:g}", f"{came:.2f}", came <= most)


def main() -> int:
    """Measure, print the table and the bars; return the exit status."""
    parser = argparse.ArgumentParser(prog="python -m benchmarks.large_tables", description=__doc__)
    parser.add_argument("--buckets", type=int, default=BUCKETS, help=f"of the hashed feature ({BUCKETS})")
    parser.add_argument("--values", type=int, default=VALUES, help=f"of the long vocabulary ({VALUES})")
    parser.add_argument("--turns", type=int, default=20, help=f"of {BURST} rows for each model (20)")
    options = parser.parse_args()
    ids = {HASHED: options.buckets, VOCABULARY: options.values}
    with tempfile.TemporaryDirectory(prefix="bench-") as scratch:
        print(table(measure((SMALL, HASHED, VOCABULARY), ids, options.turns, Path(scratch))))
    return 0


if __name__ == "__main__":
    sys.exit(main())
