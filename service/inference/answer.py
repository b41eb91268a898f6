"""Result of one run of a model, and each request's slice of it."""

from typing import NamedTuple

import numpy as np
from numpy.typing import NDArray

from service.inference.features import Batch

Floats = NDArray[np.float32]
Outputs = dict[str, Floats]


class Answer(NamedTuple):
    """Answer of a model to B rows, in their order.

    Attributes:
        tasks: name -> float32 (B,), or (B, K) for multiclass; empty where only gates were asked
            for.
        gate_weights: float32 (B, T, E); None without gates.
        contributions: float32 (B, T, E, F), only where asked for.
    """

    tasks: Outputs
    gate_weights: Floats | None
    contributions: Floats | None = None

    def slice(self, start: int, stop: int) -> "Answer":
        """Return rows start to stop (exclusive) as views."""
        return Answer(
            {name: values[start:stop] for name, values in self.tasks.items()},
            None if self.gate_weights is None else self.gate_weights[start:stop],
            None if self.contributions is None else self.contributions[start:stop],
        )

    def arrays(self) -> list[Floats]:
        """List every array."""
        return [*self.tasks.values(), *[a for a in (self.gate_weights, self.contributions) if a is not None]]

    def rows_not_finite(self) -> list[int]:
        """List the rows with a NaN or infinity in any answer: float32 overflowed on the way."""
        wrong = [~np.isfinite(array).reshape(len(array), -1).all(axis=1) for array in self.arrays()]
        return [int(row) for row in np.flatnonzero(np.any(wrong, axis=0))]


class RunResult:
    """Result of one run, which several requests may share.

    Attributes:
        rows: of all of them.
        began: when, on the clock of the engine.
        batch: the rows themselves, where they are kept.
        rendered: a transport's own rendering of all rows, made when the first of the requests asks
            for it.
    """

    __slots__ = ("answer", "batch", "began", "rendered", "rows")

    def __init__(self, answer: Answer, rows: int, began: float = 0.0, batch: Batch | None = None) -> None:
        self.answer, self.rows, self.began, self.batch = answer, rows, began, batch
        self.rendered: list[bytes] | None = None


class RunSlice:
    """Slice of a run that belongs to one request: rows `start` to `stop`, exclusive."""

    __slots__ = ("run", "start", "stop")

    def __init__(self, run: RunResult, start: int, stop: int) -> None:
        self.run, self.start, self.stop = run, start, stop

    def __len__(self) -> int:
        return self.stop - self.start

    def answer(self) -> Answer:
        """Return the answer to these rows alone, as views."""
        return self.run.answer.slice(self.start, self.stop)


class Ablation:
    """Predictions of one request's rows with each expert left out: task -> (E, B) or (E, B, K)."""

    __slots__ = ("rows", "tasks")

    def __init__(self, tasks: Outputs, rows: int) -> None:
        self.tasks, self.rows = tasks, rows

    def __len__(self) -> int:
        return self.rows
