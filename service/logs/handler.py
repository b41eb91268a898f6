"""Log handler for pipes: a thread writes the lines, so that no reader holds up the event loop."""

import contextlib
import logging
import queue
import signal
import threading

from service.system.files import write_all

PATIENCE_S = 0.2
"""Longest time that a record may hold up whoever logs it, in seconds."""
ENDING_S = 1.0
"""Longest time that a process waits at its end for its last lines to be read, in seconds."""
ROOM_LINES = 256
"""Lines that may wait for the thread."""


class PipeHandler(logging.Handler):
    """Handler that writes lines to a descriptor by a thread of its own, in order.

    A write to a pipe blocks for as long as nobody reads a full one, a long line even where there
    is room for a part of it. `emit` usually returns when the line is written, so that a process
    that dies leaves no line out. Where the thread is held up, the first record waits for
    PATIENCE_S and the next ones not at all; beyond ROOM_LINES they are dropped.

    Args:
        descriptor: of the file to write to; it stays open.
    """

    def __init__(self, descriptor: int) -> None:
        super().__init__()
        self._descriptor = descriptor
        self._lines: queue.Queue[bytes | None] = queue.Queue(ROOM_LINES)
        self._thread = threading.Thread(target=self._write, name="log", daemon=True)
        # Signals are for the main thread, which may put them off; this one inherits its mask.
        mask = signal.pthread_sigmask(signal.SIG_BLOCK, signal.valid_signals())
        self._thread.start()
        signal.pthread_sigmask(signal.SIG_SETMASK, mask)

    def emit(self, record: logging.LogRecord) -> None:
        """Hand a record's line over to the thread."""
        try:
            line = f"{self.format(record)}\n".encode(errors="backslashreplace")
        except Exception:
            self.handleError(record)
            return
        held_up = self._lines.unfinished_tasks
        with contextlib.suppress(queue.Full):
            self._lines.put_nowait(line)
        if not held_up:
            self._wait(PATIENCE_S)

    def flush(self) -> None:
        """Wait for a moment until every line is written."""
        self._wait(ENDING_S)

    def close(self) -> None:
        """End the thread as soon as every line is written."""
        with contextlib.suppress(queue.Full):
            self._lines.put_nowait(None)
        super().close()

    def _wait(self, timeout_s: float) -> None:
        with self._lines.all_tasks_done:
            self._lines.all_tasks_done.wait_for(lambda: not self._lines.unfinished_tasks, timeout_s)

    def _write(self) -> None:
        while (line := self._lines.get()) is not None:
            with contextlib.suppress(OSError):  # nobody reads the log any more
                write_all(self._descriptor, line)
            self._lines.task_done()
        self._lines.task_done()
