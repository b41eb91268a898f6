"""A worker's sums in shared memory: added up in the process, published whole, read by any worker.

One slot of a mapped file holds

    sequence   how often the sums were published
    sides      2 x `places` bodies x `words` float64; the sequence's last bit names the current one

Publishing writes the side that is not current and then adds 1 to the sequence, so that a writer
that is killed at any moment leaves the sums as it last published them, for readers and for the
next owner of the slot. A reader copies and then looks whether the sequence has moved. (This counts
on stores being seen in the order they were made, as x86-64 promises; a processor that promises
less may show a reader in another process a body a moment too early.)
"""

from collections.abc import Iterable, Iterator, Mapping
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

Body = NDArray[np.float64]

_HEAD_BYTES = 64
_ATTEMPTS = 1000


@dataclass(frozen=True)
class Shape:
    """Shape of a worker's sums.

    Attributes:
        places: number of bodies.
        words: float64 words of a body.
    """

    places: int
    words: int

    @property
    def nbytes(self) -> int:
        """Return the bytes of a slot."""
        return _HEAD_BYTES + 2 * self.places * self.words * 8


class SharedSums:
    """View of one slot.

    Only the process that holds the slot may publish, from one thread, by one object.
    """

    def __init__(self, slot: memoryview, shape: Shape) -> None:
        """View a slot of `shape.nbytes` bytes; a new one is all zero, as are its sums."""
        self._head = slot[:_HEAD_BYTES].cast("Q")
        sides = np.frombuffer(slot, np.float64, 2 * shape.places * shape.words, _HEAD_BYTES)
        self._sides = sides.reshape(2, shape.places, shape.words)
        self._behind: Iterable[int] = range(shape.places)  # a writer that died may have left anything on that side

    def current(self, place: int) -> Body:
        """Return a view of a place's body as it was last published."""
        body: Body = self._sides[self._head[0] & 1, place]
        return body

    def publish(self, changed: Mapping[int, Body]) -> None:
        """Publish new bodies by place, all at once; the others stay."""
        for _ in self.steps(changed):
            pass

    def steps(self, changed: Mapping[int, Body]) -> Iterator[None]:
        """Publish, yielding after every store, so that a test can end it at each."""
        sequence = self._head[0]
        current, other = self._sides[sequence & 1], self._sides[1 - (sequence & 1)]
        for place in self._behind:
            if place not in changed:
                other[place] = current[place]
                yield
        for place, body in changed.items():
            other[place] = body
            yield
        self._behind = tuple(changed)
        self._head[0] = sequence + 1
        yield

    def read(self, start: int, stop: int) -> Body:
        """Copy the bodies of the places from `start` to before `stop`, as of one moment.

        Raises:
            RuntimeError: the writer published during every one of very many attempts.
        """
        for _ in range(_ATTEMPTS):
            sequence = self._head[0]
            bodies: Body = self._sides[sequence & 1, start:stop].copy()
            if self._head[0] == sequence:
                return bodies
        raise RuntimeError(f"the writer of the slot never stood still in {_ATTEMPTS} attempts")
