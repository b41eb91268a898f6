"""Features with an embedding, described together, since some of them share a table."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass

import numpy as np
import polars as pl
from numpy.typing import NDArray

from model.config.data import FeatureConfig
from model.data.coding.bags import Fill, bag_feature
from model.data.coding.categorical import Spellings, categorical_feature
from model.data.coding.hashed import bucket_codes, hashed_feature
from model.data.coding.shared import buckets_of, owners_of
from model.data.coding.vocabulary import Counts, ValueIndex, choose, merge
from model.schema import BagFeature, CategoricalFeature, HashedFeature, TextFeature


@dataclass(frozen=True)
class TextStatistics:
    """Facts on the training rows' values of a column.

    Attributes:
        fill: rows, those without a value, and values.
        counts: of the values, those of bags one by one; None where buckets make them needless.
        distinct: values, or an estimate where there are no counts.
        spellings: pairs of all rows, of known and other values; see `categorical.spellings_of`.
    """

    fill: Fill
    counts: Counts | None = None
    distinct: float = 0.0
    spellings: Spellings = ()


def describe_texts(
    kinds: Mapping[str, str],
    statistics: Mapping[str, TextStatistics],
    config: FeatureConfig,
    before: Sequence[TextFeature] = (),
) -> dict[str, TextFeature]:
    """Describe the features with an embedding by their training rows.

    Args:
        kinds: of all features, in the order of the table.
        statistics: of those with an embedding.
        config: has what is known of each kind, and which share a table.
        before: features of the same names, whose vocabularies go on.

    Returns:
        By name, in the order of the schema.
    """
    owners = owners_of(kinds, config)
    members: dict[str, list[TextStatistics]] = {}
    for name, owner in owners.items():
        members.setdefault(owner, []).append(statistics[name])
    earlier = {feature.name: feature for feature in before if not isinstance(feature, HashedFeature)}
    known = {
        owner: _vocabulary(several, config, earlier[owner].vocabulary if owner in earlier else ())
        for owner, several in members.items()
        if not buckets_of(owner, config)
    }
    described: dict[str, TextFeature] = {}
    for name, owner in owners.items():
        table, found, buckets = "" if name == owner else owner, statistics[name], buckets_of(name, config)
        vocabulary, distinct = known.get(owner, ()), _distinct(members[owner]) if buckets else 0.0
        if kinds[name] == "hashed":
            described[name] = hashed_feature(name, buckets, found.fill.missing_share, distinct, table)
        elif kinds[name] == "bag":
            declared = config.bag[name]
            plain = BagFeature(name, declared.separator, declared.pooling, buckets=buckets)
            counts = None if buckets else found.counts
            described[name] = bag_feature(plain, found.fill, counts, vocabulary, distinct, table)
        else:
            assert found.counts is not None  # a vocabulary is always counted
            spellings = _spellings(found.spellings, earlier.get(name), vocabulary)
            described[name] = categorical_feature(name, found.counts, vocabulary, spellings, table)
    return described


def _spellings(found: Spellings, before: TextFeature | None, vocabulary: tuple[str, ...]) -> Spellings:
    """Keep the spellings of known values, those before included."""
    if isinstance(before, CategoricalFeature) and before.spellings:
        found = tuple(sorted({*found, *before.spellings}))
    values = frozenset(vocabulary) if found else frozenset()
    return tuple(pair for pair in found if pair[1] in values and pair[0] not in values)


def _vocabulary(members: list[TextStatistics], config: FeatureConfig, before: tuple[str, ...]) -> tuple[str, ...]:
    counts = [one.counts for one in members if one.counts is not None]
    joined = counts[0] if len(counts) == 1 else merge(counts)
    return choose(joined, config.min_count, config.max_values, before)


def _distinct(members: list[TextStatistics]) -> float:
    """Count the values of columns that share buckets; values of several columns count once."""
    counts = [one.counts for one in members if one.counts is not None]
    if len(counts) < len(members):
        return sum(one.counts.distinct if one.counts is not None else one.distinct for one in members)
    return counts[0].distinct if len(counts) == 1 else merge(counts).distinct


def tells_nothing(feature: TextFeature, statistics: TextStatistics) -> bool:
    """Check whether no training row has a value that is known."""
    if isinstance(feature, HashedFeature) or (isinstance(feature, BagFeature) and feature.buckets):
        return not statistics.fill.values
    if isinstance(feature, BagFeature):
        return not statistics.fill.values or feature.unknown_share > 1.0 - 1e-9
    return feature.missing_share + feature.unknown_share > 1.0 - 1e-9  # a joint vocabulary may hold none of its own


def encode_texts(
    feature: CategoricalFeature | HashedFeature, texts: pl.Series, index: ValueIndex | None = None
) -> NDArray[np.int64]:
    """Encode texts (R,), null or "" = missing, as codes (R,); `index` as of `encode_bags`."""
    if isinstance(feature, HashedFeature):
        return bucket_codes(texts, feature.buckets, feature.seed)
    return (index or ValueIndex(feature.vocabulary)).codes(texts)
