"""Telemetry of a worker: gate traffic and metrics on a slot of its own, reports over all."""

import asyncio
import os
import socket
from collections.abc import Callable, Iterable, Mapping, Sequence
from types import MappingProxyType

from prometheus_client.core import Metric
from prometheus_client.exposition import choose_encoder

from service.artifact.manifest import Manifest
from service.errors import ModelNotFound
from service.inference.answer import RunResult
from service.inference.features import Batch
from service.inference.predictor import Predictor
from service.monitoring.comparison import ShadowFigures
from service.monitoring.counters import Metrics
from service.monitoring.drift_metrics import drift_metrics
from service.monitoring.drift_report import CELLS, DriftAnswer, drift_report, tier_named
from service.monitoring.inputs import Inputs, InputTraffics
from service.monitoring.prometheus import registry
from service.monitoring.quality_metrics import QualityMetrics
from service.monitoring.recording import Gates, GateTraffic
from service.monitoring.recordings import Loaded
from service.monitoring.report import DEFAULT_WINDOW, TrafficAnswer, gate_report
from service.monitoring.segment_report import SegmentsAnswer, segment_report
from service.monitoring.segments import Segments, SegmentTraffics
from service.monitoring.traffic import Traffic
from service.monitoring.version_metrics import ServingFigures, serving_metrics, version_metrics
from service.run_directory import PREFIX, RunDirectory

VersionKey = tuple[str, int]
"""Name and version of a model."""

TICK_S = 1.0
"""Seconds between publications: a killed worker loses what it noted in the last of them."""


