"""Coder of blocks: the second pass's view of a row, by what the first pass has found."""

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray

from model.config.run import TaskConfig
from model.data.features import Coded
from model.data.funnels import joint_labels
from model.data.streaming.columns import Column, MomentColumn, NumberColumn
from model.data.streaming.labels import ClassLabels, NumberLabels
from model.data.streaming.text_columns import BagColumn, CategoryColumn, IdColumn
from model.data.text_columns import objects
from model.data.weights import Weights, read_weights
from model.schema import FeatureSchema
from tables.source import Table


@dataclass(frozen=True)
class Coder:
    """Readers of all features, labels and weights.

    Attributes:
        features: what the readers are bound to.
        columns: a reader for each feature, by name.
        labels: of each task.
        tasks: their configuration.
        weight: column of weights, if there is one.
    """

    features: FeatureSchema
    columns: dict[str, Column]
    labels: tuple[NumberLabels | ClassLabels, ...]
    tasks: tuple[TaskConfig, ...]
    weight: str | None = None

    def encode(self, table: Table, text: bool = False) -> Coded:
        """Encode the features of a block of R rows; with their text, if asked for."""
        single, bags = self._of(CategoryColumn) + self._of(IdColumn), self._of(BagColumn)
        moments = self._of(MomentColumn)
        cells = [objects(column.cells(table)) for column in single + bags] if text else []
        return Coded(
            self.features,
            _beside([column.read(table) for column in self._of(NumberColumn)], len(table), np.float32),
            _beside([column.encode(table) for column in single], len(table), np.int32),
            _beside(cells, len(table) if text else 0, np.object_, len(single) + len(bags)),
            tuple(column.encode(table) for column in bags),
            _beside([column.read(table) for column in moments], len(table), np.int64) if moments else None,
        )

    def _of(self, kind: type) -> list[Any]:
        return [self.columns[name] for name in self.features.names if isinstance(self.columns[name], kind)]

    def read_labels(self, table: Table) -> NDArray[np.float64]:
        """Read the labels of a block, (R, T)."""
        columns = np.stack([label.encode(table) for label in self.labels], axis=1)
        return joint_labels(columns, self.tasks, table.row_numbers)

    def read_weights(self, table: Table) -> Weights | None:
        """Read the weights of a block, (R,)."""
        return None if self.weight is None else read_weights(table, self.weight)[0]


def _beside(columns: Sequence[NDArray[Any]], rows: int, dtype: Any, width: int = 0) -> NDArray[Any]:
    joined = np.empty((rows, len(columns) or width), dtype)
    for place, column in enumerate(columns):
        joined[:, place] = column
    return joined
