"""Gate statistics over live traffic, per model version, in `<run directory>/gates`."""

from pathlib import Path

from service.monitoring.recording import Gates, GateTraffic
from service.monitoring.recordings import Recordings


class Traffic(Recordings[Gates, GateTraffic]):
    """Gate traffic of every model version of the instance."""

    folder = "gates"

    def _read_description(self, text: bytes) -> Gates:
        return Gates.model_validate_json(text)

    def _map(self, path: Path, described: Gates) -> GateTraffic:
        sums = self._slots(path, repr(described.layout), described.layout.shape)
        return GateTraffic(described, sums, self._worker, self._clock)
