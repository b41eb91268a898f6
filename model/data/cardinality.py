"""Remarks on how many different values a column has, beside how its values are kept."""

from collections.abc import Iterator

UNKNOWN_SHARE = 0.1
"""Share of training rows with values too rare to be known above which there is a remark."""

MOST_KNOWN = 100_000
"""Values of a vocabulary above which there is a remark."""

FEW_IDS = 1_000
"""Different ids below which a vocabulary would do as well."""

COLLISION_SHARE = 0.5
"""Share of different ids that share a bucket above which there is a remark."""


def on_unknown(share: float, min_count: int, max_values: int, known: int) -> Iterator[str]:
    """Remark on categories with a large share of training rows that count as unknown.

    Args:
        share: of those rows.
        min_count: rows from which a value is known.
        max_values: the most known values; 0 for no limit.
        known: values that are.
    """
    if share <= UNKNOWN_SHARE:
        return
    if max_values and known == max_values:
        yield (
            f"{share:.0%} of the training values are none of the {known:,} most frequent ones and count as unknown; "
            "raise features.max_values, or name it in features.hashed"
        )
    else:
        yield (
            f"{share:.0%} of the training rows hold a value that fewer than {min_count} of them share and count as "
            "unknown; lower features.min_count, join rare values in the table, or add it to data.drop"
        )


def on_vocabulary(known: int) -> Iterator[str]:
    """Remark on a vocabulary so large that every process that serves it holds a lot of text."""
    if known > MOST_KNOWN:
        yield (
            f"{known:,} values are known, and whoever serves the model holds them all; name it in features.hashed, "
            "which keeps none, or limit them by features.max_values"
        )


def on_buckets(distinct: int, buckets: int, share: float, way_out: str) -> Iterator[str]:
    """Remark on hashed values that are few, or too many for their buckets.

    Args:
        distinct: different values of the training rows, in all columns of the table.
        buckets: of the embedding table.
        share: of these values, in a bucket with another one.
        way_out: what to do to have a vocabulary.
    """
    if share > COLLISION_SHARE:
        yield (
            f"{share:.0%} of {distinct:,} different values share one of {buckets:,} buckets with another one, and the "
            "network cannot tell these apart; give more buckets"
        )
    elif distinct < FEW_IDS:
        yield (
            f"{distinct:,} different values are hashed into {buckets:,} buckets: so few fit a vocabulary, in which no "
            f"two are taken for one; {way_out}"
        )
