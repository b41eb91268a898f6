"""Catalogue of one process: the models of the desired state are loaded, served and compared.

look at the disk -> desired state -> stage: load, in a thread -> commit: one reference, on the
event loop
"""

import contextlib
import functools
import logging
import time
from collections.abc import Callable, Collection, Iterable, Mapping
from contextlib import AbstractContextManager
from pathlib import Path
from typing import NamedTuple

from service.artifact.file import check_tasks
from service.errors import ModelNotFound, VersionConflict
from service.inference.model import Model
from service.inference.predictor import Predictor
from service.logs.log import log_event
from service.monitoring.comparison import ShadowFigures
from service.monitoring.version_metrics import ServingFigures
from service.settings import Settings
from service.versions.canary import Split, splits, unfit
from service.versions.choices import wanted
from service.versions.desired_state import DesiredState, DesiredStateStore
from service.versions.disk import look
from service.versions.looked import differing
from service.versions.model_log import ModelLog
from service.versions.repository import Repository, Staged
from service.versions.serving_file import Edit
from service.versions.serving_files import NOT_READ, Followed, ServingFiles
from service.versions.shadow import Shadow
from service.versions.shadows import Shadows
from service.versions.states import Candidate, ModelState, Remark
from service.versions.store_place import serving_file
from service.versions.store_status import StoreStatusFile

LOOKS = 20
"""Looks at the disk at the start, at most: files may change between a look and the loading."""
_WAIT_S = 0.01

log = logging.getLogger("service")


class Prepared(NamedTuple):
    """Versions that were loaded, the desired state that they fulfil, and the pairs to compare."""

    desired: DesiredState
    staged: Staged[Model]
    shadows: list[tuple[Model, Shadow]]


