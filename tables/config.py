"""Configuration of a table: its source, how its cells are read, its split.

The descriptions below are the source of docs/config.md.
"""

import re
from typing import Annotated, Literal, Self

from pydantic import BaseModel, ConfigDict, Field, Strict, field_validator, model_validator

CONDITION = re.compile(r"^(?P<column>.*?)\s*(?P<operator>>=|<=|==|!=|>|<)\s*(?P<value>\S.*)$")
"""A comparison such as "adr >= 0" (data.keep) or, without a column, "> 0" (tasks.positive_if)."""

ALWAYS_MISSING = ("NA", "NaN", "nan", "NULL", "null")
"""Texts that mean missing unless `data.missing_only` says otherwise.

The empty text always does.
"""

Names = Annotated[tuple[Annotated[str, Field(min_length=1)], ...], Strict(False)]
Share = Annotated[float, Field(gt=0, lt=1)]
Value = str | int | float | bool


class Section(BaseModel):
    """Section of a configuration, which refuses unknown keys and silent conversions."""

    model_config = ConfigDict(frozen=True, extra="forbid", strict=True, allow_inf_nan=False)


class Split(Section):
    """Division of rows into training, validation and test."""

    kind: Literal["random", "time", "group", "given"] = Field(
        default="random",
        description="`random`; `time`: the latest rows are for test, those before them for validation, and no moment "
        "falls into two splits; `group`: no group falls into two splits; `given`: a column's values name the split.",
    )
    by: Annotated[Names, Field(min_length=1)] | Annotated[str, Field(min_length=1)] | None = Field(
        default=None,
        description="The column, or for `time` and `group` the list of columns, to split by. For `time` a column holds "
        "numbers, month names or ISO dates, and columns count from the coarsest to the finest. These columns are "
        "features only when `features.numeric` or `features.categorical` names them.",
    )
    format: str | None = Field(
        default=None,
        description="For `time`: how to read the `by` columns, joined by a space, as a date, e.g. `%Y %B %d`.",
    )
    validation: Share = Field(default=0.1, description="Share of all rows for validation.")
    test: Share = Field(default=0.2, description="Share of all rows for test; not used by `given`.")
    seed: int = Field(
        default=0, ge=0, description="Seed of `random` and `group`, and of a validation split carved by `given`."
    )
    stratify: bool | None = Field(
        default=None,
        description="For `random`, and for a validation split carved by `given`: whether every class of every task "
        "gets its share of each split. Unless set: only where a class (or all labels of a task) would otherwise be "
        "missing from a split.",
    )
    key: Annotated[Names, Field(min_length=1)] | Annotated[str, Field(min_length=1)] | None = Field(
        default=None,
        description="For `random`: the column, or list of columns, whose hash chooses a row's split, so that a row "
        "stays where it is when the table grows. Unlike `by`, it may be a feature.",
    )
    train_value: str = Field(default="train", description="For `given`: the value that marks training rows.")
    validation_value: str = Field(
        default="validation",
        description="For `given`: the value that marks validation rows; if no row has it, the share `validation` of "
        "the training rows is taken at random.",
    )
    test_value: str = Field(default="test", description="For `given`: the value that marks test rows.")

    @property
    def columns(self) -> tuple[str, ...]:
        """List the columns to split by."""
        return () if self.by is None else (self.by,) if isinstance(self.by, str) else self.by

    @property
    def keys(self) -> tuple[str, ...]:
        """List the columns whose hash chooses a row's split."""
        return () if self.key is None else (self.key,) if isinstance(self.key, str) else self.key

    @model_validator(mode="after")
    def _check(self) -> Self:
        if (self.kind == "random") == bool(self.columns):
            raise ValueError(
                "a random split takes no 'by'"
                if self.columns
                else f"a split of kind '{self.kind}' needs 'by': a column"
            )
        if self.kind == "given" and len(self.columns) > 1:
            raise ValueError("a given split takes one column in 'by'")
        if self.key is not None and self.kind != "random":
            raise ValueError(f"'key' belongs to a split of kind 'random', and this one is '{self.kind}'")
        if self.key is not None and self.stratify:
            raise ValueError("'key' alone chooses a row's split, whatever its class; take 'key' or 'stratify' away")
        if self.format is not None and self.kind != "time":
            raise ValueError("'format' belongs to a split of kind 'time'")
        if self.stratify and self.kind not in ("random", "given"):
            raise ValueError(
                f"'stratify' belongs to a split of kind 'random' or 'given', and this one is '{self.kind}'"
            )
        if self.validation + self.test >= 1:
            raise ValueError("'validation' and 'test' together leave no rows for training; their sum must be below 1")
        return self


