"""Suite of cases: all servers are up at once and take turns, so that drift hits all."""

import json
import signal
import subprocess
import sys
import time
import urllib.error
import urllib.request
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import ExitStack, contextmanager
from dataclasses import dataclass
from pathlib import Path

from benchmarks.artifacts import Artifact
from benchmarks.bodies import Body, content_type, read_bodies, write_bodies
from benchmarks.cases import Case
from benchmarks.contenders import RAW, Contender
from benchmarks.load import Load, put_load
from benchmarks.results import Measurement
from benchmarks.servers import Server, ServerFailed, running

Say = Callable[[str], None]
WARM_UP_REQUESTS = 32


@dataclass(frozen=True)
class Cores:
    """Cores of the servers and of the load generator."""

    server: frozenset[int]
    load: frozenset[int]


@dataclass(frozen=True)
class Entry:
    """Contender with its running server."""

    contender: Contender
    server: Server


class Suite:
    """Servers measured on one model; the first's answers set the size of the floor's."""

    def __init__(self, artifact: Artifact, scratch: Path, cores: Cores, seconds: float, say: Say) -> None:
        self.artifact = artifact
        self.scratch = scratch
        self.cores = cores
        self.seconds = seconds
        self.say = say
        self.failures: list[str] = []
        self._answer_bytes: dict[str, int] = {}

    @contextmanager
    def start(self, contenders: Sequence[Contender]) -> Iterator[dict[str, Entry]]:
        """Start all servers; one that fails is left out with a sentence."""
        with ExitStack() as stack:
            entries: dict[str, Entry] = {}
            for contender in contenders:
                log = self.scratch / f"{self.artifact.name}-{contender.name.replace(' ', '-')}.log"
                try:
                    server = stack.enter_context(running(contender.launch, self.cores.server, log))
                except ServerFailed as error:
                    self.say(f"left out: {contender.name}: {error}")
                    self.failures.append(contender.name)
                    continue
                entries[contender.name] = Entry(contender, server)
                if contender.restless:
                    server.signal(signal.SIGSTOP)
            yield entries

    def run(self, entries: Mapping[str, Entry], cases: Sequence[Case], repeats: int) -> list[Measurement]:
        """Put load on every server that takes a case's form.

        In turns that shift with each repeat.
        """
        results: list[Measurement] = []
        for repeat in range(repeats):
            for case in cases:
                turn = [entry for entry in entries.values() if case.form in entry.contender.paths]
                shift = repeat % max(1, len(turn))
                for entry in turn[shift:] + turn[:shift]:
                    results += self._try_burst(entry, case, repeat)
                if case.form == "binary":
                    results.append(self._raw(case, repeat))
                    self.say(line(results[-1]))
        return results

    def _try_burst(self, entry: Entry, case: Case, repeat: int) -> list[Measurement]:
        try:
            measured = self.burst(entry, case, repeat)
        except (OSError, ServerFailed) as error:
            self.say(f"left out: {entry.contender.name}, {case}: {error}")
            self.failures.append(entry.contender.name)
            return []
        self.say(line(measured))
        return [measured]

    def burst(self, entry: Entry, case: Case, repeat: int, *, load_cores: frozenset[int] | None = None) -> Measurement:
        """Warm one server up with a few requests, then measure it for the suite's seconds."""
        server, bodies = entry.server, self.bodies(case)
        server.signal(signal.SIGCONT)
        url = server.url + self._path(entry, case)
        self._warm_up(entry, case, url)
        started, cpu_s = time.monotonic(), server.cpu_s()
        load = put_load(
            url, bodies, content_type(case.form), connections=case.connections, seconds=self.seconds,
            cpus=load_cores or self.cores.load,
        )  # fmt: skip
        share = (server.cpu_s() - cpu_s) / (time.monotonic() - started)
        memory = server.memory_mb()[0]
        if entry.contender.restless:
            server.signal(signal.SIGSTOP)
        return _measurement(entry.contender.name, case, repeat, load, share, memory)

    def bodies(self, case: Case) -> Path:
        """Write the bodies of a form and a number of rows once."""
        path = self.scratch / f"{case.model}-{case.form}-{case.rows}.bodies"
        if not path.exists():
            write_bodies(self.artifact, case.rows, case.form, path)
        return path

    def _path(self, entry: Entry, case: Case) -> str:
        size = self._answer_bytes.get(f"{case.form}-{case.rows}", 64 * case.rows)
        return entry.contender.paths[case.form].replace("{answer_bytes}", str(size))

    def _warm_up(self, entry: Entry, case: Case, url: str) -> None:
        bodies = read_bodies(self.bodies(case))
        for turn in range(min(WARM_UP_REQUESTS, max(4, 2048 // case.rows))):
            answer = post(url, bodies[turn % len(bodies)], content_type(case.form))
        if "{answer_bytes}" not in entry.contender.paths[case.form]:
            self._answer_bytes.setdefault(f"{case.form}-{case.rows}", len(answer))

    def _raw(self, case: Case, repeat: int) -> Measurement:
        core = ",".join(str(cpu) for cpu in sorted(self.cores.server))
        command = ["taskset", "-c", core, sys.executable, "-m", "benchmarks.raw", str(self.artifact.plain)]
        command += [str(self.bodies(case)), str(self.seconds)]
        run = subprocess.run(command, capture_output=True, text=True, check=True, timeout=self.seconds + 60)
        figures = json.loads(run.stdout)
        run_ms = 1e3 / figures["runs_per_s"]
        load = Load(figures["runs_per_s"], run_ms, run_ms, 0, 0, 0.0)
        return _measurement(RAW, case, repeat, load, figures["cpu_share"], figures["memory_mb"])


def post(url: str, body: Body, media_type: str) -> bytes:
    """Send one body and return the answer.

    Raises:
        ServerFailed: any status but 200; the message holds the answer.
    """
    headers = {"Content-Type": media_type}
    if body.header_bytes is not None:
        headers["Inference-Header-Content-Length"] = str(body.header_bytes)
    request = urllib.request.Request(url, body.content, headers)
    try:
        with urllib.request.urlopen(request, timeout=30) as answer:
            return bytes(answer.read())
    except urllib.error.HTTPError as error:
        raise ServerFailed(f"{url} answered {error.code}: {error.read()[:500].decode(errors='replace')}") from error


def line(m: Measurement) -> str:
    """Format a measurement as a line."""
    failed = f"  FAILED {m.failed}" if m.failed else ""
    return (
        f"{m.repeat + 1}  {m.case!s:58} {m.contender:16} {m.requests_per_s:9,.0f}/s  p50 {m.p50_ms:8.3f}  "
        f"p99 {m.p99_ms:8.3f} ms  {m.cpu_us:7.1f} us CPU  server {m.server_share:4.2f}  "
        f"load {m.generator_share:4.2f}{failed}"
    )


def _measurement(
    contender: str, case: Case, repeat: int, load: Load, server_share: float, memory_mb: float
) -> Measurement:
    return Measurement(
        contender, case.model, case.form, case.rows, case.connections, repeat, load.requests_per_s, load.p50_ms,
        load.p99_ms, load.refused + load.broken, server_share, load.generator_share, memory_mb,
    )  # fmt: skip
