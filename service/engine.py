"""The core that every transport calls: models found, loaded and ready; rows in, answers with their gate weights out.

    transport -> Engine.get(name, version) -> Model.read rows -> Model.predict -> batcher -> predictor, once for many

The engine knows neither HTTP nor JSON. Everything but `scan` is called on the event loop.
"""

import threading
import time
from collections.abc import Awaitable, Callable, Sequence
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import Any, Protocol

import numpy as np

from service.artifact import GATE_WEIGHTS, Manifest, golden_inputs
from service.batcher import Batcher, Lane, Limits, Observer
from service.errors import ArtifactError, GatesUnavailable, InvalidFeatures, ModelNotFound, NotReady, Problem
from service.features import Batch, FeatureReader, all_finite
from service.predictor import Answer, Floats, Outputs, Predictor
from service.repository import ModelState, Repository
from service.roster import Roster
from service.settings import Settings

INLINE_BUDGET_S = 0.5e-3
"""A run that takes longer goes to a thread. A hop there and back costs 0.05 to 0.1 ms, and a run of this length holds
up the requests of other connections, and the probes, no longer than reading them takes."""

GATE_WEIGHTS_ONLY = frozenset({GATE_WEIGHTS})

OUT_OF_RANGE = (
    "the model's answer to this row is not finite: its numbers are too extreme; check them against the ranges"
)


class Run:
    """Hold the answer of one run, which several requests may share.

    Attributes:
        rows: of all of them.
        rendered: a transport's own rendering of all rows, made when the first of the requests asks for it.
    """

    __slots__ = ("answer", "rendered", "rows")

    def __init__(self, answer: Answer, rows: int) -> None:
        self.answer, self.rows = answer, rows
        self.rendered: list[bytes] | None = None


class Part:
    """Hold one request's rows of a run: `start` to `stop`, exclusive."""

    __slots__ = ("run", "start", "stop")

    def __init__(self, run: Run, start: int, stop: int) -> None:
        self.run, self.start, self.stop = run, start, stop

    def __len__(self) -> int:
        return self.stop - self.start

    def answer(self) -> Answer:
        """Return the answer to these rows alone, as views."""
        return self.run.answer.slice(self.start, self.stop)


class Ablation:
    """Hold the predictions of one request's rows with each expert left out: task -> (E, B) or (E, B, K)."""

    __slots__ = ("rows", "tasks")

    def __init__(self, tasks: Outputs, rows: int) -> None:
        self.tasks, self.rows = tasks, rows

    def __len__(self) -> int:
        return self.rows


class GateRecorder(Protocol):
    """Take notice of the gate weights of a model version's answers."""

    def record(self, weights: Floats, /) -> None:
        """Note the weights (B, T, E) of rows that were served; called on the event loop."""


