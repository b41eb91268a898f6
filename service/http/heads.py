"""Heads of requests that were parsed before, so that the same head need not be parsed again."""

from typing import NamedTuple

from service.http.body import Headers

_MOST, _LARGEST_BYTES = 1000, 1024


class Route(NamedTuple):
    """Say what a path of the hot path asks for.

    Attributes:
        counted_as: the route under which metrics count it.
    """

    name: str | None
    version: int | None
    v2: bool
    counted_as: str


class Call(NamedTuple):
    """Hold the head of a request for a prediction.

    Attributes:
        headers: by name; of several of one name the last.
    """

    route: Route
    method: str
    path: str
    headers: Headers


class Head(NamedTuple):
    """Say what the head of a plain call means.

    Attributes:
        length: of the body, in bytes.
        keep_alive: whether the connection stays after the answer.
    """

    call: Call
    length: int
    keep_alive: bool


class Heads:
    """Keep heads as they came; bounded, for strangers may send any."""

    def __init__(self) -> None:
        self._known: dict[bytes, Head] = {}
        self.get = self._known.get

    def learn(self, text: bytes, head: Head) -> None:
        """Keep a head under its bytes, which the parser took for nothing else."""
        if len(text) <= _LARGEST_BYTES:
            if len(self._known) >= _MOST:
                self._known.clear()
            self._known[text] = head
