"""One loaded model: proved by its golden rows, warmed, ready to run.

A session computes every node of its graph, so there is one session per set of outputs: predictions
with gate weights (made at load), gate weights alone, and everything with contributions (made when
first asked for). Predictions have a second one, for rows that miss no number: without the choice
of what to put there they cost a fifth less.
"""

import threading
from collections.abc import Callable, Mapping, Sequence
from pathlib import Path
from types import MappingProxyType
from typing import Any, Self

import numpy as np
from numpy.typing import NDArray

from service.artifact.file import golden_inputs
from service.artifact.manifest import (
    EXPERT_MASK,
    GATE_CONTRIBUTIONS,
    GATE_WEIGHTS,
    NUMERIC,
    ROW_EXPERT_MASK,
    Manifest,
)
from service.artifact.trim import Shapes, for_complete_rows, keep_outputs
from service.errors import ArtifactError, GatesUnavailable
from service.inference.answer import Answer, Floats, Outputs
from service.inference.features import Batch
from service.inference.feeding import FedSession, Feeder, Runnable
from service.inference.lean_model import LeanModel, read_lean, read_saved
from service.inference.session import open_session
from service.system.quoting import quote

RUN_ROWS = 1024
"""Rows of one run; more are run in parts, which costs nothing (measured) and keeps the memory of a
run small."""

CONTRIBUTION_RUN_ROWS = 64
"""The same where contributions are computed: a row then needs T x E x D numbers on the way."""

ANY_ROWS, COMPLETE_ROWS = "any_rows.ort", "complete_rows.ort"
"""Files that a predictor saves for another process: the optimised graphs of its two sessions."""

_NONE: Mapping[str, bytes] = MappingProxyType({})


