"""Run a candidate version beside the served one on a share of traffic, after the answer, on a thread of its own.

    run finished -> chosen? -> queue (bounded) -> thread: candidate's answer to the same rows -> compared -> tally

An answer is never delayed by its comparison: the loop puts a reference in a queue, or drops it where the queue is full.
The thread gathers before it runs, so that it takes few turns at the interpreter, and rests as long as it has worked.
"""

import logging
import queue
import random
import threading
import time
from collections.abc import Callable, Sequence
from typing import NamedTuple

import numpy as np
from numpy.typing import NDArray

from service.artifact.manifest import Manifest
from service.errors import VersionConflict
from service.inference.answer import Answer, RunSlice
from service.inference.features import Batch
from service.inference.predictor import Predictor
from service.logs.log import log_event
from service.monitoring.comparison import Pair, ShadowFigures, Tallies, Tally
from service.run_directory import RunDirectory
from service.system.quoting import quote, quotes

QUEUE_ROWS = 4096
"""Rows that may wait to be compared; further ones are dropped, and counted."""
GATHER_S = 0.02
RUN_ROWS = 256
"""Rows of one run of the candidate."""

log = logging.getLogger("service")


class _ChosenRun(NamedTuple):
    """Hold rows that are to be compared."""

    shadow: "Shadow"
    batch: Batch
    answer: Answer


class Shadow:
    """Choose a share of a version's runs for comparison with a candidate; `offer` is for the event loop.

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
                if run.batch is not None and not self._waiting.put(_ChosenRun(self, run.batch, run.answer)):
                    self._dropped_rows += run.rows

    def compare(self, batches: Sequence[Batch], answers: Sequence[Answer]) -> None:
        """Let the candidate answer, compare and add up; for the one thread that does. Raises nothing."""
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
    """Queue what is to be compared, up to QUEUE_ROWS; one thread puts, one takes."""

    def __init__(self) -> None:
        self._queue: queue.SimpleQueue[_ChosenRun | None] = queue.SimpleQueue()
        self._put_rows = self._taken_rows = 0

    def put(self, chosen: _ChosenRun) -> bool:
        """Queue it, or return False as there is no room."""
        rows = chosen.batch.rows
        if self._put_rows - self._taken_rows + rows > max(QUEUE_ROWS, rows):
            return False
        self._put_rows += rows
        self._queue.put(chosen)
        return True

    def take(self) -> _ChosenRun | None:
        """Wait for the next; None at the end."""
        return self._count(self._queue.get())

    def take_more(self) -> list[_ChosenRun]:
        """Return all that has come, without waiting."""
        found: list[_ChosenRun] = []
        while not self._queue.empty():
            if (chosen := self._count(self._queue.get())) is None:
                self.end()  # `take` is to meet it too
                break
            found.append(chosen)
        return found

    def end(self) -> None:
        """Let `take` return None."""
        self._queue.put(None)

    def _count(self, chosen: _ChosenRun | None) -> _ChosenRun | None:
        if chosen is not None:
            self._taken_rows += chosen.batch.rows
        return chosen


class Shadows:
    """Make and run the shadows of one process.

    Args:
        directory: shared by the workers.
        place: of this worker.
    """

    def __init__(self, directory: RunDirectory, place: int) -> None:
        self.tallies = Tallies(directory, place)
        self._waiting = ShadowQueue()
        self._thread: threading.Thread | None = None

    def shadow(
        self, name: str, served: tuple[int, Predictor], candidate: tuple[int, Predictor], share: float
    ) -> Shadow:
        """Make the shadow of a version, each given by number and predictor.

        Raises:
            VersionConflict: the candidate needs other rows than those that the served version takes.
        """
        ours, theirs = served[1].manifest, candidate[1].manifest
        reader = rows_reader(name, (served[0], ours), (candidate[0], theirs))
        pair = Pair.of(name, (served[0], ours), (candidate[0], theirs))
        places = tuple(
            np.array([manifest.task_names.index(task.name) for task in pair.tasks], np.intp)
            for manifest in (ours, theirs)
        )
        if self._thread is None:
            self._thread = threading.Thread(target=self._work, name="shadow", daemon=True)
            self._thread.start()
        return Shadow(pair, self.tallies.open(pair), candidate[1], reader, (places[0], places[1]), share, self._waiting)

    def close(self) -> None:
        """Compare what waits, and end the thread."""
        if self._thread is not None:
            self._waiting.end()
            self._thread.join()
            self._thread = None

    def _work(self) -> None:
        while (first := self._waiting.take()) is not None:
            time.sleep(GATHER_S)
            group = [first]
            for chosen in [*self._waiting.take_more(), None]:
                rows = sum(one.batch.rows for one in group)
                if chosen is None or chosen.shadow is not group[0].shadow or rows + chosen.batch.rows > RUN_ROWS:
                    self._compare(group)
                    group = []
                if chosen is not None:
                    group.append(chosen)

    def _compare(self, group: list[_ChosenRun]) -> None:
        started = time.perf_counter()
        group[0].shadow.compare([one.batch for one in group], [one.answer for one in group])
        time.sleep(time.perf_counter() - started)


def check_features(name: str, served: tuple[int, Manifest], candidate: tuple[int, Manifest]) -> None:
    """Raise VersionConflict if the candidate needs other rows than those that the served version takes."""
    rows_reader(name, served, candidate)


def rows_reader(name: str, served: tuple[int, Manifest], candidate: tuple[int, Manifest]) -> Callable[[Batch], Batch]:
    """Return what turns the served version's rows into the candidate's, which may leave features out."""
    (number, ours), (other, theirs) = served, candidate
    known = ([f.name for f in ours.numeric], [f.name for f in ours.categorical])
    needed = ([f.name for f in theirs.numeric], [f.name for f in theirs.categorical])
    missing = [f for have, need in zip(known, needed, strict=True) for f in need if f not in have]
    if missing:
        raise VersionConflict(
            f"Version {other} of model {quote(name)} takes {quotes(missing)}, which version {number} does "
            "not, so its answers to the same rows cannot be compared",
            "Compare a version of the same features",
        )
    if known == needed:
        return lambda batch: batch
    numeric, categorical = ([have.index(feature) for feature in need] for have, need in zip(known, needed, strict=True))

    def read(batch: Batch) -> Batch:
        numbers, texts = batch.numeric, batch.categorical
        return batch._replace(
            numeric=None if numbers is None or not numeric else np.ascontiguousarray(numbers[:, numeric]),
            categorical=None if texts is None or not categorical else np.ascontiguousarray(texts[:, categorical]),
        )

    return read


def _joined(answers: Sequence[Answer]) -> Answer:
    """Join answers of one model in order."""
    if len(answers) == 1:
        return answers[0]
    weights = [answer.gate_weights for answer in answers if answer.gate_weights is not None]
    tasks = {name: np.concatenate([answer.tasks[name] for answer in answers]) for name in answers[0].tasks}
    return Answer(tasks, np.concatenate(weights) if weights else None)
