"""Workers meet before they swap; who has left, or died, is not waited for."""

import asyncio
import os
from collections.abc import Awaitable, Iterator
from pathlib import Path

import pytest

from service.run_directory import RunDirectory
from service.versions.barrier import Barrier


@pytest.fixture
def directory(tmp_path: Path) -> Iterator[RunDirectory]:
    with RunDirectory.create(2, tmp_path) as made:
        yield made


def play(scenario: Awaitable[None]) -> None:
    async def watched() -> None:
        await asyncio.wait_for(scenario, 5)  # sooner than a worker loses its patience

    asyncio.run(watched())


def test_each_waits_until_the_other_could_swap_too(directory: RunDirectory) -> None:
    async def scenario() -> None:
        first, second = (Barrier(directory, place, 2) for place in range(2))
        second.arrive(6)
        waiting = asyncio.create_task(first.arrive_and_wait(7))
        await asyncio.sleep(0)
        assert not waiting.done()
        await second.arrive_and_wait(7)
        await waiting

    play(scenario())


def test_who_has_left_is_not_waited_for(directory: RunDirectory) -> None:
    async def scenario() -> None:
        first, second = (Barrier(directory, place, 2) for place in range(2))
        second.arrive(6)
        second.deregister()
        await first.arrive_and_wait(7)

    play(scenario())


def test_who_is_dead_is_not_waited_for(directory: RunDirectory) -> None:
    dead = os.fork()
    if not dead:
        Barrier(directory, 1, 2).arrive(1)
        os._exit(0)
    os.waitpid(dead, 0)
    play(Barrier(directory, 0, 2).arrive_and_wait(7))
