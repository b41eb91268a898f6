"""Cells: the bins, values and groups of buckets into which a feature or a prediction is counted.

Every row has a mass of 1 in a feature's cells; the values of a bag share that of their row. The
last three cells are below and above the range of training (numbers, moments) or other and unknown
values (texts), and missing ones.
"""

from collections.abc import Sequence
from dataclasses import dataclass, field
from typing import Any

import numpy as np
from numpy.typing import NDArray

from model.data.coding.numeric import bin_edges
from model.schema import (
    FIRST_VALUE,
    MISSING,
    MISSING_TIME,
    UNKNOWN,
    BagFeature,
    Bags,
    DatetimeFeature,
    FeatureSchema,
    HashedFeature,
    NumericFeature,
    Rows,
    TextFeature,
)

MOST_CELLS = 20
"""Bins of a number, and values listed of a text."""

GROUPS = 16
"""Groups of buckets of a hashed feature; a bucket's is its number modulo this."""

LONGEST_VALUE = 100
"""Characters of a value that is listed; a longer one is among the others."""

Doubles = NDArray[np.float64]
Places = NDArray[np.int64]
LOW, HIGH, NONE, TAIL = -3, -2, -1, 3


@dataclass(frozen=True)
class Cells:
    """R rows counted into C cells, the last three being the tail.

    Attributes:
        cells: C.
        place: (M,), the cell of each part of a row.
        row: (M,), whose part it is, from 0.
        mass: (M,), of the part; those of a row sum to 1.
        cut: by which the cells are made, for the manifest: `edges` or `values`, or nothing.
        tail: names of the first two cells of the tail; none where they are always empty.
    """

    cells: int
    place: Places
    row: Places
    mass: Doubles
    cut: dict[str, Any] = field(default_factory=dict)
    tail: tuple[str, str] | None = None

    def dense(self, rows: slice) -> Doubles:
        """Return the mass of some rows in each cell, (C, B)."""
        first, last = np.searchsorted(self.row, [rows.start, rows.stop])
        mass = np.zeros((self.cells, rows.stop - rows.start))
        np.add.at(mass, (self.place[first:last], self.row[first:last] - rows.start), self.mass[first:last])
        return mass

    def shares(self, weights: Doubles) -> Doubles:
        """Return the share of each cell, (C,), of rows that count so often, (R,)."""
        shares: Doubles = np.bincount(self.place, self.mass * weights[self.row], self.cells) / weights.sum()
        return shares

    def entry(self, weights: Doubles) -> dict[str, Any]:
        """Describe the cells and their shares for the manifest."""
        shares = [round(share, 7) for share in self.shares(weights).tolist()]
        tail = {} if self.tail is None else dict(zip(self.tail, shares[LOW:NONE], strict=True))
        return {**self.cut, "shares": shares[:LOW], **tail, "missing": shares[NONE]}


def cells_of(features: FeatureSchema, rows: Rows) -> list[Cells]:
    """Count rows into the cells of every feature, which are chosen by the same rows."""
    weights = weights_of(rows)
    numbers = [_numbers(feature, rows.numeric[:, n], weights) for n, feature in enumerate(features.numeric)]
    single = [_values(feature, *_one_each(rows.codes[:, c]), weights) for c, feature in enumerate(features.single)]
    bags = [_values(feature, *_several(bag), weights) for feature, bag in zip(features.bags, rows.bags, strict=True)]
    moments = [
        _moments(feature, rows.datetimes[:, k], weights)
        for k, feature in enumerate(features.datetimes)
        if rows.datetimes is not None
    ]
    return numbers + single + bags + moments


def weights_of(rows: Rows) -> Doubles:
    """Return how often each row counts, (R,)."""
    return np.ones(len(rows)) if rows.weights is None else rows.weights.astype(np.float64)