class Model:
    """Answer for one loaded model version.

    Args:
        name: under which it is served.
        version: of the model.
        predictor: loaded and warm.
        batcher: of the process.
        settings: limits.
        recorder: of its gate weights, if there is one.

    Attributes:
        reader: turns rows and columns into batches.
        loaded_at: seconds since 1970.
        load_s: how long loading took, in seconds.
        transport: whatever a transport prepares for this model; it goes when the model goes.
    """

    def __init__(
        self,
        name: str,
        version: int,
        predictor: Predictor,
        batcher: Batcher,
        settings: Settings,
        recorder: GateRecorder | None = None,
    ) -> None:
        self.name, self.version, self.predictor = name, version, predictor
        self.manifest: Manifest = predictor.manifest
        self.reader = FeatureReader(self.manifest, settings.max_rows)
        self.loaded_at, self.load_s = time.time(), 0.0
        self.transport: object | None = None
        self._recorder = recorder
        inline_rows = measured_inline_rows(predictor, settings.inline_rows)
        experts = max(self.manifest.experts, 1)
        self._predictions: Lane[Batch, Part] = batcher.lane(self._runner(predictor.run), inline_rows, self._record)
        self._gates: Lane[Batch, Part] = batcher.lane(
            self._runner(lambda batch: predictor.run(batch, GATE_WEIGHTS_ONLY)), inline_rows, self._record
        )
        self._inspections: Lane[Batch, Part] = batcher.lane(self._runner(predictor.run), inline_rows)
        self._contributions: Lane[Batch, Part] = batcher.lane(
            self._runner(predictor.contributions), inline_rows // (4 * experts)
        )
        self._ablations: Lane[Batch, Ablation] = batcher.lane(self._ablate, inline_rows // experts)

    def predict(self, batch: Batch, arrived: float, timeout_s: float) -> Awaitable[Part]:
        """Answer rows with every task and the gate weights.

        Args:
            batch: the rows.
            arrived: when the request came in, on `Engine.clock`.
            timeout_s: how long after that the run may begin.

        Raises:
            Overloaded: too many rows are waiting.
            DeadlineExceeded: the time was over.
            InvalidFeatures: a row leads to numbers that float32 cannot hold.
        """
        return self._predictions.submit(batch, batch.rows, arrived, timeout_s)

    async def gate_weights(self, batch: Batch, arrived: float, timeout_s: float) -> Part:
        """Answer like `predict`, with the gate weights alone, which costs less.

        Raises:
            GatesUnavailable: the model has no gates; further errors as in `predict`.
        """
        self.need_gates()
        return await self._gates.submit(batch, batch.rows, arrived, timeout_s)

    async def inspect(self, batch: Batch, arrived: float, timeout_s: float, contributions: bool = False) -> Part:
        """Answer like `predict`, by choice with each feature's share in each gate logit; it is no traffic.

        Raises:
            GatesUnavailable: the model has no gates; further errors as in `predict`.
        """
        self.need_gates()
        lane = self._contributions if contributions else self._inspections
        return await lane.submit(batch, batch.rows, arrived, timeout_s)

    async def ablate(self, batch: Batch, arrived: float, timeout_s: float) -> Outputs:
        """Predict each task with each expert left out: task -> (E, B) or (E, B, K); it is no traffic.

        Raises:
            GatesUnavailable: the model has no gates, or a single expert; further errors as in `predict`.
        """
        self.need_gates()
        return (await self._ablations.submit(batch, batch.rows, arrived, timeout_s)).tasks

    def need_gates(self) -> None:
        """Raise GatesUnavailable if the model has no gates."""
        if not self.manifest.has_gates:
            raise GatesUnavailable(self.name, f"is a {self.manifest.architecture} model without gates")

    def _runner(self, run: Callable[[Batch], Answer]) -> Callable[[list[Batch]], list[Part]]:
        def run_joined(batches: list[Batch]) -> list[Part]:
            joined = Batch.concat(batches)
            answer = run(joined)
            if not all(map(all_finite, answer.arrays())):
                raise InvalidFeatures([Problem(row, None, OUT_OF_RANGE) for row in answer.rows_not_finite()[:20]])
            shared, parts, start = Run(answer, joined.rows), [], 0
            for batch in batches:
                parts.append(Part(shared, start, start + batch.rows))
                start += batch.rows
            return parts

        return run_joined

    def _ablate(self, batches: list[Batch]) -> list[Ablation]:
        return [Ablation(self.predictor.ablate(batch), batch.rows) for batch in batches]

    def _record(self, parts: Sequence[Part]) -> None:
        """Hand the gate weights of finished runs to the recorder, each run once."""
        if self._recorder is not None:
            for part in parts:
                if not part.start and (weights := part.run.answer.gate_weights) is not None:
                    self._recorder.record(weights)


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
            self.repository.scan(self._roster.read())

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


def measured_inline_rows(predictor: Predictor, most: int, budget_s: float = INLINE_BUDGET_S) -> int:
    """Find how many rows a warm model runs within the budget, at most `most`; the best of a few runs counts."""
    rows = min(max(most, 1), 256)
    inputs: dict[str, Any] = {n: np.resize(a, (rows, a.shape[1])) for n, a in golden_inputs(predictor.manifest).items()}
    batch = Batch(inputs.get("numeric"), inputs.get("categorical"), rows)
    spent_s = []
    for _ in range(5):
        started = time.perf_counter()
        predictor.run(batch)
        spent_s.append(time.perf_counter() - started)
    return min(most, int(rows * budget_s / min(spent_s)))
