"""Processes seen from outside: state, memory, descriptors; on Linux."""

import contextlib
import os
from pathlib import Path

PAGE_BYTES = os.sysconf("SC_PAGE_SIZE")


def children(pid: int) -> list[int]:
    """List the ids of a process's children.

    Those that have ended and were not waited for are included.
    """
    return [int(child) for child in Path(f"/proc/{pid}/task/{pid}/children").read_text().split()]


def resident_mb(pid: int) -> float:
    """Return a process's resident memory in MB (2**20 bytes)."""
    return int(Path(f"/proc/{pid}/statm").read_text().split()[1]) * PAGE_BYTES / 2**20


def virtual_mb(pid: int) -> float:
    """Return the address space that a process has taken in MB (2**20 bytes)."""
    return int(Path(f"/proc/{pid}/statm").read_text().split()[0]) * PAGE_BYTES / 2**20


def peak_mb(pid: int) -> float:
    """Return the most resident memory of a process since `forget_peak`, in MB (2**20 bytes)."""
    status = Path(f"/proc/{pid}/status").read_text()
    return int(status.partition("VmHWM:")[2].split()[0]) / 1024


def forget_peak(pid: int) -> None:
    """Let the peak of a process's resident memory begin anew."""
    Path(f"/proc/{pid}/clear_refs").write_text("5")


def descriptors(pid: int) -> int:
    """Count the open file descriptors of a process."""
    return len(list(Path(f"/proc/{pid}/fd").iterdir()))


def alive(pid: int) -> bool:
    """Check whether a process runs; one that has ended and was not waited for does not.

    One that is killed runs until its last thread has ended: its files are open, though its first
    thread is a zombie.
    """
    with contextlib.suppress(OSError):
        return state(pid) not in ("Z", "") or len(list(Path(f"/proc/{pid}/task").iterdir())) > 1
    return False


def state(pid: int) -> str:
    """Return a process's state as the kernel writes it, "Z" for a zombie; "" if none."""
    with contextlib.suppress(OSError):
        return Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()[0]
    return ""


def connections(pid: int, port: int) -> int:
    """Count the established connections that a process holds on a port of its own."""
    inodes = {
        fields[9]
        for fields in map(str.split, Path("/proc/net/tcp").read_text().splitlines()[1:])
        if fields[1].endswith(f":{port:04X}") and fields[3] == "01"
    }
    links = []
    for descriptor in Path(f"/proc/{pid}/fd").iterdir():
        with contextlib.suppress(OSError):
            links.append(os.readlink(descriptor))
    return sum(link.removeprefix("socket:[").rstrip("]") in inodes for link in links)


def cpu_s(pid: int) -> float:
    """Return the CPU time that a process has used, in seconds."""
    fields = Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()
    return (int(fields[11]) + int(fields[12])) / os.sysconf("SC_CLK_TCK")


def loop_s(pid: int) -> tuple[float, float]:
    """Return how long a process's event loop has run and has waited for a core, in seconds."""
    ran, waited, _ = Path(f"/proc/{pid}/task/{pid}/schedstat").read_text().split()
    return int(ran) / 1e9, int(waited) / 1e9


def of_service(models: Path) -> list[int]:
    """List the running processes of a service by its directory of models, any parent."""
    wanted = f"MMOE_MODELS={models}".encode()
    found = []
    for directory in Path("/proc").glob("[0-9]*"):
        with contextlib.suppress(OSError):
            if wanted in (directory / "environ").read_bytes().split(b"\0") and alive(int(directory.name)):
                found.append(int(directory.name))
    return found


def checkers(models: Path) -> list[int]:
    """List the child processes of a service that check files."""
    found = []
    for pid in of_service(models):
        with contextlib.suppress(OSError):
            if b"spawn_main" in Path(f"/proc/{pid}/cmdline").read_bytes():
                found.append(pid)
    return found


def parent(pid: int) -> int:
    """Return the id of a process's parent."""
    return int(Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()[1])