def inner_edges(values: NDArray[Any], weights: Doubles, most: int = MOST_CELLS) -> list[float]:
    """Choose rising edges between at most so many bins by quantiles.

    An edge lies halfway between two values that occur, as float32, so that the smallest difference
    between two computations moves no value that many rows share.

    Args:
        values: (R,).
        weights: (R,), how often each counts; at least one of them above 0.
        most: bins.
    """
    values, weights = values[weights > 0.0], weights[weights > 0.0]
    distinct = np.unique(values).astype(np.float64)
    if len(distinct) == 1:
        return []
    chosen = bin_edges(values.astype(np.float64), most - 1, weights).astype(np.float64)
    above = np.unique(np.searchsorted(distinct, chosen).clip(1, len(distinct) - 1))
    edges = np.unique(((distinct[above - 1] + distinct[above]) / 2.0).astype(np.float32))
    return [float(str(edge)) for edge in edges[: most - 1]]


def _numbers(feature: NumericFeature, column: NDArray[np.float32], weights: Doubles) -> Cells:
    known = ~np.isnan(column)
    return _binned(column, known, (feature.minimum, feature.maximum), weights)


def _moments(feature: DatetimeFeature, column: NDArray[np.int64], weights: Doubles) -> Cells:
    return _binned(column, column != MISSING_TIME, (feature.minimum, feature.maximum), weights)


def _binned(column: NDArray[Any], known: NDArray[np.bool_], span: tuple[float, float], weights: Doubles) -> Cells:
    """Count numbers by bins; those beyond the range of training, and missing ones, apart."""
    edges = inner_edges(column[known], weights[known]) if weights[known].any() else []
    if column.dtype == np.int64:
        edges = sorted({int(edge) for edge in edges})
        cuts, (low, high) = np.array(edges, np.int64), span
    else:
        cuts, (low, high) = np.array(edges, np.float32), np.array(span, np.float32)
    bins = len(edges) + 1
    place = np.searchsorted(cuts, column, side="right")
    place[known & (column < low)] = bins + TAIL + LOW
    place[known & (column > high)] = bins + TAIL + HIGH
    place[~known] = bins + TAIL + NONE
    rows = np.arange(len(column))
    return Cells(bins + TAIL, place, rows, np.ones(len(column)), {"edges": edges}, ("below", "above"))


Parts = tuple[Places, Places, Doubles]
"""Codes (M,), the row of each, and its mass."""


def _one_each(codes: NDArray[np.integer]) -> Parts:
    return codes.astype(np.int64), np.arange(len(codes)), np.ones(len(codes))


def _several(bags: Bags) -> Parts:
    """List the values of bags; an empty one has MISSING."""
    sizes = np.diff(bags.offsets)
    row = np.repeat(np.arange(len(sizes)), np.maximum(sizes, 1))
    codes = np.full(len(row), MISSING, np.int64)
    codes[(sizes > 0)[row]] = bags.values
    return codes, row, 1.0 / np.maximum(sizes, 1)[row]


def _values(feature: TextFeature, codes: Places, row: Places, mass: Doubles, weights: Doubles) -> Cells:
    """Count texts by the most frequent values, or by groups of buckets."""
    if isinstance(feature, HashedFeature) or (isinstance(feature, BagFeature) and feature.buckets):
        groups = min(GROUPS, feature.codes - FIRST_VALUE)
        place = np.where(codes == MISSING, groups + TAIL + NONE, (codes - FIRST_VALUE) % groups)
        return Cells(groups + TAIL, place, row, mass)
    counts: Doubles = np.bincount(codes, mass * weights[row], feature.codes).astype(np.float64)
    listed = _most_frequent(feature.vocabulary, counts[FIRST_VALUE:])
    cells = len(listed) + TAIL
    of_code = np.full(feature.codes, cells + LOW)
    of_code[UNKNOWN], of_code[MISSING] = cells + HIGH, cells + NONE
    of_code[FIRST_VALUE + np.array(listed, np.int64)] = np.arange(len(listed))
    cut = {"values": [feature.vocabulary[place] for place in listed]}
    return Cells(cells, of_code[codes], row, mass, cut, ("other", "unknown"))


def _most_frequent(vocabulary: Sequence[str], counts: Doubles) -> list[int]:
    """Return the places of the values that are listed, the most frequent first."""
    order = np.argsort(-counts, kind="stable")[: 2 * MOST_CELLS].tolist()
    return [place for place in order if counts[place] > 0.0 and len(vocabulary[place]) <= LONGEST_VALUE][:MOST_CELLS]
