"""Lines of the prediction log: a JSON record per row, made of many requests' arrays at once."""

import time
from collections.abc import Iterable, Iterator, Sequence
from itertools import chain, repeat
from operator import add
from typing import NamedTuple

import numpy as np
import orjson
from numpy.typing import NDArray

from service.artifact.manifest import Manifest
from service.inference.answer import Floats, Outputs
from service.inference.features import Batch

_ROWS_AT_ONCE = 64


class ModelVersion(NamedTuple):
    """Name, number and manifest of a model version."""

    name: str
    version: int
    manifest: Manifest


class LoggedPrediction(NamedTuple):
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


def groups(predictions: Iterable[LoggedPrediction]) -> Iterator[list[LoggedPrediction]]:
    """Divide predictions into groups of one model version each.

    Each has few enough rows to be written at once.
    """
    group: list[LoggedPrediction] = []
    rows = 0
    for prediction in chain.from_iterable(map(_pieces, predictions)):
        if group and (rows >= _ROWS_AT_ONCE or prediction.of.manifest is not group[0].of.manifest):
            yield group
            group, rows = [], 0
        group.append(prediction)
        rows += prediction.stop - prediction.start
    if group:
        yield group


def _pieces(whole: LoggedPrediction) -> list[LoggedPrediction]:
    """Cut a large request into pieces that do not keep the event loop waiting."""
    if whole.stop - whole.start <= _ROWS_AT_ONCE:
        return [whole]
    starts = range(whole.start, whole.stop, _ROWS_AT_ONCE)
    return [
        whole._replace(start=start, stop=min(start + _ROWS_AT_ONCE, whole.stop), row=start - whole.start)
        for start in starts
    ]


def lines_of(group: Sequence[LoggedPrediction], features: bool) -> Iterator[bytes]:
    """Write the rows of one model version, a line each."""
    of = group[0].of
    columns: list[Iterable[bytes | int]] = [*_identities(group)]
    weights = _weights(group)
    for t, task in enumerate(of.manifest.task_names):
        columns.append(_texts(np.concatenate([p.tasks[task][p.start : p.stop] for p in group])))
        columns.append(weights[t] if weights else repeat(b"1.0"))  # without gates: one network, of which all comes
    rows: Iterator[tuple[bytes | int, ...]] = zip(*columns, strict=False)
    if features:
        rows = map(add, rows, chain.from_iterable(_feature_texts(prediction) for prediction in group))
    return map(_template(of, features).__mod__, rows)


def _weights(group: Sequence[LoggedPrediction]) -> list[Sequence[bytes]]:
    """Return each task's gate weights, a text for each row; empty without gates."""
    gates = [p.gate_weights[p.start : p.stop] for p in group if p.gate_weights is not None]
    if not gates:
        return []
    joined = np.concatenate(gates)
    rows, tasks, experts = joined.shape
    texts = _texts(joined.reshape(rows * tasks, experts))
    return [texts[t::tasks] for t in range(tasks)]


def _feature_texts(prediction: LoggedPrediction) -> Iterator[tuple[bytes, ...]]:
    """Return the texts of each row's features.

    Numbers plain, texts with their quotes, moments as ISO 8601 in UTC, missing ones empty.
    """
    first, last = prediction.row, prediction.row + prediction.stop - prediction.start
    numeric, categorical = prediction.batch.numeric, prediction.batch.categorical
    columns: list[Iterable[list[bytes]]] = []
    if numeric is not None:
        rows = _texts(np.ascontiguousarray(numeric[first:last]))
        columns.append(row.replace(b"null", b"").split(b",") for row in rows)
    if categorical is not None:
        columns.append(list(map(orjson.dumps, row)) for row in categorical[first:last])
    if prediction.batch.datetime is not None:
        moments = np.datetime_as_string(prediction.batch.datetime[first:last].astype("M8[s]"))
        columns.append([b"" if text == "NaT" else b"%bZ" % text.encode() for text in row] for row in moments.tolist())
    return (tuple(chain.from_iterable(row)) for row in zip(*columns, strict=True))


def _texts(values: NDArray[np.float32]) -> Sequence[bytes]:
    """Write each number of (B,), or the numbers of each row of (B, K) without their brackets."""
    text = orjson.dumps(values, option=orjson.OPT_SERIALIZE_NUMPY)
    return text[1:-1].split(b",") if values.ndim == 1 else text[2:-2].split(b"],[")


def _identities(
    group: Sequence[LoggedPrediction],
) -> tuple[list[bytes], list[bytes], list[bytes], list[bytes], list[int]]:
    """Return the time, the request's id, the trace's id, the key and the number of each row."""
    times, requests, traces, keys = list[bytes](), list[bytes](), list[bytes](), list[bytes]()
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
        given = prediction.batch.keys
        keys += map(orjson.dumps, given[prediction.row : prediction.row + rows]) if given else [b'""'] * rows
        numbers += range(prediction.row, prediction.row + rows)
    return times, requests, traces, keys, numbers


def _template(of: ModelVersion, features: bool) -> bytes:
    """Return the line of a row with a place for everything that `lines_of` gives, in its order."""
    manifest = of.manifest
    tasks = [b'{"task":%b,"prediction":[%%b],"gate_weights":[%%b]}' % _key(name) for name in manifest.task_names]
    text = b'{"time_utc":"%b","request_id":%b,"trace_id":"%b","key":%b,"model":' + _key(of.name)
    text += b',"version":%d,"row":%%d,"tasks":[' % of.version + b",".join(tasks) + b"]"
    if features:
        plain, quoted = b'{"feature":%b,"value":"%%b"}', b'{"feature":%b,"value":%%b}'
        forms = [(plain, manifest.numeric), (quoted, manifest.texts), (plain, manifest.datetimes)]
        values = [form % _key(feature.name) for form, features in forms for feature in features]
        text += b',"features":[' + b",".join(values) + b"]"
    return text + b"}\n"


def _key(name: str) -> bytes:
    return orjson.dumps(name).replace(b"%", b"%%")
