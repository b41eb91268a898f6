"""Limit of memory, as a container has it: a control group where one can be made."""

import os
import resource
import signal
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager, suppress
from dataclasses import dataclass
from pathlib import Path

GROUPS = Path("/sys/fs/cgroup")
LIMIT_FILES = {GROUPS: "memory.max", GROUPS / "memory": "memory.limit_in_bytes"}
"""File that bounds the memory of a control group, of the second and the first version."""


@dataclass(frozen=True)
class Limit:
    """Upper limit of commands' memory.

    Attributes:
        said: the kind of bound and its size, for the record.
        put: brings a process under it, by its id.
    """

    said: str
    put: Callable[[int], None]


@contextmanager
def limited(size: int) -> Iterator[Limit]:
    """Make a limit of `size` bytes, which ends with the block.

    A control group of a container's limits counts what a container's does, cached pages of files
    too, and ends a process that takes more. Where none can be made, each process may take `size`
    bytes of private memory (RLIMIT_DATA).
    """
    group = _make_group(size)
    if group is None:
        yield Limit(f"RLIMIT_DATA of {size / 2**30:g} GiB a process", _by_process(size))
        return
    try:
        yield Limit(f"control group of {size / 2**30:g} GiB", _by_group(group))
    finally:
        _remove(group)


def _make_group(size: int) -> Path | None:
    for root, file in LIMIT_FILES.items():
        group = root / f"mmoe-bench-{os.getpid()}"
        with suppress(OSError):
            group.mkdir()
            try:
                with (group / file).open("r+") as bound:  # not made: a folder of another kind has no such file
                    bound.write(str(size))
            except OSError:
                group.rmdir()
            else:
                return group
    return None


def _remove(group: Path) -> None:
    """Remove a group, with what a killed process has left running in it."""
    deadline = time.monotonic() + 10
    while time.monotonic() < deadline:
        for pid in (group / "cgroup.procs").read_text().split():
            with suppress(ProcessLookupError):
                os.kill(int(pid), signal.SIGKILL)
        with suppress(OSError):
            group.rmdir()
            return
        time.sleep(0.05)


def _by_group(group: Path) -> Callable[[int], None]:
    def put(pid: int) -> None:
        (group / "cgroup.procs").write_text(str(pid))

    return put


def _by_process(size: int) -> Callable[[int], None]:
    def put(pid: int) -> None:
        resource.prlimit(pid, resource.RLIMIT_DATA, (size, size))

    return put
