"""Proven model files: each is copied and checked once for all workers, and loaded from the copy.

    job (a thread) --seal: copy to the run directory--> child: checked, graphs saved --> load

No worker opens a file that was not proven, so that one that ends processes, takes all memory or
never comes to an end does so in the child alone. Nobody waits for a check but its own thread:
`load_checked` raises `BeingChecked` until it has ended. One worker has a file checked, the others
find the result, under a lock that the kernel frees with its holder. The copy of a file that any
worker serves is kept, for workers that start when the file itself is gone.
"""

import contextlib
import errno
import fcntl
import functools
import hashlib
import json
import math
import os
import shutil
import tempfile
import time
import weakref
from collections.abc import Callable, Iterator
from concurrent.futures import wait
from multiprocessing.connection import Connection
from pathlib import Path

from service.artifact.file import read_parts
from service.errors import ArtifactError
from service.inference.lean_model import MODEL
from service.inference.predictor import Predictor
from service.versions.checker import PATIENCE, CheckLimits, CheckRequest
from service.versions.checks import BeingChecked, Checks, Job, Postponed
from service.versions.disk import fingerprint
from service.versions.marks import ABOUT, FOLDER, UNSAVED
from service.versions.proof import check_files

KEPT_S = 60.0
"""Time for which a copy is kept after its last use, and optimised graphs at all."""
_REFUSED, _SLOW = "refused", "slow"
_REFUSALS_KEPT = 200
_NO_ROOM = (errno.ENOSPC, errno.EDQUOT, errno.EFBIG)


