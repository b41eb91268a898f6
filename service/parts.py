"""What runs give back: the answer of one run, and each request's part of it."""

from service.answer import Answer, Outputs
from service.features import Batch


class Run:
    """Hold the answer of one run, which several requests may share.

    Attributes:
        rows: of all of them.
        began: when, on the clock of the engine.
        batch: the rows themselves, where they are kept.
        rendered: a transport's own rendering of all rows, made when the first of the requests asks for it.
    """

    __slots__ = ("answer", "batch", "began", "rendered", "rows")

    def __init__(self, answer: Answer, rows: int, began: float = 0.0, batch: Batch | None = None) -> None:
        self.answer, self.rows, self.began, self.batch = answer, rows, began, batch
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
