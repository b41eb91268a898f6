"""Connections are dealt out evenly among workers, through real sockets and shared memory."""

import asyncio
import contextlib
import socket
from collections.abc import Iterator
from pathlib import Path

import pytest

from service.run_directory import RunDirectory
from service.workers.connections import ConnectionBalancer, ConnectionCounts
from service.workers.heartbeat import Heartbeat
from service.workers.sockets import Address, bind, reserve


class Worker:
    """Worker that holds connections without answering on them."""

    def __init__(self, directory: RunDirectory, place: int, workers: int, port: int) -> None:
        self.listening = bind(Address("127.0.0.1", port), shared=True)
        self.listening.listen(100)
        self.held: list[socket.socket] = []
        self.heartbeat = Heartbeat(directory, place, workers, load_s=60)
        self.balancer = ConnectionBalancer(self.listening, directory, place, workers, self.held.append, self.count)

    def start(self) -> None:
        self.heartbeat.start()
        self.balancer.start()

    def count(self) -> int:
        return len(self.held)

    def leave(self) -> None:
        self.balancer.close()
        for connection in self.held:
            connection.close()


@pytest.fixture
def directory(tmp_path: Path) -> Iterator[RunDirectory]:
    with RunDirectory.create(4, tmp_path) as made:
        yield made


async def connect(port: int, count: int, workers: list[Worker]) -> list[socket.socket]:
    """Open connections and wait until all of them are held somewhere."""
    before = sum(worker.count() for worker in workers)
    loop = asyncio.get_running_loop()
    made = []
    for _ in range(count):
        client = socket.socket()
        client.setblocking(False)
        await loop.sock_connect(client, ("127.0.0.1", port))
        made.append(client)
    async with asyncio.timeout(20):
        while sum(worker.count() for worker in workers) < before + count:
            await asyncio.sleep(0)
    return made


@pytest.mark.parametrize("workers", [2, 3])
@pytest.mark.parametrize("connections", [1, 7, 64])
def test_connections_are_spread_evenly(directory: RunDirectory, workers: int, connections: int) -> None:
    async def play() -> list[int]:
        with reserve(Address("127.0.0.1", 0)) as reserved, contextlib.ExitStack() as stack:
            port = reserved.getsockname()[1]
            team = [Worker(directory, place, workers, port) for place in range(workers)]
            for worker in team:
                worker.start()
            for client in await connect(port, connections, team):
                stack.callback(client.close)
            counts = [worker.count() for worker in team]
            for worker in team:
                worker.leave()
            return counts

    counts = asyncio.run(play())
    assert sum(counts) == connections
    assert max(counts) - min(counts) <= 1


def test_a_dead_worker_gets_nothing_and_its_successor_its_share(directory: RunDirectory) -> None:
    async def play() -> None:
        with reserve(Address("127.0.0.1", 0)) as reserved, contextlib.ExitStack() as stack:
            port = reserved.getsockname()[1]
            first, dead = (Worker(directory, place, 2, port) for place in range(2))
            first.start()
            dead.start()
            dead.leave()  # it holds nothing, as its place in shared memory still says
            for client in await connect(port, 6, [first]):
                stack.callback(client.close)
            assert first.count() == 6
            second = Worker(directory, 1, 2, port)
            second.start()
            for client in await connect(port, 6, [first, second]):
                stack.callback(client.close)
            assert (first.count(), second.count()) == (6, 6)
            first.leave()
            second.leave()

    asyncio.run(play())


def test_a_worker_that_stands_still_gets_nothing_until_it_goes_on(directory: RunDirectory) -> None:
    async def play() -> None:
        with reserve(Address("127.0.0.1", 0)) as reserved, contextlib.ExitStack() as stack:
            port = reserved.getsockname()[1]
            first, still = Worker(directory, 0, 2, port), Worker(directory, 1, 2, 0)
            first.start()
            still.balancer.start()  # it can be reached, and takes, but its heartbeat does not beat
            await takers(first, [0])
            for client in await connect(port, 4, [first]):
                stack.callback(client.close)
            assert (first.count(), still.count()) == (4, 0)
            still.heartbeat.start()
            await takers(first, [0, 1])
            for client in await connect(port, 4, [first, still]):
                stack.callback(client.close)
            assert (first.count(), still.count()) == (4, 4)
            first.leave()
            still.leave()

    asyncio.run(play())


async def takers(worker: Worker, places: list[int]) -> None:
    """Wait until a worker passes connections on to these."""
    async with asyncio.timeout(20):
        while worker.balancer.takers() != places:
            await asyncio.sleep(0.01)


def test_what_is_passed_on_is_served_even_at_the_end(directory: RunDirectory) -> None:
    async def play() -> tuple[int, int]:
        with reserve(Address("127.0.0.1", 0)) as reserved, contextlib.ExitStack() as stack:
            port = reserved.getsockname()[1]
            first = Worker(directory, 0, 2, port)
            second = Worker(directory, 1, 2, 0)  # elsewhere: it gets only what is passed on
            first.start()
            clients = [stack.enter_context(socket.create_connection(("127.0.0.1", port), timeout=5)) for _ in range(4)]
            async with asyncio.timeout(20):
                while sum(first.balancer.loads()) < len(clients):
                    await asyncio.sleep(0)
            assert second.count() == 0
            second.start()
            second.balancer.close()
            counts = first.count(), second.count()
            first.leave()
            for connection in second.held:
                connection.close()
            return counts

    assert asyncio.run(play()) == (2, 2)


def test_what_is_on_its_way_counts(directory: RunDirectory) -> None:
    counts = [ConnectionCounts(directory, place, 3) for place in range(3)]
    counts[0].hold(2)
    counts[0].sent(1)
    counts[0].sent(1)
    counts[2].sent(1)
    assert counts[2].loads() == [2, 3, 0]
    counts[1].received(0)
    counts[1].hold(1)
    assert counts[0].loads() == [2, 3, 0]
    counts[2].unsent(1)
    assert counts[0].loads() == [2, 2, 0]
    again = ConnectionCounts(directory, 1, 3)
    assert again.loads() == [2, 0, 0], "what was on its way to a dead worker is lost"
