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
from collections.abc import Callable, Iterable, Iterator, Sequence
from itertools import chain, repeat
from operator import add
from typing import NamedTuple

import numpy as np
import orjson
from numpy.typing import NDArray

from service.artifact.manifest import Manifest
from service.inference.answer import Floats, Outputs, RunSlice
from service.inference.features import Batch
from service.logs.background import Background, breathe
from service.logs.log import log_event
from service.logs.rotated_files import RotatedFiles
from service.settings import Settings

ROOM_ROWS = 20_000
"""Rows that may wait for the thread."""
RETRY_S = 1.0
"""Seconds for which a disk that failed is left alone."""
_ROWS_AT_ONCE = 64
_BYTES_AT_ONCE = 1 << 18
_WRITTEN, _NO_ROOM, _NO_DISK = (
    "prediction_rows_written",
    "prediction_rows_dropped_queue",
    "prediction_rows_dropped_disk",
)

log = logging.getLogger("service.predictions")


class ModelVersion(NamedTuple):
    """Name, number and manifest of a model version."""

    name: str
    version: int
    manifest: Manifest


class _Prediction(NamedTuple):
    """Rows of a request, as references: `start` to `stop` of a run's answer.

    The first of them is row `row` of the request.
    """

    time: float
    request_id: bytes
    trace_id: str
    of: ModelVersion
    batch: Batch
    tasks: Outputs
    gate_weights: Floats | None
    start: int
    stop: int
    row: int = 0


class PredictionLog:
    """Record predictions. `note` is for the event loop.

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
        self._thread: Background[_Prediction] = Background("prediction log", self._write, ROOM_ROWS)
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
        prediction = _Prediction(
            time.time(), request_id, trace_id, of, batch, answer.tasks, answer.gate_weights, part.start, part.stop
        )
        if not self._thread.put(prediction, rows):
            self._count(_NO_ROOM, rows)

    def close(self) -> None:
        """Write what waits, and let go of the files."""
        if self._thread.close():
            self._files.close()

    def _write(self, predictions: list[_Prediction]) -> None:
        text, rows = bytearray(), 0
        for group in _groups(predictions):
            group_rows = sum(prediction.stop - prediction.start for prediction in group)
            if self._retry_at > time.monotonic():
                self._drop(group_rows)
                continue
            for line in _lines(group, self._features):
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


def _groups(predictions: Iterable[_Prediction]) -> Iterator[list[_Prediction]]:
    """Divide predictions into groups of one model version each.

    Each has few enough rows to be written at once.
    """
    group: list[_Prediction] = []
    rows = 0
    for prediction in chain.from_iterable(map(_pieces, predictions)):
        if group and (rows >= _ROWS_AT_ONCE or prediction.of.manifest is not group[0].of.manifest):
            yield group
            group, rows = [], 0
        group.append(prediction)
        rows += prediction.stop - prediction.start
    if group:
        yield group


def _pieces(whole: _Prediction) -> list[_Prediction]:
    """Cut a large request into pieces that do not keep the event loop waiting."""
    if whole.stop - whole.start <= _ROWS_AT_ONCE:
        return [whole]
    starts = range(whole.start, whole.stop, _ROWS_AT_ONCE)
    return [
        whole._replace(start=start, stop=min(start + _ROWS_AT_ONCE, whole.stop), row=start - whole.start)
        for start in starts
    ]


def _lines(group: Sequence[_Prediction], features: bool) -> Iterator[bytes]:
    """Write the rows of one model version, a line each."""
    of = group[0].of
    columns: list[Iterable[bytes | int]] = [*_who(group)]
    weights = _weights(group)
    for t, task in enumerate(of.manifest.task_names):
        columns.append(_texts(np.concatenate([p.tasks[task][p.start : p.stop] for p in group])))
        columns.append(weights[t] if weights else repeat(b"1.0"))  # without gates: one network, of which all comes
    rows: Iterator[tuple[bytes | int, ...]] = zip(*columns, strict=False)
    if features:
        rows = map(add, rows, chain.from_iterable(_feature_texts(prediction) for prediction in group))
    return map(_template(of, features).__mod__, rows)


def _weights(group: Sequence[_Prediction]) -> list[Sequence[bytes]]:
    """Return each task's gate weights, a text for each row; empty without gates."""
    gates = [p.gate_weights[p.start : p.stop] for p in group if p.gate_weights is not None]
    if not gates:
        return []
    joined = np.concatenate(gates)
    rows, tasks, experts = joined.shape
    texts = _texts(joined.reshape(rows * tasks, experts))
    return [texts[t::tasks] for t in range(tasks)]


def _feature_texts(prediction: _Prediction) -> Iterator[tuple[bytes, ...]]:
    """Return the texts of each row's features.

    Numbers plain, categories with their quotes, missing ones empty.
    """
    first, last = prediction.row, prediction.row + prediction.stop - prediction.start
    numeric, categorical = prediction.batch.numeric, prediction.batch.categorical
    columns: list[Iterable[list[bytes]]] = []
    if numeric is not None:
        rows = _texts(np.ascontiguousarray(numeric[first:last]))
        columns.append(row.replace(b"null", b"").split(b",") for row in rows)
    if categorical is not None:
        columns.append(list(map(orjson.dumps, row)) for row in categorical[first:last])
    return (tuple(chain.from_iterable(row)) for row in zip(*columns, strict=True))


def _texts(values: NDArray[np.float32]) -> Sequence[bytes]:
    """Write each number of (B,), or the numbers of each row of (B, K) without their brackets."""
    text = orjson.dumps(values, option=orjson.OPT_SERIALIZE_NUMPY)
    return text[1:-1].split(b",") if values.ndim == 1 else text[2:-2].split(b"],[")


def _who(group: Sequence[_Prediction]) -> tuple[list[bytes], list[bytes], list[bytes], list[int]]:
    """Return the time, the request's id, the trace's id and the number of each row."""
    times, requests, traces = list[bytes](), list[bytes](), list[bytes]()
    numbers: list[int] = []
    known, text = -1, b""
    for prediction in group:
        rows = prediction.stop - prediction.start
        second, fraction = divmod(int(prediction.time * 1e6), 1_000_000)
        if second != known:
            known, text = second, time.strftime("%Y-%m-%d %H:%M:%S", time.gmtime(second)).encode()
        times += [b"%b.%06d" % (text, fraction)] * rows
        requests += [orjson.dumps(prediction.request_id.decode())] * rows
        traces += [prediction.trace_id.encode()] * rows
        numbers += range(prediction.row, prediction.row + rows)
    return times, requests, traces, numbers


def _template(of: ModelVersion, features: bool) -> bytes:
    """Return the line of a row with a place for everything that `_lines` gives, in its order."""
    manifest = of.manifest
    tasks = [b'{"task":%b,"prediction":[%%b],"gate_weights":[%%b]}' % _key(name) for name in manifest.task_names]
    text = b'{"time_utc":"%b","request_id":%b,"trace_id":"%b","model":' + _key(of.name)
    text += b',"version":%d,"row":%%d,"tasks":[' % of.version + b",".join(tasks) + b"]"
    if features:
        numbers = [b'{"feature":%b,"value":"%%b"}' % _key(feature.name) for feature in manifest.numeric]
        words = [b'{"feature":%b,"value":%%b}' % _key(feature.name) for feature in manifest.categorical]
        text += b',"features":[' + b",".join(numbers + words) + b"]"
    return text + b"}\n"


def _key(name: str) -> bytes:
    return orjson.dumps(name).replace(b"%", b"%%")
