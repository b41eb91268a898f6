"""Cells of a manifest's baseline, and rows of live traffic counted into them.

    sample of rows, answers -> the cell of each value -> counts, side by side for all features

Every row has a mass of 1 in each feature's cells; the values of a bag share that of their row.
"""

from bisect import bisect_left
from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray

from service.artifact.baseline import Baseline, FeatureBaseline, PredictionBaseline
from service.artifact.entries import MISSING_TIME, BagFeature, CategoricalFeature, HashedFeature, TextFeature
from service.artifact.manifest import Manifest
from service.inference.features import Batch
from service.inference.reading.hashing import murmur3_32

TAIL = 3
"""Cells behind those of a feature's shares: below or other, above or unknown, missing."""

LOW, HIGH, NONE = -3, -2, -1
"""Places of the tail's cells from the end."""

_REMEMBERED = 4096
_LONGEST_ID = 256
"""Characters of an id that is hashed here; a longer one counts as other."""

_MOST_VALUES = 100
"""Values of a bag that are counted."""

Doubles = NDArray[np.float64]
Cells = NDArray[np.int64]
Answers = Mapping[str, NDArray[np.float32]]


@dataclass(frozen=True)
class Sample:
    """Rows taken from traffic, each standing for `weights` rows.

    Attributes:
        batch: the rows.
        answers: predictions by output.
        weights: (B,).
        gate_weights: (B, T, E); None without gates, and where nobody wants them.
    """

    batch: Batch
    answers: Answers
    weights: Doubles
    gate_weights: NDArray[np.float32] | None = None


def prediction_cells(baseline: PredictionBaseline) -> tuple[float, ...]:
    """List the shares of a prediction's cells; the last of classes is that of all others."""
    return baseline.shares if baseline.classes is None else (*baseline.shares, baseline.other)


def widths(features: Iterable[FeatureBaseline], predictions: Iterable[PredictionBaseline]) -> list[int]:
    """Count the cells of each feature, then of each prediction."""
    return [len(f.shares) + TAIL for f in features] + [len(prediction_cells(p)) for p in predictions]


class CellCounter:
    """Counter of rows of one model by the cells of its baseline.

    Args:
        manifest: of the model.
        baseline: its own.
    """

    def __init__(self, manifest: Manifest, baseline: Baseline) -> None:
        starts = np.cumsum([0, *widths(baseline.features, baseline.predictions.values())])
        self.cells, self._starts = int(starts[-1]), starts
        of_kind = dict(zip(manifest.feature_names, zip(baseline.features, starts.tolist(), strict=False), strict=True))
        numbers = [(f.minimum, f.maximum, f.missing_values, *of_kind[f.name]) for f in manifest.numeric]
        moments = [(f.minimum, f.maximum, (MISSING_TIME,), *of_kind[f.name]) for f in manifest.datetimes]
        self._numbers = _Bins(numbers, np.float32) if numbers else None
        self._moments = _Bins(moments, np.int64) if moments else None
        missing = frozenset(("", *manifest.training_table.missing))
        self._texts = [_text_cells(feature, *of_kind[feature.name], missing) for feature in manifest.texts]
        after = starts[len(baseline.features) :].tolist()
        self._predictions = [
            (name, _prediction(cells), start)
            for (name, cells), start in zip(baseline.predictions.items(), after, strict=False)
        ]

    def count(self, sample: Sample) -> Doubles:
        """Add up the weights of a sample's rows in each cell, one feature after the other."""
        batch, weights = sample.batch, sample.weights
        counts = np.zeros(self.cells)
        for bins, values in ((self._numbers, batch.numeric), (self._moments, batch.datetime)):
            if bins is not None and values is not None:
                cells = bins.of(values)
                counts += np.bincount(cells.ravel(), np.repeat(weights, cells.shape[1]), self.cells)
        for cells_of, column in zip(self._texts, () if batch.categorical is None else batch.categorical.T, strict=True):
            places, mass = cells_of(column.tolist(), weights)
            counts += np.bincount(places, mass, self.cells)
        for name, cell_of, start in self._predictions:
            if name in sample.answers:
                counts += np.bincount(start + cell_of(sample.answers[name]), weights, self.cells)
        return counts


def places_of(manifest: Manifest, baseline: Baseline, name: str) -> Callable[[Batch], Cells]:
    """Return a function from rows to the cells, from 0, of a feature that has one value a row."""
    cells = baseline.features[manifest.feature_names.index(name)]
    numbers, moments = {f.name: f for f in manifest.numeric}, {f.name: f for f in manifest.datetimes}
    if name in numbers:
        number, column = numbers[name], list(numbers).index(name)
        bins = _Bins([(number.minimum, number.maximum, number.missing_values, cells, 0)], np.float32)
        return lambda batch: bins.of(_column(batch.numeric, column))[:, 0]
    if name in moments:
        moment, column = moments[name], list(moments).index(name)
        times = _Bins([(moment.minimum, moment.maximum, (MISSING_TIME,), cells, 0)], np.int64)
        return lambda batch: times.of(_column(batch.datetime, column))[:, 0]
    column = [feature.name for feature in manifest.texts].index(name)
    missing = frozenset(("", *manifest.training_table.missing))
    places = _TextCells(manifest.texts[column], cells, 0, missing)
    return lambda batch: np.array([places[value] for (value,) in _column(batch.categorical, column)], np.int64)


