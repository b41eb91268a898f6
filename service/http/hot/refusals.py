"""Pacing of refusals.

An overloaded service refuses at a bounded rate, for the sake of what it accepted.

A refusal takes about as long as a prediction that shares its run, and whoever does not wait before
trying again is back at once: a thousand such clients would keep a worker busy with nothing else. A
client asks again only when it is answered, so that to answer later is to be asked less.
"""

import asyncio
import time
from collections import deque
from collections.abc import Callable

PER_CPU_S = 2000
"""Refusals per second of CPU time that the process uses; they cost about a tenth of it (measured:
50 µs each)."""

AT_ONCE = 64
"""Refusals that may leave at once after a while without any."""

TICK_S = 2e-3


class Refusals:
    """Queue of refusals.

    Args:
        cpu_clock: seconds of CPU time of this process; one that gets few of them has few for
            refusals.
    """

    def __init__(self, cpu_clock: Callable[[], float] = time.process_time) -> None:
        self._cpu_clock = cpu_clock
        self._waiting: deque[asyncio.Future[None]] = deque()
        self._allowed, self._counted_at = float(AT_ONCE), 0.0

    async def turn(self) -> None:
        """Wait for a refusal's turn, at least until the loop has looked at every connection."""
        loop = asyncio.get_running_loop()
        leave = loop.create_future()
        if not self._waiting:
            loop.call_soon(self._let_out)
        self._waiting.append(leave)
        await leave

    def _let_out(self) -> None:
        now = self._cpu_clock()
        self._allowed = min(self._allowed + (now - self._counted_at) * PER_CPU_S, AT_ONCE)
        self._counted_at = now
        while self._waiting and self._allowed >= 1:
            leave = self._waiting.popleft()
            if not leave.done():
                leave.set_result(None)
                self._allowed -= 1
        if self._waiting:
            asyncio.get_running_loop().call_later(TICK_S, self._let_out)


def forget_where(error: BaseException) -> None:
    """Drop the frames of an error, and of those that it came from: they hold rows and bodies."""
    error.__traceback__ = error.__context__ = error.__cause__ = None
