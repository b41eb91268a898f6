"""Answers: arrays by task, and DataFrames of the kind that the rows came in."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any, NamedTuple

import numpy as np
from numpy.typing import NDArray

from mmoe_client.metadata import Metadata

Floats = NDArray[np.float32]


class Note(NamedTuple):
    """Liberty that the service took with a column, where it was asked to be lenient.

    Attributes:
        row: first one of those given that it was taken with, from 0.
        rows: of how many.
    """

    feature: str
    row: int
    rows: int
    message: str


@dataclass(frozen=True)
class Prediction:
    """Predictions for B rows, with the gate weights behind them.

    Attributes:
        model: that answered.
        version: that answered; of the last part, where a long request was cut and the version was
            swapped meanwhile.
        tasks: by task, the value of a regression (B,), the probability of a binary task's second
            class (B,), or the probabilities of K classes (B, K).
        gate_weights: by task, the weight of each expert (B, E); None for a model without gates.
        request_ids: of the requests that the answer was put together from.
        notes: liberties that were taken with the rows, of a lenient client.
    """

    model: str
    version: int
    tasks: Mapping[str, Floats]
    gate_weights: Mapping[str, Floats] | None
    request_ids: tuple[str, ...] = ()
    notes: tuple[Note, ...] = ()

    @property
    def rows(self) -> int:
        """Count the rows, B."""
        return len(next(iter(self.tasks.values())))

    def top_expert(self, task: str) -> NDArray[np.int64]:
        """Return the expert of the largest weight in each row (B,).

        Raises:
            KeyError: no such task, or a model without gates.
        """
        if self.gate_weights is None:
            raise KeyError(f"model {self.model!r} has no gates")
        top: NDArray[np.int64] = self.gate_weights[task].argmax(axis=1)
        return top

    def columns(self, metadata: Metadata, gates: bool = True) -> dict[str, Floats]:
        """Lay the answer out as columns.

        `price`, or `grade.low` and so on for classes; with gates `price.expert_0` and so on.
        """
        classes = {task.name: task.classes for task in metadata.tasks}
        found: dict[str, Floats] = {}
        for task, values in self.tasks.items():
            if values.ndim == 1:
                found[task] = values
            else:
                found |= {f"{task}.{name}": values[:, k] for k, name in enumerate(classes[task])}
        if gates and self.gate_weights is not None:
            for task, weights in self.gate_weights.items():
                found |= {f"{task}.expert_{e}": weights[:, e] for e in range(weights.shape[1])}
        return found


def joined(parts: Sequence[Prediction]) -> Prediction:
    """Put the answers of parts of a request together."""
    last = parts[-1]
    if len(parts) == 1:
        return last
    gates = None
    if last.gate_weights is not None:
        names = last.gate_weights
        gates = {name: np.concatenate([(part.gate_weights or {})[name] for part in parts]) for name in names}
    tasks = {name: np.concatenate([part.tasks[name] for part in parts]) for name in last.tasks}
    ids = tuple(i for part in parts for i in part.request_ids)
    return Prediction(last.model, last.version, tasks, gates, ids, _joined_notes(parts))


def _joined_notes(parts: Sequence[Prediction]) -> tuple[Note, ...]:
    """Join the notes of parts, one per column; rows are counted from the first part's."""
    notes, begin = dict[str, Note](), 0
    for part in parts:
        for note in part.notes:
            before = notes.get(note.feature, note._replace(row=note.row + begin, rows=0))
            notes[note.feature] = before._replace(rows=before.rows + note.rows)
        begin += part.rows
    return tuple(notes.values())


def frame_like(rows: Any, columns: Mapping[str, Floats]) -> Any:
    """Make a DataFrame of columns, of the library and with the index of `rows`."""
    kind = type(rows)
    index = getattr(rows, "index", None)
    return kind(dict(columns)) if index is None else kind(dict(columns), index=index)
