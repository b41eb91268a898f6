"""Table for training from logs: features as they were sent, labels as the first table had them."""

from collections.abc import Mapping, Sequence
from pathlib import Path

import duckdb

from batch.quality.errors import EvaluationError
from batch.quality.logs import Logs
from service.artifact.entries import Task
from service.artifact.manifest import Manifest


def write_training_table(logs: Logs, manifests: Mapping[int, Manifest], path: Path, scratch: Path) -> int:
    """Write every row that has a label, once, as CSV.

    Args:
        logs: of predictions with their features, and of labels.
        manifests: of versions whose rows count; all have the features and tasks of the first.
        path: of the table.
        scratch: directory for what is joined first.

    Returns:
        The number of rows.

    Raises:
        EvaluationError: the logs hold no features, or a label cannot be written as the table had
            it.
    """
    manifest = next(iter(manifests.values()))
    labels = [f"{_label(task)} AS {_name(_column(task))}" for task in manifest.tasks]
    columns = [_column(task) for task in manifest.tasks]
    if twice := next((name for name in columns if columns.count(name) > 1 or name in manifest.feature_names), None):
        raise EvaluationError(f"column {twice!r} has labels of several tasks, which logs do not tell apart")
    files = []
    for version in sorted(set(logs.versions()) & set(manifests)):
        files.append(scratch / f"training-{version}.parquet")
        logs.keep(version, manifest, manifest.feature_names, files[-1])
    if not files:
        return 0
    features = [f"{_name(f'segment {feature}')} AS {_name(feature)}" for feature in manifest.feature_names]
    some_label = " OR ".join(f"{_name(f'label {task.name}')} IS NOT NULL" for task in manifest.tasks)
    some_feature = " OR ".join(f"{_name(f'segment {feature}')} <> ''" for feature in manifest.feature_names)
    rows = (
        f"SELECT * FROM read_parquet([{_listed(files)}], union_by_name=true) WHERE {some_label} QUALIFY row_number() "
        "OVER (PARTITION BY CASE WHEN key = '' THEN request_id ELSE key END, CASE WHEN key = '' THEN row END "
        "ORDER BY time_utc DESC) = 1"
    )
    with duckdb.connect() as database:
        database.execute(f"SET memory_limit='1GB'; SET temp_directory={_text(scratch)}; SET threads=2")
        count, told = database.execute(f"SELECT count(*), count_if({some_feature}) FROM ({rows})").fetchone() or (0, 0)
        if count and not told:
            raise EvaluationError("the prediction logs hold no features; set MMOE_PREDICTION_LOG_FEATURES=true")
        chosen = f"SELECT {', '.join([*features, *labels])} FROM ({rows}) ORDER BY time_utc, request_id, key, row"
        database.execute(f"COPY ({chosen}) TO {_text(path)} (FORMAT csv, HEADER true)")
    return int(count)


def _column(task: Task) -> str:
    return task.name if task.label is None else task.label.column


def _label(task: Task) -> str:
    """Write the expression of a task's label in the terms of its table."""
    label = _name(f"label {task.name}")
    if task.kind == "regression":
        return label
    if task.kind == "multiclass":
        return _chosen(label, task.classes)
    rule = task.label
    if rule is not None and (rule.positive_if is not None or rule.values is None):
        how = f"positive_if = {rule.positive_if!r}" if rule.positive_if else "too many values"
        raise EvaluationError(
            f"labels of task {task.name!r} cannot be written as its table had them ({how}); train on a table"
        )
    values = {"0": 0, "1": 1} if rule is None or rule.values is None else rule.values
    words = [next((text for text, meaning in values.items() if meaning == number), str(number)) for number in (0, 1)]
    return _chosen(label, words)


def _chosen(label: str, words: Sequence[str]) -> str:
    cases = " ".join(f"WHEN {number} THEN {_text(word)}" for number, word in enumerate(words))
    return f"CASE CAST({label} AS BIGINT) {cases} END"


def _name(name: str) -> str:
    return '"' + name.replace('"', '""') + '"'


def _text(text: object) -> str:
    return "'" + str(text).replace("'", "''") + "'"


def _listed(paths: Sequence[Path]) -> str:
    return ", ".join(map(_text, paths))
