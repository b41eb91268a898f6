"""Scoring on one machine: processes that take one part after another."""

import multiprocessing
import os
import threading
from collections.abc import Iterable, Iterator
from contextlib import contextmanager
from multiprocessing.connection import Connection, wait
from multiprocessing.context import SpawnProcess
from typing import cast

from batch.errors import ScoringError
from batch.job import Job
from batch.scorer import Done, Scorer
from tables.errors import UserError
from tables.interrupts import kept_from_children

ONE_CORE = {"POLARS_MAX_THREADS": "1"}
"""Environment of a process, which has a core for itself."""

DIED = (
    "a scoring process was killed, perhaps for want of memory, or by a damaged file; the parts that were written stay, "
    "and the same command goes on from them"
)


def score_here(job: Job, parts: Iterable[int]) -> Iterator[Done]:
    """Score parts in this process, one after another; as `score_parts`."""
    scorer = Scorer(job)
    return map(scorer.write, parts)


def score_parts(job: Job, parts: Iterable[int], processes: int) -> Iterator[Done]:
    """Score parts and write them, each process one part at a time, the next one as it is free.

    Args:
        job: whose parts these are.
        parts: to score, rising.
        processes: at most.

    Yields:
        Each part that is done.

    Raises:
        UserError: a part cannot be scored; others may have been written.
    """
    todo, started = list(parts)[::-1], list[SpawnProcess]()
    idle: list[Connection] = []
    try:
        with _one_core_each(), kept_from_children():
            for _ in range(min(processes, len(todo))):
                connection, process = _start(job)
                started.append(process)
                idle.append(connection)
        busy: list[Connection] = []
        while todo or busy:
            while todo and idle:
                connection = idle.pop()
                _send(connection, todo.pop())
                busy.append(connection)
            for ready in cast("list[Connection]", wait(busy)):
                busy.remove(ready)
                idle.append(ready)
                yield _received(ready)
    finally:
        for process in started:
            process.kill()  # parts are written whole or not at all
        for process in started:
            process.join()


def _start(job: Job) -> tuple[Connection, SpawnProcess]:
    context = multiprocessing.get_context("spawn")
    ours, theirs = context.Pipe()
    process = context.Process(target=_serve, args=(job, theirs), daemon=True)
    process.start()
    theirs.close()
    return ours, process


def _send(connection: Connection, part: int) -> None:
    try:
        connection.send(part)
    except OSError:
        raise ScoringError(DIED) from None


def _received(connection: Connection) -> Done:
    try:
        came = connection.recv()
    except (EOFError, OSError):
        raise ScoringError(DIED) from None
    if isinstance(came, Exception):
        raise came
    done: Done = came
    return done


@contextmanager
def _one_core_each() -> Iterator[None]:
    """Set the environment that processes start in."""
    before = {name: os.environ.get(name) for name in ONE_CORE}
    os.environ.update(ONE_CORE)
    try:
        yield
    finally:
        for name, value in before.items():
            if value is None:
                del os.environ[name]
            else:
                os.environ[name] = value


def _serve(job: Job, connection: Connection) -> None:
    """Score the parts that the starting process names, until it ends."""
    threading.Thread(target=_end_with_parent, daemon=True).start()
    try:
        scorer = Scorer(job)
        while True:
            connection.send(scorer.write(connection.recv()))
    except EOFError:
        return
    except UserError as error:
        connection.send(type(error)(*error.args))
    except OSError as error:
        connection.send(ScoringError(f"{error.filename or job.output}: {error.strerror or error}"))


def _end_with_parent() -> None:
    parent = multiprocessing.parent_process()
    if parent is not None:
        parent.join()
        os._exit(1)
