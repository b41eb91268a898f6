"""A worker's ledger: rows appended at the price of a copy, folded into bodies later, each row exactly once.

One slot of a mapped file holds

    words    committed: rows ever appended            folded: rows ever folded into the bodies
    ring     the last `capacity` rows, and the second each came in
    bodies   `places` x 2 sides x `words` float64; word 0 of a side is its mark

The writer may die between any two stores. Rows are copied into the ring first and count once `committed` is stored. A
fold writes every body it changes into the side that is not current, marked with the number of rows that it will have
folded, and storing that number as `folded` makes all of them current at once: of a place's two sides the current one
has the greatest mark that is not above `folded`. So a fold that was cut short changed nothing, and the rows are still
pending for the next owner of the slot, or for a reader, to fold.

While `folded` stands still, neither the current sides nor the pending rows are overwritten. A reader therefore copies
and then looks whether `folded` has moved. (This counts on stores being seen in the order they were made, as x86-64
promises; a processor that promises less may show a reader in another process a body a moment too early.)
"""

from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray

Floats = NDArray[np.floating[Any]]
Body = NDArray[np.float64]

MARK = 0
"""Index of a body's word that the ledger keeps for itself; the others are the caller's."""

_HEAD_BYTES = 64
_COMMITTED, _FOLDED = 0, 1
_ATTEMPTS = 1000


class Full(Exception):
    """Tell that rows do not fit until the pending ones are folded."""

    def __init__(self, rows: int, pending: int, capacity: int) -> None:
        super().__init__(f"{rows} rows do not fit beside {pending} pending in {capacity}; fold them first")


