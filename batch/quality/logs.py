"""Prediction and label logs joined by DuckDB, a wide row per prediction, in bounded memory.

A row is named by (request id, place) or by the caller's key. Of predictions of one row by one
version, and of labels of one row and task, the later one stands, whatever order they came in.
"""

from collections.abc import Iterable, Iterator, Sequence
from contextlib import contextmanager
from pathlib import Path
from typing import Any, NamedTuple

import duckdb
import numpy as np
from numpy.typing import NDArray

from batch.quality.errors import EvaluationError
from service.artifact.manifest import Manifest

MEMORY = "1GB"
"""Most memory of the join; what it needs beyond lies in its temporary directory."""
MOST_ROWS = 2_000_000
"""Rows of a version that are measured; of more, a sample by a hash of their names."""

_PREDICTIONS = {
    "time_utc": "TIMESTAMP",
    "request_id": "VARCHAR",
    "key": "VARCHAR",
    "model": "VARCHAR",
    "version": "BIGINT",
    "row": "BIGINT",
    "tasks": "STRUCT(task VARCHAR, prediction DOUBLE[], gate_weights FLOAT[])[]",
    "features": "STRUCT(feature VARCHAR, value VARCHAR)[]",
}
_LABELS = {
    "time_utc": "TIMESTAMP",
    "model": "VARCHAR",
    "request_id": "VARCHAR",
    "key": "VARCHAR",
    "row": "BIGINT",
    "labels": 'STRUCT(task VARCHAR, "value" DOUBLE)[]',
}


class Counts(NamedTuple):
    """Fates of records.

    Attributes:
        predictions: rows in the logs.
        repeated_predictions: of them, later replaced by one of the same row and version.
        labels: of rows and tasks, in the logs.
        replaced_labels: of them, replaced by a later one.
        foreign_labels: of rows that no log of predictions has.
    """

    predictions: int
    repeated_predictions: int
    labels: int
    replaced_labels: int
    foreign_labels: int


class JoinedRows(NamedTuple):
    """Rows of one version; B rows, T tasks, E experts.

    Attributes:
        rows: in the logs; B of them are here.
        times: (B,), of the predictions, in seconds since 1970.
        predictions: (B,), or (B, K) of a multiclass task, by task.
        gate_weights: (B, E) by task.
        labels: (B,) by task, NaN where there is none.
        delays_s: (B,) by task, from the prediction to the label.
        segments: (B,) texts by feature, "" where missing or not recorded.
    """

    rows: int
    times: NDArray[np.float64]
    predictions: dict[str, NDArray[np.float64]]
    gate_weights: dict[str, NDArray[np.float32]]
    labels: dict[str, NDArray[np.float64]]
    delays_s: dict[str, NDArray[np.float64]]
    segments: dict[str, NDArray[np.object_]]


class Logs:
    """Logs of one model, joined; use as `with opened(...) as logs`."""

    def __init__(self, database: Any, model: str) -> None:
        self._database, self._model = database, model

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
        return Counts(predictions, predictions - kept, labels, labels - stand, foreign)

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
        query = f"COPY ({_wide(manifest, segments)}) TO '{_quoted(path)}' (FORMAT parquet, COMPRESSION zstd)"
        self._database.execute(query, [version])
        return self._read(manifest, segments, path)

    def _read(self, manifest: Manifest, segments: Sequence[str], path: Path) -> JoinedRows:
        (rows,) = self._one(f"SELECT count(*) FROM '{_quoted(path)}'")
        sample = f"WHERE hash(request_id, key, row) % {rows} < {MOST_ROWS}" if rows > MOST_ROWS else ""
        order = "ORDER BY time_utc, request_id, key, row"  # sums of floats depend on it
        held = self._database.execute(f"SELECT * FROM '{_quoted(path)}' {sample} {order}").fetchnumpy()
        tasks = manifest.task_names
        wide = {task.name for task in manifest.tasks if task.kind == "multiclass"}
        columns = {name: _filled(values) for name, values in held.items()}
        return JoinedRows(
            rows,
            columns["time_s"],
            {
                task: np.stack(held[f"prediction {task}"]) if task in wide else columns[f"prediction {task}"]
                for task in tasks
            },
            {task: np.stack(held[f"gate_weights {task}"]).astype(np.float32) for task in tasks},
            {task: columns[f"label {task}"] for task in tasks},
            {task: columns[f"delay_s {task}"] for task in tasks},
            {feature: np.asarray(held[f"segment {feature}"], object) for feature in segments},
        )

    def _one(self, query: str) -> tuple[Any, ...]:
        row: tuple[Any, ...] = self._database.execute(query).fetchone()
        return row


