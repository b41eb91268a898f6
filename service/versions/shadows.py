"""Shadows of one process: made for the versions that are served, run on a thread of their own.

The thread gathers before it runs, so that it takes few turns at the interpreter, and rests as long
as it has worked.
"""

import threading
import time

import numpy as np

from service.inference.predictor import Predictor
from service.monitoring.comparison import Pair, ShadowFigures, Tallies, Tally
from service.run_directory import RunDirectory
from service.versions.shadow import ChosenRun, Shadow, ShadowQueue, rows_reader

GATHER_S = 0.02
RUN_ROWS = 256
"""Rows of one run of the candidate."""


class Shadows:
    """Shadows of one process, and the thread that runs their candidates.

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
            VersionConflict: the candidate needs other rows than those that the served version
                takes.
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

    def figures(self) -> list[ShadowFigures]:
        """Return the differences of every pair of versions, over all workers, the latest first."""
        latest: dict[tuple[str, int, int], Tally] = {}  # a file may have been replaced under its number
        for tally in self.tallies.all():
            latest.setdefault((tally.pair.model, tally.pair.served, tally.pair.candidate), tally)
        return [tally.total() for tally in latest.values()]

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

    def _compare(self, group: list[ChosenRun]) -> None:
        started = time.perf_counter()
        group[0].shadow.compare([one.batch for one in group], [one.answer for one in group])
        time.sleep(time.perf_counter() - started)
