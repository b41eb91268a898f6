"""Reconciler: the loop that brings what is served to the desired state while requests go on.

    look (every few seconds, SIGHUP, a command) -> desired state, the same for all workers
    each worker: it has changed -> stage: load, warm in a thread -> barrier -> commit

All workers swap at the same moment: see barrier.py.
"""

import asyncio
import contextlib
import logging
import sys
import time
from collections.abc import Callable, Iterator
from concurrent.futures import ThreadPoolExecutor
from typing import Any, TypeVar

from service.errors import ServiceError, VersionConflict
from service.inference.model import Model
from service.logs.log import log_event
from service.versions.barrier import Barrier
from service.versions.catalogue import Catalogue, Prepared
from service.versions.checks import BeingChecked
from service.versions.desired_state import DesiredState
from service.versions.loading import Key
from service.versions.proven import ProvenFiles
from service.versions.serving_file import Edit

RECONCILE_S = 0.1
"""Interval at which a worker looks whether the desired state has changed."""
TIDY_S = 5.0
CHECKED_S = 0.02
"""Interval at which a command looks whether the check that it waits for has ended."""
SWITCH_S = 0.5e-3
"""Longest turn of a thread that loads at the interpreter; Python's default is 5 ms."""

T = TypeVar("T")

log = logging.getLogger("service")


