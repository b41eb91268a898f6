"""Size of the artifact: what it will take, known before anything is trained."""

from collections.abc import Sequence

import torch

from model.config.run import ModelConfig
from model.errors import ExportError
from model.mmoe import count_parameters
from model.network.model import build_model
from model.schema import CategoricalFeature, FeatureSchema, HashedFeature, Task, TextFeature

LARGEST_FILE = 2**31 - 1
"""Bytes of a protobuf message, which an ONNX file is."""

REST = 1 << 20
"""Bytes for nodes, golden rows and figures."""

BYTES_A_VALUE = 24
"""Beside the text of a value itself: its code, prefix, quotes and lengths."""


def refuse_too_large(features: FeatureSchema, config: ModelConfig, tasks: Sequence[Task]) -> None:
    """Refuse a model whose file would pass what protobuf holds.

    Raises:
        ExportError: one sentence, which names the largest feature and what would make it smaller.
    """
    size = expected_bytes(features, config, tasks)
    if size <= LARGEST_FILE:
        return
    tables = len(tasks) if config.architecture == "single_task" else 1
    width = 4 * tables * config.embedding_dim
    largest = max(features.texts, key=lambda feature: feature.codes * width + _text_bytes(feature), default=None)
    named = "" if largest is None else f"; {_advice(largest, width)}"
    raise ExportError(
        f"the file would have about {size / 1e9:.1f} GB, and an ONNX file holds at most {LARGEST_FILE / 1e9:.1f} GB"
        f"{named}; nothing was trained"
    )


def expected_bytes(features: FeatureSchema, config: ModelConfig, tasks: Sequence[Task]) -> int:
    """Estimate the bytes of the file: weights, and vocabularies, whose text it has twice."""
    with torch.device("meta"):
        parameters = count_parameters(build_model(features, tasks, config))
    return REST + 4 * parameters + sum(map(_text_bytes, features.texts))


def _text_bytes(feature: TextFeature) -> int:
    if isinstance(feature, HashedFeature):
        return 0
    return sum(2 * len(value.encode()) + BYTES_A_VALUE for value in feature.vocabulary)


def _advice(feature: TextFeature, width: int) -> str:
    """Say what a feature's embeddings take, and which keys make them smaller."""
    taken = f"the {feature.codes:,} embeddings of '{feature.name}' take {feature.codes * width / 1e9:.1f} GB of it"
    if isinstance(feature, HashedFeature):
        key = f"features.hashed.{feature.name}"
    elif isinstance(feature, CategoricalFeature) or not feature.buckets:
        key = "features.max_values"
    else:
        key = f"features.bag.{feature.name}.buckets"
    return f"{taken}: set {key} or model.embedding_dim lower"
