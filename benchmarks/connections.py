"""Connections among two workers: as the service deals them out, and as the kernel alone would.

    python -m benchmarks.connections [--models DIRECTORY] [--seconds 2] [--repeats 20]

Without dealing, a connection stays with the worker whose socket the kernel's hash has chosen
(SO_REUSEPORT). The contender for that is the same service, started with a `sitecustomize` that has
every worker serve what it accepts. Both run at once and take turns, and pairs of turns are
compared.

- Few long connections: each sends as many requests as the others, one after the other; the time
  until the last has its answers, and the share of the work that fell to the busier worker.
- Many short ones: a connection for every request.
- One worker stopped (SIGSTOP) for longer than it takes to notice: new connections that get an
  answer.
"""

import argparse
import os
import selectors
import signal
import socket
import statistics
import sys
import tempfile
import time
from collections import defaultdict
from collections.abc import Iterator, Mapping
from contextlib import ExitStack, suppress
from dataclasses import replace
from pathlib import Path

from benchmarks.__main__ import cores
from benchmarks.artifacts import find_or_train
from benchmarks.beside import two_cores
from benchmarks.bodies import read_bodies
from benchmarks.cases import DEMO, Case
from benchmarks.contenders import SERVICE, Contender, service
from benchmarks.load import put_load
from benchmarks.suite import Entry, Suite

PLAIN = "plain sockets"
WORKERS = 2
LONG = Case(DEMO, "lists", 64, 8)
REQUESTS = 200
"""Requests of each long connection."""
SHORT = Case(DEMO, "lists", 1, 16)
NOTICED_S = 2.0
"""A worker that was stopped for so long is passed no more connections."""
TRIES, PATIENCE_S = 24, 0.5

_AS_ACCEPTED = """
from service.workers.connections import ConnectionBalancer
ConnectionBalancer._balance = ConnectionBalancer._serve_here
"""


def main() -> int:
    """Measure and print the tables; return the exit status."""
    options = arguments()
    with tempfile.TemporaryDirectory(prefix="bench-") as scratch:
        artifact = find_or_train(DEMO, options.models, Path(scratch))
        say = lambda text: print(text, flush=True)  # noqa: E731
        suite = Suite(artifact, Path(scratch), two_cores(cores()), options.seconds, say)
        dealt = service(artifact, WORKERS)
        with suite.start([dealt, plain(dealt, Path(scratch) / "plain")]) as entries:
            long(suite, entries, options.repeats)
            short(suite, entries, options.repeats)
            for entry in entries.values():
                stopped(entry)
    return 0


def arguments() -> argparse.Namespace:
    """Read the command line."""
    parser = argparse.ArgumentParser(prog="python -m benchmarks.connections", description=__doc__)
    parser.add_argument("--seconds", type=int, default=2, help="length of each burst of short connections (2)")
    parser.add_argument("--repeats", type=int, default=20, help="turns of each contender (20)")
    parser.add_argument("--models", type=Path, default=Path("models"), help="where trained models are, or will be")
    return parser.parse_args()


def plain(dealt: Contender, directory: Path) -> Contender:
    """Make a contender whose workers serve what the kernel gives them."""
    directory.mkdir()
    (directory / "sitecustomize.py").write_text(_AS_ACCEPTED)
    own = {"PYTHONPATH": os.pathsep.join((str(directory), os.getcwd())), "OPENBLAS_NUM_THREADS": "1"}
    launch = replace(dealt.launch, environment={**dealt.launch.environment, **own})
    return replace(dealt, name=PLAIN, launch=launch)


def long(suite: Suite, entries: Mapping[str, Entry], repeats: int) -> None:
    """Have every connection send its share, on both by turns.

    Print times, latencies and shares.
    """
    took, worst, busier = (defaultdict[str, list[float]](list) for _ in range(3))
    body = read_bodies(suite.bodies(LONG))[0].content
    os.sched_setaffinity(0, suite.cores.load)
    for entry in _turns(entries, repeats):
        name, before = entry.contender.name, _cpu_ticks(entry)
        head = f"POST {entry.contender.paths['lists']} HTTP/1.1\r\nHost: 127.0.0.1\r\n"
        head += f"Content-Type: application/json\r\nContent-Length: {len(body)}\r\n\r\n"
        started, latencies = time.monotonic(), send(entry.server.port, head.encode() + body)
        took[name].append(time.monotonic() - started)
        worst[name].append(1e3 * statistics.quantiles(latencies, n=100)[98])
        ticks = [after - was for was, after in zip(before, _cpu_ticks(entry), strict=True)]
        busier[name].append(max(ticks) / sum(ticks))
    for name in entries:
        figures = f"s {_spread(took[name], 2)}; p99 ms {_spread(worst[name], 1)}; busier {_spread(busier[name], 2)}"
        suite.say(f"{LONG.connections} connections, {REQUESTS} requests each: {name:14} {figures}")
    suite.say(f"plain over dealt, by pairs: s {_spread(_ratios(took), 2)}; p99 {_spread(_ratios(worst), 2)}")


