"""Metrics of the test rows by the values of a column."""

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from metrics.intervals import Estimate, estimate, mean_and_error
from model.network.model import Predictions
from model.schema import Dataset
from model.training.judged import Judged, judged, outputs_of

SHOWN = 20
"""Values of a column with lines of their own, those of most rows; all others share one."""


@dataclass(frozen=True)
class Segment:
    """Rows of one value, or of several together.

    Attributes:
        value: of the column, empty for none; None for all values that have no line.
        rows: test rows that judge the output.
        observed: mean label, share of positive rows; None of a multiclass task.
        predicted: mean answer likewise.
        estimate: of the metric; None where the rows do not define it.
    """

    value: str | None
    rows: int
    observed: float | None
    predicted: float | None
    estimate: Estimate | None


@dataclass(frozen=True)
class SegmentTable:
    """Segments of one output by one column, those of most rows first."""

    column: str
    output: str
    kind: str
    segments: tuple[Segment, ...]


def segment_tables(dataset: Dataset, test: Predictions) -> list[SegmentTable]:
    """Cut the test rows by each of the report's columns, and measure each output in each part."""
    tables, rows = [], dataset.test
    if rows.segments is None:
        return []
    for place, column in enumerate(dataset.segments):
        codes, listed = _lines(rows.segments[:, place], column.values)
        for output, t, given in outputs_of(dataset.tasks):
            whole = judged(test.tasks[output], rows, dataset.tasks, t, given)
            parts = ((value, whole.take(codes == line)) for line, value in enumerate(listed))
            segments = [_segment(value, part, dataset.tasks[t].kind) for value, part in parts]
            found = tuple(segment for segment in segments if segment.rows)
            tables.append(SegmentTable(column.name, output, dataset.tasks[t].kind, found))
    return tables


def _lines(codes: NDArray[np.int16], values: Sequence[str]) -> tuple[NDArray[np.int64], list[str | None]]:
    """Give each row its line: by value where many rows have it, else the last one."""
    counts = np.bincount(codes[codes >= 0], minlength=len(values))
    most = np.argsort(-counts, kind="stable")[:SHOWN]
    line = np.full(len(values) + 1, len(most), np.int64)  # the last one is that of code -1
    line[most] = np.arange(len(most))
    return line[codes], [*(values[place] for place in most), None]


def _segment(value: str | None, rows: Judged, kind: str) -> Segment:
    found = estimate(kind, rows.answer, rows.truth, rows.times)
    if kind == "multiclass" or not len(rows.truth):
        return Segment(value, len(rows.truth), None, None, found)
    observed, predicted = (mean_and_error(of, rows.times)[0] for of in (rows.truth, rows.answer))
    return Segment(value, len(rows.truth), observed, predicted, found)
