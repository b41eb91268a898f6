"""Manifest of a model file: typed entries that agree with each other. See docs/artifact.md."""

from collections import Counter
from collections.abc import Collection, Iterator, Mapping
from functools import cached_property
from typing import Annotated, Any, Literal, Self

import numpy as np
from pydantic import Field, ValidationError, model_validator

from service.artifact.baseline import Baseline, fits
from service.artifact.entries import (
    BagFeature,
    CategoricalFeature,
    CategoryText,
    DatetimeFeature,
    Entry,
    Feature,
    GateBaseline,
    Golden,
    HashedFeature,
    Json,
    Name,
    NumericFeature,
    Task,
    TextFeature,
    TrainingTable,
)
from service.errors import ArtifactError
from service.system.quoting import MOST_LISTED, cut, quote, quotes

SCHEMA_VERSIONS = 1, 2
NUMERIC, CATEGORICAL, DATETIME = "numeric", "categorical", "datetime"
EXPERT_MASK, ROW_EXPERT_MASK = "expert_mask", "row_expert_mask"
"""Names of the graph's inputs."""
GATE_WEIGHTS, GATE_CONTRIBUTIONS = "gate_weights", "gate_contributions"
"""Names of the graph's outputs beside the tasks."""
_ORDER = "numeric", "categorical", "hashed", "bag", "datetime"


class Manifest(Entry):
    """Manifest of a model: inputs, outputs, how it was made, and its golden rows."""

    schema_version: Literal[1, 2]
    name: Name
    architecture: Literal["mmoe", "omoe", "cgc", "shared_bottom", "single_task"]
    experts: Annotated[int, Field(ge=0)]
    own_experts: Mapping[str, tuple[Annotated[int, Field(ge=0)], ...]] = Field(default_factory=dict)
    features: Annotated[tuple[Feature, ...], Field(min_length=1)]
    tasks: Annotated[tuple[Task, ...], Field(min_length=1)]
    category_text: CategoryText = CategoryText()
    training_table: TrainingTable = TrainingTable()
    gates: GateBaseline | None
    baseline: Baseline | None = None
    golden: Golden
    provenance: Mapping[str, Json] = Field(default_factory=dict)

    @cached_property
    def numeric(self) -> tuple[NumericFeature, ...]:
        """List the N numeric features in the order of the tensor `numeric`."""
        return tuple(f for f in self.features if isinstance(f, NumericFeature))

    @cached_property
    def categorical(self) -> tuple[CategoricalFeature, ...]:
        """List the C categorical features."""
        return tuple(f for f in self.features if isinstance(f, CategoricalFeature))

    @cached_property
    def hashed(self) -> tuple[HashedFeature, ...]:
        """List the H hashed features."""
        return tuple(f for f in self.features if isinstance(f, HashedFeature))

    @cached_property
    def bags(self) -> tuple[BagFeature, ...]:
        """List the G bags."""
        return tuple(f for f in self.features if isinstance(f, BagFeature))

    @cached_property
    def texts(self) -> tuple[TextFeature, ...]:
        """List the C + H + G features of text in the order of the tensor `categorical`."""
        return self.categorical + self.hashed + self.bags

    @cached_property
    def datetimes(self) -> tuple[DatetimeFeature, ...]:
        """List the K moments in the order of the tensor `datetime`."""
        return tuple(f for f in self.features if isinstance(f, DatetimeFeature))

    @cached_property
    def inputs(self) -> tuple[str, ...]:
        """List the graph's inputs, without its masks."""
        widths = {NUMERIC: self.numeric, CATEGORICAL: self.texts, DATETIME: self.datetimes}
        return tuple(name for name, features in widths.items() if features)

    @cached_property
    def feature_names(self) -> tuple[str, ...]:
        """List all F names in the order of a row."""
        return tuple(f.name for f in self.features)

    @cached_property
    def task_names(self) -> tuple[str, ...]:
        """List the task names in the order of axis T."""
        return tuple(task.name for task in self.tasks)

    @cached_property
    def predicted(self) -> tuple[str, ...]:
        """List the outputs that are predictions: the tasks, then conditionals of funnel tasks."""
        return self.task_names + tuple(task.given.output for task in self.tasks if task.given is not None)

    def model_copy(self, *, update: Mapping[str, Any] | None = None, deep: bool = False) -> Self:
        """Copy the entries, without the lists that properties keep."""
        copied = super().model_copy(update=update, deep=deep)
        for name in vars(copied).keys() - type(self).model_fields.keys():
            del copied.__dict__[name]
        return copied

    @property
    def seen_experts(self) -> int:
        """Count the experts that each gate sees: the shared ones and the task's own."""
        own = self.own_experts.values()
        return self.experts - sum(map(len, own)) + max(map(len, own), default=0)

    @property
    def has_gates(self) -> bool:
        """Tell whether the model gives gate weights."""
        return self.gates is not None

    @property
    def outputs(self) -> tuple[str, ...]:
        """List every output of the graph: predictions, then the gates' two where there are."""
        return self.predicted + ((GATE_WEIGHTS, GATE_CONTRIBUTIONS) if self.has_gates else ())

    def input_shape(self, name: str, rows: int) -> tuple[int, ...]:
        """Return the shape of an input for that many rows."""
        return {
            NUMERIC: (rows, len(self.numeric)),
            CATEGORICAL: (rows, len(self.texts)),
            DATETIME: (rows, len(self.datetimes)),
            EXPERT_MASK: (self.experts,),
            ROW_EXPERT_MASK: (rows, 1, self.experts),
        }[name]

    def output_shape(self, name: str, rows: int) -> tuple[int, ...]:
        """Return the shape of an output for that many rows."""
        if name in (GATE_WEIGHTS, GATE_CONTRIBUTIONS):
            gates = (rows, len(self.tasks), self.experts)
            return gates if name == GATE_WEIGHTS else (*gates, len(self.features))
        width = self._widths[name]
        return (rows,) if width is None else (rows, width)

    @cached_property
    def _widths(self) -> dict[str, int | None]:
        return dict.fromkeys(self.predicted) | {task.name: task.width for task in self.tasks}

    @model_validator(mode="after")
    def _agrees_with_itself(self) -> Self:
        for fault in (
            *_name_faults(self),
            *_funnel_faults(self),
            *_table_faults(self),
            *_gate_faults(self),
            *_baseline_faults(self),
            *_golden_faults(self),
        ):
            raise ValueError(fault)
        return self


