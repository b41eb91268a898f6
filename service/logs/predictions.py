"""Prediction log: a share of the answers, a line of JSON per row, in rotated files.

No request waits for it.

The event loop puts references into a bounded queue; a thread writes them out. What finds no room
there or on the disk is dropped and counted. Every record has the same fields of the same types,
whatever the model, so that polars and DuckDB read all files in one call:

    {"time_utc", "request_id", "trace_id", "key", "model", "version", "row",
     "tasks": [{"task", "prediction": [...], "gate_weights": [...]}],
     "features": [{"feature", "value"}]}
"""

import time
import zlib
from collections.abc import Callable

from service.inference.answer import RunSlice
from service.inference.features import Batch
from service.logs.background import Background, yield_to_loop
from service.logs.prediction_lines import LoggedPrediction, ModelVersion, groups, lines_of
from service.logs.record_files import RecordFiles, RecordNames
from service.logs.rotated_files import RotatedFiles
from service.settings import Settings

ROOM_ROWS = 20_000
"""Rows that may wait for the thread."""
_BYTES_AT_ONCE = 1 << 18
NAMES = RecordNames("prediction log", "prediction_log", "prediction_rows")


class PredictionLog:
    """Prediction log. `note` is for the event loop.

    Args:
        settings: directory, share and bounds.
        count: told, from either thread, how many rows were written or dropped, by a name of
            `gauges.RECORDS`.
    """

    def __init__(self, settings: Settings, count: Callable[[str, int], object]) -> None:
        assert settings.prediction_log is not None
        directory, file_bytes = settings.prediction_log, settings.prediction_log_file_bytes
        self._below = int(settings.prediction_log_share * 2**32)
        self._features = settings.prediction_log_features
        self._at_once = min(_BYTES_AT_ONCE, file_bytes)
        files = RotatedFiles(directory, file_bytes, settings.prediction_log_files, settings.log_days)
        self._files = RecordFiles(NAMES, files, directory, count)
        self._thread: Background[LoggedPrediction] = Background("prediction log", self._write, ROOM_ROWS)

    def samples(self, request_id: bytes) -> bool:
        """Tell whether a request is one of the share.

        Its id alone decides, so that every replica and every try agree.
        """
        return zlib.crc32(request_id) < self._below

    def note(self, request_id: bytes, trace_id: str, of: ModelVersion, batch: Batch, part: RunSlice) -> None:
        """Record an answer, if its request is one of the share."""
        if not self.samples(request_id):
            return
        answer = part.run.answer
        if not answer.tasks:  # only gates were asked for: nothing was predicted
            return
        rows = part.stop - part.start
        prediction = LoggedPrediction(
            time.time(), request_id, trace_id, of, batch, answer.tasks, answer.gate_weights, part.start, part.stop
        )
        if not self._thread.put(prediction, rows):
            self._files.no_room(rows)

    def close(self) -> None:
        """Write what waits, and let go of the files."""
        if self._thread.close():
            self._files.close()

    def _write(self, predictions: list[LoggedPrediction]) -> None:
        text, rows = bytearray(), 0
        for group in groups(predictions):
            if self._files.resting:
                self._files.drop(sum(prediction.stop - prediction.start for prediction in group))
                continue
            for line in lines_of(group, self._features):
                if text and len(text) + len(line) > self._at_once:
                    self._files.store(bytes(text), rows)
                    text, rows = bytearray(), 0
                text += line
                rows += 1
            yield_to_loop()
        if rows:
            self._files.store(bytes(text), rows)
