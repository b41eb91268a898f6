"""Schemas of a model's rows and answers.

Its own features and tasks, their ranges, and examples that work.
"""

from collections.abc import Callable, Sequence
from datetime import UTC, datetime
from typing import Any

from service.artifact.entries import (
    MISSING_TIME,
    AnyFeature,
    BagFeature,
    DatetimeFeature,
    HashedFeature,
    NumericFeature,
    Task,
)
from service.artifact.manifest import Manifest
from service.inference.model import Model

Schema = dict[str, Any]

REFERENCE = "#/components/schemas/{model}"
TEXT: Schema = {"type": "string"}
NUMBER: Schema = {"type": "number"}
_SHOWN_VALUES = 12
_TEXT_OR_WHOLE: Schema = {"type": ["string", "integer"]}
SCALAR: Schema = {"type": ["number", "string", "null"]}
"""One element of a tensor, or one value of a row without bags; null is a missing one."""
VALUE: Schema = {"type": ["number", "string", "array", "null"], "items": _TEXT_OR_WHOLE}
"""One value of any row; null is a missing one."""

_LENIENT = (
    "Take numbers and booleans for categories and markers of missing values for numbers, and ignore columns that "
    "training had beside the features; `notes` in the answer lists what was done."
)
_OPTIONS: dict[str, Schema] = {
    "contributions": {
        "type": ["boolean", "null"],
        "description": "Each feature's share in each gate logit, sorted by size.",
    },
    "top_k": {"type": ["integer", "null"], "minimum": 1, "description": "List so many features per gate logit."},
    "ablation": {"type": ["boolean", "null"], "description": "How each prediction moves when each expert is left out."},
    "predictions": {"type": ["boolean", "null"], "description": "Each row's predictions too."},
    "compared_with": {
        "type": ["integer", "null"],
        "minimum": 0,
        "description": "List contributions by how they differ from those of this row, counted from 0.",
    },
}
_KEYS: Schema = {
    "type": ["array", "null"],
    "items": {"type": ["string", "integer"]},
    "description": "The caller's own names of the rows, one each, by which labels may be reported.",
}


def obj(required: Schema, optional: Schema | None = None, **more: Any) -> Schema:
    """Describe an object by its properties; later versions may add others."""
    return {"type": "object", "properties": {**required, **(optional or {})}, "required": list(required), **more}


def array(items: Schema, **more: Any) -> Schema:
    """Describe an array."""
    return {"type": "array", "items": items, **more}


def ref(name: str) -> Schema:
    """Point to one of the document's schemas."""
    return {"$ref": REFERENCE.format(model=name)}


def or_null(schema: Schema) -> Schema:
    """Describe what may be null."""
    return {**schema, "type": [schema["type"], "null"]} if "type" in schema else {"anyOf": [schema, {"type": "null"}]}


def common_schemas() -> dict[str, Schema]:
    """Return the schemas of rows and answers that fit every model."""
    prediction, outputs = (
        obj({"tasks": {"type": "object"}, "gate_weights": or_null({"type": "object", "additionalProperties": weights})})
        for weights in (array(NUMBER), array(array(NUMBER)))
    )
    return {
        "Row": {"type": "object", "additionalProperties": VALUE},
        "Columns": {"type": "object", "additionalProperties": array(VALUE, minItems=1), "minProperties": 1},
        "Prediction": prediction,
        "Outputs": outputs,
        **_bodies("", array(VALUE)),
    }


def model_schemas(model: Model) -> dict[str, Schema]:
    """Return schemas of a model's row, request, answer and inspection, by names of its own."""
    manifest, of = model.manifest, f"{model.name}."
    features = {feature.name: feature_schema(feature) for feature in manifest.features}
    examples = example_rows(manifest)
    return {
        f"{of}Row": {
            "type": "object",
            "description": "One row. A feature that is left out or null is missing.",
            "properties": features,
            "additionalProperties": False,
            "example": examples[0],
        },
        f"{of}Columns": {
            "type": "object",
            "properties": {feature: array(schema, minItems=1) for feature, schema in features.items()},
            "additionalProperties": False,
            "minProperties": 1,
        },
        f"{of}Prediction": _prediction(manifest, lambda one: one),
        f"{of}Outputs": _prediction(manifest, array),
        **_bodies(of, _list_row(manifest), example={"instances": examples[:1]}),
    }


