"""Prediction and label logs joined by DuckDB, a wide row per prediction, in bounded memory.

A row is named by (request id, place) or by the caller's key. Of predictions of one row by one
version, and of labels of one row and task, the later one stands, whatever order they came in.
"""

import os
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from pathlib import Path
from typing import Any, NamedTuple

import duckdb
import numpy as np
from numpy.typing import NDArray

from batch.quality.errors import EvaluationError
from batch.quality.queries import LABELS, LAST_LABELS, LAST_PREDICTIONS, PREDICTIONS, fits, plain, quoted, records, wide
from service.artifact.manifest import Manifest

MEMORY = "1GB"
"""Most memory of the join; what it needs beyond lies in its temporary directory."""
MOST_ROWS = 2_000_000
"""Rows of a version that are measured; of more, a sample by a hash of their names."""
MOST_NUMBERS = 60_000_000
"""Numbers of these rows; a task of many classes has fewer rows measured."""
CLOCKS_S = 60.0
"""Seconds by which the clocks of services and of the disk may differ."""

_TRIES = 100
"""Times that files are listed and read, each after a service has deleted an old one meanwhile."""


class Counts(NamedTuple):
    """Fates of records.

    Attributes:
        predictions: rows in the logs.
        repeated_predictions: of them, later replaced by one of the same row and version.
        labels: of rows and tasks, in the logs.
        replaced_labels: of them, replaced by a later one.
        foreign_labels: of rows that no log of predictions has.
        unreadable: lines of either log; a service that is killed leaves half of one.
    """

    predictions: int
    repeated_predictions: int
    labels: int
    replaced_labels: int
    foreign_labels: int
    unreadable: int


class JoinedRows(NamedTuple):
    """Rows of one version; B rows, T tasks, E experts.

    Attributes:
        rows: in the logs; B of them are here.
        left_out: beside them, of other tasks, classes or experts than the version has now.
        times: (B,), of the predictions, in seconds since 1970.
        predictions: (B,), or (B, K) of a multiclass task, by task.
        gate_weights: (B, E) by task.
        labels: (B,) by task, NaN where there is none.
        delays_s: (B,) by task, from the prediction to the label.
        segments: (B,) texts by feature, "" where missing or not recorded.
    """

    rows: int
    left_out: int
    times: NDArray[np.float64]
    predictions: dict[str, NDArray[np.float64]]
    gate_weights: dict[str, NDArray[np.float32]]
    labels: dict[str, NDArray[np.float64]]
    delays_s: dict[str, NDArray[np.float64]]
    segments: dict[str, NDArray[np.object_]]


