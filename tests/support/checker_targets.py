"""Stand-ins for the checker's child process: functions that it can import."""

import errno
import os
import signal
from multiprocessing.connection import Connection

import numpy as np

from service.versions.proof import check_files


def crash(connection: Connection, parent: int) -> None:
    """Crash at the first file."""
    connection.send_bytes(b"ready")
    connection.recv_bytes()
    os.kill(os.getpid(), signal.SIGSEGV)


def be_killed(connection: Connection, parent: int) -> None:
    """End as the system ends a process where memory is short."""
    connection.send_bytes(b"ready")
    connection.recv_bytes()
    os.kill(os.getpid(), signal.SIGKILL)


def end_silently(connection: Connection, parent: int) -> None:
    """End at the first file, without an answer."""
    connection.send_bytes(b"ready")
    connection.recv_bytes()
    raise SystemExit(1)


def say_nothing(connection: Connection, parent: int) -> None:
    """Keep whoever asks waiting."""
    connection.send_bytes(b"ready")
    while True:
        connection.recv_bytes()


def have_no_room(connection: Connection, parent: int) -> None:
    """Check files where the run directory has no room for more arrays."""

    def full(*arguments: object, **options: object) -> None:
        raise OSError(errno.ENOSPC, os.strerror(errno.ENOSPC))

    np.save = full
    check_files(connection, parent)
