"""Loaded model version: rows in, joined with others' rows, answers and gate weights out.

    Model.predict -> a lane of the batcher -> predictor, once for many -> each request's slice

Everything is called on the event loop.
"""

import asyncio
import time
from collections.abc import Awaitable, Callable, Sequence
from typing import Any, Protocol

import numpy as np

from service.artifact.file import golden_inputs
from service.artifact.manifest import GATE_CONTRIBUTIONS, GATE_WEIGHTS, Manifest
from service.errors import InvalidFeatures, ValueProblem
from service.inference.answer import Ablation, Answer, Floats, Outputs, RunResult, RunSlice
from service.inference.batcher import Batcher
from service.inference.features import Batch, FeatureReader
from service.inference.lane import Lane
from service.inference.predictor import Predictor
from service.inference.reading.numbers import all_finite
from service.settings import Settings

INLINE_BUDGET_S = 0.5e-3
"""A run that takes longer goes to a thread. A hop there and back costs 0.05 to 0.1 ms, and a run
of this length holds up the requests of other connections, and the probes, no longer than reading
them takes."""

GATE_WEIGHTS_ONLY = frozenset({GATE_WEIGHTS})
CONTRIBUTIONS = frozenset({GATE_CONTRIBUTIONS})

OUT_OF_RANGE = (
    "the model's answer to this row is not finite: its numbers are too extreme; check them against the ranges"
)

Finished = Callable[[Sequence[RunSlice]], None]


class GateRecorder(Protocol):
    """Recorder of the gate weights of a model version's answers."""

    def record(self, weights: Floats, /) -> None:
        """Note the weights (B, T, E) of rows that were served; called on the event loop."""


class RunCallback:
    """Optional callback for finished prediction runs."""

    __slots__ = ("call",)

    def __init__(self) -> None:
        self.call: Finished | None = None


