"""Background work off the event loop: a bounded queue to a thread.

What finds no room is dropped.
"""

import logging
import threading
import time
from collections import deque
from collections.abc import Callable
from typing import Generic, TypeVar

from service.logs.log import log_event

Item = TypeVar("Item")

GATHER_S = 0.05
"""Default of the time that items gather, in seconds."""


class Background(Generic[Item]):
    """Hand-over of items to a thread, which is started with the first one.

    `put` is for one thread, that of the event loop. The thread that works shares the interpreter
    with it, so `work` should often do something that lets others on, such as writing or
    `yield_to_loop`.

    Args:
        name: of the thread.
        work: done there, with what has gathered, in order; an exception is logged and costs what
            it was given.
        room: how much may wait, in the units of `put`.
        gather_s: how long items may gather before they are worked on together.
    """

    def __init__(self, name: str, work: Callable[[list[Item]], object], room: int, gather_s: float = GATHER_S) -> None:
        self._name, self._work, self._room, self._gather_s = name, work, room, gather_s
        self._items: deque[tuple[Item, int]] = deque()
        self._put = self._done = 0  # one thread writes the one, the other the other
        self._awake = threading.Event()
        self._closing = threading.Event()
        self._thread: threading.Thread | None = None

    def put(self, item: Item, size: int = 1) -> bool:
        """Hand over an item; False if there is no room for it.

        What is larger than the room passes alone.
        """
        waiting = self._put - self._done
        if waiting and waiting + size > self._room:
            return False
        self._put += size
        self._items.append((item, size))
        if not self._awake.is_set():
            self._awake.set()
            if self._thread is None:
                self._thread = threading.Thread(target=self._run, name=self._name, daemon=True)
                self._thread.start()
        return True

    def close(self, timeout_s: float = 2.0) -> bool:
        """Let the thread finish what waits and end; False if it takes longer than this."""
        self._closing.set()
        self._awake.set()
        if self._thread is None:
            return True
        self._thread.join(timeout_s)
        return not self._thread.is_alive()

    def _run(self) -> None:
        while True:
            self._awake.wait()
            self._closing.wait(self._gather_s)
            self._awake.clear()
            last = self._closing.is_set()
            taken = [self._items.popleft() for _ in range(len(self._items))]
            try:
                if taken:
                    self._work([item for item, _ in taken])
            except Exception as error:
                log_event(
                    logging.getLogger("service"), logging.ERROR, "background_failed",
                    "%s failed; what it was given is lost", self._name, exc_info=error,
                )  # fmt: skip
            self._done += sum(size for _, size in taken)
            if last and not self._items:
                return


def yield_to_loop() -> None:
    """Let the event loop on.

    Without it, it would wait up to the interpreter's switch interval, 5 ms.
    """
    time.sleep(50e-6)