@dataclass(frozen=True)
class Shape:
    """Describe a ledger.

    Attributes:
        row: shape of one appended row of float32 numbers.
        capacity: rows that may be pending, at least 1.
        places: number of bodies.
        words: float64 words of a body, the mark included.
    """

    row: tuple[int, ...]
    capacity: int
    places: int
    words: int

    @property
    def row_bytes(self) -> int:
        """Return the bytes of one row."""
        return 4 * int(np.prod(self.row))

    @property
    def nbytes(self) -> int:
        """Return the bytes of a slot."""
        return _HEAD_BYTES + self.capacity * 8 + -(-self.capacity * self.row_bytes // 8) * 8 + self._bodies_bytes

    @property
    def _bodies_bytes(self) -> int:
        return self.places * 2 * self.words * 8


@dataclass(frozen=True)
class Snapshot:
    """Hold what a ledger said at one moment.

    Attributes:
        bodies: (places asked for, words); all zero where nothing was ever folded.
        rows: (n, *row) appended and not yet folded, oldest first.
        seconds: (n,) when they came.
    """

    bodies: Body
    rows: NDArray[np.float32]
    seconds: NDArray[np.int64]


class Ledger:
    """Write or read one slot. Only the process that claimed the slot may write, from one thread, by one object."""

    def __init__(self, slot: memoryview, shape: Shape) -> None:
        """Look at a slot of `shape.nbytes` bytes; a new one is all zero."""
        self.shape = shape
        self._head = slot[:_HEAD_BYTES].cast("Q")
        at = _HEAD_BYTES
        self._seconds = slot[at : at + shape.capacity * 8].cast("q")
        self._second_column = np.frombuffer(self._seconds, np.int64)
        at += shape.capacity * 8
        self._ring_bytes = slot[at : at + shape.capacity * shape.row_bytes]
        self._ring = np.frombuffer(self._ring_bytes, np.float32).reshape(shape.capacity, *shape.row)
        at += -(-shape.capacity * shape.row_bytes // 8) * 8
        bodies = np.frombuffer(slot, np.float64, shape.places * 2 * shape.words, at)
        self._bodies = bodies.reshape(shape.places, 2, shape.words)
        self._row_bytes = shape.row_bytes
        self._capacity = shape.capacity
        self._committed, self._folded = self._head[_COMMITTED], self._head[_FOLDED]

    def recover(self) -> None:
        """Take the slot over from a writer that died: strike out the bodies of a fold that it did not finish."""
        marks = self._bodies[:, :, MARK]
        marks[marks > self._head[_FOLDED]] = 0

    @property
    def pending_rows(self) -> int:
        """Return how many rows are appended and not yet folded."""
        return self._head[_COMMITTED] - self._head[_FOLDED]

    def append(self, rows: NDArray[np.float32], second: int) -> None:
        """Append rows (n, *row), float32.

        Raises:
            Full: they do not fit beside those pending; nothing was appended.
        """
        count = len(rows)
        committed = self._committed  # the writer's own copies of the words; reading those costs more
        if committed + count - self._folded > self._capacity:
            raise Full(count, self.pending_rows, self._capacity)
        start = committed % self._capacity
        first = min(count, self._capacity - start)
        self._ring[start : start + first], self._ring[: count - first] = rows[:first], rows[first:]
        self._second_column[start : start + first] = self._second_column[: count - first] = second
        self._committed = self._head[_COMMITTED] = committed + count

    def appender(
        self, clock: Callable[[], float], most: int, otherwise: Callable[[NDArray[np.float32], int, bool], None]
    ) -> Callable[[NDArray[np.float32]], None]:
        """Return a function that appends rows at the clock's second, where that is simple.

        It is a closure over all it needs because it is called for every run: half the time of `append` (measured).

        Args:
            clock: seconds.
            most: how many rows of one second to append like that.
            otherwise: called with rows that come after those, or that do not fit as they are, the second, and whether
                they are too many.
        """
        head, seconds, second_column, ring = self._head, self._seconds, self._second_column, self._ring_bytes
        capacity, row_bytes = self._capacity, self._row_bytes
        second, came = 0, 0

        def append(rows: NDArray[np.float32]) -> None:
            nonlocal second, came
            committed, count, now = self._committed, len(rows), int(clock())
            if now != second:
                second, came = now, 0
            came += count
            start = committed % capacity
            end = start + count
            if came > most or end > capacity or committed + count - self._folded > capacity:
                otherwise(rows, now, came > most)
                return
            if count == 1:
                seconds[start] = now
            else:
                second_column[start:end] = now
            ring[start * row_bytes : end * row_bytes] = rows.tobytes()
            self._committed = head[_COMMITTED] = committed + count

        return append

    def pending(self) -> tuple[NDArray[np.float32], NDArray[np.int64]]:
        """Return copies of the pending rows, oldest first, and of the seconds they came in."""
        return self._copy(self._head[_FOLDED], self._head[_COMMITTED])

    def current(self, place: int) -> Body | None:
        """Return a view of a place's current body; None where nothing was ever folded."""
        sides = self._bodies[place]
        side = self._current_side(sides)
        return None if side is None else sides[side]

    def steps(self, rows: int, bodies: Mapping[int, Body]) -> Iterator[None]:
        """Fold the oldest `rows` pending rows, at least one, by storing the bodies that they change.

        Yields after every store, so that a test can end it at each; `fold` runs it through.
        """
        folded = self._head[_FOLDED] + rows
        for place, body in bodies.items():
            sides = self._bodies[place]
            current = self._current_side(sides)
            target = sides[1 - current if current is not None else 0]
            target[MARK] = folded
            yield
            target[MARK + 1 :] = body[MARK + 1 :]
            yield
        self._folded = self._head[_FOLDED] = folded
        yield

    def fold(self, rows: int, bodies: Mapping[int, Body]) -> None:
        """Fold the oldest `rows` pending rows into `bodies`, new content by place, all at once."""
        if not 0 < rows <= self.pending_rows:
            raise ValueError(f"cannot fold {rows} rows of {self.pending_rows} pending")
        for _ in self.steps(rows, bodies):
            pass

    def snapshot(self, start: int, stop: int) -> Snapshot:
        """Copy the bodies of the places from `start` to before `stop` and the pending rows, as of one moment.

        Raises:
            RuntimeError: the writer folded during every one of very many attempts.
        """
        for _ in range(_ATTEMPTS):
            folded, committed = self._head[_FOLDED], self._head[_COMMITTED]
            sides = self._bodies[start:stop].copy()
            rows, seconds = self._copy(folded, committed)
            if self._head[_FOLDED] == folded:
                marks = sides[:, :, MARK]
                marks[marks > folded] = 0
                bodies = np.take_along_axis(sides, marks.argmax(axis=1)[:, None, None], axis=1)[:, 0]
                bodies[bodies[:, MARK] == 0] = 0
                return Snapshot(bodies, rows, seconds)
        raise RuntimeError(f"the writer of the slot never stood still in {_ATTEMPTS} attempts")

    def _current_side(self, sides: Body) -> int | None:
        """Return which of a place's two sides is current."""
        folded = self._head[_FOLDED]
        first, second = (mark if mark <= folded else 0.0 for mark in sides[:, MARK].tolist())
        return None if first == second == 0 else int(second > first)

    def _copy(self, start: int, stop: int) -> tuple[NDArray[np.float32], NDArray[np.int64]]:
        """Copy the rows from number `start` to before `stop` out of the ring."""
        first, last = start % self._capacity, stop % self._capacity
        if first < last or start == stop:
            return self._ring[first:last].copy(), self._second_column[first:last].copy()
        rows = np.concatenate([self._ring[first:], self._ring[:last]])
        return rows, np.concatenate([self._second_column[first:], self._second_column[:last]])
