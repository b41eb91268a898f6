"""Encoder of raw features into the row x (B, D) that the networks read, exportable to ONNX."""

import itertools
from collections.abc import Callable, Sequence
from typing import Literal, NamedTuple

import numpy as np
import torch
from torch import Tensor, nn

from model.network.datetimes import DatetimeEncoding
from model.network.inputs import Inputs, unpadded
from model.network.table import EmbeddingTable, pooled, table_places
from model.schema import MISSING, FeatureSchema, NumericFeature, Rows

NumericEncoding = Literal["standard", "piecewise_linear", "mixed"]

LIMIT = 1e4
"""Bound of an encoded number, so that arithmetic stays finite for every finite value."""

COUNTED_ROWS = 1 << 18
"""Rows whose codes are counted at a time."""

EXACT_ROWS = 1 << 20
"""Embedding rows up to which averages over a table are summed in float32."""


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


def _mixed(index: int, feature: NumericFeature) -> list[_Column]:
    """Encode by the value itself and, beside it, by quantile bins that end where training has.

    Beyond the outer edges the value alone goes on: where a bin is a tenth of a deviation wide, a
    far value would be hundreds.
    """
    edges = feature.bin_edges if len(feature.bin_edges) > 2 else ()
    return _standard(index, feature) + [_Column(index, a, b - a, 0.0, 1.0) for a, b in itertools.pairwise(edges)]


ENCODINGS: dict[NumericEncoding, Callable[[int, NumericFeature], list[_Column]]] = {
    "standard": _standard,
    "piecewise_linear": _piecewise_linear,
    "mixed": _mixed,
}


