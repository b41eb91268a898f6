"""Heartbeats of workers in shared memory, so that one whose event loop stands still is replaced.

    worker: beats 10 times a second, and says before it loads a model that it may be silent
    launcher: looks now and then, and adds up for how long it saw the same number

To create a session of onnxruntime holds the interpreter for as long as it takes, without a beat.
And whoever looks counts only the time between two looks of its own, and of that no more than two
looks take: after a machine, a container or the looker alone was suspended, nobody is taken for
hung for the time in which nobody ran.
"""

import asyncio
import contextlib
import threading
import time
from collections.abc import Iterator

from service.run_directory import RunDirectory

BEAT_S = 0.1
LONGEST_LOOK = 2.0
"""Most looks that the time between two looks may count for."""
SILENCE_FACTOR = 2.0
"""Allowed silence over the longest time that a worker has taken to load a model.

What is opened on demand, such as the session of contributions, takes no longer and is not
announced.
"""

_BEATS, _ALLOWED_SILENCE_S, _WORDS = 0, 1, 2


def _slots(directory: RunDirectory, workers: int) -> "list[memoryview[float]]":
    mapped = directory.map("heartbeats", f"heartbeats {workers}", _WORDS * 8)
    return [slot.cast("d") for slot in mapped[:workers]]


class Heartbeat:
    """Heartbeat of one worker.

    Args:
        directory: shared by the workers.
        place: of this worker; a restarted worker has the place of the dead one.
        workers: how many there are.
        load_s: how long loading a model may take.
    """

    def __init__(self, directory: RunDirectory, place: int, workers: int, load_s: float) -> None:
        self._own = _slots(directory, workers)[place]
        self._load_s = load_s
        self._longest_s = 0.0
        self._loads = 0
        self._lock = threading.Lock()

    def beat(self) -> None:
        """Count one beat."""
        self._own[_BEATS] += 1

    @contextlib.contextmanager
    def loading(self) -> Iterator[None]:
        """Load a model within, in any thread."""
        began = time.thread_time()  # what another process takes in the meantime holds up nobody here
        self._count(1)
        try:
            yield
        finally:
            self._longest_s = max(self._longest_s, time.thread_time() - began)
            self._count(-1)

    @contextlib.contextmanager
    def from_a_thread(self) -> Iterator[None]:
        """Beat from a thread while there is no event loop yet."""
        ended = threading.Event()

        def keep_beating() -> None:
            while not ended.wait(BEAT_S):
                self.beat()

        beating = threading.Thread(target=keep_beating, name="heartbeat", daemon=True)
        self._own[_ALLOWED_SILENCE_S] = 0.0
        beating.start()
        try:
            yield
        finally:
            ended.set()
            beating.join()

    def start(self) -> None:
        """Begin to beat on the running loop, until it ends."""
        self.beat()
        asyncio.get_running_loop().call_later(BEAT_S, self.start)

    def _count(self, change: int) -> None:
        with self._lock:
            self._loads += change
            self._own[_ALLOWED_SILENCE_S] = self._load_s if self._loads else SILENCE_FACTOR * self._longest_s
            self.beat()


class HeartbeatMonitor:
    """Monitor of how long each worker has been silent.

    Args:
        directory: shared by the workers.
        workers: how many there are.
        every_s: how often it is going to look.
    """

    def __init__(self, directory: RunDirectory, workers: int, every_s: float) -> None:
        self._words = _slots(directory, workers)
        self._longest_s = LONGEST_LOOK * every_s
        self._beats = [words[_BEATS] for words in self._words]
        self._silent_s = [0.0] * workers
        self._looked = time.monotonic()

    def look(self) -> None:
        """Look at all workers."""
        now = time.monotonic()
        passed_s, self._looked = min(now - self._looked, self._longest_s), now
        for place, words in enumerate(self._words):
            beats = words[_BEATS]
            self._silent_s[place] = self._silent_s[place] + passed_s if beats == self._beats[place] else 0.0
            self._beats[place] = beats

    def silent_s(self, place: int) -> float:
        """Return for how long a worker has been seen not to beat, in seconds."""
        return self._silent_s[place]

    def allowed_silence_s(self, place: int) -> float:
        """Return for how long a worker may be silent by what it said itself, in seconds.

        0 most of the time.
        """
        return self._words[place][_ALLOWED_SILENCE_S]

    def expect(self, place: int, allowed_silence_s: float) -> None:
        """Expect a new worker, which may be silent for so long before it first beats.

        Its place is nobody's now.
        """
        self._words[place][_ALLOWED_SILENCE_S] = allowed_silence_s
        self._silent_s[place] = 0.0
