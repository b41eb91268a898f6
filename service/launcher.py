"""Run several worker processes on one port: start them together, restart one that dies, end them together.

    launcher (holds the port, the shared memory and no request)
    ├── worker 0   a socket of its own on the port, an event loop, all models
    └── worker n

A worker says through a pipe that its models are loaded, and begins to listen when the launcher answers: at the start
once all have said so, later at once. A worker whose launcher is gone drains and ends.
"""

import contextlib
import logging
import math
import os
import select
import signal
import subprocess
import sys
import time
from pathlib import Path
from types import FrameType
from typing import NamedTuple

from service.logs import log_event
from service.settings import Settings
from service.sockets import Address, addresses, bind, reserve

FIRST_BACKOFF_S, LONGEST_BACKOFF_S = 0.5, 30.0
STEADY_S = 10.0
"""A worker that lived so long is restarted at once when it dies."""
MARGIN_S = 5.0
"""How long after drain delay and timeout a worker may still live before it is killed."""

GO, GO_AND_ANNOUNCE = b"g", b"a"
"""What the launcher answers a loaded worker; to one of them the second, so that the service is announced once."""

log = logging.getLogger("service")


class WorkerPipes(NamedTuple):
    """Hold a worker's file descriptors: where to say that it is loaded, where to wait for the answer, its sockets."""

    loaded: int
    go: int
    sockets: tuple[int, ...]


class _Worker(NamedTuple):
    process: subprocess.Popen[bytes]
    loaded: int
    go: int
    started: float


def launch(settings: Settings, workers: int, run_directory: Path) -> int:
    """Run the workers until SIGTERM or SIGINT; return the exit status.

    Raises:
        SettingsError: the port cannot be had.
    """
    with contextlib.ExitStack() as stack:
        reserved = []
        for address in addresses(settings):
            made = stack.enter_context(contextlib.closing(reserve(address)))
            reserved.append(address._replace(port=int(made.getsockname()[1])))
        return _Launcher(settings, workers, run_directory, reserved).run()


