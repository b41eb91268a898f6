"""Baseline: the FastAPI service that most people would write around an ONNX file.

Started as `MODEL=model.onnx uvicorn benchmarks.by_hand:app`. Everything is what tutorials show: a
pydantic model of the body, a `def` endpoint (so a thread per request), onnxruntime's default
session options, a dict as the answer. It returns the gate weights too. The return annotation lets
FastAPI render with pydantic's serialiser, its fastest way.
"""

import os
from typing import Any

import numpy as np
import onnxruntime
from fastapi import FastAPI
from pydantic import BaseModel, create_model


class Lists(BaseModel):
    """Rows as lists of numbers."""

    instances: list[list[float]]


def create_app(path: str) -> FastAPI:
    """Serve the model at a path.

    Lists of floats for a model of numbers, named rows for one with strings.
    """
    app = FastAPI()
    session = onnxruntime.InferenceSession(path)
    inputs = [tensor.name for tensor in session.get_inputs()]
    outputs = [tensor.name for tensor in session.get_outputs()]

    def answer(feed: dict[str, Any]) -> dict[str, Any]:
        results = session.run(outputs, feed)
        return {"predictions": {name: result.tolist() for name, result in zip(outputs, results, strict=True)}}

    if "categorical" not in inputs:

        @app.post("/predict")
        def predict(request: Lists) -> dict[str, Any]:
            return answer({"numeric": np.array(request.instances, dtype=np.float32)})

        return app

    numeric, categorical = feature_names(session)
    fields: dict[str, Any] = {name: (float, ...) for name in numeric} | {name: (str, ...) for name in categorical}
    Row = create_model("Row", **fields)  # what a person types out, one line per column of the table
    Rows = create_model("Rows", instances=(list[Row], ...))  # type: ignore[valid-type]

    @app.post("/predict")
    def predict_named(request: Rows) -> dict[str, Any]:  # type: ignore[valid-type]
        rows = request.instances  # type: ignore[attr-defined]
        feed = {
            "numeric": np.array([[getattr(row, name) for name in numeric] for row in rows], dtype=np.float32),
            "categorical": np.array([[getattr(row, name) for name in categorical] for row in rows], dtype=object),
        }
        return answer(feed)

    return app


def feature_names(session: onnxruntime.InferenceSession) -> tuple[list[str], list[str]]:
    """Read the numeric and the categorical feature names from the model's manifest."""
    import json

    features = json.loads(session.get_modelmeta().custom_metadata_map["mmoe.manifest"])["features"]
    return tuple([f["name"] for f in features if f["kind"] == kind] for kind in ("numeric", "categorical"))  # type: ignore[return-value]


if "MODEL" in os.environ:
    app = create_app(os.environ["MODEL"])