class Catalogue:
    """Models of one process: their versions, what is served, and what is compared with it.

    Args:
        settings: of the service.
        make_model: makes what answers for a version from its name, number and predictor.
        store: of what all workers are to serve.
        shadows: compares versions; None compares none.

    Attributes:
        open: loads a model file that is to be served under a name; raises BeingChecked until it is
            proven.
        kept: finds the versions of a model that other workers serve, and how to open each.
        loading: entered around opening a model, in the thread that does it.
        files: say what is pinned, canaried and shadowed.
        shadowed: what compares the served version with another, by model.
        splits: requests that go to a canary, by model; None stands for the default model. The same
            object all the time.
        store_status: tells of the mirror whose copies these models are; None where they are not.
    """

    def __init__(
        self,
        settings: Settings,
        make_model: Callable[[str, int, Predictor], Model],
        store: DesiredStateStore | None = None,
        shadows: Shadows | None = None,
    ) -> None:
        self.settings = settings
        self.store = store or DesiredStateStore()
        rows = settings.max_batch_rows
        self.open: Callable[[Path, str], Predictor] = lambda path, name: Predictor.load(path, name, rows)
        self.kept: Callable[[str], Iterable[tuple[int, Callable[[], Predictor]]]] = lambda name: ()
        self.loading: Callable[[], AbstractContextManager[object]] = contextlib.nullcontext
        self.shadows = shadows
        self.shadowed: dict[str, Shadow] = {}
        self.splits: dict[str | None, Split] = {}
        self.store_status: StoreStatusFile | None = None
        self.files = ServingFiles(lambda name: serving_file(settings, name))
        self._make_model = make_model
        self._model_log = ModelLog()
        self._served_change = -1
        self.repository: Repository[Model] = Repository(
            settings.models_directory,
            self._load,
            settings.loaded_versions,
            settings.default_model,
            self._load_kept,
            unfit=_unfit,
        )

    def scan(self) -> None:
        """Look for models on disk, load what is wanted and serve it; wait for no slow check.

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
        """Look at the disk, and put what is new into the desired state.

        Read no file but those that say what is served. For a thread.

        Raises:
            ArtifactError: the directory of models cannot be read.
        """
        disk = look(self.settings.models_directory)
        if differing(self.store.read(), disk, self.files):
            self.store.change(lambda desired: differing(desired, disk, self.files))

    def choose(self, name: str, edit: Edit, by: str) -> None:
        """Change what a model's serving file says, and so the desired state. For a thread.

        Raises:
            VersionConflict: as in `ServingFile.change`.
            RunDirectoryGone: the other workers cannot be told; the file is as it was.
        """

        def edited(desired: DesiredState) -> dict[str, object]:
            before = desired.serving.get(name, NOT_READ)
            after = self.files.change(name, edit, by, before)
            return {"serving": {**desired.serving, name: after}} if after != before else {}

        self.store.change(edited)

    def chosen(self, name: str) -> Followed:
        """Return what a model's serving file says, as last read."""
        return self.store.last.serving.get(name, NOT_READ)

    def on_disk(self, name: str) -> Collection[int]:
        """List the versions of a model that the last look has found."""
        disk = self.store.last.disk or {}
        return disk[name].versions if name in disk else ()

    def outdated(self) -> bool:
        """Tell whether the desired state is not served yet, or a retry is due."""
        changed = self.store.changed() or self.store.last.change != self._served_change
        return changed or self.repository.due()

    def retry(self) -> None:
        """Have all workers try again what this one could not load before. For a thread."""
        self.store.change(lambda desired: {"retries": desired.retries + 1})

    def stage(self) -> Prepared:
        """Load what the desired state asks for.

        Serve nothing of it yet. For a thread, one at a time.
        """
        desired = self.store.read()
        choices = wanted(self.settings, desired)
        staged = self.repository.stage(desired.disk or {}, choices)
        return Prepared(desired, staged, self._make_shadows(choices.candidates, staged))

    def commit(self, prepared: Prepared) -> list[Model]:
        """Serve what was staged, from one moment to the next; return the versions that are let go.

        They live on until the last request that they are answering has ended.
        """
        before = self.repository.all()
        self.repository.commit(prepared.staged)
        self._served_change = prepared.desired.change
        self._model_log.tell(self.models(), self.repository.delayed())
        default = self.repository.find(None, None)
        found = splits(self.repository.models(), default.name if default is not None else None)
        self.splits.clear()
        self.splits.update(found)
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

    def models(self) -> tuple[ModelState, ...]:
        """List the models on disk and the state of their versions."""
        return tuple(map(self._with_note, self.repository.models()))

    def state(self, name: str, version: int | None = None) -> ModelState:
        """Return a model's state.

        Args:
            name: of the model.
            version: one that must be there too; None for none.

        Raises:
            ModelNotFound: no such model, or version of it.
        """
        states = {state.name: state for state in self.models()}
        if name not in states:
            raise ModelNotFound(name, None, list(states))
        versions = [state.version for state in states[name].versions]
        if version is not None and version not in versions:
            raise ModelNotFound(name, version, versions, "there is no such version")
        return states[name]

    def _with_note(self, state: ModelState) -> ModelState:
        served = self.repository.find(state.name, state.served) if state.ready else None
        notes = served.note if served is not None else None, self.store_note
        return state._replace(remarks=(*state.remarks, *(Remark(note) for note in notes if note is not None)))

    @property
    def store_note(self) -> str | None:
        """Return what keeps the models from following their store; None if nothing does."""
        return None if self.store_status is None else self.store_status.note

    def loaded(self) -> dict[tuple[str, int], float]:
        """Return how long loading took, in seconds, by name and number of each loaded version."""
        return {
            (state.name, version.version): self.repository.get(state.name, version.version).load_s
            for state in self.repository.models()
            for version in state.versions
            if version.state == "loaded"
        }

    def refused(self) -> list[tuple[str, int]]:
        """List the versions whose files must not be served, by name and number."""
        return [(model.name, v.version) for model in self.models() for v in model.versions if v.is_refused]

    def serving_figures(self) -> list[ServingFigures]:
        """Return what the serving files of the models ask for, and what of it is served."""
        found = []
        for name, followed in sorted(self.store.last.serving.items()):
            asked, split = followed.serving.canary, self.splits.get(name)
            share, version = split.share if split is not None else 0.0, asked.version if asked is not None else None
            found.append(ServingFigures(name, version, share, followed.problem is not None))
        return found

    def shadow_figures(self) -> list[ShadowFigures]:
        """Return the differences of every pair of versions, over all workers, the latest first."""
        return self.shadows.figures() if self.shadows is not None else []

    def last_shadow(self, name: str) -> ShadowFigures | None:
        """Return the differences of a model's last comparison; None if there was none."""
        return next((figures for figures in self.shadow_figures() if figures.pair.model == name), None)

    def _make_shadows(self, candidates: Mapping[str, Candidate], staged: Staged[Model]) -> list[tuple[Model, Shadow]]:
        """Make the shadows of the versions that are about to be served."""
        made = []
        for name, (version, _, share) in candidates.items():
            served, candidate = staged.table.get((name, None)), staged.table.get((name, version))
            if served is None or candidate is None or served is candidate or self.shadows is None or share is None:
                continue
            try:
                ends = (served.version, served.predictor), (version, candidate.predictor)
                made.append((served, self.shadows.shadow(name, *ends, share)))
            except VersionConflict as error:
                log_event(log, logging.ERROR, "shadow_refused", "%s", error, model=name, version=version)
        return made

    def _load(self, path: Path, name: str) -> Model:
        return self._load_version(name, int(path.parent.name), lambda: self.open(path, name))

    def _load_kept(self, name: str) -> Iterable[tuple[int, Callable[[], Model]]]:
        for version, load in self.kept(name):
            yield version, functools.partial(self._load_version, name, version, load)

    def _load_version(self, name: str, version: int, load: Callable[[], Predictor]) -> Model:
        """Load one version into this process: all that is ever served comes through here."""
        started = time.perf_counter()
        with self.loading():
            predictor = load()
        check_tasks(predictor.manifest, self.settings.pinned_tasks.get(name))
        model = self._make_model(name, version, predictor)
        model.load_s = time.perf_counter() - started
        return model


def _unfit(served: Model, canary: Model) -> str | None:
    return unfit((served.version, served.manifest), (canary.version, canary.manifest))
