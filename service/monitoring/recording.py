"""Recording of the gate weights of one model version, and reading it over all workers.

`GateTraffic.record` copies a run's gate weights into a buffer and is all that the hot path pays;
`fold` adds them up and publishes the sums every second, or sooner where there are many. Where rows
come by the hundred thousand a second, adding all of them up would take a third of the time of
predicting them, so after EXACT_ROWS of a second one row stands for SAMPLE.
"""

from collections.abc import Callable
from io import BytesIO

import numpy as np
from numpy.typing import NDArray
from pydantic import ConfigDict, Field

from service.artifact.entries import GateBaseline
from service.monitoring.recordings import Described
from service.monitoring.ring import Tier
from service.monitoring.shared_sums import SharedSums
from service.monitoring.windows import TOTAL_PLACE, Layout, Sums, fold, tier_places, total, window

EXACT_ROWS = 50_000
"""Rows of one second that are all counted, in each worker, for 1% of its time.

More cannot come one to a request.
"""

SAMPLE = 64
"""Beyond EXACT_ROWS of a second, keep one row in SAMPLE and weight it by SAMPLE."""

BUFFER_BYTES = 256 << 10
"""Gate weights that may wait to be added up: so few that it takes no time that anybody notices."""


class Gates(Described):
    """Gates of one model version: all that reading its traffic takes.

    Attributes:
        tasks: names in the order of axis T.
        experts: E.
        own_experts: by task, those that its gate alone sees.
        baseline: from the manifest.
    """

    model_config = ConfigDict(frozen=True)

    tasks: tuple[str, ...]
    experts: int
    own_experts: dict[str, tuple[int, ...]] = Field(default_factory=dict)
    baseline: GateBaseline

    @property
    def seen(self) -> int:
        """Count the experts that each gate sees, V."""
        own = self.own_experts.values()
        return self.experts - sum(map(len, own)) + max(map(len, own), default=0)

    def sees(self, task: str, expert: int) -> bool:
        """Tell whether the gate of a task sees an expert."""
        return all(expert not in own for other, own in self.own_experts.items() if other != task)

    @property
    def layout(self) -> Layout:
        """Return what is kept of the rows."""
        return Layout(len(self.tasks), self.experts, self.baseline.histogram_edges)


class GateTraffic:
    """Gate traffic of one model version.

    Args:
        gates: of the version.
        workers: sums of every worker of the instance.
        own: index of this worker's, which nobody else publishes.
        clock: whole and part seconds of CLOCK_MONOTONIC.

    Attributes:
        record: notes the gate weights (B, T, E), float32, of rows that were served; for the thread
            that folds.
    """

    def __init__(self, gates: Gates, workers: list[SharedSums], own: int, clock: Callable[[], float]) -> None:
        self.gates = gates
        self._layout = gates.layout
        self._workers, self._own = workers, workers[own]
        self._clock = clock
        self._buffer = BytesIO()
        self._second, self._each = 0, 1
        self._skip = 0
        self.record = self._recorder()

    def fold(self) -> None:
        """Add up the rows recorded since and publish the sums.

        It takes 0.2 ms, and 0.15 us a row for two tasks of 8 experts.
        """
        if not self._buffer.tell():
            return
        rows = np.frombuffer(self._buffer.getbuffer()[: self._buffer.tell()].tobytes(), np.float32)
        self._buffer.seek(0)
        added = self._layout.body(rows.reshape(-1, self._layout.tasks, self._layout.experts)) * self._each
        self._own.publish(fold(self._own.current, added, self._second))

    def release(self) -> None:
        """Let go of the memory with the last reference.

        What records knows this object, and it knows what records.
        """
        self.record = _record_nothing

    def _recorder(self) -> Callable[[NDArray[np.float32]], None]:
        """Return `record`, a closure over all it needs because it is called for every run.

        The buffer holds rows of one second that count alike; it is written over and over, since
        objects that live until the next fold would cost a request several times as much
        (measured).
        """
        write, size, clock, most = self._buffer.write, self._buffer.tell, self._clock, BUFFER_BYTES
        second, came = 0, 0

        def record(weights: NDArray[np.float32]) -> None:
            nonlocal second, came
            now = int(clock())
            if now != second:
                self._begin(now, 1)
                second, came = now, 0
            came += len(weights)
            if came > EXACT_ROWS:
                self._sample(weights, now)
            else:
                write(weights.tobytes())
            if size() > most:
                self.fold()

        return record

    def _begin(self, second: int, each: int) -> None:
        """Fold what came before rows of another second, or of another weight."""
        self.fold()
        self._second, self._each = second, each

    def _sample(self, weights: NDArray[np.float32], second: int) -> None:
        """Record one row in SAMPLE, in place of all."""
        if self._each == 1:
            self._begin(second, SAMPLE)
        skip, self._skip = self._skip, (self._skip - len(weights)) % SAMPLE
        self._buffer.write(weights[skip::SAMPLE].tobytes())

    def series(self, tier: Tier) -> Sums:
        """Merge all workers' rows of a window that ends now: (POINTS, ...), oldest first."""
        places = tier_places(tier)
        return window(self._layout, (sums.read(*places) for sums in self._workers), tier, self._clock())

    def total(self) -> Sums:
        """Merge all workers' rows since the instance started."""
        place = TOTAL_PLACE
        return total(self._layout, (sums.read(place, place + 1) for sums in self._workers))

    def bucket_age_s(self, tier: Tier) -> float:
        """Return how long ago the unfinished bucket began."""
        return self._clock() % tier.resolution_s


def _record_nothing(weights: NDArray[np.float32]) -> None:
    """Take the place of `record` where sums are no longer kept."""
