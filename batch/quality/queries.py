"""Queries of DuckDB that read the logs and join them, one text each.

A row is named by (request id, place) or by the caller's key.
"""

from collections.abc import Iterator, Mapping, Sequence

from service.artifact.manifest import Manifest

PREDICTIONS = {
    "time_utc": "TIMESTAMP",
    "request_id": "VARCHAR",
    "key": "VARCHAR",
    "model": "VARCHAR",
    "version": "BIGINT",
    "row": "BIGINT",
    "tasks": "STRUCT(task VARCHAR, prediction DOUBLE[], gate_weights FLOAT[])[]",
    "features": "STRUCT(feature VARCHAR, value VARCHAR)[]",
    "erased": "BOOLEAN",
}
LABELS = {
    "time_utc": "TIMESTAMP",
    "model": "VARCHAR",
    "request_id": "VARCHAR",
    "key": "VARCHAR",
    "row": "BIGINT",
    "labels": 'STRUCT(task VARCHAR, "value" DOUBLE)[]',
    "erased": "BOOLEAN",
}

LAST_PREDICTIONS = (
    "SELECT * FROM predictions QUALIFY row_number() OVER (PARTITION BY version, key, "
    "CASE WHEN key = '' THEN request_id END, CASE WHEN key = '' THEN row END "
    "ORDER BY time_utc DESC, request_id, row) = 1"
)
LAST_LABELS = (
    "SELECT request_id, key, row, task, max(time_utc) AS time_utc, "
    'arg_max("value", {\'t\': time_utc, \'v\': "value"}) AS "value" '
    "FROM labels GROUP BY request_id, key, row, task"
)


def records(files: Sequence[str], columns: Mapping[str, str]) -> str:
    """Write the query of a model's records in some files, and of lines that hold no record.

    Those have no model. A line may be half written, now or since a service was killed.

    Args:
        files: of a log; none of them for an empty table.
        columns: types by name, PREDICTIONS or LABELS.
    """
    if files:
        listed = ", ".join(f"'{quoted(file)}'" for file in files)
        typed = ", ".join(f"'{name}': '{quoted(kind)}'" for name, kind in columns.items())
        source = (
            f"read_json([{listed}], format='newline_delimited', columns={{{typed}}}, "
            "maximum_object_size=67108864, ignore_errors=true)"
        )
    else:
        source = f"(SELECT {', '.join(f'NULL::{kind} AS {name}' for name, kind in columns.items())} LIMIT 0)"
    names = ", ".join(f"coalesce({n}, '') AS {n}" if n in ("key", "request_id") else n for n in columns)
    return (
        f"SELECT {names} FROM {source} WHERE (model = ? AND time_utc IS NOT NULL AND row IS NOT NULL) "
        "OR (model IS NULL AND erased IS NULL)"
    )


def wide(manifest: Manifest, segments: Sequence[str]) -> str:
    """Write the query of rows `p`, of whatever version: tasks side by side, with their labels."""
    columns = ["p.request_id", "p.key", "p.row", "p.time_utc", "epoch(p.time_utc) AS time_s"]
    for place, task in enumerate(manifest.tasks, start=1):
        name = _identifier(task.name)
        values = f"p.tasks[{place}].prediction"
        values = values if task.kind == "multiclass" else values + "[1]"
        columns.append(f"{values} AS {_identifier('prediction', task.name)}")
        columns.append(f"p.tasks[{place}].gate_weights AS {_identifier('gate_weights', task.name)}")
        later = f"(r.{name} IS NULL OR k.{name}.t > r.{name}.t)"
        label = f"CASE WHEN k.{name} IS NOT NULL AND {later} THEN k.{name} ELSE r.{name} END"
        columns.append(f"({label}).v AS {_identifier('label', task.name)}")
        columns.append(f"epoch(({label}).t - p.time_utc) AS {_identifier('delay_s', task.name)}")
    for feature in segments:
        value = f"list_filter(p.features, lambda f: f.feature = '{quoted(feature)}')[1].\"value\""
        columns.append(f"coalesce({value}, '') AS {_identifier('segment', feature)}")
    by_request, by_key = (_pivoted(manifest, names) for names in (("request_id", "row"), ("key",)))
    return (
        f"SELECT {', '.join(columns)} FROM last_predictions AS p "
        f"LEFT JOIN ({by_request} WHERE key = '' GROUP BY ALL) AS r ON r.request_id = p.request_id AND r.row = p.row "
        f"LEFT JOIN ({by_key} WHERE key <> '' GROUP BY ALL) AS k ON k.key = p.key"
    )


def fits(manifest: Manifest) -> str:
    """Write the condition that a row `p` has the tasks, classes and experts of a file.

    A directory that was emptied and filled again has version 1 a second time.
    """
    experts = manifest.experts if manifest.has_gates else 1
    conditions = [f"len(p.tasks) = {len(manifest.tasks)}"]
    for place, task in enumerate(manifest.tasks, start=1):
        values = len(task.classes) if task.kind == "multiclass" else 1
        conditions += [
            f"p.tasks[{place}].task = '{quoted(task.name)}'",
            f"len(p.tasks[{place}].prediction) = {values}",
            f"len(p.tasks[{place}].gate_weights) = {experts}",
        ]
    return f"({' AND '.join(conditions)})"


def plain(manifest: Manifest, segments: Sequence[str]) -> Iterator[str]:
    """List the columns to be read, lists as a column for each place: objects would need memory."""
    experts = manifest.experts if manifest.has_gates else 1
    for task in manifest.tasks:
        yield from (_identifier(column, task.name) for column in ("label", "delay_s"))
        yield from _places("gate_weights", task.name, experts)
        if task.kind == "multiclass":
            yield from _places("prediction", task.name, len(task.classes))
        else:
            yield _identifier("prediction", task.name)
    yield from (_identifier("segment", feature) for feature in segments)


def _places(column: str, task: str, count: int) -> Iterator[str]:
    for place in range(count):
        yield f"{_identifier(column, task)}[{place + 1}] AS {_identifier(column, str(place), task)}"


def _pivoted(manifest: Manifest, names: Sequence[str]) -> str:
    """Write the query of labels side by side: a struct {v, t} by task."""
    tasks = ", ".join(
        f"max({{'t': time_utc, 'v': \"value\"}}) FILTER (WHERE task = '{quoted(name)}') AS {_identifier(name)}"
        for name in manifest.task_names
    )
    return f"SELECT {', '.join(names)}, {tasks} FROM last_labels"


def _identifier(*words: str) -> str:
    """Quote the name of a column."""
    return '"' + " ".join(words).replace('"', '""') + '"'


def quoted(text: object) -> str:
    """Write a text as it stands between single quotes."""
    return str(text).replace("'", "''")
