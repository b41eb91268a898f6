"""Child process that proves model files, so that neither a broken file nor its loading disturbs a worker.

    worker --path--> child: read, load, answer the golden rows, warm, all outputs --verdict--> worker

The child lives under limits of memory, processor time and file size, yields to whoever wants the processor, is the
first that the system ends where memory is short, and dies with the worker that started it.
"""

import contextlib
import ctypes
import gc
import json
import math
import multiprocessing
import os
import re
import resource
import signal
import time
from collections.abc import Callable
from multiprocessing.connection import Connection
from pathlib import Path
from typing import NamedTuple

from service.artifact import GATE_WEIGHTS, golden_inputs
from service.errors import ArtifactError
from service.features import Batch
from service.predictor import Predictor
from service.session import runtime

SLOW_S = 5.0
"""A check that has gone on for so long keeps no other file, and no worker that starts, waiting any longer."""
PATIENCE = 2
"""How many times the processor time allowed a check may take by the clock, where others use the processor."""
NICENESS = 10
_SLACK_BYTES = 256 << 20
"""Memory that may be reserved beyond the budget; what counts is what is used."""
_ANSWER_BYTES = 1 << 20
_START_S, _ENDING_S = 60.0, 5.0
_PR_SET_PDEATHSIG = 1
_FROM_OUTSIDE = {signal.SIGKILL, signal.SIGTERM, signal.SIGINT, signal.SIGHUP, signal.SIGQUIT}
_NO_MEMORY = re.compile(r"bad_alloc|[Ff]ailed to allocate")


class Limits(NamedTuple):
    """Bounds of one check.

    Attributes:
        memory_bytes: that loading and warming a model may take at its peak.
        timeout_s: seconds of processor time that it may take, and half of the seconds by the clock.
    """

    memory_bytes: int = 2 << 30
    timeout_s: float = 30.0


class Asked(NamedTuple):
    """One file to check.

    Attributes:
        path: of the file.
        name: under which it is to be served.
        saved: directory for the optimised graphs; "" saves none.
        largest_batch: rows of the largest run to warm with.
        limits: of the check.
    """

    path: str
    name: str
    saved: str
    largest_batch: int
    limits: Limits


class Verdict(NamedTuple):
    """Result of a check.

    Attributes:
        reason: why the file must not be served; None where it may.
        lasting: whether that lies in the file; otherwise the system was at fault and the file is to be tried again.
        last: whether the child ends after it.
    """

    reason: str | None
    lasting: bool = True
    last: bool = False


