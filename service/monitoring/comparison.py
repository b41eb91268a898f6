"""Comparison of a shadow version with the served one: row by row, added up over all workers.

    <run directory>/shadow/<model>/<served>-<candidate>-<digest>
        .json     the versions and tasks that are compared
        .slots    the sums, a slot per worker

Every comparison adds to a worker's sums at once or not at all (`shared_sums.py`): a worker that
dies leaves them whole.
"""

from functools import cached_property
from pathlib import Path
from typing import Literal

import numpy as np
from numpy.typing import NDArray
from pydantic import BaseModel, ConfigDict

from service.artifact.manifest import Manifest
from service.inference.answer import Answer
from service.monitoring.matching import Matching, PairSums, words_of
from service.monitoring.shared_sums import Body, Shape, SharedSums
from service.monitoring.sum_files import SumFiles
from service.run_directory import RunDirectory

KEPT_PAIRS = 8
"""Pairs of versions of a model whose sums stay readable."""

_FOLDER = "shadow"
_ROWS, _DROPPED, _FAILED, _TASKS = range(4)
_ABSOLUTE, _LARGEST, _DISAGREEMENTS, _GATES = range(4)


class ComparedTask(BaseModel):
    """Task that both versions have.

    Attributes:
        gates: whether their gate weights can be compared: both have gates.
    """

    model_config = ConfigDict(frozen=True)

    name: str
    kind: Literal["regression", "binary", "multiclass"]
    gates: bool


class Pair(BaseModel):
    """Pair of versions that are compared, with the tasks they are compared in.

    Attributes:
        experts: of each; 0 without gates.
    """

    model_config = ConfigDict(frozen=True)

    model: str
    served: int
    candidate: int
    experts: tuple[int, int]
    tasks: tuple[ComparedTask, ...]

    @classmethod
    def of(cls, name: str, served: tuple[int, Manifest], candidate: tuple[int, Manifest]) -> "Pair":
        """Pair two versions of a model, each a number and a manifest.

        They are compared in the tasks of the same name, kind and width.
        """
        (number, one), (other_number, other) = served, candidate
        theirs = {task.name: task for task in other.tasks}
        alike = one.has_gates and other.has_gates
        tasks = tuple(
            ComparedTask(name=task.name, kind=task.kind, gates=alike)
            for task in one.tasks
            if task.name in theirs and (task.kind, task.width) == (theirs[task.name].kind, theirs[task.name].width)
        )
        return cls(model=name, served=number, candidate=other_number, experts=(one.experts, other.experts), tasks=tasks)

    @property
    def shape(self) -> Shape:
        """Return the shape of a worker's sums."""
        return Shape(1, _TASKS + self.per_task * len(self.tasks))

    @property
    def per_task(self) -> int:
        """Count the words of a task."""
        return _GATES + words_of(*self.experts)

    def compare(
        self, served: Answer, candidate: Answer, places: tuple[NDArray[np.intp], NDArray[np.intp]]
    ) -> "ShadowFigures":
        """Compare the answers to the same rows.

        A row without a finite answer of the candidate counts as failed.

        Args:
            served: what was answered.
            candidate: what would have been.
            places: of the compared tasks in each version's gate weights.
        """
        finite = np.ones(len(next(iter(candidate.tasks.values()))), bool)
        for array in candidate.arrays():
            finite &= np.isfinite(array).reshape(len(array), -1).all(axis=1)
        words = np.zeros(self.shape.words)
        words[_ROWS], words[_FAILED] = finite.sum(), (~finite).sum()
        for t, task in enumerate(self.tasks):
            if finite.any():
                part = words[_TASKS + t * self.per_task :][: self.per_task]
                self._compare_task(part, task, served.tasks[task.name][finite], candidate.tasks[task.name][finite])
                if task.gates and served.gate_weights is not None and candidate.gate_weights is not None:
                    ours = served.gate_weights[finite, places[0][t]]
                    theirs = candidate.gate_weights[finite, places[1][t]]
                    PairSums.view(part[_GATES:], *self.experts).add(ours, theirs)
        return ShadowFigures(self, words)

    def _compare_task(
        self, part: Body, task: ComparedTask, ours: NDArray[np.float32], theirs: NDArray[np.float32]
    ) -> None:
        apart = np.abs(theirs.astype(np.float64) - ours).reshape(len(ours), -1)
        part[_ABSOLUTE], part[_LARGEST] = apart.mean(axis=1).sum(), apart.max()
        if task.kind == "binary":
            part[_DISAGREEMENTS] = ((ours >= 0.5) != (theirs >= 0.5)).sum()
        elif task.kind == "multiclass":
            part[_DISAGREEMENTS] = (ours.argmax(axis=1) != theirs.argmax(axis=1)).sum()


