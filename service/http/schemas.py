"""OpenAPI for the calls that take rows: with the loaded models' real features, ranges and an example that works.

The hot path is no FastAPI route, so what /docs says of it is written here, anew for whatever is loaded.
"""

import contextlib
from typing import Any

from service.artifact import CategoricalFeature, Manifest, NumericFeature, Task
from service.engine import Engine
from service.errors import ServiceError
from service.loaded_model import Model

Schema = dict[str, Any]

_SHOWN_VALUES = 12
_PROBLEM = "#/components/schemas/Problem"
_ERRORS = {
    "400": "Malformed: not JSON, not of this form, or NaN, Infinity or a number beyond a double",
    "404": "No such model or version",
    "409": "The model has no gates (inspection only)",
    "413": "The body or the number of rows is over the limit",
    "415": "A content type or encoding not spoken here",
    "422": "Rows or features are wrong; `errors` says which",
    "429": "Too many rows are waiting; try again after Retry-After seconds",
    "503": "Not ready, or draining",
    "504": "The time allowed ran out",
}
_HEADERS = [
    {
        "name": "X-Request-Timeout-Ms", "in": "header", "schema": {"type": "integer", "minimum": 1},
        "description": "Give up (504) when the rows have not begun to run after so many milliseconds.",
    },
    {
        "name": "X-Request-Id", "in": "header", "schema": {"type": "string", "maxLength": 128},
        "description": "Sent back with the answer.",
    },
]  # fmt: skip

PROBLEM: Schema = {
    "type": "object",
    "description": "RFC 9457, application/problem+json.",
    "properties": {
        "type": {"type": "string"},
        "title": {"type": "string"},
        "status": {"type": "integer"},
        "detail": {"type": "string", "description": "What came, what was expected, what to do."},
        "instance": {"type": "string"},
        "code": {"type": "string", "description": "A name for programs."},
        "request_id": {"type": "string"},
        "errors": {
            "type": "array",
            "items": {
                "type": "object",
                "properties": {
                    "row": {"type": ["integer", "null"]},
                    "feature": {"type": ["string", "null"]},
                    "message": {"type": "string"},
                },
            },
        },
    },
}


def add_prediction_calls(openapi: Schema, engine: Engine) -> Schema:
    """Add the calls that take rows, for every model that is served, to the application's OpenAPI document."""
    schemas = openapi.setdefault("components", {}).setdefault("schemas", {})
    schemas["Problem"] = PROBLEM
    calls: dict[str, Schema] = {}
    for model in [engine.get(state.name) for state in engine.models() if state.ready]:
        schemas.update(model_schemas(model))
        base = f"/v1/models/{model.name}"
        calls |= _calls(model, base + ":predict", base + ":gates", f"of {model.name}")
        calls[f"/v2/models/{model.name}/infer"] = _infer(model)
    with contextlib.suppress(ServiceError):  # there may be no default model to describe
        calls |= _calls(engine.get(), "/v1/predict", "/v1/gates", "of the default model")
    for path, operation in calls.items():
        openapi["paths"].setdefault(path, {})["post"] = operation
    return openapi


def model_schemas(model: Model) -> dict[str, Schema]:
    """Return the schemas of a model's row, request, answer and inspection, under names of its own."""
    manifest, name = model.manifest, model.name
    row = {"$ref": f"#/components/schemas/{name}.Row"}
    features = {feature.name: feature_schema(feature) for feature in manifest.features}
    examples = example_rows(manifest)
    rows_or_columns: Schema = {
        "type": "object",
        "properties": {
            "instances": {"type": "array", "minItems": 1, "items": {"anyOf": [row, _list_row(manifest)]}},
            "inputs": {
                "type": "object",
                "description": "Columns instead of rows: feature name -> one value per row.",
                "additionalProperties": False,
                "properties": {f: {"type": "array", "items": schema} for f, schema in features.items()},
            },
        },
        "additionalProperties": False,
        "example": {"instances": examples[:1]},
    }
    inspection = {**rows_or_columns, "properties": rows_or_columns["properties"] | _OPTIONS}
    return {
        f"{name}.Row": {
            "type": "object",
            "description": "One row. A feature that is left out or null is missing.",
            "properties": features,
            "additionalProperties": False,
            "example": examples[0],
        },
        f"{name}.Request": rows_or_columns,
        f"{name}.Inspection": inspection,
        f"{name}.Answer": _answer(manifest),
    }


_OPTIONS: dict[str, Schema] = {
    "contributions": {"type": "boolean", "description": "Each feature's share in each gate logit, sorted by size."},
    "top_k": {"type": "integer", "minimum": 1, "description": "List so many features per gate logit."},
    "ablation": {"type": "boolean", "description": "How each prediction moves when each expert is left out."},
}


