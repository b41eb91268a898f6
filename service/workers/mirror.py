"""Process that mirrors an object store for all workers of an instance, apart from all of them.

    service (launcher or only worker) --lifeline--> python -m service --mirror: look, copy, tell

It is started before the workers and again where it ends; it ends with its parent. Where several
instances share a directory of copies, one mirrors and the others read, until it ends.
"""

import contextlib
import importlib.util
import logging
import math
import os
import re
import select
import subprocess
import sys
import threading
import time
from collections.abc import Iterator
from pathlib import Path

from service.errors import ServiceError, SettingsError
from service.keys import MARKER
from service.logs.log import log_event
from service.run_directory import RunDirectory
from service.settings import Settings, variable
from service.system.files import try_lock
from service.system.quoting import cut
from service.versions.desired_state import DesiredStateStore
from service.versions.disk import look
from service.versions.looked import differing
from service.versions.marks import in_use
from service.versions.serving_files import ServingFiles
from service.versions.store_copies import Copies
from service.versions.store_mirror import Mirror, Wants
from service.versions.store_place import serving_file
from service.versions.store_status import StoreStatus, StoreStatusFile
from stores.errors import StoreError
from stores.store import Store

INSTALL = "pip install -c constraints.txt -e '.[stores]'"
OPTION = "--mirror"
FIRST_LOOK_S = 10.0
"""Longest time for which a start waits for the first look at the store."""
AGAIN_S = 1.0
"""Pause before a mirror that has ended is started again."""
ASKED_S = 0.1
"""Interval at which the mirror sees whether a look was asked for."""
_LOOKED = b"l"
_MOST_PROBLEM = 400
_NUMBERS = re.compile(r"\d+(\.\d+)?")

log = logging.getLogger("service")


def wants_store(settings: Settings) -> bool:
    """Tell whether the models are in an object store.

    Raises:
        SettingsError: they are, and obstore is not installed.
    """
    if settings.models_store is None:
        return False
    if importlib.util.find_spec("obstore") is None:
        expected = f"obstore to be installed for it: {INSTALL}, or a directory"
        raise SettingsError(variable("models"), settings.models_store, expected)
    return True


@contextlib.contextmanager
def mirrored(settings: Settings, directory: RunDirectory) -> Iterator[None]:
    """Keep a mirror of the store going, if the models are in one; wait for its first look.

    Raises:
        SettingsError: the directory of copies cannot be written.
    """
    if settings.models_store is None:
        yield
        return
    try:
        Copies(settings.models_directory)
    except OSError as error:
        expected = f"a directory that can be written ({error.strerror})"
        raise SettingsError(variable("models_cache"), str(settings.models_cache), expected) from None
    process = _MirrorProcess(directory.path)
    try:
        process.wait_for_first_look()
        yield
    finally:
        process.end()


class _MirrorProcess:
    """Process of the mirror as its parent sees it."""

    def __init__(self, run_directory: Path) -> None:
        self._run_directory = run_directory
        self._command = [sys.executable, "-m", "service", OPTION, str(run_directory)]
        self._ending = threading.Event()
        self._process = self._start()
        threading.Thread(target=self._keep_going, name="mirror", daemon=True).start()

    def wait_for_first_look(self) -> None:
        assert self._process.stdout is not None
        select.select([self._process.stdout], [], [], FIRST_LOOK_S)  # it has looked, or has ended

    def end(self) -> None:
        self._ending.set()
        self._process.kill()  # a copy that it was making is swept by the next

    def _start(self) -> "subprocess.Popen[bytes]":
        return subprocess.Popen(self._command, stdin=subprocess.PIPE, stdout=subprocess.PIPE, start_new_session=True)

    def _keep_going(self) -> None:
        while True:
            status = self._process.wait()
            if self._ending.is_set() or not self._run_directory.is_dir():
                return
            sentence = "The mirror of the store ended with status %s; another starts in %g s"
            log_event(log, logging.ERROR, "mirror_ended", sentence, status, AGAIN_S, exit_status=status)
            if self._ending.wait(AGAIN_S):
                return
            self._process = self._start()


