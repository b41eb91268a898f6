"""Bodies of labels: rows or columns, each row named by its request or by the caller's key."""

from collections.abc import Iterator, Mapping
from typing import Any

from service.errors import InvalidFeatures, MalformedRequest, RequestTooLarge, ServiceError, ValueProblem
from service.http.codecs.keys import read_key
from service.http.codecs.rows import as_integer, load_object
from service.inference.labels import LabelReader
from service.logs.labels import LabelledRow
from service.system.quoting import quote, quotes

EXPECTED = (
    '{"labels": [{"request_id": "order-7", "row": 0, "tasks": {"income": 1}}]}, or columns, {"request_id": '
    '["order-7"], "row": [0], "tasks": {"income": [1]}}; "key" in place of both names a row by the key it was sent with'
)
MOST_PROBLEMS = 20
MOST_ROW = 1_000_000_000
"""Largest place in a request; no request has so many rows."""
_ROW_KEYS, _COLUMN_KEYS = {"request_id", "key", "row", "tasks"}, ("request_id", "key", "row")


def read_labels(body: bytes, reader: LabelReader, max_rows: int) -> list[LabelledRow]:
    """Read the labels of a call; null, and what means a missing value in the table, are none.

    Raises:
        MalformedRequest: not JSON, or not of one of the two forms.
        RequestTooLarge: more than `max_rows`.
        InvalidFeatures: rows or labels are wrong, with their places in the body.
    """
    document = load_object(body, EXPECTED)
    entries = _entries(document)
    if len(entries) > max_rows:
        raise RequestTooLarge("the request", len(entries), max_rows, "rows", "MMOE_MAX_ROWS")
    rows, problems = list[LabelledRow](), list[ValueProblem]()
    for place, entry in enumerate(entries):
        try:
            rows.append(_row(entry, place, reader))
        except InvalidFeatures as error:
            problems.extend(error.problems)
    if problems:
        raise InvalidFeatures(problems[:MOST_PROBLEMS], max(len(problems) - MOST_PROBLEMS, 0))
    return rows


def _entries(document: dict[str, Any]) -> list[Any]:
    """Return the rows of a body, whichever form it has."""
    if "labels" in document:
        entries = document["labels"]
        if strangers := document.keys() - {"labels"}:
            raise MalformedRequest(f'the body has "labels" and {quote(min(strangers))}', EXPECTED)
        if type(entries) is not list or not entries:
            raise MalformedRequest(f'"labels" is {quote(entries)}', f"an array of rows, as in {EXPECTED}")
        return entries
    if strangers := document.keys() - _ROW_KEYS:
        raise MalformedRequest(f"the body has an unknown key {quote(min(strangers))}", EXPECTED)
    tasks = document.get("tasks")
    if type(tasks) is not dict or not tasks:
        raise MalformedRequest(f'"tasks" is {quote(tasks)}', f"an object of columns, as in {EXPECTED}")
    named = {key: document[key] for key in _COLUMN_KEYS if document.get(key) is not None}
    return _rows_of_columns(named, tasks)


def _rows_of_columns(named: Mapping[str, Any], tasks: Mapping[str, Any]) -> list[Any]:
    columns = [*named.values(), *tasks.values()]
    if not set(map(type, columns)) <= {list} or len(set(map(len, columns))) != 1 or not columns[0]:
        raise MalformedRequest("the body's columns are not arrays of one length, of one row or more", EXPECTED)
    by_row = zip(zip(*named.values(), strict=True), zip(*tasks.values(), strict=True), strict=True)
    return (
        [
            {**dict(zip(named, names, strict=True)), "tasks": dict(zip(tasks, labels, strict=True))}
            for names, labels in by_row
        ]
        if named
        else [{"tasks": None}]
    )


def _row(entry: object, place: int, reader: LabelReader) -> LabelledRow:
    if type(entry) is not dict or entry.keys() - _ROW_KEYS or type(entry.get("tasks")) is not dict:
        raise _wrong(place, f"{quote(entry)} is not a row of labels; expected an object as in {EXPECTED}")
    request_id, key, row = (entry.get(name) for name in _COLUMN_KEYS)
    if (request_id is None) == (key is None):
        raise _wrong(place, 'expected either "request_id", and "row" where the request had several, or "key"')
    row = 0 if row is None else as_integer(row)
    if type(row) is not int or not 0 <= row < MOST_ROW or (key is not None and row):
        raise _wrong(place, f'"row" is {quote(row)}; expected a place in the request, from 0, and none beside "key"')
    name = read_key(request_id if key is None else key, place)
    labels = dict(_labels(entry["tasks"], place, reader))
    if not labels:
        raise _wrong(place, f"it has no label; expected one of a task at least: {quotes(reader.tasks)}")
    return LabelledRow(name if key is None else "", name if key is not None else "", row, labels)


def _labels(tasks: dict[str, Any], place: int, reader: LabelReader) -> Iterator[tuple[str, float]]:
    for task, raw in tasks.items():
        try:
            label = reader.read(task, raw)
        except ValueError as error:
            raise _wrong(place, str(error)) from None
        if label is not None:
            yield task, label


def _wrong(place: int, message: str) -> ServiceError:
    return InvalidFeatures([ValueProblem(place, None, message)])