class Checker:
    """Handle of a child process; for one thread at a time, but for `kill`.

    The child gets its death signal when the thread that started it ends, so that thread must live as long as it.

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

    def check(self, asked: Asked, slow: Callable[[], object] = lambda: None) -> Verdict:
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
            return self._epitaph(asked.limits)
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

    def _epitaph(self, limits: Limits) -> Verdict:
        """Say why the process ended before it answered."""
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


_SMALLER = "Export a smaller model, or raise MMOE_{}."


def check_files(connection: Connection, parent: int) -> None:
    """Be the child: answer what is asked on the connection until it ends."""
    _die_with(parent)
    signal.signal(signal.SIGINT, signal.SIG_IGN)  # of a terminal, which the worker gets too
    os.dup2(2, 1)
    with contextlib.suppress(OSError):
        os.nice(NICENESS)
        Path("/proc/self/oom_score_adj").write_text("1000")
    runtime()
    memory = _Memory()
    connection.send_bytes(b"ready")
    while True:
        try:
            path, name, saved, largest_batch, limits = json.loads(connection.recv_bytes())
        except EOFError:
            return
        asked = Asked(path, name, saved, largest_batch, Limits(*limits))
        memory.limit(asked.limits)
        verdict = _verdict(asked)
        if memory.used_bytes() > asked.limits.memory_bytes:
            verdict = Verdict(_too_much(asked.limits), last=True)  # a peak is never forgotten
        connection.send_bytes(json.dumps(verdict).encode())
        if verdict.last:
            return


def _die_with(parent: int) -> None:
    """Ask for a death signal; end at once where the parent is gone already."""
    with contextlib.suppress(OSError, AttributeError):  # not Linux: the end of the connection ends it, between checks
        ctypes.CDLL(None).prctl(_PR_SET_PDEATHSIG, signal.SIGKILL)
    if os.getppid() != parent:
        os._exit(0)


class _Memory:
    """Memory of this process beyond what it had when this was made."""

    def __init__(self) -> None:
        self._first_bytes, self._first_data = _status_bytes("VmHWM"), _status_bytes("VmData")

    def limit(self, limits: Limits) -> None:
        """Bound what the next check may take; without dumping any of it to disk."""
        gc.collect()
        with contextlib.suppress(OSError, AttributeError):
            ctypes.CDLL(None).malloc_trim(0)
        used_s = sum(resource.getrusage(resource.RUSAGE_SELF)[:2])
        _lower(resource.RLIMIT_CPU, math.ceil(used_s + limits.timeout_s))
        _lower(resource.RLIMIT_DATA, self._first_data + limits.memory_bytes + _SLACK_BYTES)
        _lower(resource.RLIMIT_FSIZE, limits.memory_bytes)
        _lower(resource.RLIMIT_CORE, 0)

    def used_bytes(self) -> int:
        """Return the most that was ever used beyond the first, in bytes; 0 where the system does not tell."""
        return _status_bytes("VmHWM") - self._first_bytes


def _lower(limit: int, most: int) -> None:
    """Set the soft limit, within the hard one."""
    _, hard = resource.getrlimit(limit)
    with contextlib.suppress(OSError, ValueError):
        resource.setrlimit(limit, (most if hard == resource.RLIM_INFINITY else min(most, hard), hard))


def _status_bytes(field: str) -> int:
    with contextlib.suppress(OSError):
        found = re.search(rf"^{field}:\s+(\d+) kB", Path("/proc/self/status").read_text(), re.MULTILINE)
        return int(found[1]) << 10 if found else 0
    return 0


def _processor_s(pid: int | None) -> float:
    """Return the processor time that a process has used, in seconds; NaN where the system does not tell."""
    with contextlib.suppress(OSError):
        fields = Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()
        return (int(fields[11]) + int(fields[12])) / os.sysconf("SC_CLK_TCK")
    return math.nan


def _verdict(asked: Asked) -> Verdict:
    """Prove a file; what can be saved of it is saved."""
    if asked.saved:
        try:
            _prove(asked, Path(asked.saved))
        except Exception:
            for file in Path(asked.saved).glob("*.ort"):
                file.unlink()
        else:
            return Verdict(None)
    try:  # it may have been the saving that failed, for want of room
        _prove(asked, None)
    except MemoryError:
        return Verdict(_too_much(asked.limits))
    except ArtifactError as error:
        return Verdict(_too_much(asked.limits) if _NO_MEMORY.search(str(error)) else str(error))
    except OSError as error:
        return Verdict(f"{type(error).__name__}: {error}", False)
    except Exception as error:  # whatever a file provokes
        if _NO_MEMORY.search(str(error)):
            return Verdict(_too_much(asked.limits))
        return Verdict(f"Loading failed unexpectedly: {type(error).__name__}: {error}")
    return Verdict(None)


def _prove(asked: Asked, save: Path | None) -> None:
    """Load a file as a worker would, and compute every output once, those too that are made on demand."""
    predictor = Predictor.load(Path(asked.path), asked.name, asked.largest_batch, save=save)
    if predictor.manifest.has_gates:
        inputs = golden_inputs(predictor.manifest)
        rows = Batch(inputs.get("numeric"), inputs.get("categorical"), predictor.manifest.golden.rows)
        predictor.run(rows, frozenset({GATE_WEIGHTS}))
        predictor.contributions(rows)


def _too_long(limits: Limits) -> str:
    return f"Checking the file takes longer than {limits.timeout_s:g} s. {_SMALLER.format('CHECK_TIMEOUT_S')}"


def _too_much(limits: Limits) -> str:
    return f"Loading the model takes more than {limits.memory_bytes} bytes. {_SMALLER.format('MODEL_MEMORY_BYTES')}"
