"""Check new model files in a process of their own, so that neither a broken file nor its loading disturbs a worker.

The process loads a file as a worker would: manifest, graph, sessions, golden rows, warming. What it optimised on the
way it leaves in the run directory, from where every worker then opens its sessions in a fraction of the time; a file
that is refused is refused once for all workers. One worker at a time has it done, the others find the result.

    worker --path--> process: Predictor.load, saved --reason, or none--> worker: Predictor.load_saved

The process starts with the first new file, ends when it has had nothing to do for a while, and costs what a worker
costs as long as it lives. It yields to whoever wants the processor.
"""

import contextlib
import fcntl
import hashlib
import json
import logging
import os
import select
import shutil
import signal
import subprocess
import sys
import time
from collections.abc import Iterator, Sequence
from pathlib import Path

from service.disk import fingerprint
from service.errors import ArtifactError
from service.logs import log_event
from service.predictor import Predictor

CHECK_TIMEOUT_S = 120.0
"""A file that takes longer is refused."""
IDLE_S = 10.0
"""How long the process waits for a next file."""
KEPT_S = 60.0
"""How long the other workers have to open what was saved; later they do without."""
NICENESS = 10

COMMAND = (sys.executable, "-m", "service", "--check")
_FOLDER = "prepared"
_REFUSED = "refused"
_REFUSALS_KEPT = 200


log = logging.getLogger("service")


class Preparation:
    """Load model files that were checked by another process before; for one thread at a time.

    Args:
        directory: shared by the workers.
        largest_batch: rows of the largest run to warm with.
        command: starts the process.
    """

    def __init__(self, directory: Path, largest_batch: int, command: Sequence[str] = COMMAND) -> None:
        self._folder = directory / _FOLDER
        self._folder.mkdir(exist_ok=True)
        self._largest_batch, self._command = largest_batch, command
        self._checker: _Checker | None = None
        self._checking = self._closed = False
        self._seen_at: dict[Path, float] = {}

    @property
    def busy(self) -> bool:
        """Tell whether the process is there."""
        return self._checker is not None

    def load(self, path: Path, name: str) -> Predictor:
        """Have a file checked, unless that was done, and load it.

        Raises:
            ArtifactError: it must not be served.
        """
        files: dict[str, bytes] = {}
        try:
            with self._locked():
                files = self._checked(path, name)
        except OSError as error:
            sentence = "%s is loaded without being checked by another process first: %s"
            log_event(log, logging.WARNING, "unchecked_load", sentence, path, error)
        if not files:  # or there was no room to save anything
            return Predictor.load(path, name, self._largest_batch)
        return Predictor.load_saved(files, name, self._largest_batch)

    def load_at_once(self, path: Path, name: str) -> Predictor:
        """Load a file in this process, where nobody is kept waiting, unless it was refused before.

        Raises:
            ArtifactError: it must not be served.
        """
        self._check_not_refused(path, name)
        return Predictor.load(path, name, self._largest_batch)

    def _check_not_refused(self, path: Path, name: str) -> None:
        """Raise ArtifactError if the same file was refused before: it may be one that ends processes."""
        with contextlib.suppress(FileNotFoundError):
            raise ArtifactError((self._folder / f"{_key(path, name)}.{_REFUSED}").read_text(), None)

    def tidy(self) -> None:
        """Remove what all workers have had the time to open, and end the process if it has nothing to do."""
        now = time.monotonic()
        if self._checker is not None and self._checker.idle_s() > IDLE_S:
            self._end()
        self._seen_at = {entry: self._seen_at.get(entry, now) for entry in self._folder.iterdir() if entry.is_dir()}
        old = [entry for entry, since in self._seen_at.items() if now - since > KEPT_S]
        if old:
            with self._locked():
                for entry in old:
                    shutil.rmtree(entry, ignore_errors=True)

    def close(self) -> None:
        """End the process; a file that it is checking is loaded without."""
        self._closed = True
        if self._checker is not None:
            self._checker.kill()
        if not self._checking:
            self._end()

    def _checked(self, path: Path, name: str) -> dict[str, bytes]:
        """Return what was saved of a file by name, after having it checked if nobody has."""
        self._check_not_refused(path, name)
        key = _key(path, name)
        saved = self._folder / key
        if not saved.is_dir():
            partial = saved.with_suffix(".partial")
            shutil.rmtree(partial, ignore_errors=True)
            partial.mkdir()
            reason = self._ask_checker(path, name, partial)
            if reason is not None:
                shutil.rmtree(partial, ignore_errors=True)
                self._refuse(key, reason)
                raise ArtifactError(reason, None)
            partial.rename(saved)
        return {file.name: file.read_bytes() for file in saved.iterdir()}

    def _ask_checker(self, path: Path, name: str, saved: Path) -> str | None:
        if self._closed:
            raise InterruptedError("the service ends")
        self._checking = True
        try:
            self._checker = self._checker or _Checker(self._command)
            reason = self._checker.check(path, name, saved, self._largest_batch)
            if self._closed:
                raise InterruptedError("the service ends")
        finally:
            self._checking = False
            if self._checker is not None and self._checker.ended:
                self._end()
        return reason

    def _refuse(self, key: str, reason: str) -> None:
        (self._folder / f"{key}.{_REFUSED}").write_text(reason)
        refusals = sorted(self._folder.glob(f"*.{_REFUSED}"), key=lambda file: file.stat().st_mtime)
        for file in refusals[:-_REFUSALS_KEPT]:
            file.unlink(missing_ok=True)

    def _end(self) -> None:
        checker, self._checker = self._checker, None
        if checker is not None:
            checker.end()

    @contextlib.contextmanager
    def _locked(self) -> Iterator[None]:
        with (self._folder / "lock").open("w") as lock:  # closing it frees the lock
            fcntl.flock(lock, fcntl.LOCK_EX)
            yield


