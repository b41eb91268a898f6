"""Sums over windows equal numpy on the same rows, whoever recorded them, whoever died."""

from collections import defaultdict

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from numpy.testing import assert_allclose
from numpy.typing import NDArray

from service import gates
from service.monitoring.shared_sums import SharedSums
from service.monitoring.windows import POINTS, TIERS, TOTAL_PLACE, Layout, Sums, fold, tier_places, total, window

EDGES = (0.0, 0.05, 0.1, 0.25, 0.5, 0.75, 1.0)
Weights = NDArray[np.float32]


def some_weights(rows: int, tasks: int, experts: int, seed: int = 0) -> Weights:
    return np.random.default_rng(seed).dirichlet(np.full(experts, 0.4), (rows, tasks)).astype(np.float32)


def assert_sums(sums: Sums, weights: Weights) -> None:
    """Compare sums with the gate mathematics on the rows themselves."""
    assert sums.rows == len(weights)
    if not len(weights):
        assert all(not value.any() for value in vars(sums).values())
        return
    rows = len(weights)
    assert_allclose(sums.weights / rows, gates.utilisation(weights), atol=1e-9)
    assert_allclose(sums.entropy / rows, gates.entropy(weights).mean(axis=0), rtol=2e-6, atol=1e-6)
    assert_allclose(sums.top / rows, gates.top_expert_share(weights), atol=1e-12)
    assert (sums.histogram == gates.histogram(weights, EDGES)).all()
    assert_allclose(sums.similarity / rows, gates.similarity(weights), atol=2e-6)


@pytest.mark.parametrize(("tasks", "experts"), [(1, 1), (2, 8), (3, 4), (5, 2)])
@pytest.mark.parametrize("rows", [1, 2, 700])
def test_a_body_is_the_gate_mathematics_of_its_rows(rows: int, tasks: int, experts: int) -> None:
    layout = Layout(tasks, experts, EDGES)
    weights = some_weights(rows, tasks, experts)
    assert_sums(layout.sums(layout.body(weights)), weights)


def test_similarity_of_very_many_pairs_is_taken_from_some_rows() -> None:
    layout = Layout(20, 8, EDGES)
    weights = some_weights(600, 20, 8)
    sampled = layout.sums(layout.body(weights)).similarity / 600
    assert_allclose(sampled, gates.similarity(weights), atol=0.05)
    assert_allclose(sampled, gates.similarity(weights[::3]), atol=2e-6)


def test_weights_on_an_edge_or_at_the_ends_fall_into_the_right_bin() -> None:
    layout = Layout(1, 2, EDGES)
    on_edges = np.array([EDGES, EDGES[::-1]], np.float32).T[:, None, :]
    around = np.concatenate([on_edges, np.nextafter(on_edges, np.float32(2)), np.nextafter(on_edges, np.float32(-2))])
    sums = layout.sums(layout.body(around))
    assert (sums.histogram == gates.histogram(around, EDGES)).all()


def test_a_row_that_is_not_finite_is_left_out() -> None:
    layout = Layout(2, 4, EDGES)
    weights = some_weights(5, 2, 4)
    weights[1, 0, 2], weights[3, 1, 0] = np.nan, np.inf
    assert_sums(layout.sums(layout.body(weights)), weights[[0, 2, 4]])
    assert layout.body(weights[[1]]).sum() == 0


