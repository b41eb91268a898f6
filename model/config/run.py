"""Configuration of a training run: the keys of a TOML file, each with default and description.

The descriptions below are the source of docs/config.md. Checks that need the table (does the
column exist, has the task labels) are made where the table is read, in model/data/table.py.
"""

import unicodedata
from collections.abc import Sequence
from pathlib import Path
from typing import Annotated, Any, Literal, Self

import tomli_w
from pydantic import Field, JsonValue, Strict, model_validator

from model.config.checked import read_checked
from model.config.data import FeatureConfig, SyntheticData, Widths
from model.errors import ConfigError
from model.schema import TaskKind
from tables.config import CONDITION, Names, Section, TableData, Value

METRICS: dict[TaskKind, tuple[str, ...]] = {
    "regression": ("rmse", "mae", "r2"),
    "binary": ("auc", "gauc", "pr_auc", "log_loss", "ece", "accuracy", "macro_f1"),
    "multiclass": ("auc", "log_loss", "accuracy", "macro_f1"),
}
"""The metrics of each kind of task, as reports and `train.monitor` name them."""

RESERVED = (
    "numeric",
    "categorical",
    "datetime",
    "expert_mask",
    "row_expert_mask",
    "gate_weights",
    "gate_contributions",
)
"""Tensor names of the artifact (docs/artifact.md) that no task may take."""


BY_TABLE: dict[str, JsonValue] = {"by_table": True}
"""Mark of a key whose default model/config/defaults.py chooses by the table."""


class TaskConfig(Section):
    """Task: a name, a kind, and the column of its labels."""

    name: str = Field(
        pattern=r"^[A-Za-z][A-Za-z0-9_.-]{0,63}$",
        description="Name of the task in requests, answers and reports: a letter, then letters, digits, `_`, `.`, `-`. "
        "The tensor names `numeric`, `categorical`, `datetime`, `expert_mask`, `row_expert_mask`, `gate_weights` and "
        "`gate_contributions` are taken.",
    )
    column: str = Field(min_length=1, description="Column that holds the labels; never a feature. Tasks may share one.")
    kind: TaskKind = Field(description="`regression`, `binary` or `multiclass`.")
    positive: Value | None = Field(
        default=None,
        description="Binary: the value that is positive; text or a number. Without this and the two keys below, the "
        "column must hold 0 and 1, or false and true.",
    )
    positive_in: Annotated[tuple[Value, ...], Strict(False)] = Field(
        default=(), description="Binary: the values that are positive."
    )
    positive_if: str | None = Field(
        default=None,
        description="Binary: a comparison that is true for positive rows, e.g. `> 0`; operators as in `data.keep`.",
    )
    classes: Names = Field(
        default=(),
        description="Multiclass: all values of the column, in output order (default: those of the training split, "
        "sorted). Binary: two words, what negative and positive mean.",
    )
    weight: float = Field(default=1.0, gt=0, description="Weight of the task's loss.")
    after: str | None = Field(
        default=None,
        description="Binary: the binary task that has to come true before this one can, as a click before a "
        "conversion; chains are allowed. The task's probability is then the joint one, and the conditional one is an "
        "output of its own; docs/tasks.md.",
    )
    negatives_kept: float = Field(
        default=1.0,
        gt=0,
        le=1,
        description="Binary: share of the negative rows that the table holds, where the others were sampled away. "
        "Probabilities are those of the whole table.",
    )
    calibrate: bool = Field(
        default=False,
        description="Binary: whether a slope and an intercept of the logit are fitted on validation rows (Platt).",
    )

    @property
    def conditional(self) -> str:
        """Return the name of its conditional output; empty where it has none."""
        return f"{self.name}.given.{self.after}" if self.after else ""

    @model_validator(mode="after")
    def _check(self) -> Self:
        if self.name in RESERVED:
            raise ValueError(f"'{self.name}' is the name of a tensor of the exported file; choose another task name")
        given = [k for k in ("positive", "positive_in", "positive_if") if getattr(self, k) not in (None, ())]
        if given and self.kind != "binary":
            raise ValueError(f"'{given[0]}' belongs to a binary task, and this one is {self.kind}")
        if len(given) > 1:
            raise ValueError(f"give one of 'positive', 'positive_in' and 'positive_if', not {' and '.join(given)}")
        if self.positive_if is not None:
            match = CONDITION.match(self.positive_if)
            if match is None or match["column"]:
                raise ValueError(f"'positive_if' is {self.positive_if!r}; write an operator and a value: '> 0'")
        of_binary = {"after": self.after, "negatives_kept": self.negatives_kept < 1, "calibrate": self.calibrate}
        if self.kind != "binary" and (key := next((key for key, given in of_binary.items() if given), None)):
            raise ValueError(f"'{key}' belongs to a binary task, and this one is {self.kind}")
        if self.after is not None and self.negatives_kept < 1:
            raise ValueError(
                f"'negatives_kept' belongs to the first task of a funnel, and this one comes after '{self.after}'; "
                "give it there"
            )
        if self.classes and self.kind == "regression":
            raise ValueError("'classes' belongs to a binary or multiclass task, and this one is regression")
        if self.classes and (len(set(self.classes)) < max(2, len(self.classes))):
            raise ValueError("'classes' needs at least two different names, none of them twice")
        if self.kind == "binary" and len(self.classes) not in (0, 2):
            raise ValueError("'classes' of a binary task are two: what negative and what positive means")
        return self


