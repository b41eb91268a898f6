"""Tables of all configuration keys: python -m scripts.document_config > docs/config.md.

With `loop` behind it those of scripts.loop, which are docs/loop-config.md.
"""

import json
import sys
from collections.abc import Sequence
from types import NoneType
from typing import Any, Literal, get_args, get_origin

from pydantic import BaseModel
from pydantic.fields import FieldInfo

from loop.config import (
    CanaryStage,
    DisagreementRule,
    ErrorRule,
    GateDriftRule,
    Labels,
    LatencyRule,
    LoopConfig,
    PredictionDriftRule,
    QualityRule,
    Rule,
    Services,
    ShadowStage,
    Training,
)
from model.config.data import BagConfig, FeatureConfig, SyntheticData
from model.config.run import BY_TABLE, METRICS, Config, ModelConfig, ReportConfig, TaskConfig, TrainConfig
from model.markdown import wrap
from tables.config import Split, TableData, Value

HEAD = """\
# Configuration

A run is one TOML file: `python -m scripts.train CONFIG [--set KEY=VALUE ...]`. Files to copy from,
with comments, are in `scripts/configs/`. `--set` replaces a key by its dotted name, a task's by
the name of the task: `--set train.epochs=3 tasks.income.weight=2`; the value is read as TOML and,
failing that, as text. An unknown key or column, a value out of range, labels of the wrong kind:
each ends with one sentence and exit code 2, and nothing is written. `--check` reads the table,
says what was understood and stops there; `--strict` ends where a column needs a word
(docs/values.md). The effective configuration, defaults included, lies beside every published model
as `config.toml`.

A default "by the table" is chosen by the training rows where the file leaves it open, and printed
and reported as chosen: about 2,000 steps however many rows there are (three epochs at least),
steps without a gain that end the training early, quantile bins beside each number where there are
not too many of them. [defaults.md](defaults.md) has what these are worth on real tables beside
trees.

This page is made from the schema: `python -m scripts.document_config > docs/config.md`.
"""

LOOP_HEAD = """\
# Configuration of the loop

`python -m scripts.loop CONFIG` reads one TOML file; [loop.md](loop.md) says what it does. `--set`
replaces a key by its dotted name, a rule's by its `name` or its place: `--set interval_s=5
rules.0.min_rows=1000`. An unknown key, or a value out of range, ends with one sentence and
exit code 2, and nothing is changed.

This page is made from the schema: `python -m scripts.document_config loop > docs/loop-config.md`.
"""

SECTIONS: tuple[tuple[str, type[BaseModel]], ...] = (
    ("The file", Config),
    ("`[data]`, kind `table`", TableData),
    ("`[data.split]`, for kind `table`", Split),
    ("`[data]`, kind `synthetic`", SyntheticData),
    ("`[features]`", FeatureConfig),
    ("`[features.bag.<column>]`, once for each column of several values", BagConfig),
    ("`[[tasks]]`, once for each task", TaskConfig),
    ("`[model]`", ModelConfig),
    ("`[train]`", TrainConfig),
    ("`[report]`", ReportConfig),
)

LOOP_SECTIONS: tuple[tuple[str, type[BaseModel]], ...] = (
    ("The file", LoopConfig),
    ("`[training]`", Training),
    ("`[services]`", Services),
    ("`[labels]`", Labels),
    ("`[shadow]`", ShadowStage),
    ("`[canary]`", CanaryStage),
    ("`[[rules]]`, of every kind", Rule),
    ("`[[rules]]`, kind `quality`, in the canary", QualityRule),
    ("`[[rules]]`, kind `prediction_drift`, in the canary", PredictionDriftRule),
    ("`[[rules]]`, kind `gate_drift`, in the shadow", GateDriftRule),
    ("`[[rules]]`, kind `disagreement`, in the shadow", DisagreementRule),
    ("`[[rules]]`, kind `errors`, in both", ErrorRule),
    ("`[[rules]]`, kind `latency`, in the canary", LatencyRule),
)

WORDS = {str: "text", int: "integer", float: "number", bool: "true or false"}
BOUNDS = {"ge": "≥ {}", "gt": "> {}", "le": "≤ {}", "lt": "< {}"}


def page() -> str:
    """Render the page: a table for each section of the file."""
    parts = [HEAD, *(f"## {title}\n\n{_table(section)}" for title, section in SECTIONS)]
    metrics = "; ".join(f"{kind}: {', '.join(f'`{name}`' for name in names)}" for kind, names in METRICS.items())
    return wrap("\n".join([*parts, f"Metrics by kind of task (docs/judgement.md): {metrics}.\n"]))


def loop_page() -> str:
    """Render the page of the loop."""
    parts = [LOOP_HEAD, *(f"## {title}\n\n{_table(section)}" for title, section in LOOP_SECTIONS)]
    return wrap("\n".join(parts))


def _table(section: type[BaseModel]) -> str:
    """Render the table of a section; of a kind of rule, what it has beyond any rule."""
    lines = ["| key | type | default | meaning |", "|---|---|---|---|"]
    for name, field in section.model_fields.items():
        if issubclass(section, Rule) and section is not Rule and _is_of_any_rule(name, field):
            continue
        cells = (f"`{name}`", _type(field), _default(field), (field.description or "").replace("|", "\\|"))
        lines.append(f"| {' | '.join(cells)} |")
    return "\n".join(lines) + "\n"


def _is_of_any_rule(name: str, field: FieldInfo) -> bool:
    common = Rule.model_fields.get(name)
    return common is not None and field.default == common.default


def _type(field: FieldInfo) -> str:
    bounds = [
        form.format(f"{value:g}") for key, form in BOUNDS.items() if (value := _bound(field.metadata, key)) is not None
    ]
    return ", ".join([_word(field.annotation), *bounds])


def _bound(metadata: Sequence[Any], key: str) -> float | None:
    return next((getattr(entry, key) for entry in metadata if getattr(entry, key, None) is not None), None)


def _word(annotation: Any) -> str:
    """Describe a type in words, following annotations inside of `Annotated` and `X | Y`."""
    origin, inner = get_origin(annotation), get_args(annotation)
    if origin is Literal:
        return " or ".join(f"`{value}`" for value in inner)
    if origin is dict:
        return f"table of {_word(inner[1])}"
    if origin is tuple:
        return "list of tables" if (word := _word(inner[0])) == "table" else f"list of {word}"
    if annotation == Value:
        return "any value"
    if annotation in WORDS:
        return WORDS[annotation]
    if _is_section(annotation):
        return "table"
    if hasattr(annotation, "__metadata__"):
        return _word(inner[0])
    return " or ".join(dict.fromkeys(_word(part) for part in inner if part is not NoneType))


def _is_section(annotation: Any) -> bool:
    return isinstance(annotation, type) and issubclass(annotation, BaseModel)


def _default(field: FieldInfo) -> str:
    if field.is_required():
        return "needed"
    if field.json_schema_extra == BY_TABLE:
        return "by the table"
    if field.default is None or isinstance(field.default, BaseModel):
        return ""
    return f"`{json.dumps(field.default)}`"


if __name__ == "__main__":
    print(loop_page() if sys.argv[1:] == ["loop"] else page(), end="")