def parse_manifest(text: str | bytes) -> Manifest:
    """Read a manifest from its JSON text.

    Raises:
        ArtifactError: not JSON, another schema version, a missing or wrong entry, or entries in
            contradiction.
    """
    try:
        return Manifest.model_validate_json(text)
    except ValidationError as error:
        first = error.errors(include_url=False, include_input=True)[0]
    if first["loc"] == ("schema_version",) and first["type"] != "missing":
        came, read = quote(first["input"]), " and ".join(map(str, SCHEMA_VERSIONS))
        raise ArtifactError(
            f"The manifest has schema_version {came}, and this service reads {read}",
            "Export the model again, or use the service that belongs to it",
        )
    place = cut(".".join(map(str, first["loc"])))
    if first["type"] == "union_tag_invalid" and first["loc"][0] == "features":
        known, came = first["ctx"]["expected_tags"], quote(first["ctx"]["tag"])
        raise ArtifactError(
            f"The manifest has a feature of kind {came} at {place}, and this service reads {known}",
            "Use a service as new as the trainer, or export without it",
        )
    raise ArtifactError(f"The manifest is wrong{f' at {place}' if place else ''}: {first['msg']}")


def names_of(names: Collection[str]) -> str:
    """Quote names in order for an error, the first few of many."""
    few = sorted(names)[:MOST_LISTED]
    return f"[{quotes(few)}]" if len(few) == len(names) else f"[{quotes(few)}] and {len(names) - len(few)} more"


