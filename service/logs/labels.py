"""Label log: labels that callers report after the answers, a line of JSON per row.

    {"time_utc", "model", "request_id", "key", "row", "labels": [{"task", "value"}]}

A row is named by its request id and its place in the request, or by the caller's own key; the
other is empty. Values are numbers: of a class its index, of a binary task 0 or 1. Nothing is
dropped for want of room in the queue: the caller is told to come again.
"""

import time
from collections.abc import Callable, Sequence
from typing import NamedTuple

import orjson

from service.errors import Overloaded
from service.logs.background import Background, yield_to_loop
from service.logs.record_files import RecordFiles, RecordNames
from service.logs.rotated_files import RotatedFiles
from service.settings import Settings

ROOM_ROWS = 100_000
"""Rows of labels that may wait for the thread."""
RETRY_AFTER_S = 1.0
CLOSE_S = 30.0
"""Seconds that writing may take at the end of the service."""
NAMES = RecordNames("label log", "label_log", "label_rows")
_ROWS_AT_ONCE = 256


class LabelledRow(NamedTuple):
    """Labels of one row, of at least one task.

    Attributes:
        request_id: of the request that was answered; empty where the row is named by a key.
        key: the caller's own name of the row; empty where it is named by its request.
        row: its place in the request, from 0.
        labels: number by task.
    """

    request_id: str
    key: str
    row: int
    labels: dict[str, float]


class ReportedLabels(NamedTuple):
    """Rows of one call, and when it came, in seconds since 1970."""

    time: float
    model: str
    rows: Sequence[LabelledRow]


class LabelLog:
    """Label log. `note` is for the event loop.

    Args:
        settings: directory and bounds.
        count: told by the thread how many rows were written or dropped, by a name of
            `gauges.RECORDS`.
    """

    def __init__(self, settings: Settings, count: Callable[[str, int], object]) -> None:
        assert settings.label_log is not None
        directory = settings.label_log
        files = RotatedFiles(directory, settings.label_log_file_bytes, settings.label_log_files, settings.log_days)
        self._files = RecordFiles(NAMES, files, directory, count)
        self._thread: Background[ReportedLabels] = Background("label log", self._write, ROOM_ROWS)

    def note(self, model: str, rows: Sequence[LabelledRow]) -> None:
        """Record the labels of some rows.

        Raises:
            Overloaded: too many wait to be written.
        """
        if not self._thread.put(ReportedLabels(time.time(), model, rows), len(rows)):
            raise Overloaded(RETRY_AFTER_S, limit=ROOM_ROWS, unit="rows of labels")

    def close(self) -> None:
        """Write what waits, which the callers believe to be kept, and let go of the files."""
        if self._thread.close(CLOSE_S):
            self._files.close()

    def _write(self, reports: list[ReportedLabels]) -> None:
        for report in reports:
            second, fraction = divmod(int(report.time * 1e6), 1_000_000)
            at = f"{time.strftime('%Y-%m-%d %H:%M:%S', time.gmtime(second))}.{fraction:06d}"
            for start in range(0, len(report.rows), _ROWS_AT_ONCE):
                rows = report.rows[start : start + _ROWS_AT_ONCE]
                self._files.store(b"".join(_line(at, report.model, row) for row in rows), len(rows))
                yield_to_loop()


def _line(at: str, model: str, row: LabelledRow) -> bytes:
    labels = [{"task": task, "value": value} for task, value in row.labels.items()]
    record = {
        "time_utc": at, "model": model, "request_id": row.request_id, "key": row.key, "row": row.row, "labels": labels
    }  # fmt: skip
    return orjson.dumps(record) + b"\n"
