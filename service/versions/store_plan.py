"""Choice of the versions of a store to hold copies of, within a budget of bytes."""

from collections.abc import Collection, Iterable, Mapping
from typing import NamedTuple

from service.versions.store_copies import Copy, Key
from stores.store import Stored


class Plan(NamedTuple):
    """Plan of a round.

    Attributes:
        evict: copies that make room, to be removed first.
        fetch: versions to copy, the most urgent first.
        lacking: versions of the store that are wanted and for which the budget has no room.
    """

    evict: list[Key]
    fetch: list[Key]
    lacking: list[Key]


def plan(
    remote: Mapping[Key, Stored],
    local: Mapping[Key, Copy],
    served: Collection[Key],
    wanted: Iterable[Key],
    budget: int,
) -> Plan:
    """Choose what to copy and what to remove.

    Served copies stay in any case. Then come the versions that are wanted, and then the other
    copies, those that were served last first, until the first that finds no room.

    Args:
        remote: versions of the store.
        local: copies.
        served: versions that must not be removed.
        wanted: versions to hold, the most urgent first.
        budget: most bytes of all copies together.
    """
    room = budget - sum(local[key].size for key in local if key in served)
    kept, fetch, lacking = {key for key in local if key in served}, list[Key](), list[Key]()
    for key in dict.fromkeys(wanted):
        new, old = remote.get(key), local.get(key)
        keep, held = old is not None, 0 if old is None or key in kept else old.size
        fresh = 0 if new is None or (old is not None and old.etag == new.etag) else new.size
        if held + fresh > room and fresh and key not in kept:
            keep, held = False, 0  # what is replaced makes room at once
        if held + fresh > max(room, 0):
            lacking += [] if new is None else [key]
            continue
        room -= held + fresh
        kept |= {key} if keep else set()
        fetch += [key] if fresh else []
    for key in sorted(local.keys() - kept - set(fetch), key=lambda key: (local[key].used, key[1]), reverse=True):
        if local[key].size > room:
            break
        room -= local[key].size
        kept.add(key)
    return Plan([key for key in local if key not in kept], fetch, lacking)


def newest(keys: Iterable[Key], reach: Mapping[str, int]) -> list[Key]:
    """List the highest versions of each model: all models' highest first, then all second ones.

    Args:
        keys: versions that there are.
        reach: how many of each model.
    """
    ranked: dict[str, list[int]] = {}
    for name, version in sorted(keys, reverse=True):
        ranked.setdefault(name, []).append(version)
    found = [(rank, name, v) for name, versions in ranked.items() for rank, v in enumerate(versions[: reach[name]])]
    return [(name, version) for _, name, version in sorted(found)]