class ModelConfig(Section):
    """Shape of the network."""

    architecture: Literal["mmoe", "omoe", "cgc", "shared_bottom", "single_task"] = Field(
        default="mmoe",
        description="`mmoe`: a gate per task; `omoe`: one gate; `cgc`: a gate per task over shared experts and "
        "`own_experts` of the task's own (Tang et al. 2020); `shared_bottom`: one shared network, no gates; "
        "`single_task`: a network per task, nothing shared.",
    )
    experts: int = Field(default=8, ge=1, description="E: number of experts (mmoe, omoe), of shared ones (cgc).")
    own_experts: int = Field(default=1, ge=0, description="Experts of each task's own, beside the shared ones (cgc).")
    expert_hidden: Annotated[Widths, Field(min_length=1)] = Field(
        default=(32,), description="Widths of an expert's layers; the last is its output. Also of the shared network."
    )
    tower_hidden: Widths = Field(default=(8,), description="Widths of a tower's hidden layers; may be empty.")
    gate_temperature: float = Field(default=1.0, gt=0, description="Gate logits are divided by it.")
    gate_dropout: float = Field(
        default=0.0,
        ge=0,
        lt=1,
        description="Share of experts left out of each gate in training; weights are renormalised.",
    )
    embedding_dim: int = Field(default=8, ge=1, description="Width of a categorical feature's embedding.")
    numeric_encoding: Literal["standard", "piecewise_linear", "mixed"] = Field(
        default="standard",
        description="`standard`: (value - mean) / std; `piecewise_linear`: position within quantile bins "
        "(Gorishniy et al. 2022); `mixed`: both, the bins ending where the training values do.",
        json_schema_extra=BY_TABLE,
    )
    bins: int = Field(default=16, ge=2, description="Bins of the encodings that have them.", json_schema_extra=BY_TABLE)
    dropout: float = Field(
        default=0.0, ge=0, lt=1, description="Dropout behind each hidden layer of experts and towers."
    )


class TrainConfig(Section):
    """Options of the optimisation."""

    epochs: int = Field(
        default=20,
        ge=0,
        description="Passes over the training rows, at most; 0 only with `--from`, whose weights then stay.",
        json_schema_extra=BY_TABLE,
    )
    batch_size: int = Field(
        default=0,
        ge=0,
        description="Rows per step; 0: a hundredth of the training rows, but at least 16 and at most 512, so that a "
        "small table gives enough steps.",
        json_schema_extra=BY_TABLE,
    )
    learning_rate: float = Field(default=1e-3, gt=0, description="Of Adam, at the start.", json_schema_extra=BY_TABLE)
    schedule: Literal["constant", "cosine"] = Field(
        default="cosine", description="`cosine` falls to zero at the last epoch."
    )
    weight_decay: float = Field(
        default=0.0, ge=0, description="Decoupled weight decay (AdamW).", json_schema_extra=BY_TABLE
    )
    average_steps: int = Field(
        default=0,
        ge=0,
        description="Steps over which the weights that are validated and kept are averaged, exponentially; 0: none "
        "are. A table with lazy updates has no average.",
        json_schema_extra=BY_TABLE,
    )
    embedding_updates: Literal["auto", "dense", "lazy"] = Field(
        default="auto",
        description="`dense`: a step updates the whole embedding table; `lazy`: the rows of its batch alone, so that "
        "its cost does not grow with the table; `auto`: lazy above 100,000 rows of the table. docs/tables.md says what "
        "it changes.",
    )
    patience: int = Field(
        default=5,
        ge=0,
        description="Epochs without a better `monitor` before training stops; 0: never.",
        json_schema_extra=BY_TABLE,
    )
    monitor: str = Field(
        default="loss",
        description="What chooses the best weights on validation rows: `loss`, or a task and a metric such as "
        "`income.auc`.",
    )
    seed: int = Field(default=0, ge=0, description="Seed of initialisation, row order and dropout.")
    device: Literal["auto", "cpu", "cuda"] = Field(default="auto", description="`auto` takes a GPU if there is one.")
    task_weighting: Literal["fixed", "uncertainty"] = Field(
        default="fixed", description="`fixed`: the tasks' `weight`; `uncertainty`: learned (Kendall et al. 2018)."
    )
    checkpoint_every_s: float = Field(default=30.0, ge=0, description="Seconds between checkpoints to resume from.")