def send(port: int, request: bytes) -> list[float]:
    """Send REQUESTS on each of some connections, one after the other.

    Return the seconds of each.
    """
    latencies: list[float] = []
    with selectors.DefaultSelector() as selector, ExitStack() as stack:
        for _ in range(LONG.connections):
            connection = stack.enter_context(socket.create_connection(("127.0.0.1", port)))
            selector.register(connection, selectors.EVENT_READ, [REQUESTS, time.monotonic()])
            connection.sendall(request)
        while selector.get_map():
            for key, _ in selector.select():
                _receive(key.fileobj)  # type: ignore[arg-type]
                left, sent = key.data
                latencies.append(time.monotonic() - sent)
                if left == 1:
                    selector.unregister(key.fileobj)
                    continue
                key.data[:] = left - 1, time.monotonic()
                key.fileobj.sendall(request)  # type: ignore[union-attr]
    return latencies


def short(suite: Suite, entries: Mapping[str, Entry], repeats: int) -> None:
    """Put load on both by turns, a connection a request; print rates and latencies."""
    rate, worst = (defaultdict[str, list[float]](list) for _ in range(2))
    for entry in _turns(entries, repeats):
        url = entry.server.url + entry.contender.paths[SHORT.form]
        load = put_load(
            url, suite.bodies(SHORT), "application/json", connections=SHORT.connections, seconds=suite.seconds,
            cpus=suite.cores.load, close=True,
        )  # fmt: skip
        rate[entry.contender.name].append(load.requests_per_s)
        worst[entry.contender.name].append(load.p99_ms)
    for name in entries:
        suite.say(f"a connection a request: {name:14} /s {_spread(rate[name], 0)}; p99 ms {_spread(worst[name], 1)}")
    suite.say(f"plain over dealt, by pairs: /s {_spread(_ratios(rate), 2)}; p99 {_spread(_ratios(worst), 2)}")


def stopped(entry: Entry) -> None:
    """Stop one worker, and count how many of some new connections are answered meanwhile."""
    worker = _workers(entry)[0]
    os.kill(worker, signal.SIGSTOP)
    try:
        time.sleep(NOTICED_S)
        answered = sum(_answers(entry.server.port) for _ in range(TRIES))
    finally:
        os.kill(worker, signal.SIGCONT)
    print(f"one of {WORKERS} workers stopped: {entry.contender.name:14} answers {answered} of {TRIES} new connections")


def _receive(connection: socket.socket) -> None:
    answer = connection.recv(1 << 20)
    while (end := answer.find(b"\r\n\r\n")) < 0 or len(answer) < end + 4 + _length(answer):
        answer += connection.recv(1 << 20)
    assert answer.startswith(b"HTTP/1.1 200"), answer[:200]


def _length(answer: bytes) -> int:
    return int(answer.lower().partition(b"content-length:")[2].split()[0])


def _turns(entries: Mapping[str, Entry], repeats: int) -> Iterator[Entry]:
    for repeat in range(repeats):
        order = list(entries.values())
        yield from order if repeat % 2 else order[::-1]


def _ratios(figures: Mapping[str, list[float]]) -> list[float]:
    return [plain / dealt for plain, dealt in zip(figures[PLAIN], figures[SERVICE], strict=True)]


def _workers(entry: Entry) -> list[int]:
    return [pid for pid in entry.server.processes() if b"--worker" in Path(f"/proc/{pid}/cmdline").read_bytes()]


def _cpu_ticks(entry: Entry) -> list[int]:
    stats = (Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split() for pid in sorted(_workers(entry)))
    return [int(stat[11]) + int(stat[12]) for stat in stats]


def _answers(port: int) -> bool:
    with suppress(OSError), socket.create_connection(("127.0.0.1", port), timeout=PATIENCE_S) as connection:
        connection.sendall(b"GET /health/live HTTP/1.1\r\nHost: 127.0.0.1\r\nConnection: close\r\n\r\n")
        return connection.recv(12).endswith(b"200")
    return False


def _spread(values: list[float], digits: int) -> str:
    low, middle, high = min(values), statistics.median(values), max(values)
    return f"{middle:,.{digits}f} ({low:,.{digits}f} to {high:,.{digits}f})"


if __name__ == "__main__":
    sys.exit(main())
