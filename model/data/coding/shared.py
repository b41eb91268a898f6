"""Embedding tables that several features look into."""

from collections.abc import Mapping

from model.config.data import FeatureConfig
from tables.errors import DataError

TEXT_KINDS = ("categorical", "hashed", "bag")
"""Kinds with an embedding, in the order of the schema."""


def buckets_of(name: str, config: FeatureConfig) -> int:
    """Look up the buckets of a feature; 0 for one with a vocabulary."""
    return config.bag[name].buckets if name in config.bag else config.hashed.get(name, 0)


def check_groups(kinds: Mapping[str, str], config: FeatureConfig) -> None:
    """Check that the features of every group can share a table.

    Args:
        kinds: of all features, by name.
        config: has the groups, `share`.

    Raises:
        DataError: for a column that is not a feature, has no embedding, or another size of it.
    """
    for group in config.share:
        for name in group:
            if kinds.get(name) not in TEXT_KINDS:
                held = "not a feature" if name not in kinds else f"of kind '{kinds[name]}', which has no embedding"
                raise DataError(
                    f"features.share names '{name}', which is {held}; expected columns of features.categorical, "
                    "features.hashed or features.bag"
                )
            first, here = (buckets_of(one, config) for one in (group[0], name))
            if first != here:
                told = [f"{size:,} buckets" if size else "a vocabulary" for size in (first, here)]
                raise DataError(
                    f"features.share joins '{group[0]}' with {told[0]} and '{name}' with {told[1]}; all columns of a "
                    "group have a vocabulary, or all have as many buckets"
                )


def owners_of(kinds: Mapping[str, str], config: FeatureConfig) -> dict[str, str]:
    """Name the feature that owns the table of each feature with an embedding.

    Args:
        kinds: of all features, by name, in the order of the table.
        config: has the groups, `share`.

    Returns:
        By name, in the order of the schema: the first of the feature's group, or itself.
    """
    ordered = [name for kind in TEXT_KINDS for name, held in kinds.items() if held == kind]
    group_of = {name: number for number, group in enumerate(config.share) for name in group}
    first: dict[int, str] = {}
    return {name: first.setdefault(group_of[name], name) if name in group_of else name for name in ordered}
