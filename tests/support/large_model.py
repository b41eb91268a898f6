"""Hand-made models with a large embedding table, or a lookup of many strings, or both."""

import json
from dataclasses import replace
from pathlib import Path

import numpy as np
import onnx
from onnx import helper

from tests.support.hand_model import build_graph, make_manifest
from tests.support.hand_weights import HandWeights, make_weights

TABLE_ROWS = 600_000
"""Rows of a table of two columns that is large for the service: 4.8 MB."""
MANY = 120_000
"""Values of a vocabulary that is large for the service."""


def large_weights(values: int = 2, rows: int = TABLE_ROWS, kind: str = "full") -> HandWeights:
    """Draw weights.

    Args:
        values: of the vocabulary of the last feature.
        rows: least number of the table's; those that no code names are there for their size.
        kind: as of `make_weights`.
    """
    weights, rng = make_weights(kind), np.random.default_rng(7)
    city = [f"city {i}" for i in range(values - 2)] + ["São Paulo", "x" * 300]
    weights = replace(weights, vocabularies=weights.vocabularies | {"city": city})
    codes = sum(len(vocabulary) + 2 for vocabulary in weights.vocabularies.values())
    return replace(weights, table=rng.normal(size=(max(codes, rows), 2)).astype(np.float32))


def write_large_model(directory: Path, weights: HandWeights, name: str = "large", version: int = 1) -> Path:
    """Write directory/name/version/model.onnx and return its path."""
    model = build_graph(weights)
    helper.set_model_props(model, {"mmoe.manifest": json.dumps(make_manifest(weights, name))})
    path = directory / name / str(version) / "model.onnx"
    path.parent.mkdir(parents=True)
    path.write_bytes(model.SerializeToString())
    return path


def inputs_of(model: bytes) -> dict[str, list[int | str]]:
    """Return the inputs of a model and their shapes."""
    graph = onnx.load_from_string(model).graph
    return {
        value.name: [size.dim_param or size.dim_value for size in value.type.tensor_type.shape.dim]
        for value in graph.input
    }
