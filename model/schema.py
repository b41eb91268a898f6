"""Schema of the offline half: features, tasks, and the rows of a table after reading."""

from dataclasses import dataclass, field
from typing import Literal

import numpy as np
from numpy.typing import NDArray

TaskKind = Literal["regression", "binary", "multiclass"]

UNKNOWN, MISSING, FIRST_VALUE = 0, 1, 2
"""Codes of a categorical column: not in the vocabulary, no value, then the vocabulary in order."""


@dataclass(frozen=True)
class NumericFeature:
    """Numeric column, described by its training split.

    Attributes:
        mean: over present values; also what a missing value is replaced by.
        std: over present values; 1.0 for a constant column.
        missing_share: in [0, 1].
        bin_edges: strictly increasing quantile edges for piecewise-linear encoding; empty when not
            in use.
        missing_values: numbers that mean "no value", as float32; infinity stands for both
            infinities.
    """

    name: str
    mean: float
    std: float
    minimum: float
    maximum: float
    missing_share: float = 0.0
    bin_edges: tuple[float, ...] = ()
    missing_values: tuple[float, ...] = ()


@dataclass(frozen=True)
class CategoricalFeature:
    """Categorical column, described by its training split.

    Value v of the vocabulary has code FIRST_VALUE + v.

    Attributes:
        vocabulary: values met often enough, most frequent first; never holds the empty string.
        missing_share: in [0, 1].
        unknown_share: share of training rows folded into UNKNOWN, in [0, 1].
        spellings: pairs of a text that the table writes for a value, and that value: ("3.0", "3").
    """

    name: str
    vocabulary: tuple[str, ...]
    missing_share: float = 0.0
    unknown_share: float = 0.0
    spellings: tuple[tuple[str, str], ...] = ()

    @property
    def codes(self) -> int:
        """Count the codes of this column."""
        return FIRST_VALUE + len(self.vocabulary)


@dataclass(frozen=True)
class FeatureSchema:
    """Features in the order of every tensor and of the manifest: numeric, then categorical."""

    numeric: tuple[NumericFeature, ...] = ()
    categorical: tuple[CategoricalFeature, ...] = ()

    @property
    def names(self) -> tuple[str, ...]:
        """List all N + C names in order."""
        return tuple(f.name for f in self.numeric) + tuple(f.name for f in self.categorical)


@dataclass(frozen=True)
class Task:
    """Task: a name, a kind, and the scale of its labels.

    Attributes:
        classes: for multiclass the K class values in output order; for binary ("negative",
            "positive") in words that say what they mean; empty for regression.
        mean: of the training labels (regression; else 0.0): a network predicts (label - mean) /
            std.
        std: of the training labels (regression; else 1.0).
        weight: of this task's loss.
    """

    name: str
    kind: TaskKind
    classes: tuple[str, ...] = ()
    mean: float = 0.0
    std: float = 1.0
    weight: float = 1.0

    @property
    def outputs(self) -> int:
        """Count the tower's output units: K for multiclass, else 1."""
        return len(self.classes) if self.kind == "multiclass" else 1


@dataclass(frozen=True)
class Rows:
    """B rows of one split, in memory.

    Attributes:
        numeric: float32 (B, N), raw values, NaN = missing.
        codes: int64 (B, C), per-column codes (UNKNOWN, MISSING, FIRST_VALUE + index).
        labels: float64 (B, T), raw labels (0/1 for binary, class index for multiclass), NaN = no
            label.
        text: object (B, C) of str, the raw category values, "" = missing; what a client would
            send.
    """

    numeric: NDArray[np.float32]
    codes: NDArray[np.int64]
    labels: NDArray[np.float64]
    text: NDArray[np.object_]

    def __len__(self) -> int:
        return len(self.labels)


@dataclass(frozen=True)
class Cells:
    """S rows of the table in both forms: as a caller would send their cells, and as read.

    Attributes:
        row_numbers: int64 (S,), place of each row in the file, from 1.
        numeric: float32 (S, N), markers of missing values as they stand in the table; NaN for an
            empty cell.
        text: object (S, C) of str.
        read_numeric: float32 (S, N), NaN = missing.
        read_codes: int64 (S, C).
    """

    row_numbers: NDArray[np.int64]
    numeric: NDArray[np.float32]
    text: NDArray[np.object_]
    read_numeric: NDArray[np.float32]
    read_codes: NDArray[np.int64]


@dataclass(frozen=True)
class Dataset:
    """Table ready to train on.

    Statistics and vocabularies come from the training split alone.

    Attributes:
        source: where the rows came from, for provenance, for example "census-income.test.gz".
        digest: "sha256:..." of the source file, or of the generator's parameters.
        notes: facts worth a line in the report, for example how the table was split; remarks are
            among them.
        remarks: one line for each column that is probably not what its owner means.
        cells: a sample of the table as it stands in the file; None for rows that come from no
            file.
        row_numbers: place in the file, from 1, of each training, validation and test row; empty
            where nobody knows.
    """

    features: FeatureSchema
    tasks: tuple[Task, ...]
    train: Rows
    validation: Rows
    test: Rows
    source: str
    digest: str
    notes: tuple[str, ...] = field(default=())
    remarks: tuple[str, ...] = field(default=())
    cells: Cells | None = None
    row_numbers: tuple[NDArray[np.int64], ...] = ()
