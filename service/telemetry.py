"""All that one worker notes of itself and says of the instance: gate traffic and metrics, on a slot of its own."""

import asyncio
import os
from collections.abc import Callable, Mapping
from typing import Protocol

from prometheus_client.exposition import choose_encoder

from service.artifact import Manifest
from service.errors import ModelNotFound
from service.gate_report import DEFAULT_WINDOW, Report, gate_report
from service.instruments import NOT_MEASURED
from service.metrics import Loaded, Metrics
from service.metrics_report import registry
from service.slots import RunDirectory
from service.traffic import Gates, GateTraffic, Traffic

Version = tuple[str, int]
"""Name and version of a model."""


class Served(Protocol):
    """Be a model version that is loaded."""

    @property
    def name(self) -> str:
        """Return the name it is served under."""

    @property
    def version(self) -> int:
        """Return its version."""


TICK_S = 0.25


class Telemetry:
    """Note and report for one worker. Its methods are for the event loop, but for `recorder_of` and the reports.

    Args:
        directory: shared by the workers; a free slot of it is claimed.
    """

    def __init__(self, directory: RunDirectory) -> None:
        self._claim = directory.claim()
        self._traffic = Traffic(directory, self._claim.index)
        self._metrics = Metrics(directory, self._claim.index, os.getpid())
        self._registry = registry(self._metrics, self._traffic)
        self._recorders: dict[Version, GateTraffic] = {}
        self._replaced: list[GateTraffic] = []
        self._loaded: dict[Version, Loaded] = {}
        self._told: dict[Version, float] = {}
        self.ran = self._metrics.ran
        self.rejected = self._metrics.rejected

    def recorder_of(self, name: str, version: int, manifest: Manifest) -> GateTraffic | None:
        """Open the recorder of a version that is being loaded, in whatever thread; None without gates."""
        if manifest.gates is None:
            return None
        gates = Gates(
            model=name, version=version, tasks=manifest.task_names, experts=manifest.experts, baseline=manifest.gates
        )
        recorder = self._traffic.open(gates)
        before = self._recorders.get((name, version))
        if before is not None and before is not recorder:  # another file of the same version
            self._replaced.append(before)
        self._recorders[name, version] = recorder
        return recorder

    def request(
        self,
        route: str,
        status: int,
        model: Served | None = None,
        rows: int = 0,
        parse_s: float = NOT_MEASURED,
        render_s: float = NOT_MEASURED,
        total_s: float = NOT_MEASURED,
    ) -> None:
        """Note an answered request; see `Metrics.request`. `model` must be loaded, never just what a caller named."""
        if model is None:
            loaded = None
        else:
            version = model.name, model.version
            loaded = self._loaded.get(version) or self._load(version, 0.0)
        self._metrics.request(route, status, loaded, rows, parse_s, render_s, total_s)

    def tick(self, queue_rows: int, loaded: Mapping[Version, float]) -> None:
        """Bring everything up to date; to be called a few times a second.

        Args:
            queue_rows: rows that wait now.
            loaded: the versions that are loaded now, and how long loading took, in seconds.
        """
        if loaded != self._told:
            for model in self._loaded.keys() - loaded.keys():
                self._loaded.pop(model).unloaded()
                if recorder := self._recorders.pop(model, None):
                    self._traffic.close(recorder)
            for model in loaded.keys() - self._told.keys():
                self._load(model, loaded[model])
            self._told = dict(loaded)
        while self._replaced:
            self._traffic.close(self._replaced.pop())
        self._metrics.queue_rows(queue_rows)
        self._traffic.fold()
        self._metrics.fold()

    async def keep_ticking(self, queue_rows: Callable[[], int], loaded: Callable[[], Mapping[Version, float]]) -> None:
        """Tick until cancelled."""
        while True:
            self.tick(queue_rows(), loaded())
            await asyncio.sleep(TICK_S)

    def gate_report(self, name: str, version: int, window: str = DEFAULT_WINDOW) -> Report:
        """Describe a version's traffic over all workers; it may have been loaded before and by others.

        Raises:
            ModelNotFound: no worker has recorded such a version, or it is forgotten.
            MalformedRequest: there is no such window.
        """
        traffic = self._recorders.get((name, version)) or self._traffic.find(name, version)
        if traffic is None:
            known = sorted({t.gates.version for t in self._traffic.all() if t.gates.model == name}, reverse=True)
            raise ModelNotFound(name, version, known, "no traffic of it is kept")
        return gate_report(traffic, window)

    def prometheus(self, accept: str = "") -> tuple[bytes, str]:
        """Return the metrics of all workers, and their content type, in the format that is accepted."""
        render, content_type = choose_encoder(accept)
        return render(self._registry), content_type

    def close(self) -> None:
        """Note what is left, and give the slot back."""
        for recorder in self._recorders.values():
            self._traffic.close(recorder)
        self._metrics.close()
        self._claim.release()

    def _load(self, model: Version, load_s: float) -> Loaded:
        loaded = self._loaded[model] = self._metrics.loaded(*model, load_s)
        return loaded
