"""Rows count once, wherever their writer dies; a reader sees one moment."""

from collections.abc import Iterator

import numpy as np
import pytest
from numpy.typing import NDArray

from service.ledger import Full, Ledger, Shape

SHAPE = Shape(row=(2,), capacity=5, places=3, words=4)


@pytest.fixture
def slot() -> memoryview:
    return memoryview(bytearray(SHAPE.nbytes))


def rows(*values: float) -> NDArray[np.float32]:
    return np.array([[value, -value] for value in values], np.float32)


def body(value: float) -> NDArray[np.float64]:
    return np.array([99, value, value, value])  # word 0 is the ledger's


def contents(ledger: Ledger) -> tuple[list[float], list[float]]:
    snapshot = ledger.snapshot(0, 3)
    return snapshot.bodies[:, 1].tolist(), snapshot.rows[:, 0].tolist()


def test_rows_come_back_in_order_with_their_seconds_around_the_ring(slot: memoryview) -> None:
    ledger = Ledger(slot, SHAPE)
    for start in (0, 4, 8):
        ledger.append(rows(start, start + 1, start + 2), start)
        ledger.append(rows(start + 3), start + 1)
        pending, seconds = ledger.pending()
        assert pending.tolist() == rows(start, start + 1, start + 2, start + 3).tolist()
        assert seconds.tolist() == [start, start, start, start + 1]
        ledger.fold(4, {})
    assert ledger.pending_rows == 0


def test_an_appender_does_the_same_where_it_is_simple_and_leaves_the_rest(slot: memoryview) -> None:
    ledger, now = Ledger(slot, SHAPE), 7.9
    left: list[tuple[list[float], int, bool]] = []
    append = ledger.appender(
        lambda: now, 8, lambda those, second, too_many: left.append((those[:, 0].tolist(), second, too_many))
    )
    append(rows(0))
    append(rows(1, 2, 3))
    append(rows(4, 5))
    pending, seconds = ledger.pending()
    assert pending.tolist() == rows(0, 1, 2, 3).tolist()
    assert seconds.tolist() == [7] * 4
    ledger.fold(4, {})
    append(rows(6, 7))
    append(rows(8))
    now = 8.1
    append(rows(9))
    pending, seconds = ledger.pending()
    assert pending.tolist() == rows(9).tolist()
    assert seconds.tolist() == [8]
    no_room, the_rings_end, too_many = ([4, 5], 7, False), ([6, 7], 7, False), ([8], 7, True)
    assert left == [no_room, the_rings_end, too_many]


def test_rows_that_do_not_fit_are_refused_whole(slot: memoryview) -> None:
    ledger = Ledger(slot, SHAPE)
    ledger.append(rows(0, 1, 2, 3), 0)
    with pytest.raises(Full, match="2 rows do not fit beside 4 pending in 5"):
        ledger.append(rows(4, 5), 0)
    assert ledger.pending()[0].tolist() == rows(0, 1, 2, 3).tolist()


def test_a_fold_replaces_bodies_and_keeps_the_others(slot: memoryview) -> None:
    ledger = Ledger(slot, SHAPE)
    assert ledger.current(0) is None
    ledger.append(rows(1, 2, 3), 0)
    ledger.fold(2, {0: body(3), 2: body(7)})
    assert contents(ledger) == ([3, 0, 7], [3])
    ledger.fold(1, {0: body(6)})
    assert contents(ledger) == ([6, 0, 7], [])
    current = ledger.current(0)
    assert current is not None
    assert current[1:].tolist() == [6, 6, 6]
    for count in (0, 1):
        with pytest.raises(ValueError, match=f"cannot fold {count} rows of 0"):
            ledger.fold(count, {})


def test_a_fold_ended_after_any_store_changed_nothing_and_can_be_done_again(slot: memoryview) -> None:
    ledger = Ledger(slot, SHAPE)
    ledger.append(rows(1, 2), 0)
    ledger.fold(2, {0: body(1), 1: body(2)})
    ledger.append(rows(3, 4), 0)
    before = bytes(slot)

    def change(at: Ledger) -> Iterator[None]:
        return at.steps(2, {0: body(10), 1: body(20), 2: body(30)})

    stores = len(list(change(ledger)))
    assert stores == 7
    for done in range(stores + 1):
        cut = memoryview(bytearray(before))
        dying = change(Ledger(cut, SHAPE))
        for _ in range(done):
            next(dying)
        expected = ([10, 20, 30], []) if done == stores else ([1, 2, 0], [3, 4])
        assert contents(Ledger(cut, SHAPE)) == expected, f"a reader, after {done} stores"
        heir = Ledger(cut, SHAPE)
        heir.recover()
        assert contents(heir) == expected, f"the heir, after {done} stores"
        if done < stores:  # other rows come first, and the fold takes another number of them
            heir.append(rows(5), 0)
            heir.fold(3, {0: body(40)})
            assert contents(heir) == ([40, 2, 0], [])


def test_a_reader_waits_for_one_moment(slot: memoryview) -> None:
    writer = Ledger(slot, SHAPE)

    class Folding(Ledger):
        folds = 0

        def _copy(self, start: int, stop: int) -> tuple[NDArray[np.float32], NDArray[np.int64]]:
            if self.folds < 3:  # the writer folds between the reader's copies
                self.folds += 1
                writer.append(rows(self.folds), 0)
                writer.fold(1, {0: body(self.folds)})
            return super()._copy(start, stop)

    assert contents(Folding(slot, SHAPE)) == ([3, 0, 0], [])


def test_a_slot_is_as_large_as_its_shape_says() -> None:
    for row in ((1,), (3, 5), (2, 8)):
        shape = Shape(row, capacity=7, places=2, words=3)
        ledger = Ledger(memoryview(bytearray(shape.nbytes)), shape)
        ledger.append(np.ones((7, *row), np.float32), 0)
        ledger.fold(7, {1: np.ones(3)})
        with pytest.raises((ValueError, TypeError)):
            Ledger(memoryview(bytearray(shape.nbytes - 8)), shape)
