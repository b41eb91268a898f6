"""Ctrl-C and SIGTERM, held back while something is done that may not be cut in two."""

import signal
import threading
from collections.abc import Iterator
from contextlib import contextmanager
from multiprocessing import resource_tracker


@contextmanager
def held_back() -> Iterator[None]:
    """Defer Ctrl-C and SIGTERM to the end of the block; where it ends by an error, that is told.

    Python calls a signal's handler between two of its own statements, so also where C++ has called
    Python: what the handler raises there is lost, comes out as some other error, or aborts the
    process. In any thread but the main one, where no handler runs, nothing is done.
    """
    late: list[int] = []
    own = threading.current_thread() is threading.main_thread()
    numbers = [number for number in (signal.SIGINT, signal.SIGTERM) if own and signal.getsignal(number) is not None]
    handlers = {number: signal.signal(number, lambda number, _: late.append(number)) for number in numbers}
    try:
        yield
    finally:
        for number, handler in handlers.items():
            signal.signal(number, handler)
    for came in late:
        signal.raise_signal(came)


@contextmanager
def kept_from_children() -> Iterator[None]:
    """Start processes in the block: they never see Ctrl-C, which a terminal sends to all.

    They inherit what this thread blocks. The kernel gives a signal to any other thread, though,
    and Python then calls its handler in this one: raised halfway through a start, it would leave a
    process half told what to do, so it is held back.
    """
    resource_tracker.ensure_running()  # else it starts with the first process, and then unblocks the signals
    with held_back():
        before = signal.pthread_sigmask(signal.SIG_BLOCK, {signal.SIGINT})
        try:
            yield
        finally:
            signal.pthread_sigmask(signal.SIG_SETMASK, before)