def _name_faults(manifest: Manifest) -> Iterator[str]:
    reserved = {NUMERIC, CATEGORICAL, EXPERT_MASK, ROW_EXPERT_MASK, GATE_WEIGHTS, GATE_CONTRIBUTIONS}
    reserved |= {DATETIME} if manifest.datetimes else set()  # older files may have such a task
    for what, names in (("feature", manifest.feature_names), ("task", manifest.predicted)):
        if twice := min((name for name, count in Counter(names).items() if count > 1), default=None):
            yield f"{what} {quote(twice)} is listed twice"
    if taken := sorted(reserved & set(manifest.predicted)):
        yield f"a task is called {quote(taken[0])}, which is the name of another tensor"
    if manifest.features != (*manifest.numeric, *manifest.texts, *manifest.datetimes):
        yield f"features must stand kind by kind: {', '.join(_ORDER)}"


def _funnel_faults(manifest: Manifest) -> Iterator[str]:
    after = {task.name: task.after for task in manifest.tasks}
    binary = {task.name for task in manifest.tasks if task.kind == "binary"}
    for name, before in after.items():
        if before is not None and before not in binary:
            yield f"task {quote(name)} comes after {quote(before)}, which is not a binary task"
            return
    for name in after:
        chain: list[str] = []
        place: str | None = name
        while place is not None and place not in chain:
            chain.append(place)
            place = after[place]
        if place is not None:
            yield f"task {quote(name)} comes after itself"
            return


def _table_faults(manifest: Manifest) -> Iterator[str]:
    by_name = {feature.name: feature for feature in manifest.texts}
    for feature in manifest.texts:
        if feature.table in ("", feature.name):
            continue
        first = by_name.get(feature.table)
        if first is None or first.table not in ("", first.name):
            owner = "a feature of text with a table of its own"
            yield f"feature {quote(feature.name)} looks into the table of {quote(feature.table)}, which is not {owner}"
        elif _values(first) != _values(feature):
            yield f"features {quote(first.name)} and {quote(feature.name)} share a table and have not the same values"


def _values(feature: TextFeature) -> object:
    """Return what decides which row of its table a value has."""
    if isinstance(feature, CategoricalFeature) or (isinstance(feature, BagFeature) and feature.vocabulary is not None):
        return feature.vocabulary
    return feature.buckets, feature.seed


def _gate_faults(manifest: Manifest) -> Iterator[str]:
    gated = manifest.architecture in ("mmoe", "omoe", "cgc")
    if gated != manifest.has_gates or gated != (manifest.experts > 0):
        state = f"{manifest.experts} experts and {'a' if manifest.has_gates else 'no'} gate baseline"
        yield f"architecture {quote(manifest.architecture)} with {state}"
    if manifest.gates is None:
        return
    gates, tasks, experts = manifest.gates, len(manifest.tasks), manifest.experts
    bins = len(gates.histogram_edges) - 1
    if list(gates.histogram_edges) != sorted(set(gates.histogram_edges)):
        yield "gates.histogram_edges must increase"
    if set(gates.tasks) != set(manifest.task_names):
        yield f"gates.tasks names {names_of(gates.tasks)}; the tasks are {names_of(manifest.task_names)}"
    yield from _own_expert_faults(manifest)
    shown = [[0.0 if logit is None else logit for logit in row] for row in gates.average_logits]
    shapes: list[tuple[str, object, tuple[int, ...]]] = [
        ("average_logits", shown, (tasks, experts)),
        ("similarity", gates.similarity, (tasks, tasks)),
    ]
    for name, gate in gates.tasks.items():
        shapes += [
            (f"tasks.{name}.utilisation", gate.utilisation, (experts,)),
            (f"tasks.{name}.top_expert_share", gate.top_expert_share, (experts,)),
            (f"tasks.{name}.histogram", gate.histogram, (experts, bins)),
        ]
    for place, values, shape in shapes:
        if (came := _shape(values)) != shape:
            yield f"gates.{cut(place)} has shape {came}; expected {shape}"


