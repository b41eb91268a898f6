"""Engine below every transport: rows in, answers with their gate weights out.

    transport -> Engine.get(name, version) -> Model.predict -> batcher -> predictor, once for many

The engine knows neither HTTP nor JSON; which versions there are is the catalogue's affair. Its
calls are for the event loop, unless they say otherwise.
"""

import logging
import time
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor

from service.artifact.manifest import Manifest
from service.errors import ModelNotFound, NotReady, ServiceError
from service.inference.answer import RunResult
from service.inference.batcher import Batcher, Observer
from service.inference.lane import Limits
from service.inference.model import GateRecorder, Model
from service.inference.predictor import Predictor
from service.logs.log import log_event
from service.settings import Settings
from service.versions.catalogue import Catalogue
from service.versions.desired_state import DesiredStateStore
from service.versions.shadows import Shadows
from service.versions.states import ModelState

log = logging.getLogger("service")

SamplerOf = Callable[[str, int, Manifest], Callable[[RunResult], None] | None]


class Engine:
    """Engine of one process: its models, and the batcher that they share.

    Args:
        settings: of the service.
        observer: told of every run.
        recorder_of: opens the recorder of a model version that was loaded: name, version,
            manifest.
        store: of what all workers are to serve.
        shadows: compares versions; None compares none.
        sampler_of: opens what samples the runs of a version that was loaded.

    Attributes:
        catalogue: finds, loads and swaps the models.
        clock: seconds, monotonic; what `arrived` is measured on.
        draining: set when the process is about to end; it serves on, but is not ready.
    """

    def __init__(
        self,
        settings: Settings,
        observer: Observer | None = None,
        recorder_of: Callable[[str, int, Manifest], GateRecorder | None] = lambda name, version, manifest: None,
        store: DesiredStateStore | None = None,
        shadows: Shadows | None = None,
        sampler_of: SamplerOf = lambda name, version, manifest: None,
    ) -> None:
        self.settings = settings
        self.clock = time.perf_counter
        self.draining = False
        self._recorder_of, self._sampler_of = recorder_of, sampler_of
        self._shadows = shadows
        self._threads = ThreadPoolExecutor(settings.run_threads, thread_name_prefix="run")
        limits = Limits(settings.max_queue_rows, settings.max_batch_rows, settings.run_threads, settings.max_wait_us)
        self.batcher = Batcher(limits, self._threads, self.clock, observer)
        self.catalogue = Catalogue(settings, self._make_model, store, shadows)
        self._repository = self.catalogue.repository

    def get(self, name: str | None = None, version: int | None = None) -> Model:
        """Return a loaded model; by default the default one, in the version that is served.

        Raises:
            ModelNotFound: it is not loaded.
            NotReady: nothing is.
        """
        return self._repository.get(name, version)

    def models(self) -> tuple[ModelState, ...]:
        """List the models on disk and the state of their versions."""
        return self.catalogue.models()

    def check_ready(self) -> None:
        """Raise NotReady while requests should go elsewhere: no model yet, or draining."""
        if self.draining:
            raise NotReady("the service is draining")
        if not self._repository.ready:
            try:
                self.get(self.settings.default_model)
            except ModelNotFound as error:  # the caller of a probe named no model: it is the service that is not ready
                raise NotReady(f"MMOE_DEFAULT_MODEL names what is not served: {error}") from None
            except NotReady as error:
                if (note := self.catalogue.store_note) is not None:
                    raise NotReady(f"{error.reason}; {note}") from None
                raise

    def close(self) -> None:
        """End the threads; runs in them are waited for."""
        self._threads.shutdown(wait=True)
        if self._shadows is not None:
            self._shadows.close()

    def _make_model(self, name: str, version: int, predictor: Predictor) -> Model:
        """Make what answers for a version.

        It is served without a recorder where there is no room for one.
        """
        recorder, sample, note = None, None, None
        try:
            recorder = self._recorder_of(name, version, predictor.manifest)
            sample = self._sampler_of(name, version, predictor.manifest)
        except (ServiceError, OSError, MemoryError) as error:
            what = "gates" if recorder is None else "inputs"
            note = f"its {what} are not recorded: {error}"
            sentence = f"%s %d is served without statistics of its {what}: %s"
            log_event(log, logging.WARNING, "unrecorded", sentence, name, version, error, model=name, version=version)
        if predictor.is_unshared:
            unshared = "each worker has a copy of its large parts, for which the run directory has no room"
            note = f"{note}; {unshared}" if note else unshared
            sentence = "%s %d: " + unshared
            log_event(log, logging.WARNING, "unshared", sentence, name, version, model=name, version=version)
        model = Model(name, version, predictor, self.batcher, self.settings, recorder, sample)
        model.note = note
        return model
