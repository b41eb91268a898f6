"""Acceptors on real sockets: all that waits, in shares where several accept from one socket."""

import asyncio
import contextlib
import errno
import socket
from collections import Counter
from collections.abc import Iterator

import pytest

from service.workers.listening import Acceptor
from service.workers.sockets import BACKLOG, Address, bind


class Holder:
    """Holder of the connections of one worker, which answers none.

    Attributes:
        turns: of the loop, and how many connections came in each.
    """

    def __init__(self, listening: socket.socket, workers: int) -> None:
        self.held: list[socket.socket] = []
        self.turn, self.turns = 0, Counter[int]()
        self.acceptor = Acceptor(listening, workers, self._hold)

    def _hold(self, connection: socket.socket) -> None:
        self.held.append(connection)
        self.turns[self.turn] += 1

    def close(self) -> None:
        for connection in self.held:
            connection.close()


async def until_held(count: int, *holders: Holder) -> None:
    async with asyncio.timeout(20):
        while sum(len(holder.held) for holder in holders) < count:
            for holder in holders:
                holder.turn += 1
            await asyncio.sleep(0)


@pytest.fixture
def listening() -> Iterator[socket.socket]:
    with bind(Address("127.0.0.1", 0)) as made:
        made.listen(BACKLOG)
        yield made


@contextlib.contextmanager
def clients(listening: socket.socket, count: int) -> Iterator[None]:
    """Connect some clients, which wait to be accepted."""
    with contextlib.ExitStack() as stack:
        for _ in range(count):
            stack.enter_context(socket.create_connection(listening.getsockname(), timeout=20))
        yield


@pytest.mark.parametrize(("workers", "shares"), [(1, [40]), (2, [20, 10, 5, 2, 1, 1, 1])])
def test_a_worker_takes_its_share_of_what_waits_in_a_turn(
    listening: socket.socket, workers: int, shares: list[int]
) -> None:
    async def scenario() -> None:
        holder = Holder(listening, workers)
        with clients(listening, 40), contextlib.closing(holder):
            holder.acceptor.start()
            await until_held(40, holder)
            assert list(holder.turns.values()) == shares
            assert not any(connection.getblocking() for connection in holder.held)
            assert all(one.getsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY) for one in holder.held)
            holder.acceptor.close()

    asyncio.run(scenario())


def test_each_connection_is_accepted_by_one_of_those_that_share_a_socket(listening: socket.socket) -> None:
    async def scenario() -> None:
        holders = [Holder(listening.dup(), 2) for _ in range(2)]
        with clients(listening, 40), contextlib.ExitStack() as stack:
            for holder in holders:
                stack.enter_context(contextlib.closing(holder))
                holder.acceptor.start()
            await until_held(40, *holders)
            assert len({connection.getpeername() for holder in holders for connection in holder.held}) == 40
            assert all(holder.held for holder in holders)
            for holder in holders:
                holder.acceptor.close()

    asyncio.run(scenario())


def test_one_that_closes_leaves_nothing_behind_and_the_socket_to_the_others(listening: socket.socket) -> None:
    async def scenario() -> None:
        first, last = (Holder(listening.dup(), 2) for _ in range(2))
        with contextlib.closing(first), contextlib.closing(last):
            with clients(listening, 40):
                first.acceptor.start()
                first.acceptor.close()
                assert len(first.held) == 40
            with clients(listening, 3):
                last.acceptor.start()
                await until_held(3, last)
                address = listening.getsockname()
                listening.close()
                last.acceptor.close()
                with pytest.raises(ConnectionRefusedError):
                    socket.create_connection(address, timeout=20)

    asyncio.run(scenario())


class Exhausted(socket.socket):
    """Listening socket of a process that is out of file descriptors at its first look."""

    looks = 0

    def accept(self) -> tuple[socket.socket, object]:
        self.looks += 1
        if self.looks == 1:
            raise OSError(errno.EMFILE, "Too many open files")
        return super().accept()


def test_connections_wait_while_there_are_no_descriptors(listening: socket.socket) -> None:
    async def scenario() -> None:
        scarce = Exhausted(fileno=listening.dup().detach())
        holder = Holder(scarce, 1)
        with clients(listening, 3), contextlib.closing(holder):
            holder.acceptor.start()
            while not scarce.looks:
                await asyncio.sleep(0)
            assert not holder.held
            await until_held(3, holder)
            holder.acceptor.close()

    asyncio.run(scenario())