def _own_expert_faults(manifest: Manifest) -> Iterator[str]:
    """Compare own experts, as many for each task, with the average logits that are null."""
    assert manifest.gates is not None
    own, names = manifest.own_experts, manifest.task_names
    if own and (set(own) != set(names) or manifest.architecture != "cgc"):
        yield f"own_experts names {names_of(own)}; expected the tasks {names_of(names)} of architecture 'cgc'"
        return
    every = [expert for experts in own.values() for expert in experts]
    if len({len(experts) for experts in own.values()}) > 1 or len(set(every)) < len(every):
        yield "own_experts must be as many for each task, and none of two tasks"
    if any(expert >= manifest.experts for expert in every):
        yield f"own_experts names expert {max(every)}; there are {manifest.experts}"
        return
    for task, row in zip(names, manifest.gates.average_logits, strict=False):
        hidden = set(every) - set(own.get(task, ()))
        if hidden != {expert for expert, logit in enumerate(row) if logit is None}:
            yield f"gates.average_logits of {quote(task)} must be null for the other tasks' own experts alone"


def _baseline_faults(manifest: Manifest) -> Iterator[str]:
    if manifest.baseline is None:
        return
    baseline, names = manifest.baseline, manifest.task_names
    if len(baseline.features) != len(manifest.features):
        yield f"baseline.features are {len(baseline.features)}; the features are {len(manifest.features)}"
        return
    for feature, cells in zip(manifest.features, baseline.features, strict=True):
        if not fits(feature, cells):
            yield f"baseline.features of {quote(feature.name)} has not the cells of kind {quote(feature.kind)}"
    if set(baseline.predictions) != set(manifest.predicted):
        yield f"baseline.predictions names {names_of(baseline.predictions)}; expected {names_of(manifest.predicted)}"
    for what in ("contributions", "raising", "without"):
        by_task = getattr(baseline, what)
        if by_task is not None and set(by_task) != set(names):
            yield f"baseline.{what} names {names_of(by_task)}; the tasks are {names_of(names)}"
    shape = manifest.experts, len(manifest.features)
    for name, means in (baseline.contributions or {}).items():
        if (came := _shape(means)) != shape:
            yield f"baseline.contributions.{cut(name)} has shape {came}; expected {shape}"
    for name, lost in (baseline.without or {}).items():
        if len(lost) != manifest.experts:
            yield f"baseline.without.{cut(name)} has {len(lost)} entries; the experts are {manifest.experts}"


def _golden_faults(manifest: Manifest) -> Iterator[str]:
    golden = manifest.golden
    for name, rows, width in (
        (NUMERIC, golden.numeric, len(manifest.numeric)),
        (CATEGORICAL, golden.categorical, len(manifest.texts)),
        (DATETIME, golden.datetime, len(manifest.datetimes)),
    ):
        expected = (golden.rows, width) if width else None
        if (came := _shape(rows, typed=True) if rows else None) != expected:
            yield f"golden.{name} has shape {came}; expected {expected}"
    if golden.rows == 0:
        yield "golden has no rows"
    needed = {*manifest.predicted, *([GATE_WEIGHTS] if manifest.has_gates else [])}
    if not needed <= set(golden.outputs) <= set(manifest.outputs):
        yield f"golden.outputs names {names_of(golden.outputs)}; expected {names_of(needed)}"
        return
    for name, values in golden.outputs.items():
        if (came := _shape(values)) != (shape := manifest.output_shape(name, golden.rows)):
            yield f"golden.outputs.{cut(name)} has shape {came}; expected {shape}"


def _shape(values: object, typed: bool = False) -> tuple[int, ...] | None:
    """Return the shape of nested sequences of numbers; None where ragged or of something else.

    With `typed`, the elements are known to be of the right type: numbers, None for a missing one,
    or strings.
    """
    try:
        array = np.array(values)
    except ValueError:
        return None
    return array.shape if typed or array.dtype.kind in "iuf" else None