class Logs:
    """Logs of one model, joined; use as `with opened(...) as logs`."""

    def __init__(self, database: Any, unreadable: int) -> None:
        self._database, self._unreadable = database, unreadable

    def counts(self) -> Counts:
        """Count what became of the records."""
        (predictions,) = self._one("SELECT count(*) FROM predictions")
        (kept,) = self._one("SELECT count(*) FROM last_predictions")
        (labels,) = self._one("SELECT count(*) FROM labels")
        (stand,) = self._one("SELECT count(*) FROM last_labels")
        (foreign,) = self._one(
            "SELECT count(*) FROM last_labels AS l WHERE NOT EXISTS (SELECT 1 FROM predictions AS p WHERE l.key = '' "
            "AND p.request_id = l.request_id AND p.row = l.row) AND NOT EXISTS "
            "(SELECT 1 FROM predictions AS p WHERE l.key <> '' AND p.key = l.key)"
        )
        return Counts(predictions, predictions - kept, labels, labels - stand, foreign, self._unreadable)

    def versions(self) -> list[int]:
        """List the versions that have predictions."""
        found = self._database.execute("SELECT DISTINCT version FROM predictions ORDER BY version").fetchall()
        return [version for (version,) in found]

    def joined(self, version: int, manifest: Manifest, segments: Sequence[str], path: Path) -> JoinedRows:
        """Join the rows of a version, and keep them as a Parquet file.

        Args:
            version: of the model.
            manifest: of the version.
            segments: features whose values are wanted.
            path: of the file.
        """
        of_another = f"p.version = {version} AND NOT coalesce({fits(manifest)}, false)"
        (left_out,) = self._one(f"SELECT count(*) FROM predictions AS p WHERE {of_another}")
        self.keep(version, manifest, segments, path)
        return self._read(manifest, segments, path, left_out)

    def keep(self, version: int, manifest: Manifest, segments: Sequence[str], path: Path) -> None:
        """Join the rows of a version as `joined` does, and leave them in the file."""
        query = f"{wide(manifest, segments)} WHERE p.version = {version} AND {fits(manifest)}"
        self._database.execute(f"COPY ({query}) TO '{quoted(path)}' (FORMAT parquet, COMPRESSION zstd)")

    def _read(self, manifest: Manifest, segments: Sequence[str], path: Path, left_out: int) -> JoinedRows:
        (rows,) = self._one(f"SELECT count(*) FROM '{quoted(path)}'")
        columns = ["time_s", *plain(manifest, segments)]
        most = min(MOST_ROWS, MOST_NUMBERS // len(columns))
        sample = f"WHERE hash(request_id, key, row) % {rows} < {most}" if rows > most else ""
        order = "ORDER BY time_utc, request_id, key, row"  # sums of floats depend on it
        query = f"SELECT {', '.join(columns)} FROM '{quoted(path)}' {sample} {order}"
        held = self._database.execute(query).fetchnumpy()
        found = {name: _filled(values) for name, values in held.items()}
        tasks = manifest.tasks
        return JoinedRows(
            rows,
            left_out,
            found["time_s"],
            {
                task.name: _stacked(found, "prediction", task.name, np.float64)
                if task.kind == "multiclass"
                else found[f"prediction {task.name}"]
                for task in tasks
            },
            {task.name: _stacked(found, "gate_weights", task.name, np.float32) for task in tasks},
            {task.name: found[f"label {task.name}"] for task in tasks},
            {task.name: found[f"delay_s {task.name}"] for task in tasks},
            {feature: np.asarray(held[f"segment {feature}"], object) for feature in segments},
        )

    def _one(self, query: str) -> tuple[Any, ...]:
        row: tuple[Any, ...] = self._database.execute(query).fetchone()
        return row


@contextmanager
def opened(
    model: str, predictions: Sequence[Path], labels: Sequence[Path], scratch: Path, since: float = 0.0
) -> Iterator[Logs]:
    """Open the logs of a model.

    Args:
        model: by name.
        predictions: directories of prediction logs, of any number of services.
        labels: directories of label logs.
        scratch: directory for what memory does not hold.
        since: seconds since 1970 before which predictions do not count.

    Raises:
        EvaluationError: no directory holds a prediction log, or the join fails.
    """
    with duckdb.connect() as database:
        database.execute(f"SET memory_limit='{MEMORY}'; SET temp_directory='{quoted(scratch)}'; SET threads=2")
        database.execute("SET preserve_insertion_order=false; SET TimeZone='UTC'")
        try:
            yield Logs(database, _read_files(database, model, predictions, labels, since))
        except duckdb.Error as error:
            raise EvaluationError(f"the logs of {model} cannot be joined: {str(error).splitlines()[0]}") from None


def _read_files(database: Any, model: str, predictions: Sequence[Path], labels: Sequence[Path], since: float) -> int:
    """Read the files that there are; one that a service deletes meanwhile is not missed.

    Returns:
        Lines that cannot be read.
    """
    for left in reversed(range(_TRIES)):
        files = _files(predictions, since)
        if not files:
            raise EvaluationError(f"no file rows-*.jsonl in {', '.join(map(str, predictions)) or 'no directory'}")
        try:
            return _make_tables(database, model, files, _files(labels, since), since)
        except duckdb.IOException:
            if not left or all(os.path.exists(file) for file in files):
                raise
    raise AssertionError


def _files(directories: Sequence[Path], since: float) -> list[str]:
    """List the files that were written to since a moment; labels come after their rows."""
    found = [str(path) for directory in directories for path in sorted(directory.glob("rows-*.jsonl"))]
    return [path for path in found if not since or _written(path) >= since - CLOCKS_S]


def _written(path: str) -> float:
    try:
        return os.stat(path).st_mtime
    except OSError:  # a service has deleted it
        return 0.0


def _make_tables(database: Any, model: str, files: list[str], label_files: list[str], since: float) -> int:
    unreadable = _make_table(database, model, "predictions", files, PREDICTIONS)
    database.execute("DELETE FROM predictions WHERE epoch(time_utc) < ?", [since])
    unreadable += _make_table(database, model, "label_rows", label_files, LABELS)
    database.execute(
        "CREATE OR REPLACE TABLE labels AS SELECT time_utc, request_id, key, row, "
        "unnest(labels, recursive := true) FROM label_rows; DROP TABLE label_rows"
    )
    database.execute(f"CREATE OR REPLACE VIEW last_predictions AS {LAST_PREDICTIONS}")
    database.execute(f"CREATE OR REPLACE TABLE last_labels AS {LAST_LABELS}")
    return unreadable


def _make_table(database: Any, model: str, name: str, files: Sequence[str], columns: Mapping[str, str]) -> int:
    """Read the records of a model; returns how many lines hold no record of whatever model."""
    query = records(files, columns)
    database.execute(f"CREATE OR REPLACE TABLE {name} AS {query}", [model])
    (unreadable,) = database.execute(f"SELECT count(*) FROM {name} WHERE model IS NULL").fetchone()
    database.execute(f"DELETE FROM {name} WHERE model IS NULL")
    return int(unreadable)


def _stacked(found: Mapping[str, Any], column: str, task: str, dtype: type) -> Any:
    """Put the places of a list side by side, (B, places)."""
    parts = list[NDArray[Any]]()
    while (name := f"{column} {len(parts)} {task}") in found:
        parts.append(found[name])
    return np.stack(parts, axis=1).astype(dtype)


def _filled(values: Any) -> Any:
    """Return a column of numbers with NaN where it is null."""
    if not isinstance(values, np.ma.MaskedArray):
        return values
    return np.ma.filled(np.ma.asarray(values, np.float64), np.nan) if values.dtype.kind in "fiu" else values.data
