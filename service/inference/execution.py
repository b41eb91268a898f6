"""One run of several items: each gets its own result, or its own error."""

from collections.abc import Callable, Sequence, Sized
from typing import Generic, TypeVar

Item = TypeVar("Item")
Result = TypeVar("Result", bound=Sized)

RunFunction = Callable[[list[Item]], Sequence[Result]]
Clock = Callable[[], float]


class Execution(Generic[Result]):
    """Outcome of one run.

    Attributes:
        outcomes: for each item, in order, its result or its error.
        results: the results alone.
        started: when it began, on the clock of who ran it.
        run_s: how long it took.
    """

    __slots__ = ("outcomes", "results", "run_s", "started")

    def __init__(
        self, outcomes: Sequence[Result | Exception], results: Sequence[Result], started: float, run_s: float
    ) -> None:
        self.outcomes, self.results, self.started, self.run_s = outcomes, results, started, run_s


def execute(run: RunFunction[Item, Result], items: list[Item], rows: list[int], clock: Clock) -> Execution[Result]:
    """Run items together.

    If that fails, run them one by one, so that a bad one fails alone. Raises nothing.

    Args:
        run: takes items, returns for each, in order, a result of as many rows as it has.
        items: at least one.
        rows: of each item.
        clock: seconds, monotonic.
    """
    started = clock()
    outcomes: Sequence[Result | Exception]
    try:
        outcomes = results = checked(run, items, rows)
    except Exception as error:
        outcomes = [error] if len(items) == 1 else [_alone(run, *one) for one in zip(items, rows, strict=True)]
        results = [outcome for outcome in outcomes if not isinstance(outcome, Exception)]
    return Execution(outcomes, results, started, clock() - started)


def checked(run: RunFunction[Item, Result], items: list[Item], rows: list[int]) -> Sequence[Result]:
    """Run items and make sure that each gets as many rows as it sent.

    Raises:
        RuntimeError: one would get more or fewer, perhaps those of another.
        Exception: what the run raised.
    """
    results = run(items)
    if (came := list(map(len, results))) != rows:
        raise RuntimeError(f"A run of requests with {rows} rows answered {came} rows; no answer was given out.")
    return results


def _alone(run: RunFunction[Item, Result], item: Item, rows: int) -> Result | Exception:
    try:
        return checked(run, [item], [rows])[0]
    except Exception as error:
        return error
