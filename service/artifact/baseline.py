"""Baseline of a manifest: what went in and out over the validation rows. See docs/artifact.md."""

from collections.abc import Mapping
from itertools import pairwise
from typing import Annotated, Self

from pydantic import Field, model_validator

from service.artifact.entries import AnyFeature, DatetimeFeature, Entry, Matrix, Name, Numbers, NumericFeature, Share

Shares = Annotated[tuple[Share, ...], Field(min_length=1)]
Place = Annotated[int, Field(ge=0)]

_ROUNDING = 1e-3


class FeatureBaseline(Entry):
    """Shares of a feature's cells over the validation rows; all of them sum to 1.

    Attributes:
        edges: between the bins of a number or moment, increasing; None for texts.
        values: of a text that are counted by themselves; None for numbers and buckets.
        shares: of the bins, the values, or groups of buckets (a bucket's number modulo how many
            there are).
        below: share under the range of training, as `above` of what is over it.
        other: share of known values that are not listed.
        unknown: share of values that the vocabulary does not hold.
        missing: share without a value.
    """

    edges: Numbers | None = None
    values: tuple[str, ...] | None = None
    shares: tuple[Share, ...] = ()
    below: Share = 0.0
    above: Share = 0.0
    other: Share = 0.0
    unknown: Share = 0.0
    missing: Share = 0.0

    @property
    def cells(self) -> Numbers:
        """List the shares of all cells.

        The last three are below and above, or other and unknown; and missing.
        """
        low, high = (self.other, self.unknown) if self.edges is None else (self.below, self.above)
        return (*self.shares, low, high, self.missing)

    @model_validator(mode="after")
    def _agrees(self) -> Self:
        expected = None if self.edges is None else len(self.edges) + 1
        expected = expected if self.values is None else len(self.values)
        if expected is not None and len(self.shares) != expected:
            raise ValueError(f"{len(self.shares)} shares; expected {expected}")
        if any(low >= high for low, high in pairwise(self.edges or ())):
            raise ValueError("edges must increase")
        if abs((total := sum(self.cells)) - 1.0) > _ROUNDING:
            raise ValueError(f"shares that sum to {total:.6g}; expected 1")
        return self


class PredictionBaseline(Entry):
    """Shares of a prediction's cells over the validation rows.

    Attributes:
        edges: between its bins, increasing; None for classes.
        classes: places of those that are counted by themselves; None for numbers.
        shares: of the bins, or of rows whose most probable class it is.
        other: share of classes that are not listed.
    """

    edges: Numbers | None = None
    classes: tuple[Place, ...] | None = None
    shares: Shares
    other: Share = 0.0

    @model_validator(mode="after")
    def _agrees(self) -> Self:
        cut = self.classes if self.edges is None else self.edges
        expected = None if cut is None else len(cut) + (self.edges is not None)
        if expected != len(self.shares) or (self.edges is not None and self.classes is not None):
            raise ValueError("either edges with one share more, or classes with as many shares")
        if any(low >= high for low, high in pairwise(self.edges or ())):
            raise ValueError("edges must increase")
        return self


class RaisingCell(Entry):
    """Cell of a feature that raises an expert's gate logit above the others'.

    Attributes:
        cell: its place among the feature's cells.
        contribution: mean over the cell's rows, less that of all experts.
    """

    feature: Name
    cell: Place
    contribution: float


class WithoutExpert(Entry):
    """Answers to validation rows without one expert.

    Attributes:
        loss: rise of log_loss, or of a regression's rmse; None without labels.
        moved: mean absolute change of the prediction.
    """

    loss: float | None
    moved: float


class Baseline(Entry):
    """Distributions over validation rows, against which drift is measured.

    Attributes:
        rows: that were read.
        features: of all F features in their order.
        predictions: by output, conditionals of funnel tasks too.
        contributions: by task (E, F), the mean gate contributions; None without gates.
        raising: by task and expert, the cells that raise its gate most.
        without: by task and expert, what is lost without it; None for one that the gate does not
            see, or sees alone.
    """

    rows: Annotated[int, Field(ge=1)]
    features: tuple[FeatureBaseline, ...]
    predictions: Mapping[str, PredictionBaseline]
    contributions: Mapping[str, Matrix] | None = None
    raising: Mapping[str, tuple[tuple[RaisingCell, ...], ...]] | None = None
    without: Mapping[str, tuple[WithoutExpert | None, ...]] | None = None


def fits(feature: AnyFeature, baseline: FeatureBaseline) -> bool:
    """Tell whether cells are of the kind that a feature has."""
    numbers = isinstance(feature, NumericFeature | DatetimeFeature)
    listed = getattr(feature, "vocabulary", None) is not None
    return numbers == (baseline.edges is not None) and listed == (baseline.values is not None)
