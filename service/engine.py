"""The core that every transport calls: models found, loaded and ready; rows in, answers with their gate weights out.

    transport -> Engine.get(name, version) -> Model.read rows -> Model.predict -> batcher -> predictor, once for many

The engine knows neither HTTP nor JSON. Its calls are for the event loop, unless they say otherwise.
"""

import contextlib
import functools
import logging
import time
from collections.abc import Callable, Collection, Iterable, Mapping
from concurrent.futures import ThreadPoolExecutor
from contextlib import AbstractContextManager
from pathlib import Path
from typing import NamedTuple

from service.artifact.file import Manifest, check_tasks
from service.errors import ModelNotFound, NotReady, ServiceError, VersionConflict
from service.inference.batcher import Batcher, Limits, Observer
from service.inference.model import GateRecorder, Model
from service.inference.predictor import Predictor
from service.logs.log import log_event
from service.monitoring.comparison import ShadowFigures, Tally
from service.settings import Settings
from service.versions.catalogue import ModelLog
from service.versions.desired_state import DesiredState, DesiredStateStore
from service.versions.disk import look
from service.versions.repository import ModelState, Repository, Staged, Wanted
from service.versions.shadow import Shadow, Shadows

LOOKS = 20
"""How often at most to look again at the start because files have changed between the look and the loading."""
_WAIT_S = 0.01

log = logging.getLogger("service")


class Prepared(NamedTuple):
    """Versions that were loaded, the desired state that they fulfil, and the pairs to compare."""

    desired: DesiredState
    staged: Staged[Model]
    shadows: list[tuple[Model, Shadow]]