class Reconciler:
    """Reconciler of one process: looks, loads and swaps, one change at a time.

    Args:
        catalogue: whose models it swaps.
        barrier: with the other workers; None where there are none.
        proven: has new files checked by another process; None loads them as they are.

    Attributes:
        catalogue: of the process.
        after: called on the event loop after each swap: whenever something else is loaded or
            served.
        waiting: number of the desired state's change that is loaded and about to be served; None
            most of the time.
    """

    def __init__(
        self,
        catalogue: Catalogue,
        barrier: Barrier | None = None,
        proven: ProvenFiles | None = None,
    ) -> None:
        self.catalogue, self._barrier, self._proven = catalogue, barrier, proven
        self._one_at_a_time = asyncio.Lock()
        self._wake = asyncio.Event()
        self._thread = ThreadPoolExecutor(1, thread_name_prefix="reload")
        self._look_at, self._tidy_at = 0.0, 0.0
        self._problem = ""
        self.waiting: int | None = None
        self.after: Callable[[], object] = lambda: None
        if proven is not None:
            catalogue.open, catalogue.kept = proven.load_checked, proven.kept
        if barrier is not None:
            barrier.arrive(catalogue.store.last.change)

    async def look(self) -> None:
        """Look at the disk now, and where its files are copies of a store's, at that first.

        Raises:
            ArtifactError: the directory of models cannot be read.
        """
        if (store := self.catalogue.store_status) is not None:
            request, until = store.ask(), time.monotonic() + self.catalogue.settings.request_timeout_s
            while store.read().answered < request and time.monotonic() < until:
                await asyncio.sleep(CHECKED_S)
        await self._in_thread(self.catalogue.look)

    async def rescan(self) -> None:
        """Look at the disk and serve what is new; where that fails, the log says so.

        What a store has that is new follows as soon as it is copied.
        """
        if self.catalogue.store_status is not None:
            self.catalogue.store_status.ask()
        self._look_at = 0.0
        await self._try_to_reconcile(self.catalogue.settings.poll_interval_s)

    async def keep_reconciling(self) -> None:
        """Look at the disk at intervals, and reconcile, until cancelled."""
        interval_s, loop = self.catalogue.settings.poll_interval_s, asyncio.get_running_loop()
        if self._proven is not None:
            self._proven.when_ended(lambda: loop.call_soon_threadsafe(self._wake.set))
        self._look_at = time.monotonic() + interval_s if interval_s else float("inf")
        try:
            while True:
                self._wake.clear()
                await self._try_to_reconcile(interval_s)
                with contextlib.suppress(TimeoutError):
                    await asyncio.wait_for(self._wake.wait(), RECONCILE_S)
        finally:
            if self._barrier is not None:
                self._barrier.deregister()
            if self._proven is not None:
                self._proven.close()
            self._thread.shutdown()

    async def _try_to_reconcile(self, interval_s: float) -> None:
        try:
            await self._look_and_reconcile(interval_s)
        except Exception as error:
            self._log_failure(error)

    async def _look_and_reconcile(self, interval_s: float) -> None:
        now = time.monotonic()
        due = now >= self._look_at
        if due:
            self._look_at = now + interval_s if interval_s else float("inf")
            await self._in_thread(self.catalogue.look)
        await self.reconcile()
        if self._proven is not None and now >= self._tidy_at:
            self._tidy_at = now + TIDY_S
            await self._in_thread(self._proven.tidy)
        if due:  # between two looks at the disk, what keeps one from succeeding does not show
            self._problem = ""

    def _log_failure(self, error: Exception) -> None:
        """Log what went wrong, once as long as it stays the same."""
        if str(error) != self._problem:
            self._problem = str(error)
            if isinstance(error, ServiceError):
                log_event(log, logging.ERROR, "scan_failed", "%s", error)
            else:
                sentence = "Looking for models failed; it is tried again"
                log_event(log, logging.ERROR, "scan_failed", sentence, exc_info=error)

    async def change(self, edit: Callable[[DesiredState], dict[str, object]]) -> None:
        """Change the desired state, and return when this worker serves it; the others then do too.

        `edit` returns the fields to change.
        """
        async with self._one_at_a_time:
            await self._in_thread(self.catalogue.store.change, edit)
            await self._catch_up()

    async def choose(self, name: str, edit: Edit, by: str, needs: Key | None = None) -> None:
        """Change a model's serving file, and return when this worker serves what it says.

        Args:
            name: of the model.
            edit: of the file.
            by: who changes it.
            needs: name and version to load first; where that fails nothing is changed.

        Raises:
            VersionConflict: as in `Catalogue.choose`.
            ArtifactError, OSError, BeingChecked: as in `Loading.preload`.
        """
        async with self._one_at_a_time:
            if needs is not None:
                await self._in_thread(self.catalogue.repository.preload, *needs)
            try:
                await self._in_thread(self.catalogue.choose, name, edit, by)
            except VersionConflict:
                self.catalogue.repository.forget()
                raise
            await self._catch_up()

    async def reconcile(self) -> None:
        """Serve what the desired state asks for, if that is not served yet."""
        if self.catalogue.outdated():
            async with self._one_at_a_time:
                if self.catalogue.repository.due():
                    await self._in_thread(self.catalogue.retry)
                await self._catch_up()

    async def _catch_up(self) -> None:
        prepared = await self._in_thread(self._stage)
        swaps = self.catalogue.repository.swaps(prepared.staged)
        self.waiting = prepared.desired.change
        if self._barrier is not None:
            if swaps:
                await self._barrier.arrive_and_wait(self.waiting)
            else:
                self._barrier.arrive(self.waiting)
        self.waiting = None
        if prepared.staged.moved:
            self._look_at = 0.0
        gone = self.catalogue.commit(prepared)
        if swaps:
            self.after()
        del prepared
        await self._in_thread(gone.clear)

    async def _in_thread(self, call: Callable[..., T], *arguments: Any) -> T:
        """Call in the one thread for all of this: memory freed by several is hard to give back."""
        return await asyncio.get_running_loop().run_in_executor(self._thread, call, *arguments)

    def _stage(self) -> Prepared:
        with _switching_often():
            return self.catalogue.stage()

    async def preload(self, name: str, version: int) -> Model:
        """Load a version as soon as it is proven, which keeps nobody else waiting.

        Raises:
            ArtifactError: it must not be served.
            OSError: the system keeps it from being loaded.
        """
        while True:
            try:
                async with self._one_at_a_time:
                    return await self._in_thread(self.catalogue.repository.preload, name, version)
            except BeingChecked as check:
                while not check.job.done:
                    await asyncio.sleep(CHECKED_S)


@contextlib.contextmanager
def _switching_often() -> Iterator[None]:
    before = sys.getswitchinterval()
    sys.setswitchinterval(SWITCH_S)
    try:
        yield
    finally:
        sys.setswitchinterval(before)
