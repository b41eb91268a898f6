"""Answers beside the truth: outputs, the rows that judge each, how often these count."""

from collections.abc import Sequence
from typing import NamedTuple

import numpy as np
from numpy.typing import NDArray

from metrics.blocks import Times
from model.schema import Rows, Task, funnel


class Judged(NamedTuple):
    """Answers of one output beside the truth, over the rows that judge it.

    Where all rows of the split do, the arrays are views, perhaps of mapped files.

    Attributes:
        answer: (B,) or (B, K), in natural units or probabilities.
        truth: float64 (B,), a number, 0 or 1, or the index of a class.
        times: (B,), how often each row counts; None for once each.
        chosen: (R,) which rows of the split they are.
    """

    answer: NDArray[np.floating]
    truth: NDArray[np.float64]
    times: Times
    chosen: NDArray[np.bool_]

    def take(self, part: NDArray[np.bool_]) -> "Judged":
        """Take those of the R rows that are also in a part (R,) of them."""
        here = part[self.chosen]
        times = None if self.times is None else self.times[here]
        return Judged(self.answer[here], self.truth[here], times, self.chosen & part)


def judged(
    predicted: NDArray[np.floating], rows: Rows, tasks: Sequence[Task], column: int, given: bool = False
) -> Judged:
    """Set answers to all rows beside the truth of those that have one.

    Args:
        predicted: (R,) or (R, K).
        rows: R of a split.
        tasks: all of them.
        column: the task's.
        given: whether it is the conditional output, which the rows judge in which the task before
            came true.
    """
    chosen = labelled_rows(rows, tasks, column, given)
    part = slice(None) if chosen.all() else chosen
    truth = np.asarray(rows.labels[part, column], np.float64)
    return Judged(predicted[part], truth, weights_of(rows, tasks, column, part), chosen)


def outputs_of(tasks: Sequence[Task]) -> list[tuple[str, int, bool]]:
    """List all outputs, each task's conditional one behind it.

    Returns:
        The name of each, the column of its task, and whether it is conditional.
    """
    found = [(task.name, t, False) for t, task in enumerate(tasks)]
    found += [(task.conditional, t, True) for t, task in enumerate(tasks) if task.after]
    return sorted(found, key=lambda output: output[1])


def labelled_rows(rows: Rows, tasks: Sequence[Task], column: int, given: bool) -> NDArray[np.bool_]:
    """Choose the rows with a label; for a conditional those in which the task before came true."""
    labelled: NDArray[np.bool_] = ~np.isnan(rows.labels[:, column])
    if given and tasks[column].after:
        labelled &= rows.labels[:, funnel(tasks, tasks[column])[1]] == 1.0
    return labelled


def weights_of(rows: Rows, tasks: Sequence[Task], column: int, chosen: NDArray[np.bool_] | slice) -> Times:
    """Say how often each chosen row counts for a task.

    Only the first task of a funnel can have sampled negatives, and then so have those behind it.
    """
    times = None if rows.weights is None else rows.weights[chosen]
    first = funnel(tasks, tasks[column])[-1]
    kept = tasks[first].negatives_kept
    if kept == 1.0:
        return times
    dropped = np.where(rows.labels[chosen, first] == 0.0, 1.0 / kept, 1.0)
    return dropped if times is None else times * dropped  # float64