class ShadowFigures:
    """Sums over rows that were compared."""

    def __init__(self, pair: Pair, words: Body) -> None:
        self.pair, self.words = pair, words

    @property
    def rows(self) -> float:
        """Count the rows that were compared."""
        return float(self.words[_ROWS])

    @property
    def dropped_rows(self) -> float:
        """Count the rows that were chosen and left out, as too many were waiting."""
        return float(self.words[_DROPPED])

    @property
    def failed_rows(self) -> float:
        """Count the rows that the candidate could not answer."""
        return float(self.words[_FAILED])

    def task(self, at: int) -> tuple[float, float, float, float, float]:
        """Return a task's sums.

        Absolute difference, its largest, disagreements; by matched experts gate divergence and
        same top expert.
        """
        absolute, largest, disagreements = self._part(at)[:_GATES].tolist()
        if self.matching is None or not self.pair.tasks[at].gates:
            return absolute, largest, disagreements, 0.0, 0.0
        sums = self._pair_sums(at)
        return absolute, largest, disagreements, self.matching.divergence(sums), self.matching.same_top(sums)

    def utilisation(self, at: int) -> tuple[list[float], list[float]] | None:
        """Return a task's mean gate weights of both versions; None without gates or rows."""
        if not (self.rows and self.pair.tasks[at].gates):
            return None
        sums = self._pair_sums(at)
        return (sums.ours[0] / self.rows).tolist(), (sums.theirs[0] / self.rows).tolist()

    @cached_property
    def matching(self) -> Matching | None:
        """Match the experts by all rows and tasks; None without gates or rows."""
        gated = [self._pair_sums(at) for at, task in enumerate(self.pair.tasks) if task.gates]
        return Matching.of(gated, self.rows) if gated and self.rows else None

    def _part(self, at: int) -> Body:
        size = self.pair.per_task
        return self.words[_TASKS + at * size :][:size]

    def _pair_sums(self, at: int) -> PairSums:
        return PairSums.view(self._part(at)[_GATES:], *self.pair.experts)

    def __add__(self, other: "ShadowFigures") -> "ShadowFigures":
        words = self.words + other.words
        largest = slice(_TASKS + _LARGEST, None, self.pair.per_task)
        words[largest] = np.maximum(self.words[largest], other.words[largest])
        return ShadowFigures(self.pair, words)

    @classmethod
    def missed(cls, pair: Pair, dropped_rows: int = 0, failed_rows: int = 0) -> "ShadowFigures":
        """Make the sums of rows that were not compared."""
        words = np.zeros(pair.shape.words)
        words[_DROPPED], words[_FAILED] = dropped_rows, failed_rows
        return cls(pair, words)


class Tally:
    """Sums of a pair over all workers; one object per process may add, from one thread."""

    def __init__(self, pair: Pair, workers: list[SharedSums], own: int) -> None:
        self.pair, self._workers, self._own = pair, workers, workers[own]

    def add(self, figures: ShadowFigures) -> None:
        """Add to this worker's sums."""
        before = ShadowFigures(self.pair, self._own.current(0))
        self._own.publish({0: (before + figures).words})

    def total(self) -> ShadowFigures:
        """Add up the sums of all workers."""
        figures = ShadowFigures.missed(self.pair)
        for sums in self._workers:
            figures += ShadowFigures(self.pair, sums.read(0, 1)[0])
        return figures


class Tallies:
    """Tallies of all pairs of an instance.

    Args:
        directory: shared by the workers.
        place: of this worker, whose slot it writes.
    """

    def __init__(self, directory: RunDirectory, place: int) -> None:
        self._files, self._place = SumFiles(directory, _FOLDER, KEPT_PAIRS), place
        self._open: dict[Path, Tally] = {}

    def open(self, pair: Pair) -> Tally:
        """Begin, or go on, to add up a pair."""
        text = pair.model_dump_json().encode()
        path = self._files.path(pair.model, f"{pair.served}-{pair.candidate}", text)
        tally = self._tally(path, pair)
        kept = self._files.keep(path, text)
        for old in [old for old in self._open if old.parent == path.parent and old not in kept]:
            del self._open[old]
        return tally

    def all(self) -> list[Tally]:
        """List the tallies of all pairs that are kept, by any worker, the last opened first."""
        found = []
        for path in self._files.all():
            try:
                found.append(self._open.get(path) or self._tally(path, Pair.model_validate_json(path.read_bytes())))
            except FileNotFoundError:  # forgotten meanwhile
                continue
        return found

    def _tally(self, path: Path, pair: Pair) -> Tally:
        if path not in self._open:
            self._open[path] = Tally(pair, self._files.map(path, repr(pair.shape), pair.shape), self._place)
        return self._open[path]
