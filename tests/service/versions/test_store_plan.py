from hypothesis import HealthCheck, example, given, settings
from hypothesis import strategies as st

from service.versions.store_copies import Copy
from service.versions.store_plan import newest, plan
from stores.store import Stored

KEYS = st.tuples(st.sampled_from(["a", "b"]), st.integers(1, 6))
ETAGS = st.sampled_from(["new", "old"])
REMOTE = st.dictionaries(KEYS, st.builds(Stored, st.just(""), st.integers(0, 9), ETAGS))
LOCAL = st.dictionaries(KEYS, st.builds(Copy, st.integers(0, 9), ETAGS, st.integers(0, 9)))


@settings(deadline=None, suppress_health_check=[HealthCheck.too_slow])
@given(REMOTE, LOCAL, st.frozensets(KEYS), st.lists(KEYS), st.integers(0, 40))
@example(
    {("a", 1): Stored("", 1, "old")},
    {("a", 1): Copy(0, "new", 0), ("a", 2): Copy(0, "new", 0)},
    frozenset(),
    [("a", 1)],
    1,
)
@example(
    {("a", 3): Stored("", 9, "new")}, {("a", 3): Copy(9, "new", 0)}, frozenset({("a", 3)}), [("a", 1), ("a", 3)], 5
)
def test_the_budget_holds_and_what_is_served_stays(
    remote: dict[tuple[str, int], Stored],
    local: dict[tuple[str, int], Copy],
    served: frozenset[tuple[str, int]],
    wanted: list[tuple[str, int]],
    budget: int,
) -> None:
    evict, fetch, lacking = plan(remote, local, served, wanted, budget)
    assert not served & set(evict)
    kept = local.keys() - set(evict)
    size = sum(local[key].size for key in kept) + sum(remote[key].size for key in fetch)
    assert size <= max(budget, sum(local[key].size for key in local if key in served))
    assert set(fetch) <= remote.keys() & set(wanted)
    assert all(key not in local or local[key].etag != remote[key].etag for key in fetch)
    others = [key for key in local if key not in served and key not in wanted]
    used = {key: (local[key].used, key[1]) for key in others}
    assert all(used[gone] <= used[here] for gone in others if gone in evict for here in others if here in kept)
    assert not set(lacking) & set(fetch)
    assert set(lacking) <= remote.keys()
    assert not any(key in local and local[key].etag == remote[key].etag for key in served.intersection(lacking))
    if sum(file.size for file in remote.values()) + sum(copy.size for copy in local.values()) <= budget:
        assert not evict
        assert not lacking


def test_the_highest_of_every_model_comes_first() -> None:
    there = [("a", 1), ("a", 2), ("a", 10), ("b", 3), ("b", 1)]
    assert newest(there, {"a": 2, "b": 5}) == [("a", 10), ("b", 3), ("a", 2), ("b", 1)]