class TableData(Section):
    """Source of rows: one file or several."""

    kind: Literal["table"] = Field(description="`table`: rows come from files.")
    path: Annotated[str, Field(min_length=1)] | Annotated[Names, Field(min_length=1)] = Field(
        description="CSV, Parquet, Arrow (Feather) or JSON-lines file, also as `.gz` or `.zip`; a folder of such "
        "files, a pattern (`clicks/day=2026-*/part-*.parquet`), or a list of these; relative to the directory in the "
        "environment variable `MMOE_DATA` if that is set, else to the working directory; docs/tables.md.",
    )
    format: Literal["auto", "csv", "parquet", "arrow", "jsonl"] = Field(
        default="auto", description="`auto` tells by the file's first bytes, and by its name where these do not."
    )
    separator: str = Field(
        default=",",
        min_length=1,
        max_length=1,
        description="One ASCII character between the values of a CSV row. A first line `sep=;`, as Excel knows it, is "
        "understood.",
    )
    quote: str = Field(
        default='"',
        max_length=1,
        description="ASCII character around a CSV value that holds separators or line ends, doubled where it is part "
        'of the value. Empty: no value is quoted, and the mark is plain text, as the inch in `6" pipe`.',
    )
    encoding: str = Field(default="utf-8", description="Text encoding of a CSV file.")
    header: bool = Field(default=True, description="Whether the first CSV row holds the column names.")
    columns: Names = Field(
        default=(),
        description="Column names in order; needed without a header, and replace a header's names otherwise.",
    )
    fill_short_rows: bool = Field(
        default=False,
        description="Whether a CSV row may have fewer values than there are columns; the last ones are missing then. "
        "It is an error otherwise.",
    )
    missing: Annotated[tuple[str, ...], Strict(False)] = Field(
        default=(),
        description="Values that mean missing, in every column and in requests, besides empty text, `NA`, `NaN`, "
        "`nan`, `NULL` and `null`. Compared after `strip`; a number is compared as a number, so that `-200` is also "
        "`-200.0`. Put `inf` here to take infinities for missing; they are an error otherwise. See docs/values.md.",
    )
    missing_only: Annotated[tuple[str, ...], Strict(False)] | None = Field(
        default=None,
        description="Replaces `missing` and the values that it adds to: these, and empty text, alone mean missing. "
        'For a table in which `NA` is Namibia: `missing_only = [""]`.',
    )
    decimal: Literal[".", ","] = Field(default=".", description="Sign before the decimals of a number in text.")
    thousands: Literal["", ",", ".", " ", "'", "_"] = Field(
        default="",
        description="Sign between the thousands of a number in text, if there is one; a blank stands for every kind "
        "of blank.",
    )
    strip: bool = Field(default=True, description="Whether to remove blanks around every value.")
    weight: str | None = Field(
        default=None,
        min_length=1,
        description="Column of row weights, numbers above 0: a row of weight 2 counts as if it stood there twice, in "
        "statistics, losses and metrics. Never a feature.",
    )
    group_metric: str | None = Field(
        default=None,
        min_length=1,
        description="Column of groups, such as users or queries, within which binary tasks are to rank rows: their "
        "metric `gauc` (docs/judgement.md). Unlike `weight`, it may be a feature; `drop` keeps it from being one.",
    )
    stream_above_rows: int = Field(
        default=2_000_000,
        ge=0,
        description="A table of more rows is not held in memory: it is read in two passes, the second of which writes "
        "a cache for training; docs/tables.md.",
    )
    buffer_rows: int = Field(
        default=2_000_000,
        ge=1,
        description="Training rows that are shuffled together; where there are more, blocks of rows are permuted and "
        "rows within such a buffer.",
    )
    cache_gib: float = Field(
        default=0.0,
        ge=0,
        description="The most disk space for that cache, in GiB, which is estimated before it is written; 0: as much "
        "as is free.",
    )
    drop: Names = Field(default=(), description="Columns that are never features.")
    keep: Names = Field(
        default=(),
        description="Conditions such as `adr >= 0` that every row must meet (operators `>= <= > < == !=`); a row in "
        "which the column is missing stays.",
    )
    split: Split = Field(default=Split(), description="How rows are divided; see `data.split.*`.")

    @field_validator("keep")
    @classmethod
    def _conditions(cls, conditions: tuple[str, ...]) -> tuple[str, ...]:
        for condition in conditions:
            match = CONDITION.match(condition)
            if match is None or not match["column"]:
                raise ValueError(
                    f"{condition!r} is not a condition; write a column, an operator and a value: 'adr >= 0'"
                )
        return conditions

    @property
    def paths(self) -> tuple[str, ...]:
        """List the files, folders and patterns that are named."""
        return (self.path,) if isinstance(self.path, str) else self.path

    @property
    def source(self) -> str:
        """Name the table for the record: the last part of its first path, and how many more."""
        first, *more = (path.replace("\\", "/").rstrip("/").rpartition("/")[2] for path in self.paths)
        return f"{first} and {len(more)} more" if more else first

    @property
    def markers(self) -> tuple[str, ...]:
        """List the texts that mean missing, those that always do included."""
        if self.missing_only is not None:
            return ("", *self.missing_only)
        return ("", *ALWAYS_MISSING, *self.missing)

    @model_validator(mode="after")
    def _check(self) -> Self:
        if self.missing and self.missing_only is not None:
            raise ValueError("'missing' adds to what always means missing and 'missing_only' replaces it; keep one")
        if self.decimal == self.thousands:
            raise ValueError(f"'decimal' and 'thousands' are both {self.decimal!r}; they must differ")
        for key, sign in (("separator", self.separator), ("quote", self.quote)):
            if not sign.isascii() or sign in ("\n", "\r", "\0"):
                raise ValueError(f"{key} is {sign!r}, expected one ASCII character that does not end a line")
        if self.quote == self.separator:
            raise ValueError(f"'separator' and 'quote' are both {self.quote!r}; they must differ")
        if not self.header and not self.columns:
            raise ValueError("a table without a header needs 'columns': the list of its column names")
        return self
