"""Calls as steps: each yields requests and is sent answers, so that both clients share them."""

import json
import math
import uuid
from collections.abc import Generator, Iterable, Mapping
from dataclasses import dataclass, field
from typing import Any, TypeVar
from urllib.parse import quote

import numpy as np

from mmoe_client import tensors
from mmoe_client.answers import Floats, Note, Prediction, joined
from mmoe_client.errors import InvalidFeatures, MalformedRequest, Problem, RequestTooLarge, ServerFault
from mmoe_client.metadata import Metadata
from mmoe_client.rows import Extra, Rows, columns_of, named_columns
from mmoe_client.values import plain

Result = TypeVar("Result")

FIRST_PART_ROWS = 10_000
"""Rows of a part of a long request, until the service says that it takes fewer."""

PART_BYTES = 8 << 20
"""Bytes of a part's JSON, half of what the service takes by default."""


@dataclass(frozen=True)
class Call:
    """One request.

    Attributes:
        body: JSON, with raw tensors behind it where `json_bytes` is its length; None for a GET.
        repeatable: whether it may be sent again after it may have been handled.
        canary_key: requests of one key meet one version, also while a canary answers some.
    """

    method: str
    path: str
    body: bytes | None = None
    request_id: str = ""
    repeatable: bool = True
    json_bytes: int | None = None
    canary_key: str = ""


@dataclass(frozen=True)
class Reply:
    """Answer to a request that succeeded.

    Attributes:
        document: JSON.
        headers: names in lower case.
        raw: tensors behind the JSON.
    """

    document: Any
    headers: Mapping[str, str]
    raw: memoryview = field(default_factory=lambda: memoryview(b""))


Steps = Generator[Call, Reply, Result]


@dataclass
class Known:
    """Memory of a client about its service.

    Attributes:
        metadata: by model and version.
        options: members of the bodies of requests that hold rows.
        part_rows: rows of the parts that a long request is cut into.
    """

    metadata: dict[tuple[str | None, int | None], Metadata] = field(default_factory=dict)
    options: Mapping[str, Any] = field(default_factory=dict)
    part_rows: int = FIRST_PART_ROWS


def path_of(model: str, version: int | None = None) -> str:
    """Return the path of a model."""
    place = f"/v1/models/{quote(model, safe='')}"
    return place if version is None else f"{place}/versions/{version}"


def metadata(known: Known, model: str, version: int | None, fresh: bool = False) -> Steps[Metadata]:
    """Fetch a model's metadata, once."""
    if fresh or (model, version) not in known.metadata:
        reply = yield Call("GET", f"{path_of(model, version)}/metadata")
        known.metadata[model, version] = Metadata.of(reply.document)
    return known.metadata[model, version]


def predict(
    known: Known,
    rows: Rows,
    model: str,
    version: int | None,
    extra: Extra,
    request_id: str,
    keys: Iterable[str | int] | None = None,
    canary_key: str = "",
) -> Steps[Prediction]:
    """Predict rows, in parts where there are many; tables of numbers alone as raw tensors.

    All parts meet one version.
    """
    together = canary_key or request_id or uuid.uuid4().hex
    described = yield from metadata(known, model, version)
    named = named_columns(rows, described, extra)
    numbers = None if known.options or keys is not None else tensors.matrix(named, described)
    if numbers is not None:
        try:
            path, keyed = tensors.path(model, version), (canary_key, together)
            return (yield from _predict_numbers(known, numbers, described, path, request_id, keyed))
        except (MalformedRequest, InvalidFeatures):
            pass  # sent again as JSON, whose refusal names row and feature
    columns, count = columns_of(named, described)
    names = None if keys is None else plain(keys)
    if names is not None and len(names) != count:
        raise MalformedRequest(f"{len(names)} keys came for {count} rows; expected one a row")
    begin, parts = 0, list[Prediction]()
    while begin < count or not parts:
        size = min(known.part_rows, max(count - begin, 0))
        body, size = _fitting(columns, begin, size, known.options, names)
        name = request_id if count <= size or not request_id else f"{request_id}-{len(parts)}"
        try:
            key = together if count > size else canary_key
            reply = yield Call("POST", f"{path_of(model, version)}:predict", body, name, canary_key=key)
        except RequestTooLarge:
            if size <= 1:
                raise
            known.part_rows = math.ceil(size / 2)
            continue
        except InvalidFeatures as error:
            raise _moved(error, begin) from None
        parts.append(_prediction(reply, described))
        begin += max(size, 1)
    return joined(parts)


