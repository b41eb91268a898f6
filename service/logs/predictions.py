"""Prediction log: a share of the answers, a line of JSON per row, in rotated files.

No request waits for it.

The event loop puts references into a bounded queue; a thread writes them out. What finds no room
there or on the disk is dropped and counted. Every record has the same fields of the same types,
whatever the model, so that polars and DuckDB read all files in one call:

    {"time_utc", "request_id", "trace_id", "model", "version", "row",
     "tasks": [{"task", "prediction": [...], "gate_weights": [...]}],
     "features": [{"feature", "value"}]}
"""

import logging
import time
import zlib
from collections.abc import Callable

from service.inference.answer import RunSlice
from service.inference.features import Batch
from service.logs.background import Background, breathe
from service.logs.log import log_event
from service.logs.prediction_lines import LoggedPrediction, ModelVersion, groups, lines_of
from service.logs.rotated_files import RotatedFiles
from service.settings import Settings

ROOM_ROWS = 20_000
"""Rows that may wait for the thread."""
RETRY_S = 1.0
"""Seconds for which a disk that failed is left alone."""
_BYTES_AT_ONCE = 1 << 18
_WRITTEN, _NO_ROOM, _NO_DISK = (
    "prediction_rows_written",
    "prediction_rows_dropped_queue",
    "prediction_rows_dropped_disk",
)

log = logging.getLogger("service.predictions")


class PredictionLog:
    """Prediction log. `note` is for the event loop.

    Args:
        settings: directory, share and bounds.
        count: told, from either thread, how many rows were written or dropped, by a name of
            `gauges.RECORDS`.
    """

    def __init__(self, settings: Settings, count: Callable[[str, int], object]) -> None:
        assert settings.prediction_log is not None
        self._directory, self._count = settings.prediction_log, count
        self._below = int(settings.prediction_log_share * 2**32)
        self._features = settings.prediction_log_features
        self._files = RotatedFiles(self._directory, settings.prediction_log_file_bytes, settings.prediction_log_files)
        self._at_once = min(_BYTES_AT_ONCE, settings.prediction_log_file_bytes)
        self._thread: Background[LoggedPrediction] = Background("prediction log", self._write, ROOM_ROWS)
        self._lost, self._retry_at = 0, 0.0
        try:
            self._files.open()
        except OSError as error:
            self._failed(error, 0)

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
            self._count(_NO_ROOM, rows)

    def close(self) -> None:
        """Write what waits, and let go of the files."""
        if self._thread.close():
            self._files.close()

    def _write(self, predictions: list[LoggedPrediction]) -> None:
        text, rows = bytearray(), 0
        for group in groups(predictions):
            group_rows = sum(prediction.stop - prediction.start for prediction in group)
            if self._retry_at > time.monotonic():
                self._drop(group_rows)
                continue
            for line in lines_of(group, self._features):
                if text and len(text) + len(line) > self._at_once:
                    self._store(text, rows)
                    text, rows = bytearray(), 0
                text += line
                rows += 1
            breathe()
        if rows:
            self._store(text, rows)

    def _store(self, lines: bytearray, rows: int) -> None:
        try:
            self._files.write(bytes(lines))
        except OSError as error:
            self._failed(error, rows)
            return
        self._count(_WRITTEN, rows)
        if self._retry_at:
            lost, self._lost, self._retry_at = self._lost, 0, 0.0
            log_event(
                log, logging.WARNING, "prediction_log_resumed",
                "The prediction log in %s is written again; %d rows are lost", self._directory, lost, rows=lost,
            )  # fmt: skip

    def _failed(self, error: OSError, rows: int) -> None:
        if not self._retry_at:
            log_event(
                log, logging.ERROR, "prediction_log_failed",
                "The prediction log in %s cannot be written: %s; until it can, rows are dropped and counted",
                self._directory, error.strerror or error, directory=str(self._directory), error=str(error),
            )  # fmt: skip
        self._retry_at = time.monotonic() + RETRY_S
        self._drop(rows)

    def _drop(self, rows: int) -> None:
        self._lost += rows
        self._count(_NO_DISK, rows)
