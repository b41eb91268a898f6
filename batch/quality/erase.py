"""Erasure of a key's rows from logs, also under the hands of services that write them.

A record is overwritten in its place by an empty one of the same length: no line moves, so what a
service appends meanwhile is where it would have been, and a killed erasure is begun again.
"""

import json
import os
from collections.abc import Iterable, Iterator, Mapping
from pathlib import Path
from typing import Any, NamedTuple


class Erased(NamedTuple):
    """Records that were overwritten."""

    predictions: int
    labels: int


def erase(key: str, predictions: Iterable[Path], labels: Iterable[Path]) -> Erased:
    """Overwrite the predictions of a key and all labels of their rows.

    Args:
        key: the caller's own name of a row.
        predictions: directories of prediction logs.
        labels: directories of label logs.
    """
    names = set[tuple[str, int]]()
    found = list[tuple[Path, int, int]]()
    for path, start, length, record in _records(predictions, key):
        if record.get("key") == key:
            names.add((record["request_id"], record["row"]))
            found.append((path, start, length))
    of_rows = [
        (path, start, length)
        for path, start, length, record in _records(labels, key, *(name for name, _ in names))
        if record.get("key") == key or (record.get("request_id"), record.get("row")) in names
    ]
    for path, start, length in [*of_rows, *found]:  # labels first: their rows are found by the predictions
        _overwrite(path, start, length)
    return Erased(len(found), len(of_rows))


def _records(directories: Iterable[Path], *texts: str) -> Iterator[tuple[Path, int, int, Mapping[str, Any]]]:
    """Yield records that hold one of the texts: file, place, length without line end, record."""
    sought = [json.dumps(text, ensure_ascii=False).encode() for text in texts]
    for path in (path for directory in directories for path in sorted(directory.glob("rows-*.jsonl"))):
        start = 0
        with path.open("rb") as lines:
            for line in lines:
                if line.endswith(b"\n") and any(text in line for text in sought):
                    yield path, start, len(line) - 1, json.loads(line)
                start += len(line)


def _overwrite(path: Path, start: int, length: int) -> None:
    file = os.open(path, os.O_WRONLY)
    try:
        os.pwrite(file, b"{}".ljust(length), start)
        os.fsync(file)
    finally:
        os.close(file)