class Telemetry:
    """Telemetry of one worker, and reports over all.

    Its methods are for the event loop, but for `recorder_of` and the reports.

    Args:
        directory: shared by the workers; a free slot of it is locked.
        segments: by model, the features by whose values its traffic is told apart.

    Attributes:
        refused: lists the versions that must not be served.
        shadows: tells what comparisons of versions have found.
        serving: tells what the serving files ask for.
        quality: of what evaluations have found, if it is told.
        store: gives metrics of the store that models come from.
    """

    def __init__(self, directory: RunDirectory, segments: Mapping[str, Sequence[str]] = MappingProxyType({})) -> None:
        self._slot = directory.lock_slot()
        self._instance = f"{socket.gethostname()} ({directory.path.name.removeprefix(PREFIX)})"
        self._traffic = Traffic(directory, self._slot.index)
        self._metrics = Metrics(directory, self._slot.index, os.getpid())
        self.refused: Callable[[], Sequence[VersionKey]] = list
        self.shadows: Callable[[], Sequence[ShadowFigures]] = list
        self.serving: Callable[[], Sequence[ServingFigures]] = list
        self.quality: QualityMetrics | None = None
        self.store: Callable[[], Iterable[Metric]] = tuple
        self._inputs = InputTraffics(directory, self._slot.index)
        self._registry = registry(
            self._metrics, self._traffic, lambda: self.refused(), lambda: self.shadows(), self._other_metrics
        )
        self._gates_of, self._inputs_of = Loaded(self._traffic), Loaded(self._inputs)
        self._chosen, self._segments_of = segments, Loaded(SegmentTraffics(directory, self._slot.index))
        self._told: dict[VersionKey, float] = {}
        self.code = self._metrics.code
        self.note = self._metrics.note
        self.request = self._metrics.request
        self.ran = self._metrics.ran
        self.rejected = self._metrics.rejected
        self.recorded = self._metrics.recorded
        self.version_sums = self._metrics.version_sums

    def recorder_of(self, name: str, version: int, manifest: Manifest) -> GateTraffic | None:
        """Open the recorder of a version that is being loaded, in whatever thread.

        None without gates.
        """
        if manifest.gates is None:
            return None
        gates = Gates(
            model=name,
            version=version,
            tasks=manifest.task_names,
            experts=manifest.experts,
            own_experts=dict(manifest.own_experts),
            baseline=manifest.gates,
        )
        return self._gates_of.open(gates)

    def sampler_of(self, name: str, version: int, manifest: Manifest) -> Callable[[RunResult], None] | None:
        """Return what samples the runs of a version that is being loaded, in whatever thread.

        None without a baseline.
        """
        inputs = Inputs.of(name, version, manifest)
        if inputs is None:
            return None
        segments = Segments.of(name, version, manifest, self._chosen.get(name, ()))
        also = None if segments is None else self._segments_of.open(segments).begin(manifest)
        return self._inputs_of.open(inputs).begin(manifest, also)

    def tick(self, queue_rows: int, loaded: Mapping[VersionKey, float]) -> None:
        """Bring everything up to date; to be called every second or so.

        Args:
            queue_rows: rows that wait now.
            loaded: the versions that are loaded now, and how long loading took, in seconds.
        """
        if loaded != self._told:
            for model in self._told.keys() - loaded.keys():
                self._metrics.unloaded(*model)
                self._gates_of.unload(*model)
                self._inputs_of.unload(*model)
                self._segments_of.unload(*model)
            for model in loaded.keys() - self._told.keys():
                self._metrics.loaded(*model, loaded[model])
            self._told = dict(loaded)
        self._gates_of.close_replaced()
        self._inputs_of.close_replaced()
        self._segments_of.close_replaced()
        self._metrics.queue_rows(queue_rows)
        self.publish()

    def publish(self) -> None:
        """Publish what this worker noted: at every tick, and before its own figures are read."""
        self._traffic.fold()
        self._inputs.fold()
        self._metrics.fold()

    async def keep_ticking(
        self, queue_rows: Callable[[], int], loaded: Callable[[], Mapping[VersionKey, float]]
    ) -> None:
        """Tick until cancelled."""
        while True:
            self.tick(queue_rows(), loaded())
            await asyncio.sleep(TICK_S)

    def gate_report(self, name: str, version: int, window: str = DEFAULT_WINDOW) -> TrafficAnswer:
        """Describe a version's traffic over all workers.

        It may have been loaded before and by others.

        Raises:
            ModelNotFound: no worker has recorded such a version, or it is forgotten.
            MalformedRequest: no such window.
        """
        traffic = self._gates_of.find(name, version)
        if traffic is None:
            known = sorted({t.gates.version for t in self._traffic.all() if t.gates.model == name}, reverse=True)
            raise ModelNotFound(name, version, known, "no traffic of it is kept")
        return gate_report(traffic, window, instance=self._instance, loaded_at=self._metrics.loaded_at(name, version))

    def drift_report(
        self,
        name: str,
        version: int,
        window: str = DEFAULT_WINDOW,
        predictor: Predictor | None = None,
        cells: str = CELLS[0],
    ) -> DriftAnswer:
        """Describe the drift of a version's traffic over all workers, as `gate_report` does.

        With its predictor, some rows of this worker are run to say which features moved its gates.

        Raises:
            ModelNotFound: no worker has recorded such a version, it has no baseline, or it is
                forgotten.
            MalformedRequest: no such window or choice of cells.
        """
        traffic = self._inputs_of.find(name, version)
        if traffic is None:
            known = sorted({t.inputs.version for t in self._inputs.all() if t.inputs.model == name}, reverse=True)
            raise ModelNotFound(name, version, known, "no baseline and traffic of it are kept")
        return drift_report(traffic, window, self._gates_of.find(name, version), predictor, cells)

    def segment_report(
        self, name: str, version: int, feature: str | None = None, window: str = DEFAULT_WINDOW
    ) -> SegmentsAnswer | None:
        """Describe a version's traffic by the values of a feature, over all workers.

        None where its traffic is not told apart: the setting does not name its features.

        Raises:
            MalformedRequest: no such window or feature.
        """
        traffic, gates = self._segments_of.find(name, version), self._gates_of.find(name, version)
        described = None if gates is None else gates.gates
        return None if traffic is None else segment_report(traffic, described, feature, window)

    def kept_rows(self, name: str, version: int, window: str) -> Batch | None:
        """Return rows of a version that this worker has kept of a window; None without any.

        Raises:
            MalformedRequest: no such window.
        """
        tier, traffic = tier_named(window), self._inputs_of.find(name, version)
        return None if traffic is None else traffic.kept_rows(tier)

    def prometheus(self, accept: str = "") -> tuple[bytes, str]:
        """Return the metrics of all workers in the accepted format, and its content type."""
        render, content_type = choose_encoder(accept)
        return render(self._registry), content_type

    def _other_metrics(self) -> Iterable[Metric]:
        yield from drift_metrics({(t.inputs.model, t.inputs.version): t for t in reversed(self._inputs.all())}.values())
        yield from version_metrics(self.version_sums())
        yield from serving_metrics(self.serving())
        if self.quality is not None:
            yield from self.quality.collect()
        yield from self.store()

    def close(self) -> None:
        """Note what is left, and give the slot back."""
        self._gates_of.close()
        self._inputs_of.close()
        self._segments_of.close()
        self._metrics.close()
        self._slot.release()