class ReportConfig(Section):
    """Judgement of the model in its report, beyond its metrics."""

    by: Names = Field(
        default=(),
        description='Columns by whose values the report cuts the test rows, e.g. `["country"]`: each with its rows '
        "and the metric of each task, with an interval. They need not be features.",
    )
    importance_s: float = Field(
        default=30.0,
        ge=0,
        description="Seconds, at most, that the report may spend on the permutation importance of features; 0: none.",
    )


class Config(Section):
    """Configuration of a run; with the table itself it decides the result."""

    name: str = Field(
        pattern=r"^[A-Za-z0-9][A-Za-z0-9_.-]{0,63}$",
        description="Name of the model: its directory and its place in the service's paths.",
    )
    data: Annotated[SyntheticData | TableData, Field(discriminator="kind")] = Field(
        description="Where rows come from; see `data.*`."
    )
    features: FeatureConfig = Field(default=FeatureConfig(), description="See `features.*`.")
    tasks: Annotated[tuple[TaskConfig, ...], Strict(False), Field(min_length=1)] = Field(
        description="One `[[tasks]]` table per task; see `tasks.*`. Synthetic data holds the columns `y_1` and `y_2` "
        "and has two regression tasks, `task_1` and `task_2`, unless told otherwise."
    )
    model: ModelConfig = Field(default=ModelConfig(), description="See `model.*`.")
    train: TrainConfig = Field(default=TrainConfig(), description="See `train.*`.")
    report: ReportConfig = Field(default=ReportConfig(), description="See `report.*`.")

    @model_validator(mode="before")
    @classmethod
    def _synthetic_tasks(cls, values: Any) -> Any:
        data = values.get("data") if isinstance(values, dict) and "tasks" not in values else None
        if isinstance(data, dict) and data.get("kind") == "synthetic":
            tasks = [{"name": f"task_{k}", "column": f"y_{k}", "kind": "regression"} for k in (1, 2)]
            return {**values, "tasks": tasks}
        return values

    @model_validator(mode="after")
    def _check(self) -> Self:
        names = [task.name for task in self.tasks]
        twice = next((name for name in names if names.count(name) > 1), None)
        if twice is not None:
            raise ValueError(f"two tasks are named '{twice}'; a task's name must be its own")
        funnel = {task.name: task.after for task in self.tasks}
        kinds = {task.name: task.kind for task in self.tasks}
        for name, after in funnel.items():
            if after is None:
                continue
            if kinds.get(after) != "binary":
                raise ValueError(f"task '{name}' comes after '{after}', which is not a binary task")
            chain = [name]
            while (behind := funnel[chain[-1]]) is not None:
                if behind in chain:
                    raise ValueError(f"tasks {' and '.join(map(repr, chain))} come after each other; one must be first")
                chain.append(behind)
            if f"{name}.given.{after}" in names:
                raise ValueError(
                    f"'{name}.given.{after}' is the name of the conditional output of task '{name}'; choose another "
                    "task name"
                )
        if self.group_metric is not None and "binary" not in kinds.values():
            raise ValueError(f"data.group_metric is '{self.group_metric}', and no task is binary; take it out")
        if self.train.monitor != "loss":
            known = [f"{task.name}.{metric}" for task in self.tasks for metric in self.metrics(task.kind)]
            if self.train.monitor not in known:
                raise ValueError(f"train.monitor is '{self.train.monitor}', expected loss or one of {', '.join(known)}")
        return self

    @property
    def group_metric(self) -> str | None:
        """Return the column of the groups within which rows are ranked."""
        return self.data.group_metric if isinstance(self.data, TableData) else None

    def metrics(self, kind: TaskKind) -> list[str]:
        """List the metrics of a kind of task."""
        return [name for name in METRICS[kind] if name != "gauc" or self.group_metric is not None]


def load_config(path: Path, overrides: Sequence[str] = ()) -> Config:
    """Read and check a TOML file.

    Args:
        path: of the file.
        overrides: "key=value" with a dotted key, for example "train.epochs=3"; the value is read
            as TOML and, failing that, as text. A task is addressed by its name or its index:
            "tasks.income.weight=2".

    Raises:
        ConfigError: one sentence that names the file and the key.
    """
    return read_checked(path, overrides, Config, ConfigError, _composed)


def _composed(value: Any) -> Any:
    """Normalise all text to Unicode's form NFC, as the reader of a table does.

    Paths stay as they are, since files are found by them.
    """
    if isinstance(value, dict):
        return {key: inner if key == "path" else _composed(inner) for key, inner in value.items()}
    if isinstance(value, list):
        return [_composed(inner) for inner in value]
    return unicodedata.normalize("NFC", value) if isinstance(value, str) else value


def config_text(config: Config) -> str:
    """Render the effective configuration, defaults included, as TOML.

    Keys that are still to be chosen by the table are left out. `load_config` reads it back to the
    same.
    """
    left_open = {
        name: {key for key, field in type(section).model_fields.items() if field.json_schema_extra == BY_TABLE}
        - section.model_fields_set
        for name, section in (("model", config.model), ("train", config.train))
    }
    return tomli_w.dumps(config.model_dump(mode="json", exclude_none=True, exclude=left_open))