def _column(values: NDArray[Any] | None, column: int) -> NDArray[Any]:
    assert values is not None
    return values[:, column : column + 1]


class _Bins:
    """Bins of all numeric features, or of all moments.

    Args:
        features: of each the range of training, numbers that mean missing, cells and their start.
        dtype: of the values.
    """

    def __init__(
        self, features: Sequence[tuple[float, float, Sequence[float], FeatureBaseline, int]], dtype: type
    ) -> None:
        last: Any = np.inf if dtype is np.float32 else np.iinfo(np.int64).max
        self._edges = _padded([cells.edges or () for *_, cells, _ in features], last, dtype)
        self._missing = _padded(
            [missing for _, _, missing, _, _ in features], np.nan if dtype is np.float32 else MISSING_TIME, dtype
        )
        self._low: NDArray[Any] = np.array([low for low, *_ in features], dtype)
        self._high: NDArray[Any] = np.array([high for _, high, *_ in features], dtype)
        self._start = np.array([start for *_, start in features], np.int64)
        self._end = np.array([start + len(cells.shares) + TAIL for *_, cells, start in features], np.int64)

    def of(self, values: NDArray[Any]) -> Cells:
        """Return the cell of each value (B, N)."""
        cells: Cells = self._start + (values[:, :, None] >= self._edges).sum(axis=2)
        cells = np.where(values < self._low, self._end + LOW, np.where(values > self._high, self._end + HIGH, cells))
        missing = np.isnan(values) | (values[:, :, None] == self._missing).any(axis=2)
        return np.where(missing, self._end + NONE, cells)


def _padded(rows: Sequence[Sequence[float]], filler: Any, dtype: type) -> NDArray[Any]:
    """Lay out rows of different lengths side by side."""
    laid_out: NDArray[Any] = np.full((len(rows), max(map(len, rows), default=0)), filler, dtype)
    for place, row in enumerate(rows):
        laid_out[place, : len(row)] = row
    return laid_out


CountTexts = Callable[[list[str], Doubles], tuple[list[int], Doubles]]


class _TextCells(dict[str, int]):
    """Cells of one feature's texts, those met before remembered."""

    def __init__(self, feature: TextFeature, baseline: FeatureBaseline, start: int, missing: frozenset[str]) -> None:
        super().__init__()
        self._end = start + len(baseline.shares) + TAIL
        self._start, self._groups = start, len(baseline.shares)
        self._first = {value: start + place for place, value in enumerate(baseline.values or ())}
        self._first |= dict.fromkeys(missing, self._end + NONE)
        hashed = isinstance(feature, HashedFeature) or feature.vocabulary is None
        self._buckets = (feature.buckets or 0) if hashed and not isinstance(feature, CategoricalFeature) else 0
        self._seed = 0 if isinstance(feature, CategoricalFeature) else feature.seed
        known = () if isinstance(feature, HashedFeature) else feature.vocabulary or ()
        self._known = sorted(known)
        self._all_known = isinstance(feature, HashedFeature) or feature.vocabulary_size is None
        self.update(self._first)

    @property
    def missing(self) -> int:
        """Return the cell of a cell without a value."""
        return self._end + NONE

    def __missing__(self, value: str) -> int:
        if len(self) > _REMEMBERED:
            self.clear()
            self.update(self._first)
            if value in self:
                return self[value]
        cell = self[value] = self._find(value)
        return cell

    def _find(self, value: str) -> int:
        if self._buckets:
            if len(value) > _LONGEST_ID:
                return self._end + LOW
            bucket = murmur3_32(value.encode("utf-8", "surrogatepass"), self._seed) % self._buckets
            return self._start + bucket % self._groups
        place = bisect_left(self._known, value)
        known = place < len(self._known) and self._known[place] == value
        return self._end + (LOW if known or not self._all_known else HIGH)


def _text_cells(feature: TextFeature, baseline: FeatureBaseline, start: int, missing: frozenset[str]) -> CountTexts:
    """Return a function from a column of texts to the cells of their values, and their mass."""
    cells = _TextCells(feature, baseline, start, missing)
    if not isinstance(feature, BagFeature):
        return lambda column, weights: (list(map(cells.__getitem__, column)), weights)
    separator = feature.separator

    def of_bags(column: list[str], weights: Doubles) -> tuple[list[int], Doubles]:
        places: list[int] = []
        mass: list[float] = []
        for cell, weight in zip(column, weights.tolist(), strict=True):
            values = [value for value in cell.split(separator, _MOST_VALUES)[:_MOST_VALUES] if value not in missing]
            places += [cells[value] for value in values] or [cells.missing]
            mass += [weight / max(len(values), 1)] * max(len(values), 1)
        return places, np.array(mass)

    return of_bags


def _prediction(baseline: PredictionBaseline) -> Callable[[NDArray[np.float32]], Cells]:
    """Return a function from predictions (B,) or (B, K) to their cells."""
    if baseline.edges is not None:
        edges = np.array(baseline.edges, np.float32)
        return lambda values: np.searchsorted(edges, values, side="right")
    listed = np.array(baseline.classes, np.int64)

    def of_classes(values: NDArray[np.float32]) -> Cells:
        cell = np.full(values.shape[1], len(listed), np.int64)
        cell[listed] = np.arange(len(listed))
        return np.asarray(cell[values.argmax(axis=1)], np.int64)

    return of_classes