class Predictor:
    """Predictor of one model version, for several threads at once; build it by `load`.

    Args:
        model: to run.
        manifest: of the model file.
        name: under which it is served; by default the manifest's.
        threads: of one run; 1 leaves parallelism to requests and processes.
        optimised: graphs that another process has saved of the same model, by file name; they open
            in half the time.
        save: directory to save such graphs to.

    Attributes:
        is_unshared: whether this process has a copy of its own of large parts of the model.

    Raises:
        ArtifactError: onnxruntime refuses the file, or its golden rows are not reproduced.
    """

    def __init__(
        self,
        model: LeanModel,
        manifest: Manifest,
        name: str | None = None,
        threads: int = 1,
        optimised: Mapping[str, bytes] = _NONE,
        save: Path | None = None,
    ) -> None:
        self.manifest = manifest
        self.name = name or manifest.name
        self._model, self._threads = model.model, threads
        self._feeder = None if model.is_whole else Feeder(model, threads)
        self.is_unshared = not (model.is_whole or model.shared)
        self._lock = threading.Lock()
        self._tasks = list(manifest.predicted)
        self._names = [*self._tasks, *([GATE_WEIGHTS] if manifest.has_gates else [])]
        self._default = frozenset(self._names)
        self._gated = manifest.has_gates
        every_row = np.arange(manifest.golden.rows)
        masks: Shapes = {ROW_EXPERT_MASK: ("mask_rows", 1, manifest.experts)} if manifest.has_gates else {}
        self._session = self._open(self._default, ANY_ROWS, every_row, lambda: self._model, optimised, save, masks)
        self._session_of_complete_rows = self._open_for_complete_rows(optimised, save) or self._session
        self._on_demand: dict[frozenset[str], Runnable] = {}

    @classmethod
    def load(
        cls,
        path: Path,
        name: str | None = None,
        largest_batch: int = RUN_ROWS,
        threads: int = 1,
        save: Path | None = None,
    ) -> Self:
        """Read a model file, check it, let it answer its golden rows, and warm it.

        Args:
            path: of model.onnx.
            name: under which it is served; by default the manifest's.
            largest_batch: rows of the largest run to warm with, so that no request pays for
                memory.
            threads: of one run.
            save: directory where to leave what `load_saved` takes: the large parts of a model and
                the optimised graphs.

        Raises:
            ArtifactError: the file must not be served; says why.
        """
        model, manifest = read_lean(path, save)
        predictor = cls(model, manifest, name, threads, save=save)
        predictor.warm_up(min(largest_batch, RUN_ROWS))
        return predictor

    @classmethod
    def load_saved(cls, folder: Path, name: str, largest_batch: int = RUN_ROWS, threads: int = 1) -> Self:
        """Load a checked model, sooner than `load`, from the directory where that saved it.

        A model that nothing was saved of lies there as MODEL.

        Raises:
            OSError: the files cannot be read now.
        """
        model, manifest = read_saved(folder)
        graphs = {file.name: file.read_bytes() for file in folder.glob("*.ort")}
        predictor = cls(model, manifest, name, threads, graphs)
        predictor.warm_up(min(largest_batch, RUN_ROWS))
        return predictor

    def run(self, batch: Batch, outputs: frozenset[str] | None = None) -> Answer:
        """Answer B >= 1 rows; by default every task and the gate weights.

        Args:
            batch: the rows.
            outputs: names of the outputs wanted, as the graph has them. The answer holds at least
                these: gate weights alone are cheaper, contributions dearer, any tasks cost as much
                as all.
        """
        if outputs is None or (outputs <= self._default and outputs != {GATE_WEIGHTS}):
            session = self._session_of_complete_rows if batch.complete else self._session
            values = self._run(session, self._names, batch.inputs(), batch.rows, RUN_ROWS)
            return Answer(dict(zip(self._tasks, values, strict=False)), values[-1] if self._gated else None)
        self.need_gates()
        wanted = self._with(outputs)
        session, rows = self._session_of(wanted), CONTRIBUTION_RUN_ROWS if GATE_CONTRIBUTIONS in wanted else RUN_ROWS
        names = sorted(wanted)
        found = dict(zip(names, self._run(session, names, batch.inputs(), batch.rows, rows), strict=True))
        tasks = {name: found[name] for name in self._tasks if name in found}
        return Answer(tasks, found.get(GATE_WEIGHTS), found.get(GATE_CONTRIBUTIONS))

    def contributions(self, batch: Batch) -> Answer:
        """Answer like `run`, with each raw feature's share in each gate logit.

        Raises:
            GatesUnavailable: the model has no gates.
        """
        return self.run(batch, frozenset({GATE_CONTRIBUTIONS}))

    def ablate(self, batch: Batch) -> Outputs:
        """Predict each task without each expert, gates renormalised: (E, B) or (E, B, K).

        All experts go into one run: the rows are repeated once per expert, each time with another
        mask.

        Raises:
            GatesUnavailable: the model has no gates, or gates that see a single expert, without
                which nothing is left.
        """
        self.need_gates()
        experts, rows = self.manifest.experts, batch.rows
        if self.manifest.seen_experts == 1:
            whose = "a single expert" if experts == 1 else "gates that see a single expert each"
            raise GatesUnavailable(self.name, f"has {whose}, without which nothing is left")
        inputs = {name: np.concatenate([array] * experts) for name, array in batch.inputs().items()}
        masks = 1.0 - np.eye(experts, dtype=np.float32)
        inputs[ROW_EXPERT_MASK] = np.repeat(masks, rows, axis=0)[:, None, :]
        found = self._run(self._session, self._tasks, inputs, rows * experts, RUN_ROWS)
        shaped = [values.reshape(experts, rows, *values.shape[1:]) for values in found]
        return dict(zip(self._tasks, shaped, strict=True))

    def warm_up(self, largest_batch: int) -> None:
        """Run one row, then the largest batch: memory is there before the first request."""
        inputs = golden_inputs(self.manifest)
        for rows in (1, largest_batch):
            picked = {name: np.resize(array, (rows, array.shape[1])) for name, array in inputs.items()}
            for session in (self._session, self._session_of_complete_rows):
                self._run(session, self._names, picked, rows, RUN_ROWS)

    def _run(
        self,
        session: Runnable,
        names: Sequence[str],
        inputs: dict[str, NDArray[Any]],
        rows: int,
        most: int,
    ) -> list[Floats]:
        """Run rows, at most so many at a time; one array per name."""
        if rows <= 0:  # onnxruntime would divide by zero, which kills the process
            raise ValueError(f"a run of {rows} rows; at least one is needed")
        if rows <= most:
            return session.run(names, inputs)
        parts = [
            session.run(names, {name: array[start : start + most] for name, array in inputs.items()})
            for start in range(0, rows, most)
        ]
        return [np.concatenate(pieces) for pieces in zip(*parts, strict=True)]

    def need_gates(self) -> None:
        """Raise GatesUnavailable if the model has no gates."""
        if not self.manifest.has_gates:
            raise GatesUnavailable(self.name, f"is a {self.manifest.architecture} model without gates")

    def is_open(self, outputs: frozenset[str]) -> bool:
        """Tell whether the session of gate weights alone, or with contributions, is open."""
        return self._with(outputs) in self._on_demand

    def open(self, outputs: frozenset[str]) -> None:
        """Open the session of such runs before the first; it takes a part of loading's time."""
        self._session_of(self._with(outputs))

    def _with(self, outputs: frozenset[str]) -> frozenset[str]:
        """Return what the session of these outputs, gate weights alone or contributions, gives."""
        return frozenset({GATE_WEIGHTS}) if outputs == {GATE_WEIGHTS} else self._default | {GATE_CONTRIBUTIONS}

    def _session_of(self, outputs: frozenset[str]) -> Runnable:
        """Return the session of these outputs; the first caller opens it, others wait for it."""
        session = self._on_demand.get(outputs)
        if session is None:
            with self._lock:
                every_row = np.arange(self.manifest.golden.rows)
                session = self._on_demand.get(outputs) or self._open(outputs, "", every_row, lambda: self._model)
                self._on_demand[outputs] = session
        return session

    def _open(
        self,
        outputs: frozenset[str],
        saved_as: str,
        rows: NDArray[np.intp],
        model: Callable[[], bytes],
        optimised: Mapping[str, bytes] = _NONE,
        save: Path | None = None,
        masks: Shapes = MappingProxyType({}),
    ) -> Runnable:
        """Open a session of these outputs and optional masks, and prove it by golden rows."""
        if saved_as in optimised:
            opened = open_session(optimised[saved_as], self._threads, optimised=True)
        else:
            to = None if save is None else save / saved_as
            opened = open_session(keep_outputs(model(), outputs, masks), self._threads, save=to)
        session = opened if self._feeder is None else FedSession(opened, self._feeder)
        self._prove(session, outputs, rows)
        return session

    def _open_for_complete_rows(self, optimised: Mapping[str, bytes], save: Path | None) -> Runnable | None:
        """Open the default session for rows that miss no number, proved by such golden rows.

        None without any.
        """
        numeric = golden_inputs(self.manifest).get(NUMERIC)
        missing = np.zeros(self.manifest.golden.rows, bool) if numeric is None else np.isnan(numeric).any(axis=1)
        if missing.all():
            return None

        def simpler() -> bytes:
            return for_complete_rows(self._model, NUMERIC, frozenset({EXPERT_MASK, ROW_EXPERT_MASK}))

        return self._open(self._default, COMPLETE_ROWS, np.flatnonzero(~missing), simpler, optimised, save)

    def _prove(self, session: Runnable, outputs: frozenset[str], rows: NDArray[np.intp]) -> None:
        """Raise ArtifactError unless the session reproduces these golden rows."""
        inputs, golden = golden_inputs(self.manifest), self.manifest.golden
        names = sorted(outputs & golden.outputs.keys())
        for some in (rows, rows[:1]):  # one row alone too: an export may be fixed to the batch it was made with
            came_of = self._run(session, names, {n: array[some] for n, array in inputs.items()}, len(some), RUN_ROWS)
            for name, came in zip(names, came_of, strict=True):
                _compare(name, came, np.array(golden.outputs[name], np.float64)[some], golden.tolerance)


def _compare(name: str, came: Floats, expected: NDArray[np.float64], tolerance: float) -> None:
    """Refuse an answer farther from the golden one than tolerance x max(1, |expected|)."""
    if came.shape != expected.shape:
        raise ArtifactError(f"Golden rows give {quote(name)} of shape {came.shape}; expected {expected.shape}")
    wrong = np.argwhere(~(np.abs(came - expected) <= tolerance * np.maximum(1.0, np.abs(expected))))
    if len(wrong):
        place = tuple(map(int, wrong[0]))
        raise ArtifactError(
            f"Golden row {place[0]} gives {float(came[place]):.7g} for {quote(name)}; "
            f"expected {expected[place]:.7g} within {tolerance:g}"
        )