class _Checker:
    """Hold the process that checks files, one after the other."""

    def __init__(self, command: Sequence[str]) -> None:
        self._process = subprocess.Popen(command, stdin=subprocess.PIPE, stdout=subprocess.PIPE, start_new_session=True)
        self._last = time.monotonic()

    @property
    def ended(self) -> bool:
        """Tell whether the process is there no more."""
        return self._process.poll() is not None

    def idle_s(self) -> float:
        """Return how long ago it was used."""
        return time.monotonic() - self._last

    def check(self, path: Path, name: str, saved: Path, largest_batch: int) -> str | None:
        """Return why a file must not be served; None if it may."""
        assert self._process.stdin is not None
        asked = {"path": str(path), "name": name, "saved": str(saved), "largest_batch": largest_batch}
        with contextlib.suppress(BrokenPipeError):
            self._process.stdin.write(json.dumps(asked).encode() + b"\n")
            self._process.stdin.flush()
        answer = self._read_line()
        self._last = time.monotonic()
        if answer:
            reason: str | None = json.loads(answer)
            return reason
        if self._process.poll() is None:
            self._process.kill()
            self._process.wait()
            return f"Checking the file took longer than {CHECK_TIMEOUT_S:g} s. Export a smaller model."
        status = self._process.returncode
        how = signal.Signals(-status).name if status < 0 else f"status {status}"
        return f"Checking the file ended the process that checked it, with {how}. Export the model again."

    def kill(self) -> None:
        """End the process at once."""
        self._process.kill()
        self._process.wait()

    def end(self) -> None:
        """End the process, which also ends when this one does."""
        for pipe in (self._process.stdin, self._process.stdout):
            if pipe is not None:
                with contextlib.suppress(BrokenPipeError):
                    pipe.close()
        self._process.wait()

    def _read_line(self) -> bytes:
        """Read the answer; nothing if the process ended, or took too long."""
        assert self._process.stdout is not None
        deadline, came = time.monotonic() + CHECK_TIMEOUT_S, b""
        while not came.endswith(b"\n"):
            left_s = deadline - time.monotonic()
            if left_s <= 0:
                return b""
            ready, _, _ = select.select([self._process.stdout], [], [], left_s)
            more = os.read(self._process.stdout.fileno(), 65536) if ready else b""
            if ready and not more:
                self._process.wait()
                return b""
            came += more
        return came


def check_files() -> None:
    """Be the process that checks: read requests from standard input until it ends, answer on standard output."""
    answers = os.fdopen(os.dup(1), "wb")
    os.dup2(2, 1)  # whatever a library may print is no answer
    with contextlib.suppress(OSError):
        os.nice(NICENESS)
    for line in sys.stdin.buffer:
        asked = json.loads(line)
        reason = _reason(Path(asked["path"]), asked["name"], Path(asked["saved"]), asked["largest_batch"])
        answers.write(json.dumps(reason).encode() + b"\n")
        answers.flush()


def _reason(path: Path, name: str, saved: Path, largest_batch: int) -> str | None:
    """Load a file; return why it must not be served, or None and leave what can be saved of it."""
    try:
        Predictor.load(path, name, largest_batch, save=saved)
    except Exception:
        for file in saved.iterdir():
            file.unlink()
    else:
        return None
    try:  # it may have been the saving that failed, for want of room
        Predictor.load(path, name, largest_batch)
    except ArtifactError as error:
        return str(error)
    except Exception as error:  # whatever a file provokes
        return f"Loading failed unexpectedly: {type(error).__name__}: {error}"
    return None


def _key(path: Path, name: str) -> str:
    return hashlib.blake2b(repr((str(path), name, fingerprint(path))).encode(), digest_size=16).hexdigest()
