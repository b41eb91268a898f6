"""Launcher of several workers on one port: started together, restarted, ended together.

    launcher (holds the sockets, the shared memory and no connection)
    ├── worker 0   accepts from the sockets; an event loop, all models
    └── worker n

A worker says through a pipe that its models are loaded, and begins to accept when the launcher
answers: at the start once all have said so and the launcher listens, later at once. A worker whose
launcher is gone shuts down gracefully; one whose event loop stands still is killed and replaced;
and where no worker can be started any more, the launcher ends too, so that whoever watches it
knows.
"""

import contextlib
import logging
import math
import os
import select
import signal
import time
from types import FrameType

from service.logs.log import log_event
from service.run_directory import RunDirectory
from service.settings import Settings
from service.workers.heartbeat import HeartbeatMonitor
from service.workers.process import GO, GO_AND_ANNOUNCE, WorkerProcess
from service.workers.sockets import Ports, bind_all, listen

FIRST_BACKOFF_S, LONGEST_BACKOFF_S = 0.5, 30.0
STEADY_S = 10.0
"""Seconds after which a worker that dies is restarted at once."""
MARGIN_S = 5.0
"""Seconds beyond drain delay and timeout after which a worker is killed."""
LOOK_S = 1.0
"""Seconds between two looks at the workers and the run directory."""
GIVE_UP = 5
"""Workers in a row that may end before they are loaded, while none serves."""

log = logging.getLogger("service")


def launch(settings: Settings, workers: int, run_directory: RunDirectory) -> int:
    """Run the workers until SIGTERM or SIGINT.

    Return the exit status: 0 then, 1 where no worker can be started.

    Raises:
        SettingsError: the port cannot be had, or the run directory has no room.
    """
    with contextlib.ExitStack() as stack:
        ports = bind_all(settings)
        for one in ports.all:
            stack.enter_context(contextlib.closing(one))
        return _Launcher(settings, workers, run_directory, ports).run()


class _Launcher:
    def __init__(self, settings: Settings, workers: int, run_directory: RunDirectory, ports: Ports) -> None:
        self._settings = settings
        self._count = workers
        self._run_directory = run_directory
        self._ports = ports
        self._heartbeats = HeartbeatMonitor(run_directory, workers, LOOK_S)
        self._workers: dict[int, WorkerProcess] = {}
        self._loaded: set[int] = set()
        self._failed = 0
        self._gone = False
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
        listen(self._settings, self._ports.http)
        for place, worker in self._workers.items():
            worker.answer(GO_AND_ANNOUNCE if place == 0 else GO)
        while not self._stopping and not self._cannot_serve():
            self._wait(self._next_s(), *self._loading())
            self._pass_on_hang_up()
            self._look()
            self._replace_dead()
        self._end()
        return 0 if self._stopping else 1

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
        while not self._stopping:
            loading = self._loading()
            if len(self._loaded) == self._count:
                return True
            for worker in self._workers.values():
                if (status := worker.process.poll()) is not None:
                    if status < 0:  # else it has said why itself
                        sentence = "Worker %d ended with status %d before its models were loaded"
                        log_event(log, logging.CRITICAL, "not_started", sentence, worker.process.pid, status)
                    return False
            self._wait(LOOK_S, *loading)
            self._look()
        return False

    def _loading(self) -> list[int]:
        """Note which workers are loaded, and list the pipes of those that are not yet."""
        open_pipes = {worker.loaded: place for place, worker in self._workers.items() if place not in self._loaded}
        ready, _, _ = select.select(list(open_pipes), [], [], 0)
        for pipe in ready:
            if os.read(pipe, 1):
                self._loaded.add(open_pipes[pipe])
                self._failed = 0
        return [pipe for pipe in open_pipes if pipe not in ready]

    def _look(self) -> None:
        """Kill workers whose event loops stand still, and say so if the run directory has gone."""
        self._heartbeats.look()
        allowed_s = self._settings.worker_timeout_s
        for place, worker in self._workers.items():
            silent_s = self._heartbeats.silent_s(place)
            if allowed_s and silent_s > max(allowed_s, self._heartbeats.allowed_silence_s(place)):
                sentence = "Worker %d has stood still for %.0f s and is killed"
                log_event(
                    log, logging.ERROR, "worker_hung", sentence, worker.process.pid, silent_s,
                    worker=place, worker_pid=worker.process.pid, silent_s=round(silent_s, 1),
                )  # fmt: skip
                worker.process.kill()
                self._heartbeats.expect(place, 0.0)
        if not self._gone and self._run_directory.gone:
            self._gone = True
            log_event(log, logging.ERROR, "run_directory_gone", "%s", self._run_directory.gone_sentence)

    def _cannot_serve(self) -> bool:
        """Tell, and say, that nobody serves and that no worker can be started."""
        if self._workers.keys() & self._loaded:
            return False
        if self._gone and not self._workers:
            reason = f"the run directory {self._run_directory.path} is gone"
        elif self._failed >= GIVE_UP:
            reason = f"{self._failed} in a row ended before they were loaded, each for the reason that it gave"
        else:
            return False
        log_event(log, logging.CRITICAL, "no_workers", "No worker is left, and none can be started: %s", reason)
        return True

    def _start(self, place: int) -> None:
        self._heartbeats.expect(place, self._settings.worker_load_timeout_s)
        self._workers[place] = WorkerProcess(place, self._count, self._run_directory.path, self._ports.all)

    def _replace_dead(self) -> None:
        """Restart dead workers: at once, then after a pause that doubles while they die."""
        for place, worker in list(self._workers.items()):
            if worker.process.poll() is not None:
                self._look()  # without a run directory none can start
                self._failed += place not in self._loaded
                self._forget(place)
                self._plan(place, worker)
        now = time.monotonic()
        for place, due in list(self._due.items()):
            if due <= now and not self._stopping and not self._gone:
                del self._due[place]
                self._start(place)
                self._workers[place].answer(GO)

    def _plan(self, place: int, ended: WorkerProcess) -> None:
        """Log that a worker has ended, and plan when another starts in its place."""
        now, pid, status = time.monotonic(), ended.process.pid, ended.process.returncode
        pause_s = 0.0 if now - ended.started > STEADY_S else self._backoff_s[place]
        self._backoff_s[place] = min(max(2 * pause_s, FIRST_BACKOFF_S), LONGEST_BACKOFF_S)
        self._due[place] = now + pause_s
        then = "none can start" if self._gone else f"another starts in {pause_s:g} s"
        log_event(
            log, logging.ERROR, "worker_ended", "Worker %d ended with status %s; %s", pid, status, then,
            worker=place, worker_pid=pid, exit_status=status, restart_in_s=None if self._gone else pause_s,
        )  # fmt: skip

    def _next_s(self) -> float:
        """Return how long there is nothing to do unless something happens, in seconds."""
        next_due = math.inf if self._gone else min(self._due.values(), default=math.inf)
        return min(max(next_due - time.monotonic(), 0.0), LOOK_S)

    def _forget(self, place: int) -> None:
        worker = self._workers.pop(place)
        self._loaded.discard(place)
        worker.close()

    def _end(self) -> None:
        """Have all workers shut down gracefully, as the signal says.

        Kill those that do not end in time, or at a second signal.
        """
        for one in self._ports.all:  # or connections would wait here where no worker accepts them any more
            one.close()
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
