"""Schema of the offline half: features, tasks, and the rows of a table after reading."""

from collections.abc import Sequence
from dataclasses import dataclass, field
from typing import Literal

import numpy as np
from numpy.typing import NDArray

TaskKind = Literal["regression", "binary", "multiclass"]

UNKNOWN, MISSING, FIRST_VALUE = 0, 1, 2
"""Codes of a text column: not in the vocabulary, no value, then the vocabulary or the buckets in
order."""

MISSING_TIME = -(2**63)
"""Epoch seconds that stand for a missing datetime."""

DatetimePart = Literal["hour", "weekday", "day_of_year", "days"]
Pooling = Literal["mean", "sum"]


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
        table: name of the first feature that looks into the same embedding table; empty for a
            table of its own. Both have the same vocabulary then.
    """

    name: str
    vocabulary: tuple[str, ...]
    missing_share: float = 0.0
    unknown_share: float = 0.0
    spellings: tuple[tuple[str, str], ...] = ()
    table: str = ""

    @property
    def codes(self) -> int:
        """Count the codes of this column."""
        return FIRST_VALUE + len(self.vocabulary)


@dataclass(frozen=True)
class HashedFeature:
    """Column of ids, each of which is a bucket: MurmurHash3 of its UTF-8 text, modulo `buckets`.

    Bucket b has code FIRST_VALUE + b; UNKNOWN is not in use.

    Attributes:
        seed: of the hash.
        missing_share: in [0, 1].
        collision_share: expected share of the distinct training values that share a bucket with
            another one.
        table: as of a categorical feature; both have the same buckets then.
    """

    name: str
    buckets: int
    seed: int = 0
    missing_share: float = 0.0
    collision_share: float = 0.0
    table: str = ""

    @property
    def codes(self) -> int:
        """Count the codes of this column."""
        return FIRST_VALUE + self.buckets


@dataclass(frozen=True)
class BagFeature:
    """Column of several values a cell, whose embeddings are pooled.

    A value has the code of a categorical value, or of a hashed one where there are buckets. Values
    that are missing are left out; a bag of none has the embedding of MISSING.

    Attributes:
        separator: between the values of a cell in text; part of no value.
        vocabulary: as of a categorical feature; empty with buckets.
        buckets: 0 with a vocabulary.
        missing_share: of the cells, those without any value, in [0, 1].
        unknown_share: of the values, in [0, 1].
        mean_values: values of a cell that has any, on average.
        table: as of a categorical or a hashed feature.
    """

    name: str
    separator: str
    pooling: Pooling = "mean"
    vocabulary: tuple[str, ...] = ()
    buckets: int = 0
    seed: int = 0
    missing_share: float = 0.0
    unknown_share: float = 0.0
    collision_share: float = 0.0
    mean_values: float = 1.0
    table: str = ""

    @property
    def codes(self) -> int:
        """Count the codes of this column."""
        return FIRST_VALUE + (self.buckets or len(self.vocabulary))


@dataclass(frozen=True)
class DatetimeFeature:
    """Column of moments, epoch seconds UTC, described by its training split.

    Attributes:
        parts: in the order of their encoded columns.
        minimum: seconds.
        maximum: seconds.
        mean_days: mean of days since 1970-01-01, fractions included; what a missing moment has.
        std_days: their deviation; 1.0 for a constant column.
        missing_share: in [0, 1].
    """

    name: str
    parts: tuple[DatetimePart, ...]
    minimum: int
    maximum: int
    mean_days: float = 0.0
    std_days: float = 1.0
    missing_share: float = 0.0


TextFeature = CategoricalFeature | HashedFeature | BagFeature


@dataclass(frozen=True)
class FeatureSchema:
    """Features in the order of every tensor and of the manifest: kind by kind, as below."""

    numeric: tuple[NumericFeature, ...] = ()
    categorical: tuple[CategoricalFeature, ...] = ()
    hashed: tuple[HashedFeature, ...] = ()
    bags: tuple[BagFeature, ...] = ()
    datetimes: tuple[DatetimeFeature, ...] = ()

    @property
    def single(self) -> tuple[CategoricalFeature | HashedFeature, ...]:
        """List the features with one code a row, the columns of `Rows.codes`."""
        return self.categorical + self.hashed

    @property
    def texts(self) -> tuple[TextFeature, ...]:
        """List the features whose raw values are text: columns of the tensor `categorical`."""
        return self.categorical + self.hashed + self.bags

    @property
    def names(self) -> tuple[str, ...]:
        """List all F names in order."""
        return tuple(f.name for f in (*self.numeric, *self.texts, *self.datetimes))


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
        after: name of the task that has to come true before; empty if none has. The tower's output
            is then the logit given that, and the label that of both together.
        negatives_kept: share of the negative rows that the table holds, in (0, 1].
        slope: of the calibrated logit, above 0 (binary).
        intercept: of the calibrated logit.
        column: of the table that holds the labels; empty where unknown.
        values: texts of the column and the class that each means (binary, unless `positive_if`).
        positive_if: comparison that is true for positive rows; empty for none.
    """

    name: str
    kind: TaskKind
    classes: tuple[str, ...] = ()
    mean: float = 0.0
    std: float = 1.0
    weight: float = 1.0
    after: str = ""
    negatives_kept: float = 1.0
    slope: float = 1.0
    intercept: float = 0.0
    column: str = ""
    values: tuple[tuple[str, int], ...] = ()
    positive_if: str = ""

    @property
    def conditional(self) -> str:
        """Return the name of its conditional output; empty where it has none."""
        return f"{self.name}.given.{self.after}" if self.after else ""

    @property
    def outputs(self) -> int:
        """Count the tower's output units: K for multiclass, else 1."""
        return len(self.classes) if self.kind == "multiclass" else 1


