"""Sums are published whole or not at all, wherever their writer dies; a reader sees one moment."""

from collections.abc import Iterator

import numpy as np
import pytest
from numpy.typing import NDArray

from service.monitoring.shared_sums import Shape, SharedSums

SHAPE = Shape(places=3, words=4)


@pytest.fixture
def slot() -> memoryview:
    return memoryview(bytearray(SHAPE.nbytes))


def body(value: float) -> NDArray[np.float64]:
    return np.full(4, value, np.float64)


def contents(sums: SharedSums) -> list[float]:
    bodies = sums.read(0, 3)
    assert (bodies == bodies[:, :1]).all(), "no body is half another"
    values: list[float] = bodies[:, 0].tolist()
    return values


def test_publishing_replaces_bodies_and_keeps_the_others(slot: memoryview) -> None:
    sums = SharedSums(slot, SHAPE)
    assert contents(sums) == [0, 0, 0]
    sums.publish({0: body(3), 2: body(7)})
    assert contents(sums) == [3, 0, 7]
    sums.publish({0: body(6)})
    sums.publish({1: body(1)})
    sums.publish({})
    assert contents(sums) == [6, 1, 7]
    assert sums.current(2).tolist() == [7, 7, 7, 7]
    assert SharedSums(slot, SHAPE).read(1, 2).tolist() == [[1, 1, 1, 1]]


def test_publishing_that_ends_after_any_store_changed_nothing_and_can_be_done_again(slot: memoryview) -> None:
    sums = SharedSums(slot, SHAPE)
    sums.publish({0: body(1), 1: body(2)})
    before = bytes(slot)

    def change(at: SharedSums) -> Iterator[None]:
        return at.steps({0: body(10), 2: body(30)})

    stores = len(list(change(SharedSums(memoryview(bytearray(before)), SHAPE))))
    assert stores == 4
    for done in range(stores + 1):
        cut = memoryview(bytearray(before))
        dying = change(SharedSums(cut, SHAPE))
        for _ in range(done):
            next(dying)
        expected = [10, 2, 30] if done == stores else [1, 2, 0]
        heir = SharedSums(cut, SHAPE)
        assert contents(heir) == expected, f"after {done} stores"
        heir.publish({0: body(40)})
        assert contents(heir) == [40, *expected[1:]]


def test_a_reader_waits_for_one_moment(slot: memoryview) -> None:
    writer = SharedSums(slot, SHAPE)

    class Busy(SharedSums):
        """Reader whose writer publishes between its looks at the sequence and at the bodies."""

        left = 3

        @property
        def _sides(self) -> NDArray[np.float64]:
            if self.left:
                self.left -= 1
                writer.publish({0: body(3 - self.left)})
            return self._all

        @_sides.setter
        def _sides(self, sides: NDArray[np.float64]) -> None:
            self._all = sides

    assert contents(Busy(slot, SHAPE)) == [3, 0, 0]


def test_a_slot_is_as_large_as_its_shape_says() -> None:
    shape = Shape(places=2, words=3)
    SharedSums(memoryview(bytearray(shape.nbytes)), shape).publish({1: np.ones(3)})
    with pytest.raises((ValueError, TypeError)):
        SharedSums(memoryview(bytearray(shape.nbytes - 8)), shape)