def _predict_numbers(
    known: Known, numbers: Floats, described: Metadata, path: str, request_id: str, keys: tuple[str, str]
) -> Steps[Prediction]:
    begin, parts, most = 0, list[Prediction](), max(1, PART_BYTES // (4 * numbers.shape[1]))
    while begin < len(numbers):
        part = numbers[begin : begin + min(known.part_rows, most)]
        body, length = tensors.request(part)
        name = request_id if len(part) == len(numbers) or not request_id else f"{request_id}-{len(parts)}"
        try:
            key = keys[len(part) < len(numbers)]
            reply = yield Call("POST", path, body, name, json_bytes=length, canary_key=key)
        except RequestTooLarge:
            if len(part) <= 1:
                raise
            known.part_rows = math.ceil(len(part) / 2)
            continue
        parts.append(tensors.prediction(reply.document, reply.raw, reply.headers, described))
        begin += len(part)
    return joined(parts)


def gates(
    known: Known, rows: Rows, model: str, version: int | None, extra: Extra, request_id: str, options: Mapping[str, Any]
) -> Steps[dict[str, Any]]:
    """Inspect the gates over rows, in one request: its figures are over all of them."""
    described = yield from metadata(known, model, version)
    columns, _ = columns_of(named_columns(rows, described, extra), described)
    given = {**known.options, **{name: value for name, value in options.items() if value}}
    body = _json({"inputs": columns, **given})
    reply = yield Call("POST", f"{path_of(model, version)}:gates", body, request_id)
    found: dict[str, Any] = reply.document
    return found


def labels(
    known: Known, columns: Mapping[str, Iterable[Any]], tasks: Mapping[str, Iterable[Any]], model: str
) -> Steps[int]:
    """Report labels, in parts where there are many; returns how many rows were taken.

    Args:
        known: of the service.
        columns: that name the rows: `key`, or `request_id` and `row`.
        tasks: labels by task, as long as these.
        model: that answered the rows.
    """
    named = {name: plain(values) for name, values in columns.items()}
    written = {name: plain(values) for name, values in tasks.items()}
    lengths = {name: len(values) for name, values in (*named.items(), *written.items())}
    if len(set(lengths.values())) > 1:
        raise InvalidFeatures(f"the columns differ in length: {lengths}", "invalid_features")
    count, begin = next(iter(lengths.values()), 0), 0
    while begin < count or not begin:
        part = slice(begin, begin + known.part_rows)
        body = _json({**_cut(named, part), "tasks": _cut(written, part)})
        try:
            yield Call("POST", f"{path_of(model)}/labels", body)
        except RequestTooLarge:
            if known.part_rows <= 1:
                raise
            known.part_rows = math.ceil(min(known.part_rows, count - begin) / 2)
            continue
        except InvalidFeatures as error:
            raise _moved(error, begin) from None
        begin = part.stop
    return count


def _cut(columns: Mapping[str, list[Any]], part: slice) -> dict[str, list[Any]]:
    return {name: values[part] for name, values in columns.items()}


def fetch(path: str) -> Steps[Any]:
    """Get a JSON document."""
    reply = yield Call("GET", path)
    return reply.document


def _fitting(
    columns: Mapping[str, list[Any]], begin: int, rows: int, options: Mapping[str, Any], keys: list[Any] | None
) -> tuple[bytes, int]:
    """Write a part of at most so many rows, and of fewer where its JSON would be long."""
    while True:
        part = slice(begin, begin + rows)
        body = _json({"inputs": _cut(columns, part), **options, **_cut({"keys": keys} if keys else {}, part)})
        if len(body) <= PART_BYTES or rows <= 1:
            return body, rows
        rows = max(1, int(rows * PART_BYTES / len(body) * 0.9))


def _json(document: Mapping[str, Any]) -> bytes:
    try:
        return json.dumps(document, allow_nan=False, ensure_ascii=False, separators=(",", ":")).encode()
    except ValueError:  # an infinite number: JSON has none
        for name, values in (document.get("inputs") or document["tasks"]).items():
            for row, value in enumerate(values):
                if isinstance(value, float) and math.isinf(value):
                    message = f"{value} is not a number that the service takes; send None for a missing value"
                    problem = Problem(row, name, message)
                    raise InvalidFeatures(
                        f"row {row}, feature {name!r}: {message}", "invalid_features", problems=[problem]
                    ) from None
        raise


def _prediction(reply: Reply, described: Metadata) -> Prediction:
    document = reply.document
    try:
        outputs = document["outputs"]
        tasks = {name: np.asarray(values, np.float32) for name, values in outputs["tasks"].items()}
        weights = outputs["gate_weights"]
        gate_weights = None if weights is None else {n: np.asarray(v, np.float32) for n, v in weights.items()}
        name = reply.headers.get("x-request-id", "")
        notes = tuple(Note(e["feature"], e["row"], e["rows"], e["message"]) for e in document.get("notes") or ())
        ids = (name,) if name else ()
        return Prediction(document["model"], document["version"], tasks, gate_weights, ids, notes)
    except (KeyError, TypeError, ValueError) as error:
        raise ServerFault(f"the answer is not a prediction: {error!r}") from None


def _moved(error: InvalidFeatures, begin: int) -> InvalidFeatures:
    """Count rows from the first of all parts."""
    problems = [p if p.row is None else p._replace(row=p.row + begin) for p in error.problems]
    sentence = str(error) if not begin else f"{error} (rows counted from row {begin})"
    return InvalidFeatures(sentence, error.code, error.status, error.request_id, problems, error.more)
