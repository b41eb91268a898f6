"""Checks of one worker: a thread each, one child process at a time beside slow ones."""

import contextlib
import threading
import time
from collections.abc import Callable, Iterator
from concurrent.futures import Future, ThreadPoolExecutor
from multiprocessing.connection import Connection
from typing import NamedTuple

from service.errors import ArtifactError
from service.versions.check_turns import POLL_S, CheckTurns
from service.versions.checker import SLOW_S, Checker, CheckRequest, Verdict

MOST_CHECKS = 8
"""Files of one worker that are checked or wait for another worker's check: one at a time, beside
slow ones."""
IDLE_S = 10.0
"""Time for which a child process waits for a next file."""


class Postponed(OSError):
    """Failure by which the system, not the file, kept a model from being proven or loaded.

    It may be tried again.
    """


class Failure(NamedTuple):
    """Why a check gave no result.

    Attributes:
        refused: whether the file is to blame.
        reason: a sentence.
    """

    refused: bool
    reason: str


class Job:
    """A check that goes on in a thread.

    Attributes:
        future: of its end; holds the error that kept the file from being proven, without its
            traceback, which would keep alive whatever was loaded at the time.
        since: when the check itself began, in seconds of the monotonic clock; None while it waits
            for its turn.
    """

    def __init__(self) -> None:
        self.future: Future[Failure | None] = Future()
        self.since: float | None = None

    @property
    def done(self) -> bool:
        """Whether the check has ended."""
        return self.future.done()

    @property
    def slow(self) -> bool:
        """Whether the check takes so long that nobody should wait for it."""
        return self.since is not None and time.monotonic() - self.since > SLOW_S

    def over(self, slow: bool) -> bool:
        """Tell whether the check has ended or, where it was not slow before, become slow."""
        return self.done or (self.slow and not slow)


class BeingChecked(Exception):
    """File that cannot be loaded yet, since its check goes on.

    Attributes:
        job: the check.
        slow: whether it was slow already when this was raised.
    """

    def __init__(self, job: Job) -> None:
        super().__init__("The file is being checked; try again in a moment.")
        self.job, self.slow = job, job.slow


class Checks:
    """Jobs, their threads and their child processes.

    Args:
        target: what a child process runs.

    Attributes:
        ended: called at the end of each job, in its thread.
    """

    def __init__(self, target: Callable[[Connection, int], None]) -> None:
        self.ended: Callable[[], object] = lambda: None
        self._target = target
        self._threads = ThreadPoolExecutor(MOST_CHECKS, thread_name_prefix="check")
        self._guard = threading.Lock()
        self._closed = threading.Event()
        self._turns = CheckTurns()
        self._jobs: dict[str, Job] = {}
        self._idle: list[Checker] = []
        self._busy: set[Checker] = set()

    @property
    def busy(self) -> bool:
        """Whether a child process is there."""
        return bool(self._busy or self._idle)

    def begin(self, key: str, is_known: Callable[[str], bool], run: Callable[[Job], None]) -> Job | None:
        """Return the job of a key, begun now if there is none; None where its result is known.

        Raises:
            Postponed: the service ends.
        """
        with self._guard:
            job = self._jobs.get(key)
            if job is None and not is_known(key):
                self.go_on()
                job = self._jobs[key] = Job()
                self._threads.submit(self._run, job, run)
            return job

    def forget(self, key: str) -> None:
        """Forget a job that is done."""
        with self._guard:
            self._jobs.pop(key, None)

    @contextlib.contextmanager
    def turn(
        self, name: str, go_on: Callable[[], None], slow: Callable[[], None], waits: bool
    ) -> Iterator[Callable[[CheckRequest], Verdict]]:
        """Wait for a turn; gives what has a file checked.

        Args:
            name: of the model.
            go_on: called while waiting; may raise.
            slow: called when the check turns out slow, and no other waits for its end any more.
            waits: False for a check that is known to be slow, and keeps none waiting from the
                beginning.
        """
        if not waits:
            yield lambda asked: self._check(asked, lambda: None)
            return
        with self._turns.turn(name, go_on) as pass_on:

            def turns_out_slow() -> None:
                slow()
                pass_on()

            yield lambda asked: self._check(asked, turns_out_slow)

    def go_on(self) -> None:
        """Raise Postponed if the service ends."""
        if self._closed.is_set():
            raise Postponed("the service ends")

    def wait(self) -> None:
        """Wait a moment, or until the service ends."""
        self._closed.wait(POLL_S)
        self.go_on()

    def tidy(self) -> None:
        """End idle child processes, and forget jobs whose end nobody has asked for."""
        with self._guard:
            idle = [checker for checker in self._idle if checker.idle_s() > IDLE_S]
            self._idle = [checker for checker in self._idle if checker not in idle]
            self._jobs = {key: job for key, job in self._jobs.items() if not job.done}
        for checker in idle:
            checker.end()

    def close(self) -> None:
        """End all jobs and child processes at once."""
        self._closed.set()
        with self._guard:
            for checker in self._busy:
                checker.kill()
        self._threads.shutdown(wait=True, cancel_futures=True)
        for job in self._jobs.values():
            job.future.cancel()
        while self._idle:
            self._idle.pop().end()

    def _run(self, job: Job, run: Callable[[Job], None]) -> None:
        failure = None
        try:
            run(job)
        except Exception as error:
            failure = Failure(isinstance(error, ArtifactError), str(error) or type(error).__name__)
        job.future.set_result(failure)
        self.ended()

    def _check(self, asked: CheckRequest, pass_on: Callable[[], None]) -> Verdict:
        checker = self._take()
        try:
            verdict = checker.check(asked, pass_on)
        finally:
            self._give_back(checker)
        self.go_on()  # the child was ended for that
        return verdict

    def _take(self) -> Checker:
        with self._guard:
            self.go_on()
            idle = self._idle.pop() if self._idle else None
            if idle is not None and idle.ended:
                idle.end()
                idle = None
            checker = idle or Checker(self._target)
            self._busy.add(checker)
            return checker

    def _give_back(self, checker: Checker) -> None:
        with self._guard:
            self._busy.discard(checker)
            if checker.ended:
                checker.end()
            else:
                self._idle.append(checker)
