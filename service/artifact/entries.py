"""Entries of a manifest, typed, each sound by itself. See docs/artifact.md."""

import sys
from collections.abc import Mapping
from typing import Annotated, Any, Literal, Self

from pydantic import AfterValidator, BaseModel, ConfigDict, Field, model_validator

Name = Annotated[str, Field(min_length=1, max_length=1000)]
Share = Annotated[float, Field(ge=0, le=1)]
VocabularySize = Annotated[int, Field(ge=1)] | None
Numbers = tuple[float, ...]
Matrix = tuple[Numbers, ...]
Buckets = Annotated[int, Field(ge=2, le=2**31 - 3)]
Seed = Annotated[int, Field(ge=0, lt=2**32)]

FIRST_SECOND, LAST_SECOND = -62_135_596_800, 253_402_300_799
"""Epoch seconds of the first of the year 1 and the last of the year 9999, UTC."""
MISSING_TIME = -(2**63)
"""Epoch seconds that stand for a missing moment."""
Seconds = Annotated[int, Field(ge=FIRST_SECOND, le=LAST_SECOND)]
MissingTime = Annotated[int, Field(ge=MISSING_TIME, le=MISSING_TIME)]


def _finite(value: Any) -> Any:
    """Return a JSON value of finite numbers; 1e999 is infinity, close to any answer."""
    pending = [value]
    while pending:
        part = pending.pop()
        if isinstance(part, (int, float)) and not -sys.float_info.max <= part <= sys.float_info.max:
            raise ValueError("a number that is too large or not a number; expected finite ones")
        if isinstance(part, (list, tuple, dict)):
            pending.extend(part.values() if isinstance(part, dict) else part)
    return value


Json = Annotated[Any, AfterValidator(_finite)]


class Entry(BaseModel):
    """Immutable entry: takes no NaN, converts no types.

    Ignores what later writers of the same schema version add.
    """

    model_config = ConfigDict(frozen=True, strict=True, extra="ignore", allow_inf_nan=False)


class NumericFeature(Entry):
    """Number as the training split showed it.

    Attributes:
        missing_values: numbers that mean "no value", beside NaN.
    """

    name: Name
    kind: Literal["numeric"]
    minimum: float
    maximum: float
    mean: float
    std: float
    missing_share: Share = 0.0
    missing_values: Numbers = ()


class CategoricalFeature(Entry):
    """Category as the training split showed it; the vocabulary is most frequent first.

    Attributes:
        vocabulary_size: where `vocabulary` lists only the most frequent values, how many there
            are; such entries are the service's, not the file's.
        table: name of the first feature that looks into the same embedding table; empty for a
            table of its own.
    """

    name: Name
    kind: Literal["categorical"]
    vocabulary: tuple[str, ...]
    vocabulary_size: VocabularySize = None
    missing_share: Share = 0.0
    unknown_share: Share = 0.0
    table: str = ""


class HashedFeature(Entry):
    """Id, each of which is one of so many buckets.

    Attributes:
        seed: of the hash.
        collision_share: expected share of the distinct training values that share a bucket.
        table: as of a category.
    """

    name: Name
    kind: Literal["hashed"]
    buckets: Buckets
    seed: Seed
    missing_share: Share = 0.0
    collision_share: Share = 0.0
    table: str = ""


class BagFeature(Entry):
    """Several values a cell, of a vocabulary or of buckets.

    Attributes:
        separator: between the values of a cell in the tensor `categorical`.
        vocabulary: None with buckets.
        vocabulary_size: as of a category.
        buckets: None with a vocabulary.
        missing_share: of the cells.
        unknown_share: of the values.
        mean_values: values of a cell that has any, on average.
        table: as of a category.
    """

    name: Name
    kind: Literal["bag"]
    separator: Annotated[str, Field(min_length=1)]
    pooling: Literal["mean", "sum"]
    vocabulary: tuple[str, ...] | None = None
    vocabulary_size: VocabularySize = None
    buckets: Buckets | None = None
    seed: Seed = 0
    missing_share: Share = 0.0
    unknown_share: Share = 0.0
    collision_share: Share = 0.0
    mean_values: Annotated[float, Field(ge=0)] = 1.0
    table: str = ""

    @model_validator(mode="after")
    def _has_values(self) -> Self:
        if (self.vocabulary is None) == (self.buckets is None):
            raise ValueError("a bag with both a vocabulary and buckets, or with neither; expected one of them")
        return self


class DatetimeFeature(Entry):
    """Moment, in epoch seconds UTC, as the training split showed it.

    Attributes:
        parts: what the network sees of it.
        missing_value: stands for a missing one in the tensor `datetime`.
    """

    name: Name
    kind: Literal["datetime"]
    parts: Annotated[tuple[Literal["hour", "weekday", "day_of_year", "days"], ...], Field(min_length=1)]
    minimum: Seconds
    maximum: Seconds
    missing_value: MissingTime
    missing_share: Share = 0.0

    @model_validator(mode="after")
    def _agrees(self) -> Self:
        if len(set(self.parts)) < len(self.parts):
            raise ValueError(f"a part is listed twice: {', '.join(self.parts)}")
        if self.minimum > self.maximum:
            raise ValueError(f"the minimum {self.minimum} is beyond the maximum {self.maximum}")
        return self