def feature_schema(feature: NumericFeature | CategoricalFeature) -> Schema:
    """Describe one feature: its type, and what the training split showed. Values beyond that are taken too."""
    missing = f"; missing in {feature.missing_share:.1%} of the training rows" if feature.missing_share else ""
    if isinstance(feature, NumericFeature):
        seen = f"Seen from {feature.minimum:g} to {feature.maximum:g}, mean {feature.mean:g}{missing}."
        return {"type": ["number", "null"], "description": seen, "examples": [feature.mean]}
    shown = ", ".join(map(repr, feature.vocabulary[:_SHOWN_VALUES]))
    more = f" and {len(feature.vocabulary) - _SHOWN_VALUES} more" if len(feature.vocabulary) > _SHOWN_VALUES else ""
    return {
        "type": ["string", "null"],
        "description": f"Seen: {shown}{more}{missing}. Any other value counts as unknown.",
        "examples": list(feature.vocabulary[:3]),
    }


def example_rows(manifest: Manifest) -> list[dict[str, Any]]:
    """Return the golden rows by feature name; a missing value is null."""
    golden = manifest.golden
    numeric, categorical = golden.numeric or ((),) * golden.rows, golden.categorical or ((),) * golden.rows
    return [
        dict(zip(manifest.feature_names, (*map(_short, numbers), *(text or None for text in texts)), strict=True))
        for numbers, texts in zip(numeric, categorical, strict=True)
    ]


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
        "items": {"type": ["number", "string", "null"]},
    }


def _answer(manifest: Manifest) -> Schema:
    gates: Schema = {"type": "null", "description": "This model has no gates."}
    if manifest.has_gates:
        weights = {
            "type": "array", "items": {"type": "number"}, "minItems": manifest.experts, "maxItems": manifest.experts,
            "description": "The weight of each expert; they sum to 1.",
        }  # fmt: skip
        gates = {"type": "object", "properties": dict.fromkeys(manifest.task_names, weights)}
    prediction = {
        "type": "object",
        "properties": {
            "tasks": {"type": "object", "properties": {task.name: _task(task) for task in manifest.tasks}},
            "gate_weights": gates,
        },
    }
    return {
        "type": "object",
        "description": "`predictions`, a row each, answers `instances`; `outputs`, in columns, answers `inputs`.",
        "properties": {
            "model": {"type": "string"},
            "version": {"type": "integer"},
            "predictions": {"type": "array", "items": prediction},
            "outputs": {"type": "object"},
        },
        "required": ["model", "version"],
    }


def _task(task: Task) -> Schema:
    if task.kind == "regression":
        return {"type": "number", "description": "The predicted value."}
    if task.kind == "binary":
        return {"type": "number", "description": f"The probability of {task.classes[1]!r}."}
    return {
        "type": "array",
        "items": {"type": "number"},
        "description": f"The probabilities, in this order, of {', '.join(map(repr, task.classes))}.",
    }


def _calls(model: Model, predict: str, gates: str, whose: str) -> dict[str, Schema]:
    name = model.name
    inspected = {"description": "Gate weights, normalised entropy and top expert of each row and task."}
    answered = {
        "description": "Every task's prediction and gate weights.",
        "content": {"application/json": {"schema": {"$ref": f"#/components/schemas/{name}.Answer"}}},
    }
    return {
        predict: _operation(f"Predictions {whose}", "predictions", f"{name}.Request", answered),
        gates: _operation(f"What the gates {whose} do", "gates", f"{name}.Inspection", inspected),
    }


def _operation(summary: str, tag: str, request: str, answered: Schema) -> Schema:
    schema = {"$ref": f"#/components/schemas/{request}"}
    problem = {"application/problem+json": {"schema": {"$ref": _PROBLEM}}}
    errors = {status: {"description": sentence, "content": problem} for status, sentence in _ERRORS.items()}
    return {
        "summary": summary,
        "tags": [tag],
        "parameters": _HEADERS,
        "requestBody": {"required": True, "content": {"application/json": {"schema": schema}}},
        "responses": {"200": answered, **errors},
    }


def _infer(model: Model) -> Schema:
    golden = model.manifest.golden
    inputs: list[dict[str, Any]] = []
    if golden.numeric:
        row = [*map(_short, golden.numeric[0])]
        inputs.append({"name": "numeric", "datatype": "FP32", "shape": [1, len(row)], "data": row})
    if golden.categorical:
        texts = list(golden.categorical[0])
        inputs.append({"name": "categorical", "datatype": "BYTES", "shape": [1, len(texts)], "data": texts})
    content = {"schema": {"type": "object"}, "example": {"inputs": inputs}}
    return {
        "summary": f"Inference of {model.name}",
        "tags": ["Open Inference Protocol v2"],
        "requestBody": {"required": True, "content": {"application/json": content}},
        "responses": {"200": {"description": "The outputs, as JSON or as raw tensors."}},
    }
