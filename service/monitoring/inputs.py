"""Distributions of live traffic by the cells of the baseline, in `<run directory>/inputs`.

The hot path copies a few rows of every second aside; `fold` counts them and publishes the counts.
"""

from collections.abc import Callable
from dataclasses import dataclass
from functools import cached_property
from pathlib import Path

import numpy as np
from pydantic import ConfigDict

from service.artifact.baseline import FeatureBaseline, PredictionBaseline
from service.artifact.entries import BagFeature, CategoricalFeature
from service.artifact.manifest import Manifest
from service.inference.answer import RunResult
from service.inference.features import Batch
from service.monitoring.cells import CellCounter, Doubles, Sample, widths
from service.monitoring.recordings import Described, Recordings
from service.monitoring.ring import Ring, Tier
from service.monitoring.sampling import CELLS, Reservoir, Sampler
from service.monitoring.shared_sums import Body, Shape, SharedSums

POINTS = 6
"""Buckets of a window, the unfinished one included."""

RING = Ring((Tier("1m", 10), Tier("5m", 50), Tier("1h", 600)), POINTS, 2)
KEPT_ROWS = 64
"""Rows of a bucket that a worker keeps, to say which features moved its gates.

Fewer of very wide ones.
"""

_ROWS, _SQUARES, _SUMS = 1, 2, 3


class InputFeature(FeatureBaseline):
    """Feature whose values are counted.

    Attributes:
        name: of the feature.
        kind: of the feature.
        tells_unknown: whether unknown values are told from known ones that are not listed.
    """

    name: str
    kind: str
    tells_unknown: bool


class Inputs(Described):
    """Features and predictions of one model version whose distributions are recorded.

    Attributes:
        rows: of the baseline.
    """

    model_config = ConfigDict(frozen=True)

    rows: int
    features: tuple[InputFeature, ...]
    predictions: dict[str, PredictionBaseline]

    @classmethod
    def of(cls, name: str, version: int, manifest: Manifest) -> "Inputs | None":
        """Describe a version; None for a manifest without a baseline."""
        if manifest.baseline is None:
            return None
        features = []
        for feature, cells in zip(manifest.features, manifest.baseline.features, strict=True):
            vocabulary = isinstance(feature, CategoricalFeature | BagFeature) and feature.vocabulary is not None
            long = isinstance(feature, CategoricalFeature | BagFeature) and feature.vocabulary_size is not None
            said = cells.model_dump()
            if long:
                said |= {"other": min(1.0, cells.other + cells.unknown), "unknown": 0.0}
            tells = vocabulary and not long
            features.append(InputFeature(**said, name=feature.name, kind=feature.kind, tells_unknown=tells))
        predictions = dict(manifest.baseline.predictions)
        rows = manifest.baseline.rows
        return cls(model=name, version=version, rows=rows, features=tuple(features), predictions=predictions)

    @cached_property
    def widths(self) -> list[int]:
        """Count the cells of each feature, then of each prediction."""
        return widths(self.features, self.predictions.values())

    @property
    def shape(self) -> Shape:
        """Return the shape of a worker's sums: epoch + 1, rows, squares of weights, cells."""
        return Shape(RING.total_place + 1, _SUMS + sum(self.widths))


@dataclass(frozen=True)
class Counted:
    """Rows of a window, counted.

    Attributes:
        rows: that the sampled ones stand for.
        effective_rows: how many rows of equal weight would tell as much (Kish).
        counts: of each feature and then of each prediction, the weight in its cells.
    """

    rows: float
    effective_rows: float
    counts: list[Doubles]


class InputTraffic:
    """Distributions of one model version's traffic.

    Args:
        inputs: of the version.
        workers: sums of every worker of the instance.
        own: index of this worker's, which nobody else publishes.
        clock: whole and part seconds of CLOCK_MONOTONIC.

    Attributes:
        sampler: takes rows of finished runs, for the thread that folds; None where this process
            does not serve the version.
    """

    def __init__(self, inputs: Inputs, workers: list[SharedSums], own: int, clock: Callable[[], float]) -> None:
        self.inputs = inputs
        self._workers, self._own, self._clock = workers, workers[own], clock
        self.sampler: Sampler | None = None
        self._counter: CellCounter | None = None
        self._kept: dict[Tier, Reservoir] = {}
        self._also: Callable[[Sample], None] | None = None

    def begin(self, manifest: Manifest, also: Callable[[Sample], None] | None = None) -> Callable[[RunResult], None]:
        """Sample the runs of the version from now on; return what is to be told of them.

        Args:
            manifest: of the version.
            also: told of each second's sample, with its gate weights.
        """
        assert manifest.baseline is not None
        if self.sampler is None:
            self._counter = CellCounter(manifest, manifest.baseline)
            self._also = also
            self.sampler = Sampler(len(manifest.features), self._clock, also is not None)
            if manifest.baseline.contributions is not None:
                most = max(8, min(KEPT_ROWS, CELLS // len(manifest.features)))
                self._kept = {tier: Reservoir(tier.resolution_s, POINTS, most) for tier in RING.tiers}
        return self.sampler.sample

    def fold(self) -> None:
        """Count the rows sampled since and publish the counts."""
        sample = None if self.sampler is None else self.sampler.take()
        if sample is None or self._counter is None:
            return
        body = np.zeros(self.inputs.shape.words)
        body[_ROWS], body[_SQUARES] = sample.weights.sum(), np.square(sample.weights).sum()
        body[_SUMS:] = self._counter.count(sample)
        second = int(self._clock())
        self._own.publish(RING.fold(self._own.current, body, second))
        for reservoir in self._kept.values():
            reservoir.add(sample.batch, second)
        if self._also is not None:
            self._also(sample)

    def counted(self, tier: Tier) -> Counted:
        """Merge all workers' rows of a window that ends now."""
        places = RING.tier_places(tier)
        words = self.inputs.shape.words
        body: Body = RING.series(words, (sums.read(*places) for sums in self._workers), tier, self._clock()).sum(axis=0)
        rows, squares = float(body[_ROWS]), float(body[_SQUARES])
        counts = np.split(body[_SUMS:], np.cumsum(self.inputs.widths)[:-1])
        return Counted(rows, rows**2 / squares if squares else 0.0, counts)

    def kept_rows(self, tier: Tier) -> Batch | None:
        """Return some rows of this worker's window, in whatever thread; None without any."""
        kept = self._kept.get(tier)
        return None if kept is None else kept.rows(int(self._clock()))

    def release(self) -> None:
        """Let go of the memory with the last reference."""
        if self.sampler is not None:
            self.sampler.release()
        self._kept = {}


class InputTraffics(Recordings[Inputs, InputTraffic]):
    """Distributions of every model version of the instance."""

    folder = "inputs"

    def _read_description(self, text: bytes) -> Inputs:
        return Inputs.model_validate_json(text)

    def _map(self, path: Path, described: Inputs) -> InputTraffic:
        sums = self._slots(path, repr(described.shape), described.shape)
        return InputTraffic(described, sums, self._worker, self._clock)
