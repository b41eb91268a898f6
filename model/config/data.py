"""Configuration of generated rows and of features: which columns are inputs.

The descriptions below are the source of docs/config.md.
"""

from typing import Annotated, Literal, Self

from pydantic import Field, Strict, model_validator

from model.schema import DatetimePart, Pooling
from tables.config import Names, Section, Share

Widths = Annotated[tuple[Annotated[int, Field(ge=1)], ...], Strict(False)]


class SyntheticData(Section):
    """Two generated regression tasks of a chosen correlation (Ma et al. 2018, section 3.2)."""

    kind: Literal["synthetic"] = Field(description="`synthetic`: rows come from the generator of the paper.")
    rows: int = Field(default=20_000, ge=10, description="Rows in all splits together.")
    dims: int = Field(default=100, ge=2, description="d: features, named `x_1` to `x_d`, each N(0, 1).")
    cosine: float = Field(default=0.5, ge=-1, le=1, description="p: cosine between the two tasks' weight vectors.")
    sines: int = Field(default=14, ge=0, description="m: sine terms in each label.")
    alpha_step: float = Field(default=2.0, description="Frequency of sine term i is `alpha_step` times i.")
    beta_step: float = Field(default=0.0, description="Phase of sine term i is `beta_step` times i.")
    scale: float = Field(default=0.3, gt=0, description="c: length of the weight vectors.")
    noise_variance: float = Field(default=0.01, ge=0, description="Variance of the noise on each label.")
    validation: Share = Field(default=0.1, description="Share of the rows for validation.")
    test: Share = Field(default=0.1, description="Share of the rows for test.")
    seed: int = Field(default=0, ge=0, description="Seed of the weight vectors, the rows and the noise.")


Buckets = Annotated[int, Field(ge=2, le=2**31 - 3)]
Parts = Annotated[tuple[DatetimePart, ...], Strict(False), Field(min_length=1)]


class BagConfig(Section):
    """Column of several values a cell."""

    separator: str = Field(
        default="|", min_length=1, description="Text between the values of a cell; not used for a list column."
    )
    pooling: Pooling = Field(default="mean", description="`mean` or `sum` of the values' embeddings.")
    buckets: int = Field(
        default=0, ge=0, le=2**31 - 3, description="Buckets to hash the values into; 0: a vocabulary is kept."
    )


class FeatureConfig(Section):
    """Selection of input columns, and the kind of each."""

    numeric: Names = Field(default=(), description="Columns that hold numbers.")
    categorical: Names = Field(
        default=(), description="Columns that hold categories, also when these look like numbers."
    )
    hashed: dict[str, Buckets] = Field(
        default={},
        description="Columns of ids, and into how many buckets each is hashed: `user = 1_000_000`. An id of any value "
        "is known; no vocabulary is kept.",
    )
    bag: dict[str, BagConfig] = Field(
        default={}, description="Columns that hold several values a cell, a table each; see `features.bag.*`."
    )
    datetime: dict[str, Parts] = Field(
        default={},
        description="Columns of moments, and the parts of each that the network sees: `hour` (time of day), `weekday`, "
        '`day_of_year`, `days` (since a first day), e.g. `clicked_at = ["hour", "weekday"]`.',
    )
    share: Annotated[tuple[Annotated[Names, Field(min_length=2)], ...], Strict(False)] = Field(
        default=(),
        description='Groups of columns that look into one embedding table, e.g. `[["item", "last_item"]]`: of text '
        "kinds, all with one vocabulary or all with as many buckets.",
    )
    rest: Literal["infer", "numeric", "categorical", "drop"] = Field(
        default="infer",
        description="What the other columns are, those of tasks, `data.drop` and `data.split.by` aside. `infer`: "
        "numeric if fewer than 5 % of the present values, in all rows, are something else than numbers (in a file with "
        "types: if the column's type is); docs/values.md.",
    )
    min_count: int = Field(
        default=5,
        ge=1,
        description="A category met in fewer training rows than this counts as unknown, as unseen ones do.",
    )
    max_values: int = Field(
        default=0,
        ge=0,
        description="The most values of a vocabulary: the most frequent ones; others count as unknown. 0: no limit.",
    )

    @model_validator(mode="after")
    def _check(self) -> Self:
        kinds = {"numeric": self.numeric, "categorical": self.categorical}
        kinds |= {name: tuple(getattr(self, name)) for name in ("hashed", "bag", "datetime")}
        owner: dict[str, str] = {}
        for kind, names in kinds.items():
            for name in names:
                if owner.setdefault(name, kind) != kind:
                    raise ValueError(f"'{name}' stands in '{owner[name]}' and in '{kind}'; keep one")
        shared = [name for group in self.share for name in group]
        if twice := next((name for place, name in enumerate(shared) if name in shared[:place]), None):
            raise ValueError(f"'{twice}' stands in 'share' twice; a column looks into one table")
        return self
