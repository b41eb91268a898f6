"""Keep what is served up to date while requests go on: look at the disk, load off the event loop, swap with the others.

    look (every few seconds, SIGHUP, a call) -> store, the same for all workers
    each worker: store changed -> stage: load, prove, warm in a thread -> wait for the others -> commit: one reference

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

from service.engine import Engine, Prepared
from service.errors import ArtifactError, ModelNotFound, NotReady, VersionConflict
from service.inference.model import Model
from service.logs.log import log_event
from service.versions.barrier import Barrier
from service.versions.checks import BeingChecked
from service.versions.desired_state import DesiredState
from service.versions.proven import ProvenFiles
from service.versions.repository import ModelState
from service.versions.shadow import check_features

FOLLOW_S = 0.1
"""How long a worker may not know yet that the desired state has changed."""
TIDY_S = 5.0
CHECKED_S = 0.02
"""How long a call that waits for a check may not know yet that it has ended."""
UNLOADABLE = (ArtifactError, OSError, MemoryError, BeingChecked)
"""Why a version cannot be loaded: now, or at all."""
SWITCH_S = 0.5e-3
"""How long a thread that loads may keep the event loop from running Python, where it would be 5 ms."""

T = TypeVar("T")

log = logging.getLogger("service")


class Reconciler:
    """Look, load and swap for one process, one change at a time; its calls change all workers.

    Args:
        engine: of the process.
        barrier: with the other workers; None where there are none.
        proven: has new files checked by another process; None loads them as they are.

    Attributes:
        after: called on the event loop after each swap: whenever something else is loaded or served.
        waiting: number of the desired state's change that is loaded and about to be served; None most of the time.
    """

    def __init__(
        self,
        engine: Engine,
        barrier: Barrier | None = None,
        proven: ProvenFiles | None = None,
    ) -> None:
        self._engine, self._barrier, self._proven = engine, barrier, proven
        self._one_at_a_time = asyncio.Lock()
        self._wake = asyncio.Event()
        self._thread = ThreadPoolExecutor(1, thread_name_prefix="reload")
        self._look_at, self._tidy_at = 0.0, 0.0
        self._problem = ""
        self.waiting: int | None = None
        self.after: Callable[[], object] = lambda: None
        if proven is not None:
            engine.open, engine.kept = proven.load_checked, proven.kept
        if barrier is not None:
            barrier.arrive(engine.store.last.change)

    async def load(self, name: str) -> None:
        """Look at the disk, load what is new, and this model even if it was unloaded.

        Raises:
            ModelNotFound: there is no such model.
            ArtifactError: it must not be served, or the directory of models cannot be read.
        """
        await self._in_thread(self._engine.look)
        await self._change(lambda desired: {"unloaded": desired.unloaded - {name}})
        while name in self._engine.repository.awaited():
            await asyncio.sleep(CHECKED_S)
            await self._catch_up_if_outdated()
        state = self._state(name)
        try:
            self._engine.get(name)
        except NotReady as error:
            raise ArtifactError(str(error), "Look at the index for the reason") from None
        if state.served not in self._engine.on_disk(name):
            reasons = "; ".join(f"version {v.version}: {v.reason}" for v in state.versions if v.reason)
            came = f"no version of model {name!r} on disk can be served ({reasons or 'there is none'})"
            raise ArtifactError(f"Nothing was loaded: {came}; version {state.served} is served on", "Publish another")

    async def unload(self, name: str) -> None:
        """Let go of a model; what is running ends as it began.

        Raises:
            ModelNotFound: there is no such model.
        """
        self._state(name)
        await self._change(lambda desired: {"unloaded": desired.unloaded | {name}})

    async def rollback(self, name: str) -> int:
        """Pin the version before the one that is served, the next lower one that can be served; return it.

        Raises:
            ModelNotFound: there is no such model.
            VersionConflict: there is none before.
        """
        state = self._state(name)
        if state.served is None:
            raise VersionConflict(f"No version of model {name!r} is served", "Look at the index for the reasons")
        reasons = []
        for version in (version for version in state.versions if version.version < state.served):
            reason = version.reason if version.state == "refused" else await self._pin(name, version.version)
            if reason is None:
                return version.version
            reasons.append(f"version {version.version}: {reason}")
        why = f", as those on disk must not be served: {'; '.join(reasons[:3])}" if reasons else ""
        raise VersionConflict(
            f"There is no version of model {name!r} before {state.served}{why}",
            "Publish one with a lower number, or pin another with POST /v1/models/{name}:pin",
        )

    async def pin(self, name: str, version: int | None) -> None:
        """Serve a version in place of the highest; None serves the highest again, or what a setting pins.

        Raises:
            ModelNotFound: there is no such model, or version.
            VersionConflict: the version cannot be loaded.
        """
        state = self._state(name)
        versions = [version.version for version in state.versions]
        if version is None:
            await self._change(lambda desired: {"pinned": {n: v for n, v in desired.pinned.items() if n != name}})
        elif version not in versions:
            raise ModelNotFound(name, version, versions, "there is no such version")
        elif (reason := await self._pin(name, version)) is not None:
            raise VersionConflict(f"Version {version} cannot be served: {reason}", "Pin another")

    async def shadow(self, name: str, version: int | None, share: float | None = None) -> None:
        """Run a version beside the served one and compare them on a share of the runs; None ends that.

        Raises:
            ModelNotFound: there is no such model, or version.
            VersionConflict: it must not be served, is served itself, or takes other rows.
        """
        asked = None
        if version is not None:
            await self._check_shadow(name, version)
            asked = version, self._engine.settings.shadow_share if share is None else share
        else:
            self._state(name)
        await self._change(lambda desired: {"shadows": {**desired.shadows, name: asked}})

    async def _check_shadow(self, name: str, version: int) -> None:
        state = self._state(name)
        versions = [version.version for version in state.versions]
        if version not in versions:
            raise ModelNotFound(name, version, versions, "there is no such version")
        if state.served is None:
            raise VersionConflict(f"No version of model {name!r} is served", "Look at the index for the reasons")
        if version == state.served:
            raise VersionConflict(
                f"Version {version} of model {name!r} is the one that is served",
                "Pin the version that is to be served, then compare this one with it",
            )
        try:
            manifest = (await self._preload(name, version)).manifest
        except UNLOADABLE as error:
            raise VersionConflict(f"Version {version} cannot be served: {error}", "Compare another") from None
        served = self._engine.get(name)
        try:
            check_features(name, (served.version, served.manifest), (version, manifest))
        except VersionConflict:
            self._engine.repository.forget()
            raise

    async def rescan(self) -> None:
        """Look at the disk and follow it; where that fails, the log says so."""
        self._look_at = 0.0
        await self._try_to_follow(self._engine.settings.poll_interval_s)

    async def keep_following(self) -> None:
        """Look at the disk at intervals, and do what the desired state asks for, until cancelled."""
        interval_s, loop = self._engine.settings.poll_interval_s, asyncio.get_running_loop()
        if self._proven is not None:
            self._proven.when_ended(lambda: loop.call_soon_threadsafe(self._wake.set))
        self._look_at = time.monotonic() + interval_s if interval_s else float("inf")
        try:
            while True:
                self._wake.clear()
                await self._try_to_follow(interval_s)
                with contextlib.suppress(TimeoutError):
                    await asyncio.wait_for(self._wake.wait(), FOLLOW_S)
        finally:
            if self._barrier is not None:
                self._barrier.deregister()
            if self._proven is not None:
                self._proven.close()
            self._thread.shutdown()

    async def _try_to_follow(self, interval_s: float) -> None:
        try:
            await self._follow(interval_s)
            self._problem = ""
        except Exception as error:
            self._complain(error)

    async def _follow(self, interval_s: float) -> None:
        now = time.monotonic()
        if now >= self._look_at:
            self._look_at = now + interval_s if interval_s else float("inf")
            await self._in_thread(self._engine.look)
        await self._catch_up_if_outdated()
        if self._proven is not None and now >= self._tidy_at:
            self._tidy_at = now + TIDY_S
            await self._in_thread(self._proven.tidy)

    def _complain(self, error: Exception) -> None:
        """Log what went wrong, once as long as it stays the same."""
        if str(error) != self._problem:
            self._problem = str(error)
            if isinstance(error, ArtifactError):
                log_event(log, logging.ERROR, "scan_failed", "%s", error)
            else:
                sentence = "Looking for models failed; it is tried again"
                log_event(log, logging.ERROR, "scan_failed", sentence, exc_info=error)

    async def _change(self, edit: Callable[[DesiredState], dict[str, object]]) -> None:
        """Change the desired state, and return when this worker serves what it asks for; the others then do too."""
        async with self._one_at_a_time:
            await self._in_thread(self._engine.store.change, edit)
            await self._catch_up()

    async def _catch_up_if_outdated(self) -> None:
        if self._engine.outdated():
            async with self._one_at_a_time:
                if self._engine.repository.due():
                    await self._in_thread(self._engine.retry)
                await self._catch_up()

    async def _catch_up(self) -> None:
        prepared = await self._in_thread(self._stage)
        swaps = self._engine.repository.swaps(prepared.staged)
        self.waiting = prepared.desired.change
        if self._barrier is not None:
            if swaps:
                await self._barrier.arrive_and_wait(self.waiting)
            else:
                self._barrier.arrive(self.waiting)
        self.waiting = None
        if prepared.staged.moved:
            self._look_at = 0.0
        gone = self._engine.commit(prepared)
        if swaps:
            self.after()
        del prepared
        await self._in_thread(gone.clear)

    async def _in_thread(self, call: Callable[..., T], *arguments: Any) -> T:
        """Call something in the one thread for all of this: memory that several free in turns is hard to give back."""
        return await asyncio.get_running_loop().run_in_executor(self._thread, call, *arguments)

    def _stage(self) -> Prepared:
        with _switching_often():
            return self._engine.stage()

    async def _pin(self, name: str, version: int) -> str | None:
        """Pin a version if it can be loaded, else say why not; one that is loaded waits for no check."""
        try:
            await self._preload(name, version)
            async with self._one_at_a_time:
                await self._in_thread(self._engine.repository.preload, name, version)
                await self._in_thread(
                    self._engine.store.change, lambda desired: {"pinned": {**desired.pinned, name: version}}
                )
                await self._catch_up()
        except UNLOADABLE as error:
            return str(error) or type(error).__name__
        return None

    async def _preload(self, name: str, version: int) -> Model:
        """Load a version as soon as it is proven, which keeps nobody else waiting.

        Raises:
            ArtifactError: it must not be served.
            OSError: the system keeps it from being loaded.
        """
        while True:
            try:
                async with self._one_at_a_time:
                    return await self._in_thread(self._engine.repository.preload, name, version)
            except BeingChecked as check:
                while not check.job.done:
                    await asyncio.sleep(CHECKED_S)

    def _state(self, name: str) -> ModelState:
        states = {state.name: state for state in self._engine.models()}
        if name not in states:
            raise ModelNotFound(name, None, list(states))
        return states[name]


@contextlib.contextmanager
def _switching_often() -> Iterator[None]:
    before = sys.getswitchinterval()
    sys.setswitchinterval(SWITCH_S)
    try:
        yield
    finally:
        sys.setswitchinterval(before)