def run_mirror(settings: Settings, run_directory: Path) -> None:
    """Mirror the store of the settings until the parent is gone.

    Args:
        settings: of the service.
        run_directory: of the instance.
    """
    threading.Thread(target=_end_with_parent, name="lifeline", daemon=True).start()
    keeper, told = _Keeper(settings, run_directory), StoreStatusFile(run_directory)
    interval_s = settings.poll_interval_s or math.inf
    due, answered, word = 0.0, 0, _LOOKED
    while True:
        now, asked = time.monotonic(), told.asked()
        if now >= due or asked > answered:
            due, answered = now + interval_s, asked
            status = keeper.look(asked)
            if not run_directory.is_dir():
                return
            with contextlib.suppress(OSError):  # without room workers read the state before
                told.write(status)
            os.write(sys.stdout.fileno(), word)
            word = b""
        time.sleep(ASKED_S)


class _Keeper:
    """Mirror of one instance: it looks where no other does, and tells what it found."""

    def __init__(self, settings: Settings, run_directory: Path) -> None:
        self._settings, self._run_directory = settings, run_directory
        self._desired = DesiredStateStore(run_directory)
        self._files = ServingFiles(lambda name: serving_file(settings, name))
        self._copies = Copies(settings.models_directory)
        self._lock: int | None = None
        self._mirror: Mirror | None = None
        self._known = ""
        self._status = StoreStatus()

    def look(self, asked: int) -> StoreStatus:
        """Look at the store once; return the state, with the number of the last request."""
        problem = cut("; ".join(self._look()), _MOST_PROBLEM) or None
        self._log(problem)
        now, before = time.time(), self._status
        self._status = StoreStatus(
            problem=problem,
            since=(before.since or now) if problem else 0,
            read_at=before.read_at if problem else now,
            copies_bytes=sum(copy.size for copy in self._copies.all().values()),
            answered=asked,
        )
        return self._status

    def _look(self) -> list[str]:
        try:
            self._lock = self._lock or try_lock(self._copies.root / ".lock")
            if self._lock is None:  # another instance mirrors
                return []
            self._mirror = self._mirror or self._make_mirror()
            return self._mirror.look(self._wants())
        except (StoreError, ServiceError, OSError) as error:
            return [str(error)]

    def _make_mirror(self) -> Mirror:
        settings = self._settings
        assert settings.models_store is not None
        self._copies.sweep()
        marker = MARKER if settings.keys_file is None else None
        mirror = Mirror(
            Store(settings.models_store), self._copies, settings.models_cache_bytes, settings.loaded_versions, marker
        )
        mirror.changed = self._show_workers
        return mirror

    def _show_workers(self) -> None:
        """Have the workers load what is there now, without waiting for their next look."""
        disk = look(self._copies.root)
        self._desired.change(lambda desired: differing(desired, disk, self._files))

    def _wants(self) -> Wants:
        desired, settings = self._desired.read(), self._settings
        named = {*settings.pinned_versions.items(), *settings.shadow_versions.items()}
        for name, followed in desired.serving.items():  # which may know what the store could not be told
            now = followed.serving
            beside = [one.version for one in (now.canary, now.shadow) if one is not None]
            named |= {(name, version) for version in (now.pinned, now.previous, *beside) if version is not None}
        return Wants(in_use(self._run_directory), frozenset(named), desired.unloaded)

    def _log(self, problem: str | None) -> None:
        """Log a problem once as long as it stays the same but for its numbers, and its end."""
        known = _NUMBERS.sub("0", problem or "")
        if problem and known != self._known:
            log_event(log, logging.ERROR, "store_lost", "The store is not followed: %s", problem)
        elif self._known and not problem:
            log_event(log, logging.INFO, "store_followed", "The store is followed again")
        self._known = known


def _end_with_parent() -> None:
    """Wait for the end of the pipe that the parent holds, and end this process."""
    sys.stdin.buffer.read()
    os._exit(0)
