"""What the calls answer, in the words of OpenAPI.

A route says `responses=answers("Models", 404)`: one of the schemas here, and the errors that it may give. document.py
adds what errors have in common, and describes the calls that are no routes.
"""

from typing import Any

Schema = dict[str, Any]


def answers(schema: str | None, *errors: int, **others: Schema) -> dict[int | str, Schema]:
    """Describe what a route answers, for its `responses=`.

    Args:
        schema: name of the schema of the JSON of a 200, one of SCHEMAS or "Manifest"; None where it is not JSON.
        errors: the statuses that the route may answer instead; 500 goes without saying.
        others: schemas of other content types of a 200, with a double underscore for the slash: text__plain.
    """
    contents = {kind.replace("__", "/"): {"schema": other} for kind, other in others.items()}
    if schema is not None:
        contents["application/json"] = {"schema": ref(schema)}
    return {200: {"content": contents} if contents else {}, **{status: {} for status in errors}}


def obj(required: Schema, optional: Schema | None = None, **more: Any) -> Schema:
    """Describe an object by its properties; later versions may add others."""
    return {"type": "object", "properties": {**required, **(optional or {})}, "required": list(required), **more}


def array(items: Schema, **more: Any) -> Schema:
    """Describe an array."""
    return {"type": "array", "items": items, **more}


def mapping(values: Schema, **more: Any) -> Schema:
    """Describe an object of any keys, such as names of tasks."""
    return {"type": "object", "additionalProperties": values, **more}


def ref(name: str) -> Schema:
    """Point to one of the document's schemas."""
    return {"$ref": f"#/components/schemas/{name}"}


def or_null(schema: Schema) -> Schema:
    """Describe what may be null."""
    return {**schema, "type": [schema["type"], "null"]} if "type" in schema else {"anyOf": [schema, {"type": "null"}]}


TEXT: Schema = {"type": "string"}
NUMBER: Schema = {"type": "number"}
COUNT: Schema = {"type": "integer", "minimum": 0}
TRUTH: Schema = {"type": "boolean"}
NUMBERS, MATRIX = array(NUMBER), array(array(NUMBER))

_VERSION_ENTRY: Schema = {
    "version": {"type": "integer", "minimum": 1},
    "state": {"enum": ["loaded", "available", "refused"]},
    "reason": {"type": ["string", "null"], "description": "Why it is not loaded."},
}

_TASK_GATE: Schema = {
    "utilisation": NUMBERS,
    "entropy": {**NUMBER, "description": "In nats."},
    "normalised_entropy": NUMBER,
    "top_expert_share": NUMBERS,
    "histogram": array(array(COUNT)),
}

_DRIFT = obj(
    {
        "level": {"enum": ["stable", "moderate", "major", "too_few_rows"]},
        "jensen_shannon": NUMBER,
        "jensen_shannon_by_chance": NUMBER,
        "population_stability_index": NUMBER,
        "population_stability_index_by_chance": NUMBER,
        "population_stability_index_by_expert": NUMBERS,
    }
)

_INSPECTED_TASK = obj(
    {"gate_weights": NUMBERS, "normalised_entropy": NUMBER, "top_expert": COUNT},
    {
        "contributions": array(
            obj(
                {
                    "base": NUMBER,
                    "logit": NUMBER,
                    "features": array(obj({"feature": TEXT, "contribution": NUMBER})),
                },
                {"rest": NUMBER},
            ),
            description="Per expert: where its gate logit comes from.",
        ),
        "ablation": {"type": "array", "description": "Per expert: the prediction without it less the prediction."},
    },
)

_TENSOR: Schema = {
    "name": TEXT,
    "datatype": {"enum": ["FP32", "BYTES"]},
    "shape": array({"type": "integer", "minimum": -1}),
}

_SERIES = obj({"utilisation": array(or_null(NUMBERS)), "normalised_entropy": array(or_null(NUMBER))})

