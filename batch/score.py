"""Scoring of a table into a folder, from the first look to the record of the whole."""

from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import Any

from batch.answers import AnswerColumns
from batch.coding import Coder
from batch.errors import ScoringError
from batch.job import Columns, Job, Reading, find_model, reading_of
from batch.output import begin, locked, rows_of, write_errors, write_record
from batch.rows import BLOCK_ROWS
from service.artifact.manifest import Manifest
from tables.blocks import Files, open_table
from tables.errors import DataError
from tables.files.copies import Copies
from tables.files.several import FileSet
from tables.suggestion import nearest

PART_ROWS = 4 * BLOCK_ROWS
"""Rows of a part, of tables of any size: half a second's work, so that no process is long without
any at the end, and enough for what a part costs by itself not to count."""


@dataclass(frozen=True)
class Request:
    """Scoring to be done, as a caller says it.

    Attributes:
        model: path of a file, a version or a model.
        inputs: files, folders, patterns or addresses of object stores.
        output: folder of the parts.
        columns: beside the predictions.
        changes: keys of [data] that the table needs otherwise than the training table did.
        errors: file for the rows that cannot be scored; None to end at the first.
        part_rows: of each part.
        restart: whether the parts of an earlier run are removed.
    """

    model: Path
    inputs: tuple[str, ...]
    output: Path
    columns: Columns = field(default_factory=Columns)
    changes: Mapping[str, Any] = field(default_factory=dict)
    errors: Path | None = None
    part_rows: int = PART_ROWS
    restart: bool = False


@dataclass(frozen=True)
class Summary:
    """Outcome of a run.

    Attributes:
        rows: of all parts.
        parts: of the output.
        set_aside: rows that were.
    """

    rows: int
    parts: int
    set_aside: int


Run = Callable[[Job, Sequence[int]], Iterable[tuple[int, int]]]
"""Scores parts and writes them; yields the rows of each that is done, and those set aside."""


def score(
    request: Request, run: Run, say: Callable[[str], None], progress: Callable[[int, int], Callable[[int], None]]
) -> Summary:
    """Score a table.

    Args:
        request: says what.
        run: scores parts.
        say: takes a line on what was understood.
        progress: takes the rows of the table and those done before, and returns what takes rows
            that were scored.

    Raises:
        UserError: the model, the table or the folder cannot be used, or a row cannot be scored.
    """
    job, notes = prepare(request)
    for note in notes:
        say(note)
    with locked(job.output):
        there = begin(job, request.restart)
        todo = [part for part in range(job.parts) if part not in there]
        done = sum(job.span(part)[1] for part in there)
        if done:
            say(f"Going on: {len(there)} of {job.parts} parts are there.")
        add = progress(job.rows, done)
        for rows, _ in run(job, todo):
            add(rows)
        aside = 0 if request.errors is None else write_errors(job, request.errors)
        write_record(job, complete=True)
        return Summary(rows_of(job), job.parts, aside)


def prepare(request: Request) -> tuple[Job, list[str]]:
    """Look at the model and the table, and check that they fit.

    Returns:
        The job, and what is worth a line.

    Raises:
        UserError: they do not, or one cannot be read.
    """
    model, manifest = find_model(request.model)
    reading = reading_of(manifest, request.inputs, request.changes)
    files = open_table(reading.data)
    _check(files, manifest, reading, request.columns)
    if not files.rows:
        raise ScoringError(f"{reading.data.paths[0]}: the table has no rows")
    job = Job(
        model,
        reading,
        request.columns,
        request.output,
        request.errors is not None,
        request.part_rows,
        _fresh(files.files),
        tuple(dict.fromkeys([*manifest.feature_names, *request.columns.keep.values()])),
        files.source,
        files.digest(),
    )
    return job, [*_notes(job, files, manifest)]


def _fresh(files: FileSet) -> FileSet:
    """Return the files as another process takes them over.

    It fetches what it needs. No file is tried first, as it may end by a damaged one.
    """
    return replace(files, copies=Copies(), tried={file.where for file in files.files})


def _check(files: Files, manifest: Manifest, reading: Reading, columns: Columns) -> None:
    """Check the columns that are read, and those that are to come out."""
    for name, role in [
        *((n, "the model's feature") for n in manifest.feature_names),
        *((n, "--keep") for n in columns.keep.values()),
    ]:
        if name not in files.dtypes:
            raise ScoringError(f"the table lacks the column '{name}' of {role}{nearest(name, list(files.columns))}")
    if (columns.gates or columns.top_expert or columns.contributions) and not manifest.has_gates:
        raise ScoringError(
            f"a {manifest.architecture} model has no gates: no gate weights, top expert or contributions"
        )
    names = AnswerColumns(manifest, columns).names
    if twice := next((name for place, name in enumerate(names) if name in names[:place]), None):
        raise ScoringError(
            f"two columns of the output would be named '{twice}'; name the one of the table otherwise: "
            f"--keep {twice}_given={columns.keep.get(twice, twice)}"
        )
    try:
        Coder(manifest, reading, files.typed).check_types(files.dtypes)
    except DataError as error:
        raise ScoringError(str(error)) from None


def _notes(job: Job, files: Files, manifest: Manifest) -> Iterator[str]:
    model = job.model
    version = f" version {model.version}" if model.version else ""
    parts = f"{job.parts} part{'s' * (job.parts != 1)}"
    yield f"{model.name}{version} ({model.digest[:19]}) on {files.source}: {job.rows:,} rows, {parts}"
    yield from files.notes
    if ignored := [name for name in files.columns if name not in job.read]:
        shown = ", ".join(ignored[:8]) + (f" and {len(ignored) - 8} more" if len(ignored) > 8 else "")
        yield f"Ignored: {len(ignored)} column{'s' * (len(ignored) > 1)} that the model does not read: {shown}."
