"""Admission of request bodies: bytes held by a process; inflating and parsing of large ones.

    head -> Budget: room? -> read -> inflated in a thread -> its turn -> counted -> parsed

One large body is inflated or counted at a time, in a thread and without the interpreter's lock,
and the loop looks at every connection, probes among them, between the parsing of one and of the
next.
"""

import asyncio
import contextlib
import ctypes
from collections import deque
from collections.abc import Callable
from types import TracebackType
from typing import Self, TypeVar

from service.errors import Overloaded, RequestTooLarge
from service.http.body import CONTENT_ENCODING, CONTENT_LENGTH, content_length, inflate, read_in_time, too_large
from service.http.codecs.json_size import FREE_BYTES, JsonLimits
from service.http.types import Headers, Receive
from service.settings import Settings

T = TypeVar("T")

APART_BYTES = 1 << 20
"""JSON beyond this becomes objects in a thread: so much work that the change of threads is little
beside it."""

RETRY_S = 1.0
"""Bodies come and go within seconds."""

MUCH_BYTES, QUIET_S = 32 << 20, 5.0
"""After so many bytes of bodies at a time, and then none for so long, freed memory is given back
to the system."""

_PAUSE = 4
"""Turns of the loop between two large bodies; a probe is answered within so many."""


class Budget:
    """Budget of the bodies that a process holds, from their heads until their answers.

    Args:
        most: bytes.

    Attributes:
        held: bytes.
    """

    __slots__ = ("_much", "_timer", "held", "most")

    def __init__(self, most: int) -> None:
        self.most, self.held = most, 0
        self._much = False
        self._timer: asyncio.TimerHandle | None = None

    def take(self, size: int) -> None:
        """Reserve bytes.

        Raises:
            Overloaded: there is no room for them.
        """
        if self.held + size > self.most:
            raise Overloaded(RETRY_S, self.held, self.most, "bytes of request bodies")
        self.held += size
        if self.held > MUCH_BYTES:
            self._much = True

    def give(self, size: int) -> None:
        """Return bytes that were taken."""
        self.held -= size
        if self._much and not self.held and self._timer is None:
            self._timer = asyncio.get_running_loop().call_later(QUIET_S, self._trim_if_quiet)

    def _trim_if_quiet(self) -> None:
        """Give freed memory back to the system, in a thread, if it is quiet.

        The allocator keeps it in many pieces.
        """
        self._timer = None
        if not self.held:
            self._much = False
            asyncio.get_running_loop().run_in_executor(None, _trim)


def _trim() -> None:
    with contextlib.suppress(OSError, AttributeError):  # another C library than glibc
        ctypes.CDLL(None).malloc_trim(0)


class Admission:
    """Admission of request bodies: bytes held, and turns of large ones.

    Args:
        settings: hold the limits.

    Attributes:
        budget: of the bodies that are held.
    """

    def __init__(self, settings: Settings) -> None:
        self.budget = Budget(settings.max_buffered_bytes)
        self._settings = settings
        self._thread = asyncio.Lock()
        self._waiting: deque[asyncio.Future[None]] = deque()
        self._giving_turns = False

    def incoming(self, receive: Receive) -> "IncomingBody":
        """Return a body that is still to come."""
        return IncomingBody(self, self._settings, receive)

    async def inflate(self, body: bytes, encoding: bytes) -> bytes:
        """Undo a Content-Encoding, in a thread where that may take long.

        Errors as in `body.inflate`.
        """
        most = self._settings.max_inflated_bytes
        try:
            return inflate(body, encoding, min(most, FREE_BYTES))
        except RequestTooLarge:
            if most <= FREE_BYTES:
                raise
        async with self._thread:
            return await asyncio.to_thread(inflate, body, encoding, most)

    async def count_json(self, body: bytes, length: int, limits: JsonLimits) -> None:
        """Wait for the turn of a body, if it is large, and count what is in its JSON.

        It is to be parsed at once then.

        Args:
            body: inflated.
            length: of the JSON at its beginning.
            limits: of what may be in there.

        Raises:
            RequestTooLarge: more is.
        """
        await self.turn(len(body))
        if length > FREE_BYTES and not limits.fits_roughly(body, length):
            async with self._thread:
                await asyncio.to_thread(limits.check, body, length)

    async def apart(self, parse: Callable[[], T]) -> T:
        """Parse a large body into objects, in a thread, one at a time.

        The loop waits for orjson's part alone.

        orjson keeps the interpreter's lock while it parses; what is made of its objects is let go
        of every 5 ms.
        """
        async with self._thread:
            return await asyncio.to_thread(parse)

    async def turn(self, size: int) -> None:
        """Wait for the turn of a body of so many bytes, if it is large."""
        if size <= FREE_BYTES:
            return
        loop = asyncio.get_running_loop()
        turn = loop.create_future()
        self._waiting.append(turn)
        if not self._giving_turns:
            self._giving_turns = True
            loop.call_soon(self._give_turn, 0)
        await turn

    def _give_turn(self, pause: int) -> None:
        loop = asyncio.get_running_loop()
        if pause:
            loop.call_soon(self._give_turn, pause - 1)
            return
        while self._waiting:
            turn = self._waiting.popleft()
            if not turn.done():
                turn.set_result(None)
                loop.call_soon(self._give_turn, _PAUSE)
                return
        self._giving_turns = False


class IncomingBody:
    """One body to read, which counts as held until the end of the `with` block."""

    __slots__ = ("_admission", "_held", "_receive", "_settings")

    def __init__(self, admission: Admission, settings: Settings, receive: Receive) -> None:
        self._admission, self._settings, self._receive = admission, settings, receive
        self._held = 0

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self._admission.budget.give(self._held)
        self._held = 0

    async def read(self, headers: Headers) -> bytes:
        """Return the body, inflated.

        Raises:
            RequestTooLarge: over `max_body_bytes` as sent, by its own account or as it came, or
                over `max_inflated_bytes`.
            Overloaded: the process holds too many bodies.
            MalformedRequest: compressed and broken.
            UnsupportedMediaType: compressed in another way than gzip or deflate.
            SlowClient: it did not come in time.
            NotReady: the service ends, and did not wait longer.
            Disconnected: the client left.
        """
        length = headers.get(CONTENT_LENGTH)
        if length is not None:
            announced = content_length(length)
            if announced > self._settings.max_body_bytes:
                raise too_large(announced, self._settings.max_body_bytes)
            self._hold(announced)
        body = await read_in_time(self._receive, self._settings, self._hold)
        encoding = headers.get(CONTENT_ENCODING)
        if encoding is None:
            return body
        body = await self._admission.inflate(body, encoding)
        self._hold(len(body))
        return body

    async def read_json(self, headers: Headers, limits: JsonLimits) -> bytes:
        """Do what `read` does, and let what is JSON pass if it holds no more than `limits`.

        Errors as there.
        """
        body = await self.read(headers)
        await self._admission.count_json(body, len(body), limits)
        return body

    async def apart(self, parse: Callable[[], T]) -> T:
        """Parse it; see `Admission.apart`."""
        return await self._admission.apart(parse)

    def _hold(self, size: int) -> None:
        """Reserve what is missing to so many bytes."""
        if size > self._held:
            self._admission.budget.take(size - self._held)
            self._held = size