@contextmanager
def opened(model: str, predictions: Iterable[Path], labels: Iterable[Path], scratch: Path) -> Iterator[Logs]:
    """Open the logs of a model.

    Args:
        model: by name.
        predictions: directories of prediction logs, of any number of services.
        labels: directories of label logs.
        scratch: directory for what memory does not hold.

    Raises:
        EvaluationError: no directory holds a prediction log, or a file of one cannot be read.
    """
    files, label_files = _files(predictions), _files(labels)
    if not files:
        raise EvaluationError(f"no file rows-*.jsonl in {', '.join(map(str, predictions)) or 'no directory'}")
    with duckdb.connect() as database:
        database.execute(f"SET memory_limit='{MEMORY}'; SET temp_directory='{_quoted(scratch)}'; SET threads=2")
        database.execute("SET preserve_insertion_order=false; SET TimeZone='UTC'")
        try:
            _make_tables(database, model, files, label_files)
        except duckdb.InvalidInputException as error:
            raise EvaluationError(f"a log cannot be read: {str(error).splitlines()[0]}") from None
        yield Logs(database, model)


def _files(directories: Iterable[Path]) -> list[str]:
    return [str(path) for directory in directories for path in sorted(directory.glob("rows-*.jsonl"))]


def _make_tables(database: Any, model: str, files: list[str], label_files: list[str]) -> None:
    database.execute(f"CREATE TABLE predictions AS {_records(files, _PREDICTIONS)}", [model])
    unnested = "SELECT time_utc, request_id, key, row, unnest(labels, recursive := true) FROM"
    empty = "SELECT NULL::TIMESTAMP AS time_utc, '' AS request_id, '' AS key, 0 AS row, '' AS task, 0.0 AS \"value\""
    source = f"{unnested} ({_records(label_files, _LABELS)})" if label_files else f"{empty} WHERE ? IS NULL"
    database.execute(f"CREATE TABLE labels AS {source}", [model])
    database.execute(
        "CREATE VIEW last_predictions AS SELECT * FROM predictions QUALIFY row_number() OVER (PARTITION BY version, "
        "CASE WHEN key = '' THEN request_id ELSE key END, CASE WHEN key = '' THEN row END, key = '' "
        "ORDER BY time_utc DESC, request_id, row) = 1"
    )
    database.execute(
        'CREATE TABLE last_labels AS SELECT request_id, key, row, task, max(time_utc) AS time_utc, arg_max("value", '
        "{'t': time_utc, 'v': \"value\"}) AS \"value\" FROM labels GROUP BY request_id, key, row, task"
    )


def _records(files: list[str], columns: dict[str, str]) -> str:
    listed = ", ".join(f"'{_quoted(file)}'" for file in files)
    typed = ", ".join(f"'{name}': '{_quoted(kind)}'" for name, kind in columns.items())
    names = ", ".join(f"coalesce({n}, '') AS {n}" if n in ("key", "request_id") else n for n in columns if n != "model")
    return (
        f"SELECT {names} FROM read_json([{listed}], format='newline_delimited', columns={{{typed}}}, "
        "maximum_object_size=67108864) WHERE model = ?"
    )


def _wide(manifest: Manifest, segments: Sequence[str]) -> str:
    """Write the query of a version's rows: its tasks side by side, with their labels."""
    columns = ["p.request_id", "p.key", "p.row", "p.time_utc", "epoch(p.time_utc) AS time_s"]
    for place, task in enumerate(manifest.tasks, start=1):
        name = _quoted(task.name)
        values = f"p.tasks[{place}].prediction"
        columns.append(f'{values if task.kind == "multiclass" else values + "[1]"} AS "prediction {name}"')
        columns.append(f'p.tasks[{place}].gate_weights AS "gate_weights {name}"')
        later = f'(r."{name}" IS NULL OR k."{name}".t > r."{name}".t)'
        label = f'CASE WHEN k."{name}" IS NOT NULL AND {later} THEN k."{name}" ELSE r."{name}" END'
        columns.append(f'({label}).v AS "label {name}"')
        columns.append(f'epoch(({label}).t - p.time_utc) AS "delay_s {name}"')
    for feature in segments:
        text = feature.replace("'", "''")
        value = f"list_filter(p.features, lambda f: f.feature = '{text}')[1].\"value\""
        columns.append(f"coalesce({value}, '') AS \"segment {feature.replace(chr(34), chr(34) * 2)}\"")
    by_request, by_key = (_pivoted(manifest, names) for names in (("request_id", "row"), ("key",)))
    return (
        f"SELECT {', '.join(columns)} FROM last_predictions AS p "
        f"LEFT JOIN ({by_request} WHERE key = '' GROUP BY ALL) AS r ON r.request_id = p.request_id AND r.row = p.row "
        f"LEFT JOIN ({by_key} WHERE key <> '' GROUP BY ALL) AS k ON k.key = p.key WHERE p.version = ?"
    )


def _pivoted(manifest: Manifest, names: Sequence[str]) -> str:
    """Write the query of labels side by side: a struct {v, t} by task."""
    tasks = ", ".join(
        f"max({{'t': time_utc, 'v': \"value\"}}) FILTER (WHERE task = '{name}') AS \"{name}\""
        for name in map(_quoted, manifest.task_names)
    )
    return f"SELECT {', '.join(names)}, {tasks} FROM last_labels"


def _quoted(text: object) -> str:
    return str(text).replace("'", "''")


def _filled(values: Any) -> Any:
    """Return a column of numbers with NaN where it is null."""
    if not isinstance(values, np.ma.MaskedArray):
        return values
    return np.ma.filled(np.ma.asarray(values, np.float64), np.nan) if values.dtype.kind in "fiu" else values.data