TextFeature = CategoricalFeature | HashedFeature | BagFeature
"""Features whose raw values are text: columns of the tensor `categorical`."""

AnyFeature = NumericFeature | TextFeature | DatetimeFeature
Feature = Annotated[AnyFeature, Field(discriminator="kind")]


class Conditional(Entry):
    """Conditional output of a funnel task; metrics over the rows that met its condition."""

    output: Name
    metrics: Mapping[str, float | None] = Field(default_factory=dict)


class LabelRule(Entry):
    """Labels of a task in the terms of the table that it was trained on.

    Attributes:
        column: that holds them.
        values: texts and the class that each means, of a binary task; None where the rule is
            another, or where there are too many.
        positive_if: comparison with a number or a text that is true for positive rows.
    """

    column: Name
    values: Mapping[str, Literal[0, 1]] | None = None
    positive_if: Annotated[str, Field(pattern=r"^(>=|<=|==|!=|>|<)\s*\S")] | None = None


class TaskBaseline(Entry):
    """Best constant answer of the training rows, for a reader of predictions and metrics.

    Attributes:
        constant: mean, share of positive rows, or the shares of K classes.
        metrics: of the constant on the test split, by name.
    """

    constant: float | Numbers | None = None
    metrics: Mapping[str, float | None] = Field(default_factory=dict)


class Task(Entry):
    """Task: one thing predicted, by name.

    Attributes:
        classes: negative and positive for a binary task, K for multiclass, none for regression.
        metrics: of the test split, by name.
        baseline: what a constant would give; None where the file does not say.
        after: name of the task that has to come true before; None if none has. The task's
            probability is that of both, and `given` is that of this one if the other came true.
        label: how its labels are told; None where the file does not say.
    """

    name: Name
    kind: Literal["regression", "binary", "multiclass"]
    classes: tuple[str, ...] = ()
    metrics: Mapping[str, float | None] = Field(default_factory=dict)
    baseline: TaskBaseline | None = None
    after: Name | None = None
    given: Conditional | None = None
    label: LabelRule | None = None

    @property
    def width(self) -> int | None:
        """Return K where the output is (B, K); None where it is (B,)."""
        return len(self.classes) if self.kind == "multiclass" else None

    @model_validator(mode="after")
    def _has_its_classes(self) -> Self:
        count = len(self.classes)
        expected = {"regression": count == 0, "binary": count == 2, "multiclass": count >= 2}
        if not expected[self.kind]:
            raise ValueError(f"a {self.kind} task with {count} classes")
        if (self.after is None) != (self.given is None) or (self.after is not None and self.kind != "binary"):
            raise ValueError("'after' and 'given' belong together, to a binary task")
        return self


class TaskGate(Entry):
    """One task's gate over the validation rows; E experts, histogram (E, bins)."""

    utilisation: Numbers
    histogram: tuple[tuple[int, ...], ...]
    entropy: float
    normalised_entropy: float
    top_expert_share: Numbers


class GateBaseline(Entry):
    """Behaviour of the gates over the validation rows.

    Attributes:
        average_logits: (T, E), at the average input; None where the task's gate does not see the
            expert.
        histogram_edges: bins + 1, increasing.
        similarity: (T, T).
    """

    rows: Annotated[int, Field(ge=1)]
    average_logits: tuple[tuple[float | None, ...], ...]
    histogram_edges: Annotated[Numbers, Field(min_length=2)]
    tasks: Mapping[str, TaskGate]
    similarity: Matrix


class Golden(Entry):
    """Raw rows with the answers of the trainer's own network.

    None in `numeric` is a missing number, in `datetime` a missing moment.
    """

    tolerance: Annotated[float, Field(gt=0, le=0.1)]
    numeric: tuple[tuple[float | None, ...], ...] | None = None
    categorical: tuple[tuple[str, ...], ...] | None = None
    datetime: tuple[tuple[Seconds | MissingTime | None, ...], ...] | None = None
    outputs: Mapping[str, Json]

    @property
    def rows(self) -> int:
        """Count the rows."""
        return len(self.numeric or self.categorical or self.datetime or ())


class TrainingTable(Entry):
    """Table that the rows came from, as far as it matters to who sends its rows.

    Attributes:
        missing: texts that mean a missing value, beside the empty one.
        dropped: columns that are neither features nor labels.
    """

    missing: tuple[str, ...] = ()
    dropped: tuple[Name, ...] = ()


class CategoryText(Entry):
    """Steps of a caller on each value of text before it is fed, as the table's reader.

    None by default.

    Attributes:
        strip: white space at both ends is removed.
        normalization: the form of Unicode it is brought to.
    """

    strip: bool = False
    normalization: Literal["NFC"] | None = None
