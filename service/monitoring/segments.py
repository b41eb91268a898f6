"""Gates and predictions of live traffic by the values of chosen features.

In `<run directory>/segments`, of the rows that are sampled for drift, and for the features that
MMOE_SEGMENTS names alone: nothing is copied twice, and the hot path does not know of it.
"""

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from functools import cached_property
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray
from pydantic import ConfigDict

from service.artifact.entries import CategoricalFeature, DatetimeFeature, NumericFeature
from service.artifact.manifest import Manifest
from service.inference.features import Batch
from service.monitoring.cells import Cells, Doubles, Sample, places_of
from service.monitoring.inputs import RING
from service.monitoring.recordings import Described, Recordings
from service.monitoring.ring import Tier
from service.monitoring.shared_sums import Body, Shape, SharedSums

MOST_CLASSES = 20
"""Classes of a task whose mean probability is kept."""

_EPOCHS = 1
_ROWS, _SQUARES, _MEANS = range(3)


class Segments(Described):
    """Features of one model version by whose values its traffic is added up.

    Attributes:
        shares: by feature, those of its cells in the baseline.
        tasks: of the gates; none without.
        experts: of each gate.
        outputs: numbers kept of each prediction.
    """

    model_config = ConfigDict(frozen=True)

    shares: dict[str, tuple[float, ...]]
    tasks: tuple[str, ...]
    experts: int
    outputs: dict[str, int]

    @classmethod
    def of(cls, name: str, version: int, manifest: Manifest, chosen: Sequence[str]) -> "Segments | None":
        """Describe a version by those of the features that it has, one value a row each.

        None without any, and for a manifest without a baseline.
        """
        if manifest.baseline is None:
            return None
        kinds = NumericFeature | CategoricalFeature | DatetimeFeature
        shares = {
            feature.name: cells.cells
            for feature, cells in zip(manifest.features, manifest.baseline.features, strict=True)
            if feature.name in chosen and isinstance(feature, kinds)
        }
        widths = {task.name: min(task.width or 1, MOST_CLASSES) for task in manifest.tasks}
        gated = manifest.task_names if manifest.has_gates else ()
        outputs = {name: widths.get(name, 1) for name in manifest.predicted}
        described = cls(
            model=name, version=version, shares=shares, tasks=gated, experts=manifest.experts, outputs=outputs
        )
        return described if shares else None

    @cached_property
    def width(self) -> int:
        """Count the words of a cell: rows, squares of their weights, sums of gates and outputs."""
        return _MEANS + len(self.tasks) * self.experts + sum(self.outputs.values())

    @property
    def shape(self) -> Shape:
        """Return the shape of a worker's sums."""
        return Shape(RING.total_place + 1, _EPOCHS + self.width * sum(map(len, self.shares.values())))


@dataclass(frozen=True)
class Segment:
    """Rows of a window in one cell of a feature.

    Attributes:
        cell: its place among the feature's cells.
        rows: that the sampled ones stand for.
        effective_rows: how many rows of equal weight would tell as much.
        utilisation: (T, E); (0, E) without gates.
        predictions: mean of each output, (1,) or (K,).
    """

    cell: int
    rows: float
    effective_rows: float
    utilisation: Doubles
    predictions: dict[str, Doubles]


class SegmentTraffic:
    """Segments of one model version's traffic.

    Args:
        segments: of the version.
        workers: sums of every worker of the instance.
        own: index of this worker's, which nobody else publishes.
        clock: whole and part seconds of CLOCK_MONOTONIC.
    """

    def __init__(self, segments: Segments, workers: list[SharedSums], own: int, clock: Callable[[], float]) -> None:
        self.segments = segments
        self._workers, self._own, self._clock = workers, workers[own], clock
        self._places: list[Callable[[Batch], Cells]] = []

    def begin(self, manifest: Manifest) -> Callable[[Sample], None]:
        """Return what adds up a sample of the version's rows."""
        assert manifest.baseline is not None
        self._places = [places_of(manifest, manifest.baseline, name) for name in self.segments.shares]
        return self._add

    def _add(self, sample: Sample) -> None:
        segments, rows = self.segments, len(sample.weights)
        values: list[NDArray[Any]] = [np.ones((rows, 1)), sample.weights[:, None]]
        if sample.gate_weights is not None:
            values.append(sample.gate_weights.reshape(rows, -1))
        values += [sample.answers[name].reshape(rows, -1)[:, :kept] for name, kept in segments.outputs.items()]
        weighted = np.concatenate(values, axis=1, dtype=np.float64) * sample.weights[:, None]
        parts = []
        for of_rows, shares in zip(self._places, segments.shares.values(), strict=True):
            inside = of_rows(sample.batch) == np.arange(len(shares))[:, None]  # (cells, B)
            parts.append((inside @ weighted).ravel())
        body: Body = np.concatenate([np.zeros(_EPOCHS), *parts])
        self._own.publish(RING.fold(self._own.current, body, int(self._clock())))

    def of(self, feature: str, tier: Tier) -> list[Segment]:
        """Merge all workers' rows of a window that ends now, by the cells that have any."""
        segments, words = self.segments, self.segments.shape.words
        places = RING.tier_places(tier)
        body: Body = RING.series(words, (sums.read(*places) for sums in self._workers), tier, self._clock()).sum(axis=0)
        cells = body[_EPOCHS:].reshape(-1, segments.width)
        before = list(segments.shares).index(feature)
        start = sum(map(len, list(segments.shares.values())[:before]))
        return [
            self._segment(cell, sums)
            for cell, sums in enumerate(cells[start : start + len(segments.shares[feature])])
            if sums[_ROWS] > 0
        ]

    def _segment(self, cell: int, sums: Body) -> Segment:
        segments, rows = self.segments, float(sums[_ROWS])
        size = len(segments.tasks) * segments.experts
        used, answers = np.split(sums[_MEANS:] / rows, [size])
        ends = np.cumsum(list(segments.outputs.values()))[:-1]
        means = dict(zip(segments.outputs, np.split(answers, ends), strict=True))
        shape = len(segments.tasks), segments.experts
        return Segment(cell, rows, rows**2 / float(sums[_SQUARES]), used.reshape(shape), means)

    def fold(self) -> None:
        """Do nothing: a sample is published when it is added."""

    def release(self) -> None:
        """Let go of the memory with the last reference."""
        self._places = []


class SegmentTraffics(Recordings[Segments, SegmentTraffic]):
    """Segments of every model version of the instance."""

    folder = "segments"

    def _read_description(self, text: bytes) -> Segments:
        return Segments.model_validate_json(text)

    def _map(self, path: Path, described: Segments) -> SegmentTraffic:
        sums = self._slots(path, repr(described.shape), described.shape)
        return SegmentTraffic(described, sums, self._worker, self._clock)
