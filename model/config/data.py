"""Configuration of generated rows and of features: which columns are inputs.

The descriptions below are the source of docs/config.md.
"""

from typing import Annotated, Literal, Self

from pydantic import Field, Strict, model_validator

from tables.config import Names, Section, Share

Widths = Annotated[tuple[Annotated[int, Field(ge=1)], ...], Strict(False)]


class SyntheticData(Section):
    """Generate two regression tasks of a chosen correlation (Ma et al. 2018, section 3.2)."""

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


class FeatureConfig(Section):
    """Selection of input columns, and the kind of each."""

    numeric: Names = Field(default=(), description="Columns that hold numbers.")
    categorical: Names = Field(
        default=(), description="Columns that hold categories, also when these look like numbers."
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

    @model_validator(mode="after")
    def _check(self) -> Self:
        both = sorted(set(self.numeric) & set(self.categorical))
        if both:
            raise ValueError(f"'{both[0]}' stands in 'numeric' and in 'categorical'; keep one")
        return self
