"""Process pool for independent jobs, one process per core; Ctrl-C ends them all."""

import ctypes
import multiprocessing as mp
from collections.abc import Callable, Iterator, Sequence
from multiprocessing.context import SpawnProcess
from multiprocessing.sharedctypes import Synchronized
from typing import TypeVar

import torch

from model.errors import TrainError
from tables.interrupts import kept_from_children

Job = TypeVar("Job")
Advance = Callable[[int], object]
"""Is told how many units of work have been done since it was last told."""


def run_in_processes(
    work: Callable[[Iterator[Job], Advance], None], jobs: Sequence[Job], workers: int, advance: Advance
) -> None:
    """Let each process take the next job until none is left.

    Args:
        work: does the jobs of one process; a function of a module, so that the process can import
            it.
        jobs: any order may result.
        workers: how many processes; with 1 everything happens in this one.
        advance: is told what all processes have done, a few times a second.

    Raises:
        TrainError: if a process ends before its work does.
    """
    if not jobs:
        return
    if min(workers, len(jobs)) == 1:
        work(iter(jobs), advance)
        return
    context = mp.get_context("spawn")  # a forked torch may hang in its threads
    taken, done = context.Value("q", 0), context.Value("q", 0)
    processes = [
        context.Process(target=_process, args=(work, jobs, taken, done), daemon=True)
        for _ in range(min(workers, len(jobs)))
    ]
    try:
        with kept_from_children():
            for process in processes:
                process.start()
        _wait(processes, done, advance)
    finally:
        for process in processes:
            if process.pid is not None:
                process.terminate()
                process.join()


def _wait(processes: Sequence[SpawnProcess], done: "Synchronized[int]", advance: Advance) -> None:
    """Return when all processes have ended, and tell meanwhile what they do."""
    told = 0
    while True:
        alive = [process for process in processes if process.is_alive()]  # first: who is gone has nothing more to tell
        now = done.value
        advance(now - told)
        told = now
        failed = [process.exitcode for process in processes if process.exitcode]
        if failed:
            raise TrainError(f"a process ended with code {failed[0]}; what was finished is kept, so run again")
        if not alive:
            return
        alive[0].join(timeout=0.2)


def _process(
    work: Callable[[Iterator[Job], Advance], None],
    jobs: Sequence[Job],
    taken: "Synchronized[int]",
    done: "Synchronized[int]",
) -> None:
    """Run one process of the pool, on one core."""
    torch.set_num_threads(1)
    keep_freed_memory()

    def advance(units: int) -> None:
        with done.get_lock():
            done.value += units

    work(_not_taken(jobs, taken), advance)


def _not_taken(jobs: Sequence[Job], taken: "Synchronized[int]") -> Iterator[Job]:
    parent = mp.parent_process()
    while parent is None or parent.is_alive():
        with taken.get_lock():
            number, taken.value = taken.value, taken.value + 1
        if number >= len(jobs):
            return
        yield jobs[number]


def keep_freed_memory() -> None:
    """Set glibc to keep freed memory.

    A step's large arrays are then the last step's, not new pages from the kernel.

    A step takes a quarter less time so. Other C libraries are left as they are.
    """
    mallopt = getattr(ctypes.CDLL(None), "mallopt", None)
    if mallopt is not None:
        trim_threshold, mmap_threshold = -1, -3  # names of malloc.h
        mallopt(mmap_threshold, 32 << 20)  # the most that it accepts
        mallopt(trim_threshold, 1 << 30)
