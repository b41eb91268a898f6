"""Process of a worker as its launcher sees it: command, sockets, and the pipes between the two."""

import contextlib
import os
import socket
import subprocess
import sys
import time
from collections.abc import Sequence
from pathlib import Path
from typing import NamedTuple

GO, GO_AND_ANNOUNCE = b"g", b"a"
"""Answers to a loaded worker; one gets the second, so that the service is announced once."""


class WorkerPipes(NamedTuple):
    """File descriptors of a worker: its word that it is loaded, the answer to it, its sockets."""

    loaded: int
    go: int
    sockets: tuple[int, ...]


class WorkerProcess:
    """Worker process that accepts from the launcher's sockets.

    Args:
        place: of the worker; a restarted worker has the place of the dead one.
        workers: how many there are.
        run_directory: that they share.
        bound: sockets of all ports.

    Attributes:
        process: of the system.
        loaded: pipe on which the worker says that its models are loaded.
        started: when, in seconds on `time.monotonic`.
    """

    def __init__(self, place: int, workers: int, run_directory: Path, bound: Sequence[socket.socket]) -> None:
        self.loaded, loaded_write = os.pipe()
        go_read, self._go = os.pipe()
        passed = loaded_write, go_read, *(one.fileno() for one in bound)
        self.process = subprocess.Popen(
            [sys.executable, "-m", "service", "--worker", *map(str, (place, workers, run_directory, *passed))],
            pass_fds=passed,
            start_new_session=True,
        )
        os.close(loaded_write)
        os.close(go_read)
        self.started = time.monotonic()

    def answer(self, message: bytes) -> None:
        """Tell a loaded worker to begin; one that has ended is told nothing."""
        with contextlib.suppress(BrokenPipeError):
            os.write(self._go, message)

    def close(self) -> None:
        """Close the pipes; a worker that still lives then takes its launcher for gone."""
        os.close(self.loaded)
        os.close(self._go)