SCHEMAS: dict[str, Schema] = {
    "Problem": obj(
        {
            "type": TEXT,
            "title": TEXT,
            "status": {"type": "integer"},
            "detail": {**TEXT, "description": "What came, what was expected, what to do."},
            "instance": TEXT,
            "code": {**TEXT, "description": "A name for programs."},
            "request_id": TEXT,
            "errors": array(
                obj({"row": {"type": ["integer", "null"]}, "feature": {"type": ["string", "null"]}, "message": TEXT})
            ),
        },
        {"more_errors": {**COUNT, "description": "How many more there are than `errors` lists."}},
        description="RFC 9457, application/problem+json.",
    ),
    "Refusal": obj({"error": TEXT}, description="An error of the Open Inference Protocol.", additionalProperties=False),
    "Version": obj({"name": TEXT, "ready": TRUTH, **_VERSION_ENTRY}),
    "Model": obj(
        {
            "name": TEXT,
            "ready": {**TRUTH, "description": "Whether the model answers."},
            "default": {**TRUTH, "description": "Whether the short calls mean it."},
            "version": {"type": ["integer", "null"], "description": "The one that answers."},
            "pinned": {"type": ["integer", "null"], "description": "The one that is served in place of the highest."},
            "shadow": {"type": ["integer", "null"], "description": "The one that is loaded to be compared with it."},
            "note": {"type": ["string", "null"], "description": "What an operator should know, and what ends it."},
            "versions": array(obj(_VERSION_ENTRY)),
        }
    ),
    "Pinned": obj({"model": TEXT, "version": {"type": "integer"}, "pinned": TRUTH}),
    "ShadowAsked": obj({"model": TEXT, "shadow": {"type": ["integer", "null"]}, "share": or_null(NUMBER)}),
    "Shadow": obj(
        {
            "model": TEXT,
            "version": {"type": ["integer", "null"]},
            "shadow": {"type": ["integer", "null"]},
            "active": TRUTH,
            "share": or_null(NUMBER),
            "rows": COUNT,
            "dropped_rows": COUNT,
            "failed_rows": COUNT,
            "tasks": mapping(
                obj(
                    {
                        "kind": TEXT,
                        "mean_absolute_difference": or_null(NUMBER),
                        "largest_absolute_difference": or_null(NUMBER),
                        "disagreement": or_null(NUMBER),
                        "gates": or_null(
                            obj({"jensen_shannon": or_null(NUMBER), "top_expert_agreement": or_null(NUMBER)})
                        ),
                    }
                )
            ),
        }
    ),
    "Models": obj({"models": array(ref("Model"))}),
    "Answer": obj(
        {"model": TEXT, "version": {"type": "integer"}},
        {
            "predictions": array(
                obj({"tasks": {"type": "object"}, "gate_weights": or_null(mapping(NUMBERS))}), description="A row each."
            ),
            "outputs": obj({"tasks": {"type": "object"}, "gate_weights": or_null(mapping(MATRIX))}),
        },
        description="`predictions`, a row each, answers `instances`; `outputs`, in columns, answers `inputs`.",
        oneOf=[{"required": ["predictions"]}, {"required": ["outputs"]}],
    ),
    "InspectionAnswer": obj(
        {
            "model": TEXT,
            "version": {"type": "integer"},
            "task_names": array(TEXT),
            "rows": array(obj({"tasks": mapping(_INSPECTED_TASK)})),
            "tasks": mapping(obj({"utilisation": NUMBERS, "normalised_entropy": NUMBER})),
            "similarity": {**MATRIX, "description": "Of each two tasks, in the order of `task_names`."},
        }
    ),
    "TrafficAnswer": obj(
        {
            "model": TEXT,
            "version": {"type": "integer"},
            "window": TEXT,
            "window_s": NUMBER,
            "rows": COUNT,
            "experts": COUNT,
            "task_names": array(TEXT),
            "tasks": mapping(obj({k: or_null(v) for k, v in _TASK_GATE.items()} | {"drift": or_null(_DRIFT)})),
            "similarity": or_null(MATRIX),
            "dead_experts": or_null(array(COUNT)),
            "collapsed_gates": or_null(array(TEXT)),
            "baseline": obj(
                {"rows": COUNT, "histogram_edges": NUMBERS, "tasks": mapping(obj(_TASK_GATE)), "similarity": MATRIX}
            ),
            "thresholds": {"type": "object"},
            "series": obj(
                {"start": TEXT, "resolution_s": NUMBER, "rows": array(COUNT), "tasks": mapping(_SERIES)},
                description="The window in 60 buckets, oldest first.",
            ),
        }
    ),
    "Live": obj({"live": TRUTH}),
    "Ready": obj({"ready": TRUTH}),
    "Alive": obj({"status": {"const": "alive"}}),
    "ServerMetadata": obj({"name": TEXT, "version": TEXT, "extensions": array(TEXT)}),
    "ServerHealth": obj({"live": TRUTH, "ready": TRUTH}),
    "ModelNames": obj({"models": array(TEXT)}),
    "ModelMetadata": obj(
        {
            "name": TEXT,
            "versions": array(TEXT),
            "platform": TEXT,
            "inputs": array(obj(_TENSOR)),
            "outputs": array(obj(_TENSOR)),
        }
    ),
    "ModelReady": obj({"name": TEXT, "ready": TRUTH}),
    "RepositoryIndex": array(
        obj({"name": TEXT, "version": TEXT, "state": {"enum": ["READY", "UNAVAILABLE"]}, "reason": TEXT})
    ),
    "InferAnswer": obj(
        {
            "model_name": TEXT,
            "model_version": TEXT,
            "outputs": array(
                obj(
                    {"name": TEXT, "shape": array(COUNT), "datatype": {"const": "FP32"}},
                    {
                        "data": NUMBERS,
                        "parameters": obj({"binary_data_size": COUNT}),
                    },
                )
            ),
        },
        {"id": TEXT},
    ),
}
"""Of all answers that do not depend on the model, by the names that the document gives them."""
