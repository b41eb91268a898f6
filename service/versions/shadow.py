"""Shadow of a served version: a candidate runs beside it on a share of traffic, after the answer.

    run finished -> chosen? -> queue (bounded) -> thread: candidate's answer -> compared -> tally

An answer is never delayed by its comparison: the loop puts a reference in a queue, or drops it
where the queue is full.
"""

import logging
import queue
import random
from collections.abc import Callable, Sequence
from typing import Any, NamedTuple

import numpy as np
from numpy.typing import NDArray

from service.artifact.entries import BagFeature
from service.artifact.manifest import Manifest
from service.errors import VersionConflict
from service.inference.answer import Answer, RunSlice
from service.inference.features import Batch
from service.inference.predictor import Predictor
from service.logs.log import log_event
from service.monitoring.comparison import Pair, ShadowFigures, Tally
from service.system.quoting import quote, quotes

QUEUE_ROWS = 4096
"""Rows that may wait to be compared; further ones are dropped, and counted."""

log = logging.getLogger("service")


class ChosenRun(NamedTuple):
    """Rows that are to be compared, and their answer."""

    shadow: "Shadow"
    batch: Batch
    answer: Answer


class Shadow:
    """Comparison of a share of a version's runs with a candidate; `offer` is for the event loop.

    Args:
        pair: the versions.
        tally: of the pair.
        candidate: the other version.
        reader: gives the candidate's rows from the served version's.
        places: of the compared tasks in both versions' gate weights.
        share: of the runs to compare, from 0 to 1.
        waiting: takes what is to be compared.
    """

    def __init__(
        self,
        pair: Pair,
        tally: Tally,
        candidate: Predictor,
        reader: Callable[[Batch], Batch],
        places: tuple[NDArray[np.intp], NDArray[np.intp]],
        share: float,
        waiting: "ShadowQueue",
    ) -> None:
        self.pair, self.tally, self.share = pair, tally, share
        self._candidate, self._read, self._places, self._waiting = candidate, reader, places, waiting
        self._dropped_rows = self._told_rows = 0

    def offer(self, parts: Sequence[RunSlice]) -> None:
        """Choose from the runs that have finished."""
        for part in parts:
            if not part.start and random.random() < self.share:
                run = part.run
                if run.batch is not None and not self._waiting.put(ChosenRun(self, run.batch, run.answer)):
                    self._dropped_rows += run.rows

    def compare(self, batches: Sequence[Batch], answers: Sequence[Answer]) -> None:
        """Run the candidate, compare and add up; for one thread. Raises nothing."""
        batch = Batch.concat(batches)
        try:
            theirs = self._candidate.run(self._read(batch))
            figures = self.pair.compare(_joined(answers), theirs, self._places)
        except Exception as error:
            sentence = "Version %d of %s cannot answer beside version %d: %s"
            pair = self.pair
            log_event(log, logging.DEBUG, "shadow_failed", sentence, pair.candidate, pair.model, pair.served, error)
            figures = ShadowFigures.missed(self.pair, failed_rows=batch.rows)
        dropped = self._dropped_rows  # the loop goes on counting
        figures += ShadowFigures.missed(self.pair, dropped_rows=dropped - self._told_rows)
        self._told_rows = dropped
        self.tally.add(figures)


class ShadowQueue:
    """Queue of what is to be compared, up to QUEUE_ROWS; one thread puts, one takes."""

    def __init__(self) -> None:
        self._queue: queue.SimpleQueue[ChosenRun | None] = queue.SimpleQueue()
        self._put_rows = self._taken_rows = 0

    def put(self, chosen: ChosenRun) -> bool:
        """Queue it, or return False as there is no room."""
        rows = chosen.batch.rows
        if self._put_rows - self._taken_rows + rows > max(QUEUE_ROWS, rows):
            return False
        self._put_rows += rows
        self._queue.put(chosen)
        return True

    def take(self) -> ChosenRun | None:
        """Wait for the next; None at the end."""
        return self._count(self._queue.get())

    def take_more(self) -> list[ChosenRun]:
        """Return all that has come, without waiting."""
        found: list[ChosenRun] = []
        while not self._queue.empty():
            if (chosen := self._count(self._queue.get())) is None:
                self.end()  # `take` is to meet it too
                break
            found.append(chosen)
        return found

    def end(self) -> None:
        """Make `take` return None."""
        self._queue.put(None)

    def _count(self, chosen: ChosenRun | None) -> ChosenRun | None:
        if chosen is not None:
            self._taken_rows += chosen.batch.rows
        return chosen


def check_features(name: str, served: tuple[int, Manifest], candidate: tuple[int, Manifest]) -> None:
    """Raise VersionConflict if the candidate needs rows that the served version does not take."""
    rows_reader(name, served, candidate)


def rows_reader(name: str, served: tuple[int, Manifest], candidate: tuple[int, Manifest]) -> Callable[[Batch], Batch]:
    """Return what turns the served version's rows into the candidate's, of fewer features."""
    (number, ours), (other, theirs) = served, candidate
    known, needed = _columns(ours), _columns(theirs)
    missing = [f[0] for have, need in zip(known, needed, strict=True) for f in need if f not in have]
    if missing:
        raise VersionConflict(
            f"Version {other} of model {quote(name)} takes {quotes(missing)}, which version {number} does "
            "not, so its answers to the same rows cannot be compared",
            "Compare a version of the same features",
        )
    if known == needed:
        return lambda batch: batch
    numeric, categorical, datetime = (
        [have.index(feature) for feature in need] for have, need in zip(known, needed, strict=True)
    )
    return lambda batch: batch._replace(
        numeric=_picked(batch.numeric, numeric),
        categorical=_picked(batch.categorical, categorical),
        datetime=_picked(batch.datetime, datetime),
    )


def _columns(manifest: Manifest) -> tuple[list[tuple[str, str]], ...]:
    """List the columns of each input: a feature's name, and what its cells are joined by."""
    texts = [(f.name, f.separator if isinstance(f, BagFeature) else "") for f in manifest.texts]
    return [(f.name, "") for f in manifest.numeric], texts, [(f.name, "") for f in manifest.datetimes]


def _picked(array: NDArray[Any] | None, columns: list[int]) -> NDArray[Any] | None:
    return None if array is None or not columns else np.ascontiguousarray(array[:, columns])


def _joined(answers: Sequence[Answer]) -> Answer:
    """Join answers of one model in order."""
    if len(answers) == 1:
        return answers[0]
    weights = [answer.gate_weights for answer in answers if answer.gate_weights is not None]
    tasks = {name: np.concatenate([answer.tasks[name] for answer in answers]) for name in answers[0].tasks}
    return Answer(tasks, np.concatenate(weights) if weights else None)