def _bodies(of: str, list_row: Schema, **more: Any) -> dict[str, Schema]:
    """Describe requests and answers.

    `of` stands before the names of the schemas that they refer to.
    """
    forms: Schema = {
        "instances": array({"anyOf": [ref(f"{of}Row"), list_row]}, minItems=1),
        "inputs": ref(f"{of}Columns") | {"description": "Columns instead of rows: feature -> one value per row."},
    }
    others: Schema = {key: {"type": "null"} for key in forms}
    others["lenient"] = {"type": ["boolean", "null"], "description": _LENIENT}
    others["signature_name"] = {"description": "Ignored; TensorFlow Serving's clients send it."}
    request, inspection = (
        {"oneOf": [obj({key: form}, may | {key: form}, additionalProperties=False) for key, form in forms.items()]}
        for may in (others | {"keys": _KEYS}, others | _OPTIONS)
    )
    common = {"model": TEXT, "version": {"type": "integer"}}
    rows, columns = {"predictions": array(ref(f"{of}Prediction"))}, {"outputs": ref(f"{of}Outputs")}
    notes = {"notes": array(ref("Note")), "more_notes": {"type": "integer", "minimum": 1}}
    answer = {
        "description": "`predictions`, a row each, answers `instances`; `outputs`, in columns, answers `inputs`.",
        "oneOf": [obj(common | rows, notes), obj(common | columns, notes)],
    }
    return {f"{of}Request": request | more, f"{of}Inspection": inspection | more, f"{of}Answer": answer}


def feature_schema(feature: AnyFeature) -> Schema:
    """Describe one feature: its type, and what the training split showed.

    Values beyond that are taken too.
    """
    missing = f"; missing in {feature.missing_share:.1%} of the training rows" if feature.missing_share else ""
    if isinstance(feature, NumericFeature):
        seen = f"Seen from {feature.minimum:g} to {feature.maximum:g}, mean {feature.mean:g}{missing}."
        return {"type": ["number", "null"], "description": seen, "examples": [feature.mean]}
    if isinstance(feature, DatetimeFeature):
        first, last = moment_text(feature.minimum), moment_text(feature.maximum)
        told = f"Epoch seconds, or ISO 8601 with a zone. Seen from {first} to {last}{missing}."
        return {"type": ["number", "string", "null"], "format": "date-time", "description": told, "examples": [last]}
    if isinstance(feature, HashedFeature):
        told = f"An id of any value, one of {feature.buckets} buckets{missing}."
        return {"type": ["string", "integer", "null"], "description": told}
    if isinstance(feature, BagFeature):
        return {"type": ["array", "null"], "items": _TEXT_OR_WHOLE, **_values_of_bag(feature, missing)}
    told = f"Seen: {_shown(feature.vocabulary, feature.vocabulary_size)}{missing}. Any other value counts as unknown."
    return {"type": ["string", "null"], "description": told, "examples": list(feature.vocabulary[:3])}


def _values_of_bag(feature: BagFeature, missing: str) -> Schema:
    told = f"Several values, none with {feature.separator!r} in it; {feature.mean_values:.3g} on average{missing}. "
    if feature.vocabulary is None:
        return {"description": f"{told}Each is one of {feature.buckets} buckets."}
    seen = f"Seen: {_shown(feature.vocabulary, feature.vocabulary_size)}. Any other value counts as unknown."
    return {"description": told + seen, "examples": [list(feature.vocabulary[:2])]}


def _shown(vocabulary: Sequence[str], size: int | None) -> str:
    more = (size or len(vocabulary)) - _SHOWN_VALUES
    return ", ".join(map(repr, vocabulary[:_SHOWN_VALUES])) + (f" and {more} more" if more > 0 else "")


