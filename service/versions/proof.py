"""Proof of model files within limits: what the child process runs for `checker.py`.

It bounds its own memory, processor time and file size, yields to whoever wants the processor, is
the first that the system ends where memory is short, and dies with the worker that started it.
"""

import contextlib
import ctypes
import gc
import json
import math
import os
import re
import resource
import signal
from multiprocessing.connection import Connection
from pathlib import Path

from service.artifact.file import golden_inputs
from service.artifact.manifest import GATE_WEIGHTS
from service.errors import ArtifactError
from service.inference.features import Batch
from service.inference.lean_model import LEAN, MODEL, forget_stored
from service.inference.predictor import Predictor
from service.inference.session import runtime
from service.versions.checker import SMALLER, CheckLimits, CheckRequest, Verdict

NICENESS = 5
_SLACK_BYTES = 256 << 20
"""Memory that may be reserved beyond the budget; what counts is what is used."""
_PR_SET_PDEATHSIG = 1
_NO_MEMORY = re.compile(r"bad_alloc|[Ff]ailed to allocate")


def check_files(connection: Connection, parent: int) -> None:
    """Run as the child: answer what comes on the connection until that ends."""
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
        asked = CheckRequest(path, name, saved, largest_batch, CheckLimits(*limits))
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

    def limit(self, limits: CheckLimits) -> None:
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
        """Return the most that was ever used beyond the first, in bytes.

        0 where the system does not tell.
        """
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


def _verdict(asked: CheckRequest) -> Verdict:
    """Prove a file; what can be saved of it is saved."""
    if asked.saved:
        try:
            _prove(asked, Path(asked.saved))
        except Exception:
            forget_stored(Path(asked.saved))
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


def _prove(asked: CheckRequest, save: Path | None) -> None:
    """Load a file as a worker would, and compute every output once, on-demand ones too.

    With a directory to save to, what remains there is what workers load.
    """
    predictor = Predictor.load(Path(asked.path), asked.name, asked.largest_batch, save=save)
    if predictor.manifest.has_gates:
        rows = Batch.of_inputs(golden_inputs(predictor.manifest), predictor.manifest.golden.rows)
        predictor.run(rows, frozenset({GATE_WEIGHTS}))
        predictor.contributions(rows)
    if save is not None and (save / LEAN).exists():
        (save / MODEL).unlink()


def _too_much(limits: CheckLimits) -> str:
    return f"Loading the model takes more than {limits.memory_bytes} bytes. {SMALLER.format('MODEL_MEMORY_BYTES')}"
