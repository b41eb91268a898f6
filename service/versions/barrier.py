"""Barrier of the workers before a swap: all swap shortly after the last has arrived.

Who is gone, or takes too long, is not waited for; it follows when it can.
"""

import asyncio
import os
import time

from service.run_directory import RunDirectory

POLL_S = 0.02
"""Interval at which a worker looks whether the others are done; all swap two of it later."""
TIMEOUT_S = 10.0
"""Time to wait for others before swapping without them."""


class Barrier:
    """Barrier of all workers of an instance, in a file that they share.

    Args:
        directory: shared by the workers.
        place: of this worker; a restarted worker has the place of the dead one.
        workers: how many there are.
    """

    def __init__(self, directory: RunDirectory, place: int, workers: int) -> None:
        slots = directory.map("barrier", f"barrier {workers}", 3 * 8)
        self._words = [slot.cast("d") for slot in slots[:workers]]
        self._own = self._words[place]

    def arrive(self, change: int) -> None:
        """Note that this worker could serve the desired state's change of this number."""
        self._own[1], self._own[2] = change, time.monotonic()
        self._own[0] = os.getpid()

    def deregister(self) -> None:
        """Note that this worker swaps no more."""
        self._own[0] = 0

    async def arrive_and_wait(self, change: int) -> None:
        """Arrive, and wait for every living worker; all return at the same moment."""
        self.arrive(change)
        deadline = time.monotonic() + TIMEOUT_S
        while (others := self._others()) and time.monotonic() < deadline:
            if all(staged >= change for staged, _ in others):
                last = max(self._own[2], *(at for _, at in others))
                await asyncio.sleep(last + 2 * POLL_S - time.monotonic())
                return
            await asyncio.sleep(POLL_S)

    def _others(self) -> list[tuple[float, float]]:
        """List what the other living workers could serve, and since when."""
        return [(words[1], words[2]) for words in self._words if words is not self._own and _is_alive(int(words[0]))]


def _is_alive(pid: int) -> bool:
    if pid <= 0:
        return False
    try:
        os.kill(pid, 0)
    except ProcessLookupError:
        return False
    except PermissionError:
        return True
    return True