def moment_text(seconds: int) -> str:
    """Write epoch seconds as ISO 8601 in UTC."""
    return f"{datetime.fromtimestamp(seconds, UTC):%Y-%m-%dT%H:%M:%SZ}".rjust(20, "0")


def example_rows(manifest: Manifest) -> list[dict[str, Any]]:
    """Return the golden rows by feature name; a missing value is null."""
    golden = manifest.golden
    nothing: tuple[tuple[Any, ...], ...] = ((),) * golden.rows
    bags = {feature.name: feature.separator for feature in manifest.bags}
    names = [feature.name for feature in manifest.texts]
    return [
        dict(
            zip(
                manifest.feature_names,
                (
                    *map(_short, numbers),
                    *(_text(text, bags.get(name)) for name, text in zip(names, texts, strict=True)),
                    *(None if moment in (None, MISSING_TIME) else moment_text(moment) for moment in moments),
                ),
                strict=True,
            )
        )
        for numbers, texts, moments in zip(
            golden.numeric or nothing, golden.categorical or nothing, golden.datetime or nothing, strict=True
        )
    ]


def _text(text: str, separator: str | None) -> str | list[str] | None:
    """Return a cell as a row of JSON has it; with a separator, that of a bag."""
    return None if not text else text if separator is None else text.split(separator)


def _short(number: float | None) -> float | None:
    """Return a float32 without the digits that only its being kept as a double has brought."""
    return None if number is None else float(f"{number:.7g}")


def _list_row(manifest: Manifest) -> Schema:
    count = len(manifest.features)
    order = ", ".join(manifest.feature_names[:5]) + (", ..." if count > 5 else "")
    return {
        "type": "array",
        "description": f"The same values in manifest order: {order}.",
        "minItems": count,
        "maxItems": count,
        "items": VALUE if manifest.bags else SCALAR,
    }


def _prediction(manifest: Manifest, of: Callable[[Schema], Schema]) -> Schema:
    """Describe the answer to one row, or to columns where `of` makes an array of each value."""
    gates: Schema = {"type": "null", "description": "This model has no gates."}
    if manifest.has_gates:
        length, sentence = manifest.experts, "The weight of each expert; they sum to 1."
        weights = array(NUMBER, minItems=length, maxItems=length, description=sentence)
        gates = obj(dict.fromkeys(manifest.task_names, of(weights)))
    predicted = {task.name: of(_task(task)) for task in manifest.tasks}
    for task in manifest.tasks:
        if task.given is not None:
            words = f"The probability of {task.classes[1]!r}, given {task.after!r}."
            predicted[task.given.output] = of({"type": "number", "description": words})
    return obj({"tasks": obj(predicted), "gate_weights": gates})


def _both(task: Task) -> str:
    return "" if task.after is None else f" and of task {task.after!r} before it"


def _task(task: Task) -> Schema:
    if task.kind == "regression":
        return {"type": "number", "description": "The predicted value."}
    if task.kind == "binary":
        return {"type": "number", "description": f"The probability of {task.classes[1]!r}{_both(task)}."}
    return {
        "type": "array",
        "items": {"type": "number"},
        "description": f"The probabilities, in this order, of {', '.join(map(repr, task.classes))}.",
    }


def infer_example(manifest: Manifest) -> Schema:
    """Return a request of the Open Inference Protocol that works."""
    golden = manifest.golden
    inputs: list[dict[str, Any]] = []
    if golden.numeric:
        row = [*map(_short, golden.numeric[0])]
        inputs.append({"name": "numeric", "datatype": "FP32", "shape": [1, len(row)], "data": row})
    if golden.categorical:
        texts = list(golden.categorical[0])
        inputs.append({"name": "categorical", "datatype": "BYTES", "shape": [1, len(texts)], "data": texts})
    if golden.datetime:
        moments = list(golden.datetime[0])
        inputs.append({"name": "datetime", "datatype": "INT64", "shape": [1, len(moments)], "data": moments})
    return {"inputs": inputs}