class _Launcher:
    def __init__(self, settings: Settings, workers: int, run_directory: Path, reserved: list[Address]) -> None:
        self._settings = settings
        self._count = workers
        self._run_directory = run_directory
        self._addresses = reserved
        self._workers: dict[int, _Worker] = {}
        self._due: dict[int, float] = {}
        self._backoff_s = [0.0] * workers
        self._stopping = 0
        self._asked = signal.SIGTERM
        self._hung_up = False
        self._wake_read, self._wake_write = os.pipe()
        os.set_blocking(self._wake_write, False)
        os.set_blocking(self._wake_read, False)

    def run(self) -> int:
        """Start, watch, end."""
        for number in (signal.SIGTERM, signal.SIGINT, signal.SIGHUP, signal.SIGCHLD):
            signal.signal(number, self._on_signal)
        signal.set_wakeup_fd(self._wake_write, warn_on_full_buffer=False)
        for place in range(self._count):
            self._start(place)
        if not self._all_loaded():
            self._end()
            return 0 if self._stopping else 1
        for place, worker in self._workers.items():
            _write(worker.go, GO_AND_ANNOUNCE if place == 0 else GO)
        while not self._stopping:
            self._wait(self._next_due_s())
            self._pass_on_hang_up()
            self._replace_dead()
        self._end()
        return 0

    def _on_signal(self, number: int, frame: FrameType | None) -> None:
        if number in (signal.SIGTERM, signal.SIGINT):
            self._stopping += 1
            self._asked = signal.Signals(number)
        elif number == signal.SIGHUP:
            self._hung_up = True

    def _pass_on_hang_up(self) -> None:
        if self._hung_up:
            self._hung_up = False
            for worker in self._workers.values():
                worker.process.send_signal(signal.SIGHUP)

    def _wait(self, timeout_s: float | None, *pipes: int) -> list[int]:
        """Sleep until a signal, a pipe or the timeout; return the pipes that have something."""
        ready, _, _ = select.select([self._wake_read, *pipes], [], [], timeout_s)
        if self._wake_read in ready:
            os.read(self._wake_read, 4096)
        return [pipe for pipe in ready if pipe != self._wake_read]

    def _all_loaded(self) -> bool:
        """Wait until every worker is loaded; False if one ended instead, or a signal came."""
        missing = {worker.loaded for worker in self._workers.values()}
        while missing and not self._stopping:
            for pipe in self._wait(None, *missing):
                if not os.read(pipe, 1):
                    return False
                missing.discard(pipe)
        return not self._stopping

    def _start(self, place: int) -> None:
        """Start a worker on sockets of its own; the launcher keeps none, so that a dead one's connections end."""
        loaded_read, loaded_write = os.pipe()
        go_read, go_write = os.pipe()
        with contextlib.ExitStack() as stack:
            made = [stack.enter_context(contextlib.closing(bind(a, shared=True))) for a in self._addresses]
            sockets = [one.fileno() for one in made]
            arguments = map(str, (place, self._count, self._run_directory, loaded_write, go_read, *sockets))
            process = subprocess.Popen(
                [sys.executable, "-m", "service", "--worker", *arguments],
                pass_fds=[loaded_write, go_read, *sockets],
                start_new_session=True,
            )
        os.close(loaded_write)
        os.close(go_read)
        self._workers[place] = _Worker(process, loaded_read, go_write, time.monotonic())

    def _replace_dead(self) -> None:
        """Restart workers that died: at once, and after a pause that doubles while they keep dying."""
        now = time.monotonic()
        for place, worker in list(self._workers.items()):
            if worker.process.poll() is not None:
                self._forget(place)
                steady = now - worker.started > STEADY_S
                pause_s = 0.0 if steady else self._backoff_s[place]
                self._backoff_s[place] = min(max(2 * pause_s, FIRST_BACKOFF_S), LONGEST_BACKOFF_S)
                self._due[place] = now + pause_s
                ended, status = worker.process.pid, worker.process.returncode
                log_event(
                    log, logging.ERROR, "worker_ended", "Worker %d ended with status %s; another starts in %g s",
                    ended, status, pause_s, worker=place, worker_pid=ended, exit_status=status, restart_in_s=pause_s,
                )  # fmt: skip
        for place, due in list(self._due.items()):
            if due <= now and not self._stopping:
                del self._due[place]
                self._start(place)
                _write(self._workers[place].go, GO)

    def _next_due_s(self) -> float | None:
        return max(min(self._due.values()) - time.monotonic(), 0.0) if self._due else None

    def _forget(self, place: int) -> None:
        worker = self._workers.pop(place)
        os.close(worker.loaded)
        os.close(worker.go)

    def _end(self) -> None:
        """Have all workers drain, as the signal says; kill those that do not end in time, or at a second signal."""
        for worker in self._workers.values():
            worker.process.send_signal(self._asked)
        deadline = time.monotonic() + self._settings.drain_delay_s + self._settings.drain_timeout_s + MARGIN_S
        while any(worker.process.poll() is None for worker in self._workers.values()):
            left_s = deadline - time.monotonic()
            if left_s <= 0 or self._stopping > 1:
                for worker in self._workers.values():
                    worker.process.kill()
            self._wait(max(left_s, 0.1))
        for place in list(self._workers):
            self._forget(place)


def usable_cores(root: Path = Path("/sys/fs/cgroup"), own: Path = Path("/proc/self/cgroup")) -> int:
    """Count the cores that this process may use: its affinity, and the quota of its control group; at least 1."""
    cores = len(os.sched_getaffinity(0)) if hasattr(os, "sched_getaffinity") else os.cpu_count() or 1
    return max(int(min(cores, _quota(root, own))), 1)


def _quota(root: Path, own: Path) -> float:
    """Return the cores that the quotas of this process's control groups allow, of version 2 and 1; infinite if none."""
    least = math.inf
    with contextlib.suppress(OSError, ValueError):
        for line in own.read_text().splitlines():
            _, controllers, path = line.split(":", 2)
            if controllers and "cpu" not in controllers.split(","):
                continue
            base = root if not controllers else root / "cpu"
            group = base / path.lstrip("/")
            for place in (group, *group.parents):
                if not place.is_relative_to(base):
                    break
                least = min(least, _quota_of(place))
    return least


def _quota_of(group: Path) -> float:
    with contextlib.suppress(OSError, ValueError):
        quota, period = (group / "cpu.max").read_text().split()
        return math.inf if quota == "max" else int(quota) / int(period)
    with contextlib.suppress(OSError, ValueError):
        quota_us = int((group / "cpu.cfs_quota_us").read_text())
        return math.inf if quota_us <= 0 else quota_us / int((group / "cpu.cfs_period_us").read_text())
    return math.inf


def _write(pipe: int, message: bytes) -> None:
    with contextlib.suppress(BrokenPipeError):
        os.write(pipe, message)
