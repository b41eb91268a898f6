"""Processor cores that this process may use: its affinity, within its control group's quota."""

import contextlib
import math
import os
from pathlib import Path


def usable_cores(root: Path = Path("/sys/fs/cgroup"), own: Path = Path("/proc/self/cgroup")) -> int:
    """Count the cores that affinity and the control group's quota allow; at least 1."""
    cores = len(os.sched_getaffinity(0)) if hasattr(os, "sched_getaffinity") else os.cpu_count() or 1
    return max(int(min(cores, _quota(root, own))), 1)


def _quota(root: Path, own: Path) -> float:
    """Return the cores that the quotas of this process's control groups allow, of version 2 and 1.

    Infinite if none.
    """
    least = math.inf
    with contextlib.suppress(OSError, ValueError):
        for line in own.read_text().splitlines():
            _, controllers, path = line.split(":", 2)
            if controllers and "cpu" not in controllers.split(","):
                continue
            base = root if not controllers else root / "cpu"
            group = base / path.lstrip("/")
            for place in (group, *group.parents):
                if not place.is_relative_to(base):
                    break
                least = min(least, _quota_of(place))
    return least


def _quota_of(group: Path) -> float:
    with contextlib.suppress(OSError, ValueError):
        quota, period = (group / "cpu.max").read_text().split()
        return math.inf if quota == "max" else int(quota) / int(period)
    with contextlib.suppress(OSError, ValueError):
        quota_us = int((group / "cpu.cfs_quota_us").read_text())
        return math.inf if quota_us <= 0 else quota_us / int((group / "cpu.cfs_period_us").read_text())
    return math.inf