class Engine:
    """Serve the models of one process.

    Args:
        settings: of the service.
        observer: told of every run.
        recorder_of: opens the recorder of a model version that was loaded: name, version, manifest.
        store: what all workers are to serve.
        shadows: compares versions; without it none are.

    Attributes:
        open: reads, proves and warms a model file that is to be served under a name; raises BeingChecked where it is
            proven elsewhere first.
        kept: finds the versions of a model that other workers serve, and how to open each.
        loading: entered around opening a model, in the thread that does it.
        clock: seconds, monotonic; what `arrived` is measured on.
        shadowed: what compares the served version with another, by model.
        draining: set when the process is about to end; it serves on, but is not ready.
    """

    def __init__(
        self,
        settings: Settings,
        observer: Observer | None = None,
        recorder_of: Callable[[str, int, Manifest], GateRecorder | None] = lambda name, version, manifest: None,
        store: DesiredStateStore | None = None,
        shadows: Shadows | None = None,
    ) -> None:
        self.settings = settings
        self.clock = time.perf_counter
        self.draining = False
        self.store = store or DesiredStateStore()
        self.open = self._open
        self.kept: Callable[[str], Iterable[tuple[int, Callable[[], Predictor]]]] = lambda name: ()
        self.loading: Callable[[], AbstractContextManager[object]] = contextlib.nullcontext
        self.shadows = shadows
        self.shadowed: dict[str, Shadow] = {}
        self._recorder_of = recorder_of
        self._model_log = ModelLog()
        self._unrecorded: dict[tuple[str, int], str] = {}
        self._served_change = -1
        self._threads = ThreadPoolExecutor(settings.run_threads, thread_name_prefix="run")
        limits = Limits(settings.max_queue_rows, settings.max_batch_rows, settings.run_threads, settings.max_wait_us)
        self.batcher = Batcher(limits, self._threads, self.clock, observer)
        self.repository: Repository[Model] = Repository(
            settings.models, self._load, settings.loaded_versions, settings.default_model, self._load_kept
        )

    def scan(self) -> None:
        """Look for models on disk, load what is wanted and serve it; what takes long to check is not waited for.

        Raises:
            ArtifactError: the directory of models cannot be read.
        """
        for _ in range(LOOKS):
            self.look()
            moved = self._stage_and_commit()
            while self.repository.awaited():
                while not self.repository.due():
                    time.sleep(_WAIT_S)
                moved = self._stage_and_commit()
            if not moved:
                return

    def _stage_and_commit(self) -> bool:
        prepared = self.stage()
        self.commit(prepared)
        return prepared.staged.moved

    def look(self) -> None:
        """Look at the disk and tell the desired state if anything is new; reads no file. For a thread.

        Raises:
            ArtifactError: the directory of models cannot be read.
        """
        disk = look(self.settings.models)
        if disk != self.store.read().disk:
            self.store.change(lambda desired: {} if desired.disk == disk else {"disk": disk})

    def on_disk(self, name: str) -> Collection[int]:
        """List the versions of a model that the last look has found."""
        disk = self.store.last.disk or {}
        return disk[name].versions if name in disk else ()

    def outdated(self) -> bool:
        """Tell whether the desired state, changed by any worker, is not served yet, or a retry is due."""
        changed = self.store.changed() or self.store.last.change != self._served_change
        return changed or self.repository.due()

    def retry(self) -> None:
        """Have all workers try again what this one could not load before. For a thread."""
        self.store.change(lambda desired: {"retries": desired.retries + 1})

    def stage(self) -> Prepared:
        """Load what the desired state asks for; it is not served yet. For a thread, one at a time."""
        desired = self.store.read()
        pinned = {**self.settings.pinned_versions, **desired.pinned}
        asked = self._shadows_asked(desired)
        beside = {name: version for name, (version, _) in asked.items()}
        wanted = Wanted(desired.unloaded, pinned, desired.pinned.keys(), beside)
        staged = self.repository.stage(desired.disk or {}, wanted)
        return Prepared(desired, staged, self._make_shadows(asked, staged))

    def commit(self, prepared: Prepared) -> list[Model]:
        """Serve what was staged, from one moment to the next; return the versions that are let go.

        They live on until the last request that they are answering has ended.
        """
        before = self.repository.all()
        self.repository.commit(prepared.staged)
        self._served_change = prepared.desired.change
        self._model_log.tell(self.models(), self.repository.delayed())
        kept = set(map(id, self.repository.all()))
        gone = [model for model in before if id(model) not in kept]
        shadows = {id(staged): shadow for staged, shadow in prepared.shadows}
        for model in (*gone, *self.repository.all()):
            shadow = shadows.get(id(model))
            model.run_callback.call = shadow.offer if shadow is not None else None
        self.shadowed = {shadow.pair.model: shadow for _, shadow in prepared.shadows}
        for model in gone:
            model.transport = None  # it knows its model: without this they would keep each other alive
        return gone

    def get(self, name: str | None = None, version: int | None = None) -> Model:
        """Return a loaded model; by default the default one, in the version that is served.

        Raises:
            ModelNotFound: it is not loaded.
            NotReady: nothing is.
        """
        return self.repository.get(name, version)

    def models(self) -> tuple[ModelState, ...]:
        """List the models on disk and the state of their versions."""
        return tuple(map(self._with_note, self.repository.models()))

    def _with_note(self, state: ModelState) -> ModelState:
        reason = self._unrecorded.get((state.name, state.served)) if state.served is not None else None
        return state._replace(note="; ".join(filter(None, (state.note, reason)))) if reason else state

    def loaded(self) -> dict[tuple[str, int], float]:
        """Return the versions that are loaded, by name and number, and how long loading each took, in seconds."""
        return {
            (state.name, version.version): self.get(state.name, version.version).load_s
            for state in self.models()
            for version in state.versions
            if version.state == "loaded"
        }

    def check_ready(self) -> None:
        """Raise NotReady while requests should go elsewhere: no model yet, or draining."""
        if self.draining:
            raise NotReady("the service is draining")
        if not self.repository.ready:
            try:
                self.repository.get(self.settings.default_model)
            except ModelNotFound as error:  # the caller of a probe named no model: it is the service that is not ready
                raise NotReady(f"MMOE_DEFAULT_MODEL names what is not served: {error}") from None

    def close(self) -> None:
        """End the threads; runs in them are waited for."""
        self._threads.shutdown(wait=True)
        if self.shadows is not None:
            self.shadows.close()

    def refused(self) -> list[tuple[str, int]]:
        """List the versions whose files must not be served, by name and number."""
        return [(model.name, v.version) for model in self.models() for v in model.versions if v.is_refused]

    def shadow_figures(self) -> list[ShadowFigures]:
        """Return what was found of every pair of versions, over all workers, the last compared first."""
        tallies = self.shadows.tallies.all() if self.shadows is not None else []
        latest: dict[tuple[str, int, int], Tally] = {}  # a file may have been replaced under its number
        for tally in tallies:
            latest.setdefault((tally.pair.model, tally.pair.served, tally.pair.candidate), tally)
        return [tally.total() for tally in latest.values()]

    def last_shadow(self, name: str) -> ShadowFigures | None:
        """Return what the last comparison of a model's versions has found; None if there was none."""
        return next((figures for figures in self.shadow_figures() if figures.pair.model == name), None)

    def _shadows_asked(self, desired: DesiredState) -> dict[str, tuple[int, float]]:
        """Return the version to run beside the served one, and its share, by model; a call outdoes a setting."""
        share = self.settings.shadow_share
        set_up = {name: (version, share) for name, version in self.settings.shadow_versions.items()}
        return {name: asked for name, asked in {**set_up, **desired.shadows}.items() if asked is not None}

    def _make_shadows(
        self, asked: Mapping[str, tuple[int, float]], staged: Staged[Model]
    ) -> list[tuple[Model, Shadow]]:
        """Make the shadows of the versions that are about to be served."""
        made = []
        for name, (version, share) in asked.items():
            served, candidate = staged.table.get((name, None)), staged.table.get((name, version))
            if served is None or candidate is None or served is candidate or self.shadows is None:
                continue
            try:
                ends = (served.version, served.predictor), (version, candidate.predictor)
                made.append((served, self.shadows.shadow(name, *ends, share)))
            except VersionConflict as error:
                log_event(log, logging.ERROR, "shadow_refused", "%s", error, model=name, version=version)
        return made

    def _load(self, path: Path, name: str) -> Model:
        return self._make_model(name, int(path.parent.name), lambda: self.open(path, name))

    def _load_kept(self, name: str) -> Iterable[tuple[int, Callable[[], Model]]]:
        for version, load in self.kept(name):
            yield version, functools.partial(self._make_model, name, version, load)

    def _make_model(self, name: str, version: int, load: Callable[[], Predictor]) -> Model:
        """Load one version into this process: all that is ever served comes through here."""
        started = self.clock()
        with self.loading():
            predictor = load()
        check_tasks(predictor.manifest, self.settings.pinned_tasks.get(name))
        recorder = self._open_recorder(name, version, predictor.manifest)
        model = Model(name, version, predictor, self.batcher, self.settings, recorder)
        model.load_s = self.clock() - started
        return model

    def _open_recorder(self, name: str, version: int, manifest: Manifest) -> GateRecorder | None:
        """Open what records a version's gates; a version is served without where there is no room for it."""
        self._unrecorded.pop((name, version), None)
        try:
            return self._recorder_of(name, version, manifest)
        except (ServiceError, OSError, MemoryError) as error:
            self._unrecorded[name, version] = f"its gates are not recorded: {error}"
            sentence = "%s %d is served without statistics of its gates: %s"
            log_event(log, logging.WARNING, "unrecorded", sentence, name, version, error, model=name, version=version)
            return None

    def _open(self, path: Path, name: str) -> Predictor:
        return Predictor.load(path, name, self.settings.max_batch_rows)