class Encoder(nn.Module):
    """Encoding of raw features as D columns.

    The columns are numbers, missing indicators, parts of moments, and embeddings.

    A missing number is replaced by the feature's mean, and a feature that was ever missing in
    training gets an indicator column beside it. All text features share one embedding weight; each
    owns the rows from its offset on, unless it shares those of another, so that a value's global
    code is the offset + its per-column code. A bag's embeddings are pooled.

    Attributes:
        width: D.
        column_feature: int64 (D,), the raw feature (0..F-1, in the order of FeatureSchema.names)
            that each encoded column comes from.
        offsets: int64 (C + H,).
        bag_offsets: int64 (G,).
        table_starts: int64 (tables with rows of their own,), the first row of each.
        met: bool (rows of the embedding table,), those that training rows have used so far.
        tables: how many independent embeddings there are; with more than one, x is (B, tables, D)
            if there are text features, and every table's slice has the same numbers.
    """

    offsets: Tensor
    bag_offsets: Tensor
    table_starts: Tensor
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
        encode = ENCODINGS[numeric_encoding]
        columns = [column for i, feature in enumerate(features.numeric) for column in encode(i, feature)]
        indicated = [i for i, feature in enumerate(features.numeric) if feature.missing_share > 0.0]
        self.numeric_features, self.single_features = len(features.numeric), len(features.single)
        self.pooling = [feature.pooling for feature in features.bags]
        self.embedding_dim, self.tables = embedding_dim, tables
        self.one_to_one = [c.feature for c in columns] == list(range(self.numeric_features))
        self.alike = all((column.low, column.high) == (-LIMIT, LIMIT) for column in columns)
        self._keep_columns(columns, [feature.mean for feature in features.numeric], indicated)
        self.datetimes = DatetimeEncoding(features.datetimes, LIMIT) if features.datetimes else None
        texts = range(self.numeric_features, self.numeric_features + len(features.texts))
        owners = [c.feature for c in columns] + indicated
        owners += [texts.stop + k for k in (self.datetimes.owners if self.datetimes is not None else [])]
        owners += [text for text in texts for _ in range(embedding_dim)]
        self.register_buffer("column_feature", torch.tensor(owners, dtype=torch.int64))
        self.width = len(owners)
        rows = self._keep_offsets(features)
        self.met = torch.zeros(rows, dtype=torch.bool)
        self.embedding = EmbeddingTable(rows, tables * embedding_dim) if rows else None
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

    def _keep_offsets(self, features: FeatureSchema) -> int:
        """Lay out the embedding rows of text features; returns how many rows there are."""
        places, rows = table_places(features)
        offsets, single = [places[feature.name] for feature in features.texts], len(features.single)
        self.register_buffer("offsets", torch.tensor(offsets[:single], dtype=torch.int64))
        self.register_buffer("bag_offsets", torch.tensor(offsets[single:], dtype=torch.int64), persistent=False)
        self.register_buffer("table_starts", torch.tensor(sorted(set(offsets)), dtype=torch.int64), persistent=False)
        return rows

    def forward(self, inputs: Inputs) -> Tensor:
        """Encode B rows: x (B, D), or (B, tables, D) where there are several tables."""
        parts: list[Tensor] = []
        if self.numeric_features:
            parts += self._numbers(inputs.numeric)
        if self.datetimes is not None and inputs.datetimes is not None:
            parts.append(self.datetimes(inputs.datetimes))
        if self.embedding is None:
            return torch.cat(parts, dim=-1)  # (B, D)
        embedded = self._embedded(self.embedding, inputs)  # (B, tables, (C + H + G) * dim) or without tables
        if self.tables > 1:
            parts = [p.unsqueeze(1).expand(-1, self.tables, -1) for p in parts]
        return torch.cat([*parts, embedded], dim=-1) if parts else embedded

    def _numbers(self, numeric: Tensor) -> list[Tensor]:
        """Encode numbers (B, N), NaN = missing, and their indicators."""
        missing = numeric.isnan()  # (B, N)
        filled = torch.where(missing, self.fill, numeric)
        picked = filled if self.one_to_one else filled.index_select(-1, self.source)
        scaled = (picked - self.start) / self.size
        parts = [scaled.clamp(-LIMIT, LIMIT) if self.alike else scaled.clamp(self.low, self.high)]
        if len(self.indicated):
            parts.append(missing.index_select(-1, self.indicated).to(numeric.dtype))
        return parts

    def _embedded(self, table: EmbeddingTable, inputs: Inputs) -> Tensor:
        """Embed codes, and pool those of bags."""
        found: list[Tensor] = []
        if self.single_features:
            vectors = table((inputs.codes + self.offsets).flatten())  # (B * (C + H), tables * dim)
            found.append(vectors.view(-1, self.single_features, self.tables * self.embedding_dim))
        for bag, (codes, pooling) in enumerate(zip(inputs.bags, self.pooling, strict=True)):
            vectors = table((codes + self.bag_offsets[bag : bag + 1]).flatten()).view(*codes.shape, -1)
            found.append(pooled(vectors, codes != MISSING, pooling).unsqueeze(1))
        by_column = torch.cat(found, dim=1) if len(found) > 1 else found[0]  # (B, C + H + G, tables * dim)
        if self.tables > 1:
            by_column = by_column.view(len(by_column), -1, self.tables, self.embedding_dim).transpose(1, 2)
        return by_column.flatten(-2)

    def count_codes(self, rows: Rows, chunk: int = COUNTED_ROWS) -> Tensor:
        """Count how often the rows of a split use each row of the embedding table.

        A bag without values counts as one MISSING.

        Args:
            rows: a split; where it has weights, each of its rows counts so often.
            chunk: rows that are counted at a time.

        Returns:
            int64 (rows of the table,), or float64 with weights.
        """
        total = self.embedding.num_embeddings if self.embedding is not None else 0
        counts = np.zeros(total, np.int64 if rows.weights is None else np.float64)
        offsets, bag_offsets = self.offsets.cpu().numpy(), self.bag_offsets.tolist()
        for begin in range(0, len(rows) if total else 0, chunk):
            part = slice(begin, begin + chunk)
            weights = None if rows.weights is None else rows.weights[part].astype(np.float64)
            used = [(rows.codes[part] + offsets, weights if weights is None else weights.repeat(len(offsets)))]
            for bag, offset in zip(rows.bags, bag_offsets, strict=True):
                codes, owners = unpadded(bag, part)
                used.append((codes.astype(np.int64) + offset, weights if weights is None else weights[owners]))
            for codes, times in used:
                counts += np.bincount(codes.ravel(), times, total).astype(counts.dtype, copy=False)
        return torch.from_numpy(counts).to(self.offsets.device)

    @torch.no_grad()
    def average_unseen(self, counts: Tensor) -> None:
        """Set embedding rows that no training row has ever used to their table's mean.

        The mean of the table's other rows, weighted by count.

        Such a row (UNKNOWN, MISSING) still holds its random start; the mean says "an average
        value" instead.

        Args:
            counts: (rows of the table,), as `count_codes` gives it for the training split.
        """
        if self.embedding is None:
            return
        weight = self.embedding.weight
        self.met = self.met.to(counts.device) | (counts > 0)
        table = torch.bucketize(torch.arange(len(weight), device=weight.device), self.table_starts, right=True) - 1
        tables = len(self.table_starts)
        exact = torch.float64 if len(weight) > EXACT_ROWS else weight.dtype
        count = counts.to(exact).unsqueeze(-1)  # (rows, 1)
        sums = torch.zeros(tables, weight.shape[1], dtype=exact, device=weight.device)
        sums.index_add_(0, table, count * weight)
        met = counts.new_zeros(tables).index_add_(0, table, counts)
        averages = (sums / met.to(exact).unsqueeze(-1).clamp(min=1.0)).to(weight)
        weight.copy_(torch.where(self.met.unsqueeze(-1), weight, averages[table]))
