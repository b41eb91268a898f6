"""Child process that proves model files, so that no broken file disturbs a worker.

    worker --path--> child: read, load, golden rows, warm, all outputs --verdict--> worker

What the child does is in proof.py.
"""

import contextlib
import json
import math
import multiprocessing
import os
import signal
import time
from collections.abc import Callable
from multiprocessing.connection import Connection
from pathlib import Path
from typing import NamedTuple

SLOW_S = 5.0
"""A check that has gone on for so long keeps no other file, and no worker that starts, waiting any
longer."""
PATIENCE = 2
"""Ratio of a check's time by the clock to its processor time, at most."""
_ANSWER_BYTES = 1 << 20
_START_S, _ENDING_S = 60.0, 5.0
SMALLER = "Export a smaller model, or raise MMOE_{}."
_FROM_OUTSIDE = {signal.SIGKILL, signal.SIGTERM, signal.SIGINT, signal.SIGHUP, signal.SIGQUIT}


class CheckLimits(NamedTuple):
    """Bounds of one check.

    Attributes:
        memory_bytes: that loading and warming a model may take at its peak.
        timeout_s: seconds of processor time that it may take, and half of the seconds by the
            clock.
    """

    memory_bytes: int = 2 << 30
    timeout_s: float = 30.0


class CheckRequest(NamedTuple):
    """One file to check.

    Attributes:
        path: of the file.
        name: under which it is to be served.
        saved: directory for the optimised graphs; "" saves none.
        largest_batch: rows of the largest run to warm with.
        limits: of processor time and memory for this check.
    """

    path: str
    name: str
    saved: str
    largest_batch: int
    limits: CheckLimits


class Verdict(NamedTuple):
    """Result of a check.

    Attributes:
        reason: why the file must not be served; None where it may.
        lasting: whether that lies in the file; otherwise the system was at fault and the file is
            to be tried again.
        last: whether the child ends after it.
    """

    reason: str | None
    lasting: bool = True
    last: bool = False


class Checker:
    """Handle of a child process; for one thread at a time, but for `kill`.

    The child gets its death signal when the thread that started it ends, so that thread must live
    as long as it.

    Args:
        target: what the child runs.

    Raises:
        OSError: the system starts no process.
    """

    def __init__(self, target: Callable[[Connection, int], None]) -> None:
        context = multiprocessing.get_context("spawn")  # a forked child would hold the sockets and locks of the worker
        self._connection, theirs = context.Pipe()
        self._process = context.Process(target=target, args=(theirs, os.getpid()), daemon=True, name="checker")
        try:
            self._process.start()
        except BaseException:
            self._connection.close()
            raise
        finally:
            theirs.close()
        self._used, self._started, self._last_one = time.monotonic(), False, False

    @property
    def pid(self) -> int | None:
        """Id of the process."""
        return self._process.pid

    @property
    def ended(self) -> bool:
        """Whether the process is there no more, or is about to end."""
        return self._last_one or not self._process.is_alive()

    def idle_s(self) -> float:
        """Return how long ago it was used, in seconds."""
        return time.monotonic() - self._used

    def check(self, asked: CheckRequest, slow: Callable[[], object] = lambda: None) -> Verdict:
        """Have a file checked; `slow` is called when that has gone on for SLOW_S."""
        longest_s = PATIENCE * asked.limits.timeout_s
        try:
            if not self._has_started():
                self.kill()
                return Verdict(f"The process that checks files did not start within {_START_S:g} s.", False)
            before_s = _processor_s(self._process.pid)
            self._connection.send_bytes(json.dumps(asked).encode())
            answered = self._connection.poll(min(SLOW_S, longest_s))
            if not answered:
                slow()
                answered = self._connection.poll(max(longest_s - SLOW_S, 0))
            if answered:
                verdict = Verdict(*json.loads(self._connection.recv_bytes(_ANSWER_BYTES)))
                self._last_one = verdict.last
                return verdict
        except (EOFError, OSError, ValueError, TypeError):
            return self._verdict_of_end(asked.limits)
        finally:
            self._used = time.monotonic()
        busy_s = _processor_s(self._process.pid) - before_s
        self.kill()
        if busy_s < asked.limits.timeout_s / 2:
            return Verdict(f"Checking the file did not end within {longest_s:g} s, for want of processor time.", False)
        return Verdict(_too_long(asked.limits))

    def kill(self) -> None:
        """End the process at once."""
        self._process.kill()

    def end(self) -> None:
        """End the process, if it has not ended, and give back what it held."""
        self._process.kill()
        self._process.join()
        self._process.close()
        self._connection.close()

    def _has_started(self) -> bool:
        """Wait until the process has all that it needs; False if that takes too long."""
        if not self._started and self._connection.poll(_START_S):
            self._connection.recv_bytes(_ANSWER_BYTES)
            self._started = True
        return self._started

    def _verdict_of_end(self, limits: CheckLimits) -> Verdict:
        """Return the verdict on a file whose check ended the process."""
        self._process.join(_ENDING_S)
        self._process.kill()  # it may have answered what cannot be read
        self._process.join()
        status = self._process.exitcode or 0
        if -status == signal.SIGXCPU:
            return Verdict(_too_long(limits))
        how = signal.Signals(-status).name if status < 0 else f"status {status}"
        if -status in _FROM_OUTSIDE:
            return Verdict(f"The process that checked the file was ended from outside, by {how}: out of memory?", False)
        return Verdict(f"Checking the file ended the process that checked it, with {how}. Export the model again.")


def _processor_s(pid: int | None) -> float:
    """Return the processor time that a process has used, in seconds.

    NaN where the system does not tell.
    """
    with contextlib.suppress(OSError):
        fields = Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()
        return (int(fields[11]) + int(fields[12])) / os.sysconf("SC_CLK_TCK")
    return math.nan


def _too_long(limits: CheckLimits) -> str:
    return f"Checking the file takes longer than {limits.timeout_s:g} s. {SMALLER.format('CHECK_TIMEOUT_S')}"
