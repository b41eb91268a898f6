"""Growth of a trained model: the same weights, and rows for the values that are new."""

import torch
from torch import Tensor

from model.config.run import ModelConfig
from model.network.model import Model, build_model
from model.network.table import table_places
from model.schema import UNKNOWN, FeatureSchema, Task


def grown(
    known: Model, before: FeatureSchema, features: FeatureSchema, tasks: tuple[Task, ...], config: ModelConfig
) -> Model:
    """Build a model with the weights of another one, whose vocabularies go on.

    A new value starts from the row of unknown values, so that its answers are what they were.

    Args:
        known: the other one.
        before: that the other one reads.
        features: of the same names and widths; each vocabulary begins with the one before.
        tasks: of the same outputs.
        config: of the network, the same up to dropout.
    """
    model = build_model(features, tasks, config, seed=0)
    weights = {name: weight.detach() for name, weight in known.named_parameters()}
    if model.encoder.embedding is not None:
        rows, new = _rows(before, features)
        weights["encoder.embedding.weight"] = weights["encoder.embedding.weight"][rows]
        model.encoder.met = known.encoder.met[rows] & ~new
    model.load_state_dict(model.state_dict() | weights)
    return model


def _rows(before: FeatureSchema, features: FeatureSchema) -> tuple[Tensor, Tensor]:
    """List the earlier row, int64 (rows,), of each row of the embedding table, and which are new.

    That of a new one is UNKNOWN's.
    """
    places, _ = table_places(before)
    begins, count = table_places(features)
    rows, new = torch.empty(count, dtype=torch.int64), torch.ones(count, dtype=torch.bool)
    for earlier, feature in zip(before.texts, features.texts, strict=True):
        begin, place = begins[feature.name], places[feature.name]
        rows[begin : begin + feature.codes] = place + UNKNOWN
        known = slice(begin, begin + earlier.codes)
        rows[known], new[known] = place + torch.arange(earlier.codes), False
    return rows, new
