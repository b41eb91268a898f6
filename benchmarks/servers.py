"""Servers on given cores: start, wait for an answer, watch CPU time and memory, end."""

import os
import signal
import socket
import subprocess
import time
import urllib.error
import urllib.request
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from dataclasses import dataclass, field
from pathlib import Path

TICKS = os.sysconf("SC_CLK_TCK")
PAGE_MB = os.sysconf("SC_PAGE_SIZE") / 2**20


class ServerFailed(RuntimeError):
    """Server that ended or did not answer in time; the text has the end of its log."""


@dataclass(frozen=True)
class Launch:
    """Start of one server; {port} in the command and the environment is filled in.

    Attributes:
        ready: path that answers 200 once requests may be sent.
    """

    command: tuple[str, ...]
    ready: str
    environment: dict[str, str] = field(default_factory=dict)
    timeout_s: float = 60.0


@dataclass
class Server:
    """Running server: a process and its descendants in a session of their own.

    Attributes:
        start_s: wall time from start to the first answer on the ready path.
        start_cpu_s: CPU time of the whole tree until then.
    """

    process: subprocess.Popen[bytes]
    port: int
    start_s: float = 0.0
    start_cpu_s: float = 0.0

    @property
    def url(self) -> str:
        """Return the server's root URL."""
        return f"http://127.0.0.1:{self.port}"

    def processes(self) -> list[int]:
        """List the process and its descendants that are alive."""
        children: dict[int, list[int]] = {}
        for entry in Path("/proc").iterdir():
            if entry.name.isdigit():
                with suppress(OSError, IndexError):
                    children.setdefault(int(_stat(int(entry.name))[1]), []).append(int(entry.name))
        found, turn = [], [self.process.pid]
        while turn:
            found.append(turn.pop())
            turn += children.get(found[-1], [])
        return found

    def cpu_s(self) -> float:
        """Sum the CPU time of the tree, ended children that were waited for included."""
        total = 0
        for pid in self.processes():
            with suppress(OSError):
                total += sum(int(value) for value in _stat(pid)[11:15])
        return total / TICKS

    def memory_mb(self) -> list[float]:
        """List the resident memory of each process in MB (2**20 bytes), largest first."""
        sizes = []
        for pid in self.processes():
            with suppress(OSError):
                sizes.append(int(Path(f"/proc/{pid}/statm").read_text().split()[1]) * PAGE_MB)
        return sorted(sizes, reverse=True)

    def pin(self, cpus: frozenset[int]) -> None:
        """Pin every thread to the cores.

        Onnxruntime's default pool moves its threads off the inherited ones.
        """
        for pid in self.processes():
            for thread in _threads(pid):
                with suppress(OSError):
                    os.sched_setaffinity(thread, cpus)

    def signal(self, number: signal.Signals) -> None:
        """Send a signal to every process of the tree."""
        for pid in self.processes():
            with suppress(ProcessLookupError):
                os.kill(pid, number)


@contextmanager
def running(launch: Launch, cpus: frozenset[int], log: Path) -> Iterator[Server]:
    """Start a server pinned to cores, yield it when it answers, end its whole tree on the way out.

    Raises:
        ServerFailed: it ended or did not answer within its time.
    """
    port = free_port()
    command = [part.replace("{port}", str(port)) for part in launch.command]
    environment = os.environ | {key: value.replace("{port}", str(port)) for key, value in launch.environment.items()}
    cores = ",".join(str(cpu) for cpu in sorted(cpus))
    with log.open("wb") as output:
        process = subprocess.Popen(
            ["taskset", "-c", cores, *command], stdout=output, stderr=subprocess.STDOUT, env=environment,
            start_new_session=True,
        )  # fmt: skip
    server = Server(process, port)
    try:
        _wait(server, launch, log)
        server.pin(cpus)
        yield server
    finally:
        _end(server)


def free_port() -> int:
    """Ask the system for a port that nobody listens on."""
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        return int(probe.getsockname()[1])


def alive(pid: int) -> bool:
    """Check whether a process runs; one that has ended and was not waited for does not."""
    try:
        return _stat(pid)[0] != "Z"
    except OSError:
        return False


def _wait(server: Server, launch: Launch, log: Path) -> None:
    started = time.monotonic()
    while time.monotonic() - started < launch.timeout_s:
        if server.process.poll() is not None:
            raise ServerFailed(f"{launch.command[0]} ended with {server.process.returncode}: {_tail(log)}")
        with suppress(urllib.error.URLError, OSError), urllib.request.urlopen(server.url + launch.ready, timeout=2):
            server.start_s, server.start_cpu_s = time.monotonic() - started, server.cpu_s()
            return
        time.sleep(0.02)
    raise ServerFailed(f"{launch.command[0]} did not answer on {launch.ready} in {launch.timeout_s:g} s: {_tail(log)}")


def _end(server: Server) -> None:
    family = server.processes()
    server.process.terminate()
    with suppress(subprocess.TimeoutExpired):
        server.process.wait(timeout=10)
    for pid in family:
        with suppress(ProcessLookupError, OSError):
            if os.getsid(pid) == server.process.pid:  # still ours: the number was not given to another process
                os.kill(pid, signal.SIGKILL)
    server.process.wait()
    deadline = time.monotonic() + 5
    while any(alive(pid) for pid in family) and time.monotonic() < deadline:
        time.sleep(0.01)


def _stat(pid: int) -> list[str]:
    return Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()


def _threads(pid: int) -> list[int]:
    with suppress(OSError):
        return [int(entry.name) for entry in Path(f"/proc/{pid}/task").iterdir()]
    return []


def _tail(log: Path) -> str:
    return log.read_text(errors="replace")[-1500:].strip()
