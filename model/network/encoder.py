"""Encoder of raw features into the row x (B, D) that the networks read, exportable to ONNX."""

import itertools
from collections.abc import Iterable, Sequence
from typing import Literal, NamedTuple

import torch
from torch import Tensor, nn

from model.network.inputs import Inputs
from model.network.table import EmbeddingTable
from model.schema import FeatureSchema, NumericFeature

NumericEncoding = Literal["standard", "piecewise_linear"]

LIMIT = 1e4
"""Bound of an encoded number, so that arithmetic stays finite for every finite value."""


class _Column(NamedTuple):
    """Encoded number: clamp((value - start) / size, low, high) of a numeric feature."""

    feature: int
    start: float
    size: float
    low: float
    high: float


def _standard(index: int, feature: NumericFeature) -> list[_Column]:
    return [_Column(index, feature.mean, feature.std, -LIMIT, LIMIT)]


def _piecewise_linear(index: int, feature: NumericFeature) -> list[_Column]:
    """Encode by quantile bins: a column per bin rises from 0 to 1 (Gorishniy et al. 2022).

    The first bin goes on below and the last above what training has seen, as in the paper.
    """
    edges = feature.bin_edges
    if len(edges) < 3:  # one bin or none says no more than the value itself
        return _standard(index, feature)
    columns = [_Column(index, a, b - a, 0.0, 1.0) for a, b in itertools.pairwise(edges)]
    columns[0] = columns[0]._replace(low=-LIMIT)
    columns[-1] = columns[-1]._replace(high=LIMIT)
    return columns


class Encoder(nn.Module):
    """Encoding of N numeric and C categorical features as D columns.

    The columns are numbers, missing indicators and embeddings.

    A missing number is replaced by the feature's mean, and a feature that was ever missing in
    training gets an indicator column beside it. All categorical columns share one embedding table;
    column c owns the rows from `offsets[c]` on, so that a value's global code is offsets[c] + its
    per-column code.

    Attributes:
        width: D.
        column_feature: int64 (D,), the raw feature (0..N+C-1, numeric first) that each encoded
            column comes from.
        offsets: int64 (C,).
        tables: how many independent embeddings there are; with more than one, x is (B, tables, D)
            if there are categorical features, and every table's slice has the same numbers.
    """

    offsets: Tensor
    column_feature: Tensor
    fill: Tensor
    source: Tensor
    start: Tensor
    size: Tensor
    low: Tensor
    high: Tensor
    indicated: Tensor

    def __init__(
        self,
        features: FeatureSchema,
        embedding_dim: int = 8,
        numeric_encoding: NumericEncoding = "standard",
        tables: int = 1,
    ) -> None:
        super().__init__()
        encode = _piecewise_linear if numeric_encoding == "piecewise_linear" else _standard
        columns = [column for i, feature in enumerate(features.numeric) for column in encode(i, feature)]
        indicated = [i for i, feature in enumerate(features.numeric) if feature.missing_share > 0.0]
        sizes = [feature.codes for feature in features.categorical]
        self.numeric_features, self.categorical_features = len(features.numeric), len(sizes)
        self.embedding_dim, self.tables = embedding_dim, tables
        self.one_to_one = [c.feature for c in columns] == list(range(self.numeric_features))
        self.alike = all((column.low, column.high) == (-LIMIT, LIMIT) for column in columns)
        self._keep_columns(columns, [feature.mean for feature in features.numeric], indicated)
        first = self.numeric_features
        owners = [c.feature for c in columns] + indicated
        owners += [first + c for c in range(len(sizes)) for _ in range(embedding_dim)]
        self.register_buffer("column_feature", torch.tensor(owners, dtype=torch.int64))
        self.register_buffer("offsets", torch.tensor([sum(sizes[:c]) for c in range(len(sizes))], dtype=torch.int64))
        self.width = len(owners)
        self.embedding = EmbeddingTable(sum(sizes), tables * embedding_dim) if sizes else None
        if self.embedding is not None:
            bound = embedding_dim**-0.5
            nn.init.uniform_(self.embedding.weight, -bound, bound)

    def _keep_columns(self, columns: Sequence[_Column], fill: Sequence[float], indicated: Sequence[int]) -> None:
        self.register_buffer("fill", torch.tensor(fill, dtype=torch.float32))
        self.register_buffer("source", torch.tensor([c.feature for c in columns], dtype=torch.int64))
        for name in ("start", "size", "low", "high"):
            values = [getattr(column, name) for column in columns]
            self.register_buffer(name, torch.tensor(values, dtype=torch.float32))
        self.register_buffer("indicated", torch.tensor(indicated, dtype=torch.int64))

    def forward(self, inputs: Inputs) -> Tensor:
        """Encode B rows: x (B, D), or (B, tables, D) where there are several tables."""
        numeric = inputs.numeric
        parts: list[Tensor] = []
        if self.numeric_features:
            missing = numeric.isnan()  # (B, N)
            filled = torch.where(missing, self.fill, numeric)
            picked = filled if self.one_to_one else filled.index_select(-1, self.source)
            scaled = (picked - self.start) / self.size
            parts.append(scaled.clamp(-LIMIT, LIMIT) if self.alike else scaled.clamp(self.low, self.high))
            if len(self.indicated):
                parts.append(missing.index_select(-1, self.indicated).to(numeric.dtype))
        if self.embedding is not None:
            embedded = self.embedding((inputs.codes + self.offsets).flatten())  # (B * C, tables * dim)
            if self.tables > 1:
                by_column = embedded.view(-1, self.categorical_features, self.tables, self.embedding_dim)
                by_table = by_column.transpose(1, 2).flatten(2)  # (B, tables, C * dim)
                return self._join([p.unsqueeze(1).expand(-1, self.tables, -1) for p in parts], by_table)
            return self._join(parts, embedded.view(-1, self.categorical_features * self.embedding_dim))
        return torch.cat(parts, dim=-1)  # (B, D)

    def _join(self, parts: list[Tensor], embedded: Tensor) -> Tensor:
        return torch.cat([*parts, embedded], dim=-1) if parts else embedded

    def count_codes(self, batches: Iterable[Inputs]) -> Tensor:
        """Count how often each row of the embedding table occurs in batches: int64 (rows,)."""
        rows = self.embedding.num_embeddings if self.embedding is not None else 0
        counts = self.offsets.new_zeros(rows)
        for inputs in batches:
            counts += torch.bincount((inputs.codes + self.offsets).flatten(), minlength=rows)
        return counts

    @torch.no_grad()
    def average_unseen(self, counts: Tensor) -> None:
        """Set embedding rows that no training row has used to their column's mean.

        The mean of the column's other rows, weighted by count.

        Such a row (UNKNOWN, MISSING) still holds its random start; the mean says "an average
        value" instead.

        Args:
            counts: (rows of the table,), as `count_codes` gives it for the training split.
        """
        if self.embedding is None:
            return
        weight = self.embedding.weight
        column = torch.bucketize(torch.arange(len(weight), device=weight.device), self.offsets, right=True) - 1
        count = counts.to(weight).unsqueeze(-1)  # (rows, 1)
        columns = len(self.offsets)
        sums = weight.new_zeros(columns, weight.shape[1]).index_add_(0, column, count * weight)
        met = count.new_zeros(columns, 1).index_add_(0, column, count).clamp(min=1.0)
        weight.copy_(torch.where(count > 0, weight, (sums / met)[column]))