class Workers:
    """Workers with sums each and a clock in common, and every row they published."""

    def __init__(self, count: int, layout: Layout, now: float) -> None:
        self.layout, self.now = layout, now
        self.slots = [memoryview(bytearray(layout.shape.nbytes)) for _ in range(count)]
        self.sums = [SharedSums(slot, layout.shape) for slot in self.slots]
        self.recorded: list[tuple[int, Weights]] = []

    def record(self, worker: int, weights: Weights) -> None:
        sums = self.sums[worker]
        sums.publish(fold(sums.current, self.layout.body(weights), int(self.now)))
        self.recorded.append((int(self.now), weights))

    def die_publishing(self, worker: int, stores: int) -> None:
        """End a publication before its last store, and let another process take over the slot."""
        sums = self.sums[worker]
        dying = sums.steps(fold(sums.current, self.layout.body(some_weights(9, 2, 3)), int(self.now)))
        for _ in zip(range(stores), dying, strict=False):
            pass
        self.sums[worker] = SharedSums(self.slots[worker], self.layout.shape)

    def assert_answers(self) -> None:
        nothing = np.zeros((0, self.layout.tasks, self.layout.experts), np.float32)
        for tier in TIERS:
            series = window(self.layout, [x.read(*tier_places(tier)) for x in self.sums], tier, self.now)
            by_bucket: dict[int, list[Weights]] = defaultdict(list)
            for second, weights in self.recorded:
                by_bucket[second // tier.resolution_s].append(weights)
            newest = int(self.now) // tier.resolution_s
            inside = [by_bucket.get(newest - ago, [nothing]) for ago in reversed(range(POINTS))]
            assert series.rows.tolist() == [sum(map(len, bucket)) for bucket in inside]
            assert_sums(series.over_time(), np.concatenate([part for bucket in inside for part in bucket]))
        everything = total(self.layout, [x.read(TOTAL_PLACE, TOTAL_PLACE + 1) for x in self.sums])
        assert_sums(everything, np.concatenate([nothing, *(weights for _, weights in self.recorded)]))


STEP = st.one_of(
    st.tuples(st.just("record"), st.integers(0, 2), st.integers(1, 40)),
    st.tuples(st.just("die"), st.integers(0, 2), st.integers(0, 3)),
    st.tuples(st.just("wait"), st.sampled_from([0.2, 0.9, 1, 4, 59, 60, 61, 250, 300, 3600, 100_000]), st.just(0)),
)


@settings(max_examples=60, deadline=None)
@given(st.lists(STEP, max_size=25), st.integers(0, 10_000))
def test_windows_over_all_workers_equal_numpy_on_the_same_rows(steps: list[tuple[str, float, int]], start: int) -> None:
    workers = Workers(3, Layout(2, 3, EDGES), start)
    for at, (what, who, count) in enumerate(steps):
        if what == "record":
            workers.record(int(who), some_weights(count, 2, 3, seed=at))
        elif what == "die":
            workers.die_publishing(int(who), count)
        else:
            workers.now += who
    workers.assert_answers()


@pytest.mark.parametrize("tier", TIERS, ids=[tier.window for tier in TIERS])
def test_a_row_leaves_the_window_when_its_bucket_does(tier: tuple[str, int]) -> None:
    resolution = tier[1]
    workers = Workers(1, Layout(1, 2, EDGES), 7 * resolution)
    workers.record(0, some_weights(1, 1, 2))
    workers.now += POINTS * resolution - 0.001  # the last moment of the newest bucket that still reaches it
    workers.assert_answers()
    assert rows_in(workers, tier[0]) == 1
    workers.now += 0.001
    assert rows_in(workers, tier[0]) == 0


def rows_in(workers: Workers, name: str) -> int:
    tier = next(tier for tier in TIERS if tier.window == name)
    bodies = [sums.read(*tier_places(tier)) for sums in workers.sums]
    return int(window(workers.layout, bodies, tier, workers.now).over_time().rows)


def test_a_clock_that_jumps_spoils_nothing() -> None:
    workers = Workers(1, Layout(1, 2, EDGES), 1_000_000)
    for jump in (0, +500_000, +59, -400_000, -1_000_000, +3):
        workers.now += jump
        workers.record(0, some_weights(3, 1, 2))
    workers.now = 1_500_059
    assert rows_in(workers, "1m") == 6, "what came before and after the jumps has not replaced these buckets"
    workers.now += 10_000_000
    assert rows_in(workers, "1h") == 0
    totals = total(workers.layout, [workers.sums[0].read(TOTAL_PLACE, TOTAL_PLACE + 1)])
    assert totals.rows == 18, "every row counts in the totals"
