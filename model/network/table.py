"""Embedding table: rows of weights that codes point at."""

import torch
from torch import Tensor, nn

from model.schema import FeatureSchema, Pooling


class EmbeddingTable(nn.Embedding):
    """Table of embeddings, looked up by `index_select`.

    Its gradient takes a quarter of the time of nn.Embedding's. Every lookup of a model goes
    through `forward`, so that a hook there sees all rows that a batch touches: a lookup for all
    columns of one code a row, and one for each bag.
    """

    def forward(self, codes: Tensor) -> Tensor:
        """Gather the rows (n, width) of global codes (n,)."""
        return self.weight.index_select(0, codes)


def table_places(features: FeatureSchema) -> tuple[dict[str, int], int]:
    """Lay out the rows of the one embedding weight: each text feature's first row, and the sum.

    Features that share a table have the same rows.

    Raises:
        ValueError: features that share a table have different codes.
    """
    places: dict[str, tuple[int, int]] = {}
    rows = 0
    for feature in features.texts:
        place, codes = places.setdefault(feature.table or feature.name, (rows, feature.codes))
        if codes != feature.codes:
            raise ValueError(f"'{feature.name}' has {feature.codes} codes, its table '{feature.table}' has {codes}")
        rows = max(rows, place + codes)
    return {feature.name: places[feature.table or feature.name][0] for feature in features.texts}, rows


def pooled(vectors: Tensor, present: Tensor, pooling: Pooling) -> Tensor:
    """Pool the embeddings of bags (B, L, width) into (B, width).

    Args:
        vectors: of each place; where a bag has no value at all, each is that of MISSING, which is
            the answer then.
        present: bool (B, L), whether there is a value.
        pooling: mean or sum of the present ones.
    """
    total = (vectors * present.unsqueeze(-1)).sum(dim=1)
    count = present.sum(dim=1, keepdim=True)  # (B, 1)
    if pooling == "mean":
        total = total / count.clamp(min=1)
    return torch.where(count > 0, total, vectors[:, 0])
