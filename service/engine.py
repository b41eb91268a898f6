"""The core that every transport calls: models found, loaded and ready; rows in, answers with their gate weights out.

    transport -> Engine.get(name, version) -> Model.read rows -> Model.predict -> batcher -> predictor, once for many

The engine knows neither HTTP nor JSON. Everything but `scan` is called on the event loop.
"""

import threading
import time
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

from service.artifact import Manifest
from service.batcher import Batcher, Limits, Observer
from service.errors import ArtifactError, ModelNotFound, NotReady
from service.loaded_model import GateRecorder, Model
from service.model_log import ModelLog
from service.predictor import Predictor
from service.repository import ModelState, Repository
from service.roster import Roster
from service.settings import Settings


class Engine:
    """Serve the models of one process.

    Args:
        settings: of the service.
        observer: told of every run.
        recorder_of: opens the recorder of a model version that was loaded: name, version, manifest.
        roster: of the models that calls have unloaded.

    Attributes:
        clock: seconds, monotonic; what `arrived` is measured on.
        draining: set when the process is about to end; it serves on, but is not ready.
    """

    def __init__(
        self,
        settings: Settings,
        observer: Observer | None = None,
        recorder_of: Callable[[str, int, Manifest], GateRecorder | None] = lambda name, version, manifest: None,
        roster: Roster | None = None,
    ) -> None:
        self.settings = settings
        self.clock = time.perf_counter
        self.draining = False
        self._recorder_of = recorder_of
        self._roster = roster or Roster()
        self._scanning = threading.Lock()
        self._model_log = ModelLog()
        self._threads = ThreadPoolExecutor(settings.run_threads, thread_name_prefix="run")
        limits = Limits(settings.max_queue_rows, settings.max_batch_rows, settings.run_threads, settings.max_wait_us)
        self.batcher = Batcher(limits, self._threads, self.clock, observer)
        self.repository: Repository[Model] = Repository(
            settings.models, self._load, settings.pinned_versions, settings.loaded_versions, settings.default_model
        )

    def scan(self) -> None:
        """Look for models on disk and load what is wanted; may be called in a thread.

        Raises:
            ArtifactError: the directory of models cannot be read.
        """
        with self._scanning:
            before = self._every_model()
            self.repository.scan(self._roster.read())
            self._model_log.tell(self.repository.models())
            for model in before - self._every_model():
                model.transport = None  # it knows its model: without this they would keep each other alive

    def outdated(self) -> bool:
        """Tell whether a call, here or in another worker, wants something loaded or unloaded since the last scan."""
        return self._roster.changed()

    def load(self, name: str) -> None:
        """Load what is new on disk, and this model even if it was unloaded; in all workers. For a thread.

        Raises:
            ModelNotFound: there is no such model.
            ArtifactError: it must not be served, or the directory of models cannot be read.
        """
        self._roster.change(name, unload=False)
        self.scan()
        self._check_there(name)
        try:
            self.get(name)
        except NotReady as error:
            raise ArtifactError(str(error), "Look at the index for the reason") from None

    def unload(self, name: str) -> None:
        """Let go of a model, in all workers; what is running ends as it began. For a thread.

        Raises:
            ModelNotFound: there is no such model.
        """
        self._check_there(name)
        self._roster.change(name, unload=True)
        self.scan()

    def get(self, name: str | None = None, version: int | None = None) -> Model:
        """Return a loaded model; by default the default one, in the version that is served.

        Raises:
            ModelNotFound: it is not loaded.
            NotReady: nothing is.
        """
        return self.repository.get(name, version)

    def models(self) -> tuple[ModelState, ...]:
        """List the models on disk and the state of their versions."""
        return self.repository.models()

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

    def _every_model(self) -> set[Model]:
        return {self.get(name, version) for name, version in self.loaded()}

    def _check_there(self, name: str) -> None:
        names = [state.name for state in self.models()]
        if name not in names:
            raise ModelNotFound(name, None, names)

    def _load(self, path: Path, name: str) -> Model:
        started = self.clock()
        predictor = Predictor.load(path, name, self.settings.max_batch_rows)
        version = int(path.parent.name)
        recorder = self._recorder_of(name, version, predictor.manifest)
        model = Model(name, version, predictor, self.batcher, self.settings, recorder)
        model.load_s = self.clock() - started
        return model
