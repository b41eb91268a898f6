"""Answers as columns of a frame."""

import json
from collections.abc import Iterator

import numpy as np
import polars as pl
from numpy.typing import NDArray

from batch.job import Columns, ModelFile
from service.artifact.manifest import GATE_CONTRIBUTIONS, GATE_WEIGHTS, Manifest
from service.inference.answer import Answer
from service.inference.features import Batch
from service.inference.predictor import RUN_ROWS, Predictor

ROW = "row"
"""Column of each row's number in the table, from 1, the header not counted."""

CLASS, GATES, TOP, CONTRIBUTIONS = ".class", "gate_weights.", "top_expert.", "contributions."


class AnswerColumns:
    """Predictions of one model, and what was asked for beside them, as columns.

    Args:
        manifest: of the model.
        wanted: beside the predictions.
    """

    def __init__(self, manifest: Manifest, wanted: Columns) -> None:
        self._manifest, self._wanted = manifest, wanted
        self._classes = {task.name: task.classes for task in manifest.tasks if task.kind == "multiclass"}
        self._features = pl.Series(manifest.feature_names, dtype=pl.String)
        self._outputs = frozenset({GATE_CONTRIBUTIONS, *manifest.predicted}) if wanted.contributions else None

    @property
    def names(self) -> list[str]:
        """List the columns of an output, in order."""
        return [ROW, *self._wanted.keep, *self.empty().columns]

    def answers(self, predictor: Predictor, batch: Batch) -> Iterator[Answer]:
        """Answer B rows in order; in pieces where there are contributions, which are large.

        Rows that miss no number are cheaper, which is looked at for each run.
        """
        pieces = []
        for start in range(0, batch.rows, RUN_ROWS):
            part = batch.slice(start, start + RUN_ROWS)
            complete = part.numeric is None or not np.isnan(part.numeric).any()
            answer = predictor.run(part._replace(complete=complete), self._outputs)
            if answer.contributions is not None:
                yield answer
            else:
                pieces.append(answer)
        if pieces:
            yield _joined(pieces)

    def frame(self, answer: Answer) -> pl.DataFrame:
        """Lay out an answer to B rows."""
        columns: dict[str, pl.Series] = {}
        for name, values in answer.tasks.items():
            columns[name] = _column(values)
            if name in self._classes:
                columns[name + CLASS] = pl.Series(self._classes[name], dtype=pl.String).gather(values.argmax(axis=1))
        weights = answer.gate_weights
        if weights is not None:
            for task, name in enumerate(self._manifest.task_names):
                columns |= dict(self._gates(name, weights[:, task], answer.contributions, task))
        return pl.DataFrame(columns)

    def _gates(
        self, task: str, weights: NDArray[np.float32], contributions: NDArray[np.float32] | None, place: int
    ) -> Iterator[tuple[str, pl.Series]]:
        """Yield the columns of a task's gate; weights (B, E), contributions (B, T, E, F)."""
        wanted = self._wanted
        if wanted.gates:
            yield GATES + task, _column(weights)
        top = weights.argmax(axis=1)
        if wanted.top_expert or wanted.contributions:
            yield TOP + task, pl.Series(top.astype(np.int32))
        if contributions is not None and wanted.contributions:
            shares = contributions[np.arange(len(top)), place, top]  # (B, F)
            yield CONTRIBUTIONS + task, self._largest(shares)

    def _largest(self, shares: NDArray[np.float32]) -> pl.Series:
        """List the features of the largest shares (B, F), with these; the largest first."""
        count = min(self._wanted.contributions, shares.shape[1])
        order = np.argsort(-np.abs(shares), axis=1, kind="stable")[:, :count]
        held = np.take_along_axis(shares, order, axis=1)
        flat = {"feature": self._features.gather(order.ravel()), "contribution": pl.Series(held.ravel())}
        pairs = pl.DataFrame(flat).to_struct("pairs")
        offsets = pl.Series(np.arange(len(shares), dtype=np.int64))
        if not len(shares):
            return pl.Series([], dtype=pl.List(pairs.dtype))
        cells = pl.DataFrame({"row": np.repeat(offsets.to_numpy(), count), "pair": pairs})
        return cells.group_by("row", maintain_order=True).agg("pair")["pair"]

    def empty(self) -> pl.DataFrame:
        """Lay out the answer to no rows."""
        manifest = self._manifest
        shapes = {name: manifest.output_shape(name, 0) for name in manifest.outputs}
        made = {name: np.zeros(shape, np.float32) for name, shape in shapes.items()}
        tasks = {name: made[name] for name in manifest.predicted}
        return self.frame(Answer(tasks, made.get(GATE_WEIGHTS), made.get(GATE_CONTRIBUTIONS)))


def _joined(pieces: list[Answer]) -> Answer:
    weights = [piece.gate_weights for piece in pieces if piece.gate_weights is not None]
    tasks = {name: np.concatenate([piece.tasks[name] for piece in pieces]) for name in pieces[0].tasks}
    return Answer(tasks, np.concatenate(weights) if weights else None)


def _column(values: NDArray[np.float32]) -> pl.Series:
    """Return numbers (B,), or lists of them (B, K)."""
    series = pl.Series(values)
    return series if values.ndim == 1 else series.cast(pl.List(pl.Float32))


def file_metadata(model: ModelFile, manifest: Manifest) -> dict[str, str]:
    """Describe the model in the metadata of a Parquet file."""
    classes = {task.name: task.classes for task in manifest.tasks if task.classes}
    return {
        "mmoe.model": model.name,
        "mmoe.version": str(model.version),
        "mmoe.digest": model.digest,
        "mmoe.classes": json.dumps(classes, ensure_ascii=False),
    }
