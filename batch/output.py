"""Output folder: parts that are whole or not there, and a record of what they were made from."""

import csv
import fcntl
import io
import json
import os
import re
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import polars as pl

from batch.errors import ScoringError
from batch.job import Job

RECORD = "_scoring.json"
"""File that says what the parts were made from; readers of tables leave out names with "_"."""

LOCK, SET_ASIDE = "_lock", "_errors"
PART = re.compile(r"part-(\d{6,})\.parquet")
ERROR_COLUMNS = ("file", "row", "feature", "message")
ERROR_SCHEMA: Mapping[str, Any] = {"file": pl.String, "row": pl.Int64, "feature": pl.String, "message": pl.String}


def part_path(output: Path, part: int) -> Path:
    """Return the path of a part, numbered from 0."""
    return output / f"part-{part:06d}.parquet"


def write_part(job: Job, part: int, frame: pl.DataFrame, bad: pl.DataFrame, metadata: Mapping[str, str]) -> None:
    """Write a part, and before it the rows that were set aside."""
    if job.set_aside:
        write_parquet(bad, job.output / SET_ASIDE / part_path(job.output, part).name, {})
    write_parquet(frame, part_path(job.output, part), {**metadata, "mmoe.part": str(part)})


def write_parquet(frame: pl.DataFrame, path: Path, metadata: Mapping[str, str]) -> None:
    """Write a file that is there whole or not at all, whenever the machine stops."""
    content = io.BytesIO()
    frame.write_parquet(content, metadata=dict(metadata))
    write_whole(path, content.getbuffer())


def write_whole(path: Path, content: bytes | memoryview) -> None:
    """Write a file beside its place, flush it to disk, and move it there."""
    beside = path.with_name(f".{path.name}.{os.getpid()}.tmp")
    try:
        with beside.open("wb") as file:
            file.write(content)
            file.flush()
            os.fsync(file.fileno())
        beside.replace(path)
    except BaseException:
        beside.unlink(missing_ok=True)
        raise
    directory = os.open(path.parent, os.O_RDONLY)
    try:
        os.fsync(directory)
    finally:
        os.close(directory)


@contextmanager
def locked(output: Path) -> Iterator[None]:
    """Keep other runs out of an output folder.

    Raises:
        ScoringError: another run is writing there, or it cannot be made.
    """
    try:
        (output / SET_ASIDE).mkdir(parents=True, exist_ok=True)
        with (output / LOCK).open("w") as file:
            try:
                fcntl.flock(file, fcntl.LOCK_EX | fcntl.LOCK_NB)
            except BlockingIOError:
                raise ScoringError(f"{output}: another run is scoring into this folder; wait for it") from None
            yield
    except OSError as error:
        raise ScoringError(f"{error.filename or output}: the output cannot be written: {error.strerror}") from None


def read_record(output: Path) -> dict[str, Any] | None:
    """Read the record of an earlier run; None where there was none.

    Raises:
        ScoringError: the folder holds something else.
    """
    try:
        record: dict[str, Any] = json.loads((output / RECORD).read_text(encoding="utf-8"))
        return record
    except FileNotFoundError:
        pass
    except (OSError, ValueError) as error:
        raise ScoringError(f"{output / RECORD}: the record of the output cannot be read: {error}") from None
    others = sorted(path.name for path in output.iterdir() if path.name not in (LOCK, SET_ASIDE))
    if others:
        raise ScoringError(f"{output}: the folder holds other files, such as {others[0]}; name a new or empty one")
    return None


def begin(job: Job, restart: bool) -> set[int]:
    """Record a job in its output folder, or check that an earlier run there was of the same.

    Args:
        job: to begin or go on with.
        restart: whether the parts of an earlier run are removed.

    Returns:
        The parts that are there.

    Raises:
        ScoringError: the folder holds something else, or parts of another job.
    """
    earlier = read_record(job.output)
    if earlier is not None and not restart and (other := differences(earlier, job.record())):
        raise ScoringError(
            f"{job.output}: the parts there were made with {', '.join(other)}; name another folder, or remove them "
            "by --restart"
        )
    known = set() if restart else parts_there(job.output)
    if restart:
        _remove(job.output, PART)
        _remove(job.output / SET_ASIDE, PART)
    _remove(job.output, re.compile(r"\..*\.tmp"))
    _remove(job.output / SET_ASIDE, re.compile(r"\..*\.tmp"))
    write_record(job, complete=False)
    return known


def write_record(job: Job, complete: bool) -> None:
    """Write what the parts are made from, and whether all are there."""
    record = {**job.record(), "parts": job.parts, "complete": complete}
    write_whole(job.output / RECORD, json.dumps(record, indent=1, ensure_ascii=False).encode())


def differences(earlier: Mapping[str, Any], now: Mapping[str, Any]) -> list[str]:
    """List in words how a record differs from what is to be made."""
    found = []
    for section in ("model", "input", "options", "reading"):
        before, wanted = earlier.get(section) or {}, now[section]
        for key in sorted({*before, *wanted}):
            if before.get(key) != wanted.get(key):
                found.append(f"{section} {key} {_shown(before.get(key))} instead of {_shown(wanted.get(key))}")
    return found[:3]


def _shown(value: object) -> str:
    text = json.dumps(value, ensure_ascii=False)
    return text if len(text) <= 30 else f"{text[:30]}..."


def parts_there(output: Path) -> set[int]:
    """Find the numbers of the parts in a folder."""
    return {int(match[1]) for path in output.iterdir() if (match := PART.fullmatch(path.name))}


def _remove(folder: Path, pattern: re.Pattern[str]) -> None:
    for path in folder.iterdir():
        if pattern.fullmatch(path.name):
            path.unlink(missing_ok=True)


def rows_of(job: Job) -> int:
    """Count the rows of all parts."""
    paths = [part_path(job.output, part) for part in range(job.parts)]
    return sum(int(pl.scan_parquet(path, glob=False).select(pl.len()).collect().item()) for path in paths)


def write_errors(job: Job, path: Path) -> int:
    """Write the rows that were set aside to a CSV file, in the order of the table.

    Returns:
        How many rows they are.
    """
    text, rows = io.StringIO(newline=""), 0
    writer = csv.writer(text)
    writer.writerow(ERROR_COLUMNS)
    for part in range(job.parts):
        bad = pl.read_parquet(job.output / SET_ASIDE / part_path(job.output, part).name, glob=False)
        rows += bad.select("file", "row").n_unique()
        writer.writerows(bad.rows())
    write_whole(path, text.getvalue().encode())
    return rows
