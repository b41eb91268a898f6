"""Workers meet before they swap; who has left, or died, is not waited for."""

import asyncio
import os
from collections.abc import Awaitable, Iterator
from pathlib import Path

import pytest

from service.run_directory import RunDirectory
from service.versions.barrier import Rally


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
        first, second = (Rally(directory, place, 2) for place in range(2))
        second.staged(6)
        waiting = asyncio.create_task(first.meet(7))
        await asyncio.sleep(0)
        assert not waiting.done()
        await second.meet(7)
        await waiting

    play(scenario())


def test_who_has_left_is_not_waited_for(directory: RunDirectory) -> None:
    async def scenario() -> None:
        first, second = (Rally(directory, place, 2) for place in range(2))
        second.staged(6)
        second.leave()
        await first.meet(7)

    play(scenario())


def test_who_is_dead_is_not_waited_for(directory: RunDirectory) -> None:
    dead = os.fork()
    if not dead:
        Rally(directory, 1, 2).staged(1)
        os._exit(0)
    os.waitpid(dead, 0)
    play(Rally(directory, 0, 2).meet(7))