class Model:
    """Loaded model version.

    Its lanes know the predictor, not the model, so that it is freed at once.

    Args:
        name: under which it is served.
        version: of the model.
        predictor: loaded and warm.
        batcher: of the process.
        settings: limits.
        recorder: of its gate weights, if there is one.
        sample: told of every prediction run, if anything is.

    Attributes:
        reader: turns rows and columns into batches.
        loaded_at: seconds since 1970.
        load_s: how long loading took, in seconds.
        note: what an operator should know of it, if anything.
        transport: whatever a transport prepares for this model; it goes when the model goes.
        run_callback: called with its finished prediction runs, after they were answered.
    """

    def __init__(
        self,
        name: str,
        version: int,
        predictor: Predictor,
        batcher: Batcher,
        settings: Settings,
        recorder: GateRecorder | None = None,
        sample: Callable[[RunResult], None] | None = None,
    ) -> None:
        self.name, self.version, self.predictor = name, version, predictor
        self.manifest: Manifest = predictor.manifest
        self.reader = FeatureReader(self.manifest, settings.max_rows)
        self.loaded_at, self.load_s = time.time(), 0.0
        self.note: str | None = None
        self.transport: object | None = None
        self.run_callback = RunCallback()
        self._openings: dict[frozenset[str], asyncio.Future[None]] = {}
        finished = _recording(recorder)
        inline_rows = measured_inline_rows(predictor, settings.inline_rows)
        experts = max(self.manifest.experts, 1)
        self._predictions: Lane[Batch, RunSlice] = batcher.lane(
            _joining(predictor.run), inline_rows, _finishing(_sampling(finished, sample), self.run_callback)
        )
        self._gates: Lane[Batch, RunSlice] = batcher.lane(
            _joining(lambda batch: predictor.run(batch, GATE_WEIGHTS_ONLY)), inline_rows, finished
        )
        self._inspections: Lane[Batch, RunSlice] = batcher.lane(_joining(predictor.run), inline_rows)
        self._contributions: Lane[Batch, RunSlice] = batcher.lane(
            _joining(predictor.contributions), inline_rows // (4 * experts)
        )
        self._ablations: Lane[Batch, Ablation] = batcher.lane(_ablating(predictor), inline_rows // experts)

    def predict(self, batch: Batch, arrived: float, timeout_s: float) -> Awaitable[RunSlice]:
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

    async def gate_weights(self, batch: Batch, arrived: float, timeout_s: float) -> RunSlice:
        """Answer like `predict`, with the gate weights alone, which costs less.

        Raises:
            GatesUnavailable: the model has no gates; further errors as in `predict`.
        """
        self.need_gates()
        await self._open(GATE_WEIGHTS_ONLY)
        return await self._gates.submit(batch, batch.rows, arrived, timeout_s)

    async def inspect(self, batch: Batch, arrived: float, timeout_s: float, contributions: bool = False) -> RunSlice:
        """Answer like `predict`, by choice with each feature's share in each gate logit.

        It is not traffic.

        Raises:
            GatesUnavailable: the model has no gates; further errors as in `predict`.
        """
        self.need_gates()
        if contributions:
            await self._open(CONTRIBUTIONS)
        lane = self._contributions if contributions else self._inspections
        return await lane.submit(batch, batch.rows, arrived, timeout_s)

    async def ablate(self, batch: Batch, arrived: float, timeout_s: float) -> Outputs:
        """Predict each task with each expert left out: task -> (E, B) or (E, B, K).

        It is not traffic.

        Raises:
            GatesUnavailable: the model has no gates, or a single expert; further errors as in
                `predict`.
        """
        self.need_gates()
        return (await self._ablations.submit(batch, batch.rows, arrived, timeout_s)).tasks

    async def _open(self, outputs: frozenset[str]) -> None:
        """Open the session of these outputs in a thread, before the first run that wants it.

        Requests that come meanwhile wait for the same opening, so that they go on in the same turn
        and share a run.
        """
        if self.predictor.is_open(outputs):
            return
        opening = self._openings.get(outputs)
        if opening is None:
            opening = asyncio.ensure_future(asyncio.to_thread(self.predictor.open, outputs))
            self._openings[outputs], forget = opening, self._openings.pop
            opening.add_done_callback(lambda _: forget(outputs))
        await asyncio.shield(opening)  # who leaves must not end it for the others

    def need_gates(self) -> None:
        """Raise GatesUnavailable if the model has no gates."""
        self.predictor.need_gates()


def _joining(run: Callable[[Batch], Answer]) -> Callable[[list[Batch]], list[RunSlice]]:
    def run_joined(batches: list[Batch]) -> list[RunSlice]:
        began = time.perf_counter()
        joined = Batch.concat(batches)
        answer = run(joined)
        if not all(map(all_finite, answer.arrays())):
            raise InvalidFeatures([ValueProblem(row, None, OUT_OF_RANGE) for row in answer.rows_not_finite()[:20]])
        shared, parts, start = RunResult(answer, joined.rows, began, joined), [], 0
        for batch in batches:
            parts.append(RunSlice(shared, start, start + batch.rows))
            start += batch.rows
        return parts

    return run_joined


def _ablating(predictor: Predictor) -> Callable[[list[Batch]], list[Ablation]]:
    return lambda batches: [Ablation(predictor.ablate(batch), batch.rows) for batch in batches]


def _finishing(record: Finished | None, callback: RunCallback) -> Finished:
    """Return what is done with finished predictions."""

    def finished(parts: Sequence[RunSlice]) -> None:
        if record is not None:
            record(parts)
        if callback.call is not None:
            callback.call(parts)

    return finished


def _recording(recorder: GateRecorder | None) -> Finished | None:
    """Return what hands the gate weights of finished runs to the recorder, each run once."""
    if recorder is None:
        return None
    record = recorder.record

    def finished(parts: Sequence[RunSlice]) -> None:
        shared = bool(parts) and parts[-1].start > 0  # else each ran by itself
        for part in parts[:1] if shared else parts:
            if (weights := part.run.answer.gate_weights) is not None:
                record(weights)

    return finished


def _sampling(record: Finished | None, sample: Callable[[RunResult], None] | None) -> Finished | None:
    """Return what also hands every finished run to `sample`, once."""
    if sample is None:
        return record

    def finished(parts: Sequence[RunSlice]) -> None:
        if record is not None:
            record(parts)
        shared = bool(parts) and parts[-1].start > 0  # else each ran by itself
        for part in parts[:1] if shared else parts:
            sample(part.run)

    return finished


def measured_inline_rows(predictor: Predictor, most: int, budget_s: float = INLINE_BUDGET_S) -> int:
    """Find how many rows a warm model runs within the budget, at most `most`.

    The best of a few runs counts.
    """
    rows = min(max(most, 1), 256)
    inputs: dict[str, Any] = {n: np.resize(a, (rows, a.shape[1])) for n, a in golden_inputs(predictor.manifest).items()}
    batch = Batch.of_inputs(inputs, rows)
    spent_s = []
    for _ in range(5):
        started = time.perf_counter()
        predictor.run(batch)
        spent_s.append(time.perf_counter() - started)
    return min(most, int(rows * budget_s / min(spent_s)))