class ProvenFiles:
    """Model files that a child process has proven; loading is for one thread at a time.

    Args:
        directory: shared by the workers.
        largest_batch: rows of the largest run to warm with.
        limits: of processor time and memory for each check.
        target: what the child process runs.
    """

    def __init__(
        self,
        directory: Path,
        largest_batch: int,
        limits: CheckLimits = CheckLimits(),  # noqa: B008 (immutable)
        target: Callable[[Connection, int], None] = check_files,
    ) -> None:
        self._folder = directory / FOLDER
        self._folder.mkdir(exist_ok=True)
        self._largest_batch, self._limits = largest_batch, limits
        self._checks = Checks(target)
        self._in_use: dict[str, weakref.ref[Predictor]] = {}
        self._seen: dict[Path, tuple[int, float]] = {}

    @property
    def busy(self) -> bool:
        """Whether a child process is there."""
        return self._checks.busy

    def when_ended(self, call: Callable[[], object]) -> None:
        """Have something called at the end of each check, in its thread."""
        self._checks.ended = call

    def load(self, path: Path, name: str) -> Predictor:
        """Load a file as soon as it is proven.

        Raises:
            ArtifactError: it must not be served.
            OSError: the system keeps it from being proven or loaded.
        """
        while True:
            try:
                return self.load_checked(path, name)
            except BeingChecked as going_on:
                wait([going_on.job.future])

    def load_checked(self, path: Path, name: str) -> Predictor:
        """Load a file that is proven; where it is not, have it checked.

        Raises:
            BeingChecked: its check has not ended.
            ArtifactError: it must not be served.
            OSError: the system keeps it from being proven or loaded.
        """
        key = _key(path, name)
        job = self._checks.begin(key, self._is_known, lambda job: self._run(job, key, path, name))
        if job is not None:
            if not job.done:
                raise BeingChecked(job)
            self._checks.forget(key)
            failure = None if job.future.cancelled() else job.future.result()
            if failure is not None:
                raise ArtifactError(failure.reason, None) if failure.refused else Postponed(failure.reason)
        self._check_not_refused(key)
        if (self._folder / f"{key}.{UNSAVED}").exists():
            return self._in_memory(key, path, lambda: Predictor.load(path, name, self._largest_batch))
        return self._load_copy(key, name)

    def kept(self, name: str) -> Iterator[tuple[int, Callable[[], Predictor]]]:
        """Find the versions of a model in use by workers, highest first, and their loaders."""
        found = []
        for about in self._folder.glob(f"*/{ABOUT}"):
            with contextlib.suppress(OSError, ValueError):
                of, version = json.loads(about.read_text())
                if of == name:
                    found.append((version, about.parent.stat().st_mtime_ns, about.parent.name))
        for version, _, key in sorted(found, reverse=True):
            yield version, functools.partial(self._load_copy, key, name)

    def tidy(self) -> None:
        """Keep the copies in use, remove what was long in no use, end idle child processes."""
        self._checks.tidy()
        self._in_use = {key: model for key, model in self._in_use.items() if model() is not None}
        for key in self._in_use:
            for kept in (self._folder / key, self._folder / f"{key}.{UNSAVED}"):
                with contextlib.suppress(OSError):
                    os.utime(kept)
        for path in (*self._folder.glob("*"), *self._folder.glob("*/*.ort")):
            if path.suffix != f".{_REFUSED}" and self._is_old(path):
                shutil.rmtree(path, ignore_errors=True) if path.is_dir() else path.unlink(missing_ok=True)

    def close(self) -> None:
        """End all checks and child processes at once.

        Files whose check had not ended stay unproven.
        """
        self._checks.close()

    def _is_known(self, key: str) -> bool:
        return any((self._folder / name).exists() for name in (key, f"{key}.{_REFUSED}", f"{key}.{UNSAVED}"))

    def _check_not_refused(self, key: str) -> None:
        with contextlib.suppress(FileNotFoundError):
            raise ArtifactError((self._folder / f"{key}.{_REFUSED}").read_text(), None)

    def _load_copy(self, key: str, name: str) -> Predictor:
        folder = self._folder / key
        return self._in_memory(key, folder, lambda: Predictor.load_saved(folder, name, self._largest_batch))

    def _in_memory(self, key: str, path: Path, load: Callable[[], Predictor]) -> Predictor:
        """Load what was proven: where that fails, the system is at fault."""
        before = fingerprint(path)
        try:
            model = load()
        except ArtifactError as error:
            raise Postponed(str(error)) from None
        except Exception as error:
            raise Postponed(f"{type(error).__name__}: {error}") from None
        if path.is_file() and fingerprint(path) != before:
            raise Postponed("The file changed while it was loaded.")
        self._in_use[key] = weakref.ref(model)
        return model

    def _run(self, job: Job, key: str, path: Path, name: str) -> None:
        with self._locked(key, job) as note:
            if not self._is_known(key):
                self._prove(job, key, path, name, note)

    def _prove(self, job: Job, key: str, path: Path, name: str, note: Callable[[float], object]) -> None:
        """Copy a file, have the copy checked, and leave the result in the folder."""

        def go_on() -> None:
            self._checks.go_on()
            if _key(path, name) != key:
                raise Postponed("The file changed before it was checked.")

        slow, about = self._folder / f"{key}.{_SLOW}", json.dumps([name, int(path.parent.name)])
        job.since = -math.inf if slow.exists() else None  # for a worker that has died: nobody waits for it again
        turn = self._checks.turn(name, go_on, slow.touch, waits=job.since is None)
        with turn as check, self._partial() as made:
            partial = Path(made)
            sealed = _seal(path, partial / MODEL)
            go_on()
            checked, saved = (str(partial / MODEL), str(partial)) if sealed else (str(path), "")
            job.since = job.since or time.monotonic()
            note(job.since)
            verdict = check(CheckRequest(checked, name, saved, self._largest_batch, self._limits))
            if verdict.reason is not None and not verdict.lasting:
                raise Postponed(verdict.reason)
            if verdict.reason is not None:
                self._refuse(key, verdict.reason)
            elif sealed:
                (partial / ABOUT).write_text(about)
                partial.rename(self._folder / key)
            else:
                (self._folder / f"{key}.{UNSAVED}").write_text(about)

    def _partial(self) -> "tempfile.TemporaryDirectory[str]":
        return tempfile.TemporaryDirectory(dir=self._folder, ignore_cleanup_errors=True)

    def _refuse(self, key: str, reason: str) -> None:
        (self._folder / f"{key}.{_REFUSED}").write_text(reason)
        refusals = sorted(self._folder.glob(f"*.{_REFUSED}"), key=lambda file: file.stat().st_mtime)
        for file in refusals[:-_REFUSALS_KEPT]:
            file.unlink(missing_ok=True)

    def _is_old(self, path: Path) -> bool:
        """Tell whether nobody has touched a path for a while, whatever becomes of the clock."""
        now = time.monotonic()
        with contextlib.suppress(FileNotFoundError):
            changed = path.stat().st_mtime_ns
            if self._seen.get(path, (0, 0.0))[0] != changed:
                self._seen[path] = changed, now
            return now - self._seen[path][1] > max(KEPT_S, 2 * PATIENCE * self._limits.timeout_s)
        self._seen.pop(path, None)
        return False

    @contextlib.contextmanager
    def _locked(self, key: str, job: Job) -> Iterator[Callable[[float], object]]:
        """Lock one file; give what notes in the lock when its check began, for those who wait."""
        with (self._folder / f"{key}.lock").open("a+") as lock:  # closing it frees the lock
            while True:
                try:
                    fcntl.flock(lock, fcntl.LOCK_EX | fcntl.LOCK_NB)
                    break
                except BlockingIOError:
                    with contextlib.suppress(ValueError):
                        lock.seek(0)
                        job.since = float(lock.read() or "x")
                self._checks.wait()
            lock.truncate(0)
            job.since = None

            def note(since: float) -> None:
                lock.write(str(since))
                lock.flush()

            yield note


def _seal(path: Path, copy: Path) -> bool:
    """Copy a file; False where there is no room for it.

    Raises:
        ArtifactError: it cannot be read, or is not a file.
        OSError: the system fails.
    """
    with copy.open("wb", buffering=0) as file:
        for part in read_parts(path):
            try:
                while part:
                    part = part[file.write(part) :]
            except OSError as error:
                if error.errno not in _NO_ROOM:
                    raise
                copy.unlink()
                return False
    return True


def _key(path: Path, name: str) -> str:
    return hashlib.blake2b(repr((str(path), name, fingerprint(path))).encode(), digest_size=16).hexdigest()