def funnel(tasks: Sequence[Task], task: Task) -> list[int]:
    """Return the places of a task and of those that have to come true before it, nearest first."""
    place = {known.name: t for t, known in enumerate(tasks)}
    chain = [place[task.name]]
    while after := tasks[chain[-1]].after:
        chain.append(place[after])
    return chain


@dataclass(frozen=True)
class Bags:
    """Codes of one bag feature in B rows.

    Attributes:
        values: int32 or int64 (V,), per-column codes of all rows one after another, without
            MISSING.
        offsets: int64 (B + 1,); row b has values[offsets[b] : offsets[b + 1]].
    """

    values: NDArray[np.integer]
    offsets: NDArray[np.int64]


@dataclass(frozen=True)
class Rows:
    """B rows of one split, in memory or mapped from files.

    Attributes:
        numeric: float32 (B, N), raw values, NaN = missing.
        codes: int64 or int32 (B, C + H), per-column codes (UNKNOWN, MISSING, FIRST_VALUE + index)
            of categorical and hashed features.
        labels: float64 (B, T), raw labels (0/1 for binary, class index for multiclass), NaN = no
            label.
        text: object (B, C + H + G) of str, the raw values of text features, "" = missing; what a
            client would send; (0, C + H + G) where rows come from a cache (`Dataset.sample` has
            some then).
        bags: codes of the G bag features.
        datetimes: int64 (B, K), epoch seconds, MISSING_TIME = missing; None if K = 0.
        weights: float32 (B,), how often each row counts; None if every row counts once.
        groups: int64 (B,), hash of the group within which rows are ranked; None where the
            configuration names no such column, and of training rows.
        segments: int16 (B, S), place of the row's value in each of `Dataset.segments`, -1 for a
            value that is not listed there; None without such columns, and of other rows than test
            rows.
    """

    numeric: NDArray[np.float32]
    codes: NDArray[np.integer]
    labels: NDArray[np.float64]
    text: NDArray[np.object_]
    bags: tuple[Bags, ...] = ()
    datetimes: NDArray[np.int64] | None = None
    weights: NDArray[np.float32] | None = None
    groups: NDArray[np.int64] | None = None
    segments: NDArray[np.int16] | None = None

    def __len__(self) -> int:
        return len(self.labels)


@dataclass(frozen=True)
class Cells:
    """S rows of the table in both forms: as a caller would send their cells, and as read.

    Attributes:
        row_numbers: int64 (S,), place of each row in the file, from 1.
        numeric: float32 (S, N), markers of missing values as they stand in the table; NaN for an
            empty cell.
        text: object (S, C + H + G) of str.
        read_numeric: float32 (S, N), NaN = missing.
        read_codes: int64 (S, C + H).
        read_bags: of the G bag features.
        datetimes: int64 (S, K), the same in both forms; None if K = 0.
    """

    row_numbers: NDArray[np.int64]
    numeric: NDArray[np.float32]
    text: NDArray[np.object_]
    read_numeric: NDArray[np.float32]
    read_codes: NDArray[np.integer]
    read_bags: tuple[Bags, ...] = ()
    datetimes: NDArray[np.int64] | None = None


@dataclass(frozen=True)
class Segments:
    """Column by whose values the report cuts the test rows.

    Attributes:
        name: of the column.
        values: in the order in which the table has them; the empty text is "no value".
    """

    name: str
    values: tuple[str, ...]


@dataclass(frozen=True)
class Origin:
    """Published version that a run goes on from.

    Attributes:
        version: its number.
        digest: "sha256:..." of its checkpoint.pt.
        refit: whether statistics are those of the run's own training rows.
    """

    version: int
    digest: str
    refit: bool = False


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
        sample: a few thousand test rows with their text, where `test` has none.
        segments: S columns that the report cuts the test rows by.
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
    sample: Rows | None = None
    segments: tuple[Segments, ...] = ()
