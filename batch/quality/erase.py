"""Erasure of a key's rows from logs, also under the hands of services that write them.

A record is overwritten in its place by an empty one of the same length: no line moves, so what a
service appends meanwhile is where it would have been, and a killed erasure is begun again.
"""

import json
import os
from collections.abc import Callable, Iterable, Iterator, Mapping
from contextlib import suppress
from pathlib import Path
from typing import IO, Any, NamedTuple

import duckdb
import orjson

ERASED = b'{"erased":true}'
Record = Mapping[str, Any]


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
    text = json.dumps(key, ensure_ascii=False).encode()
    found = {
        (record["request_id"], record["row"])
        for lines in _logs(predictions, "rb")
        for _, _, record in _records(lines, text)
        if record.get("key") == key
    }

    def is_of_row(record: Record) -> bool:
        return record.get("key") == key or (record.get("request_id"), record.get("row")) in found

    of_rows = _overwrite(labels, b"", is_of_row)  # labels first: their rows are found by the predictions
    return Erased(_overwrite(predictions, text, lambda record: record.get("key") == key), of_rows)


def erase_joined(key: str, out: Path) -> list[Path]:
    """Delete the files of joined rows that hold a key, of every model; returns which."""
    holding = "SELECT count(*) FROM read_parquet(?) WHERE key = ?"
    with duckdb.connect() as database:
        held = [
            path
            for path in sorted(out.glob("*/rows-*.parquet"))
            if database.execute(holding, [str(path), key]).fetchall() != [(0,)]
        ]
    for path in held:
        path.unlink()
    return held


def _overwrite(directories: Iterable[Path], text: bytes, of_key: Callable[[Record], bool]) -> int:
    """Overwrite the records of a key; returns how many.

    A file keeps the time at which a service last wrote to it, by which it is deleted one day.
    """
    count = 0
    for lines in _logs(directories, "r+b"):
        places = [(start, length) for start, length, record in _records(lines, text) if of_key(record)]
        if not places:
            continue
        before = os.fstat(lines.fileno())
        for start, length in places:
            os.pwrite(lines.fileno(), ERASED.ljust(length), start)
        os.fsync(lines.fileno())
        os.utime(lines.fileno(), ns=(before.st_atime_ns, before.st_mtime_ns))
        count += len(places)
    return count


def _logs(directories: Iterable[Path], mode: str) -> Iterator[IO[bytes]]:
    """Open the files of logs one by one, but those that a service deletes meanwhile."""
    for path in (path for directory in directories for path in sorted(directory.glob("rows-*.jsonl"))):
        with suppress(FileNotFoundError), path.open(mode) as lines:
            yield lines


def _records(lines: IO[bytes], text: bytes) -> Iterator[tuple[int, int, Record]]:
    """Yield the whole records that hold a text: place, length without line end, record."""
    start = 0
    for line in lines:
        if line.endswith(b"\n") and text in line:
            with suppress(orjson.JSONDecodeError):
                yield start, len(line) - 1, orjson.loads(line)
        start += len(line)
