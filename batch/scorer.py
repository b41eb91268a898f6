"""Scorer of parts: rows of the table in, a frame of answers out; one for each process."""

import hashlib
from collections.abc import Iterable
from typing import NamedTuple

import numpy as np
import polars as pl
from numpy.typing import NDArray

from batch.answers import ROW, AnswerColumns, file_metadata
from batch.coding import BadCell, Coder
from batch.errors import ScoringError
from batch.job import Job, ModelFile
from batch.output import ERROR_SCHEMA, write_part
from batch.rows import Block, RowReader
from service.errors import ArtifactError
from service.inference.features import Batch
from service.inference.predictor import Predictor
from tables.errors import DataError

TOO_EXTREME = "the model's answer to this row is not finite: its numbers are too extreme"


Done = tuple[int, int]
"""Rows of a part, and those of them that were set aside."""


class Scored(NamedTuple):
    """Answers to the rows of a block.

    Attributes:
        frame: a row for each row that has an answer.
        bad: rows that were set aside: file, row there, feature, message.
    """

    frame: pl.DataFrame
    bad: pl.DataFrame


class Scorer:
    """Scorer of a job's parts, with a session and a reader of its own.

    Args:
        job: whose parts are scored.

    Raises:
        ScoringError: the model file is not what it was.
    """

    def __init__(self, job: Job) -> None:
        self._job = job
        self._predictor = load(job.model)
        manifest = self._predictor.manifest
        self._columns = AnswerColumns(manifest, job.columns)
        self._rows = RowReader(job.files, job.read)
        self._coder = Coder(manifest, job.reading, job.files.typed)
        self._metadata = file_metadata(job.model, manifest)

    def write(self, part: int, rows: Iterable[Block] | None = None) -> Done:
        """Score a part and write it.

        Args:
            part: to score.
            rows: of the part, in blocks; None to read them here.

        Raises:
            ScoringError: a row cannot be scored, and bad rows are not set aside.
            DataError: the table cannot be read.
        """
        frames, bad = [], [pl.DataFrame(schema=ERROR_SCHEMA)]
        for block in self._rows.blocks(*self._job.span(part)) if rows is None else rows:
            frame, aside = self._block(block)
            frames.append(frame)
            bad.append(aside)
        frame = pl.concat(frames)
        write_part(self._job, part, frame, pl.concat(bad), self._metadata)
        rows_of_part = self._job.span(part)[1]
        return rows_of_part, rows_of_part - frame.height

    def _block(self, block: Block) -> Scored:
        kept, batch, found = self._coded(block)
        frames: list[pl.DataFrame] = []
        start = 0
        for answer in self._columns.answers(self._predictor, batch) if batch is not None else ():
            frame = self._columns.frame(answer)
            rows, start = kept[start : start + frame.height], start + frame.height
            if wrong := answer.rows_not_finite():
                found += self._refused([BadCell(int(rows[place]), "", TOO_EXTREME) for place in wrong], block)
                rows, frame = np.delete(rows, wrong), frame[np.delete(np.arange(frame.height), wrong)]
            frames.append(self._laid_out(block, rows, frame))
        if not frames:
            frames = [self._laid_out(block, kept[:0], self._columns.empty())]
        return Scored(pl.concat(frames), self._aside(found, block))

    def _coded(self, block: Block) -> tuple[NDArray[np.intp], Batch | None, list[BadCell]]:
        """Code a block's rows, those aside that cannot be; returns the places of the others."""
        kept, found = np.arange(block.frame.height), list[BadCell]()
        while len(kept):
            part = block if len(kept) == block.frame.height else block.taken(kept)
            try:
                return kept, self._coder.code(part), found
            except DataError as error:
                cells = self._refused(self._coder.bad_cells(part), part)
                if not cells:
                    raise ScoringError(str(error)) from None
                found += [cell._replace(place=int(kept[cell.place])) for cell in cells]
                kept = np.delete(kept, sorted({cell.place for cell in cells}))
        return kept, None, found

    def _laid_out(self, block: Block, rows: NDArray[np.intp], answers: pl.DataFrame) -> pl.DataFrame:
        """Set the numbers of rows and the columns that are kept beside their answers."""
        numbers = pl.Series(ROW, block.row_numbers[rows], dtype=pl.Int64)
        held = block.frame.select(pl.col(name).alias(to) for to, name in self._job.columns.keep.items())
        held = held if len(rows) == block.frame.height else held[rows]
        return pl.DataFrame([numbers, *held.iter_columns(), *answers.iter_columns()])

    def _refused(self, cells: Iterable[BadCell], block: Block) -> list[BadCell]:
        """List bad cells of a block; the first of them ends a run that sets none aside."""
        if self._job.set_aside:
            return list(cells)
        cell = next(iter(cells), None)
        if cell is None:
            return []
        where, row = self._rows.place(int(block.row_numbers[cell.place]))
        feature = f", feature '{cell.feature}'" if cell.feature else ""
        raise ScoringError(
            f"{where}, row {row}{feature}: {cell.message}; mend it, or set such rows aside by --errors FILE"
        )

    def _aside(self, found: list[BadCell], block: Block) -> pl.DataFrame:
        """Describe the cells for which rows of a block are set aside, in the order of the rows."""
        rows = []
        for cell in sorted(found):
            where, row = self._rows.place(int(block.row_numbers[cell.place]))
            rows.append((str(where), row, cell.feature, cell.message))
        return pl.DataFrame(rows, schema=ERROR_SCHEMA, orient="row")


def load(model: ModelFile) -> Predictor:
    """Load a model for one thread.

    Raises:
        ScoringError: the file is not what it was, or must not be used.
    """
    try:
        predictor = Predictor.load(model.path)
        with model.path.open("rb") as file:
            digest = hashlib.file_digest(file, "sha256").hexdigest()
    except (ArtifactError, OSError) as error:
        raise ScoringError(f"{model.path}: {error}") from None
    if model.digest != f"sha256:{digest}":
        raise ScoringError(f"{model.path}: the file was changed during the run; start it again")
    return predictor
