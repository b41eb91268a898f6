"""Deal the connections of a port out evenly among its workers, whatever the kernel does.

The kernel gives a new connection to one of the workers' sockets by a hash, at random: of eight
connections, one of two workers gets two or fewer in one case of seven, and connections that stay
open stay where they are. So a worker that accepts a connection while another one holds fewer
passes it on, as a file descriptor through a Unix socket:

    accept -> who holds fewest? -> serve it, or send it to that worker's inbox -> served there

What each worker holds, has sent and has received lies in shared memory, so that connections on
their way count too. A worker that cannot be reached, or whose event loop has stood still for a
second, gets nothing: the connection is served where it is.

With eight long connections the busier of two workers does 0.52 of the work instead of 0.59 at the
median, 0.59 instead of 0.73 at worst (`benchmarks.connections`; on busy cores no gain in time).
"""

import asyncio
import contextlib
import errno
import os
import socket
from array import array
from collections.abc import Callable

from service.run_directory import RunDirectory
from service.workers.heartbeat import HeartbeatMonitor

TICK_S = 0.1
"""Age at which a worker's number of connections is renewed for others, in seconds."""

STILL_S = 1.0
"""A worker that has not beaten for so long is passed no connection."""

_ACCEPTED_AT_ONCE = 128
_OUT_OF_MEANS = (errno.EMFILE, errno.ENFILE, errno.ENOBUFS, errno.ENOMEM)


class ConnectionCounts:
    """Connections that every worker holds, and those on their way to it, in shared memory.

    Args:
        directory: shared by the workers.
        place: of this worker, from 0; a restarted worker has the place of the dead one.
        workers: how many there are.
    """

    def __init__(self, directory: RunDirectory, place: int, workers: int) -> None:
        slots = directory.map("connections", f"connections {workers}", 8 * (1 + 2 * workers))
        self._words = [slot.cast("q") for slot in slots[:workers]]
        self._own = self._words[place]
        self._place, self._workers = place, workers
        self._own[0] = 0
        for sender in range(workers):  # what was on its way to the dead one is lost
            self._own[1 + workers + sender] = self._words[sender][1 + place]

    def hold(self, connections: int) -> None:
        """Note how many connections this worker holds."""
        self._own[0] = connections

    def sent(self, to: int) -> None:
        """Note that one was passed on."""
        self._own[1 + to] += 1

    def unsent(self, to: int) -> None:
        """Take that back: the worker could not be reached."""
        self._own[1 + to] -= 1

    def received(self, sender: int) -> None:
        """Note that one came from another worker."""
        self._own[1 + self._workers + sender] += 1

    def loads(self) -> list[int]:
        """Return how many connections each worker holds or is about to get."""
        received = 1 + self._workers
        return [
            words[0] + sum(self._words[sender][1 + place] - words[received + sender] for sender in range(self._workers))
            for place, words in enumerate(self._words)
        ]


class Acceptor:
    """Accept all connections that wait, whenever there are any.

    The loop itself would accept one a turn.

    Args:
        listening: a socket that listens.
        accepted: called with each connection.
        before: called before each look.
    """

    def __init__(
        self,
        listening: socket.socket,
        accepted: Callable[[socket.socket], object],
        before: Callable[[], object] = lambda: None,
    ) -> None:
        self._listening, self._accepted, self._before = listening, accepted, before
        self._resume: asyncio.TimerHandle | None = None

    def start(self) -> None:
        """Begin to accept, on the running loop."""
        self._listening.setblocking(False)
        asyncio.get_running_loop().add_reader(self._listening.fileno(), self._accept)

    def close(self) -> None:
        """Accept what waits, and no more."""
        self._accept()
        if self._resume is not None:
            self._resume.cancel()
        asyncio.get_running_loop().remove_reader(self._listening.fileno())
        self._listening.close()

    def _accept(self) -> None:
        self._before()
        for _ in range(_ACCEPTED_AT_ONCE):
            try:
                connection, _ = self._listening.accept()
            except BlockingIOError:
                return
            except OSError as error:
                if error.errno in _OUT_OF_MEANS:
                    self._pause()
                return  # else the client has gone already
            connection.setblocking(False)
            with contextlib.suppress(OSError):
                connection.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
            self._accepted(connection)

    def _pause(self) -> None:
        """Let connections wait until others have ended.

        Asking again at once would take all the time there is.
        """
        loop = asyncio.get_running_loop()
        loop.remove_reader(self._listening.fileno())
        self._resume = loop.call_later(TICK_S, lambda: loop.add_reader(self._listening.fileno(), self._accept))


class ConnectionBalancer:
    """Accept connections for one worker, and deal them out.

    Args:
        listening: this worker's socket on the port.
        directory: shared by the workers.
        place: of this worker.
        workers: how many there are.
        serve: serves a connection here.
        held: counts the connections served here.
    """

    def __init__(
        self,
        listening: socket.socket,
        directory: RunDirectory,
        place: int,
        workers: int,
        serve: Callable[[socket.socket], None],
        held: Callable[[], int],
    ) -> None:
        self._place, self._serve, self._held = place, serve, held
        self._acceptor = Acceptor(listening, self._balance, self._take)  # what is taken counts before any is dealt out
        self._counts = ConnectionCounts(directory, place, workers)
        self._heartbeats = HeartbeatMonitor(directory, workers, TICK_S)
        self._takers = list(range(workers))
        self._inboxes = [str(directory.path / f"inbox-{worker}") for worker in range(workers)]
        self._inbox = _datagram_socket()
        with contextlib.suppress(FileNotFoundError):
            os.unlink(self._inboxes[place])
        self._inbox.bind(self._inboxes[place])
        self._outbox = _datagram_socket()
        self._tick: asyncio.TimerHandle | None = None

    def start(self) -> None:
        """Begin to accept, on the running loop."""
        self._acceptor.start()
        asyncio.get_running_loop().add_reader(self._inbox.fileno(), self._take)
        self._note()

    def close(self) -> None:
        """Accept no more; what waits already, here or passed on by others, is still served."""
        self._acceptor.close()
        asyncio.get_running_loop().remove_reader(self._inbox.fileno())
        if self._tick is not None:
            self._tick.cancel()
        self._take()
        self._inbox.close()
        self._outbox.close()

    def loads(self) -> list[int]:
        """Return how many connections each worker holds or is about to get."""
        return self._counts.loads()

    def _balance(self, connection: socket.socket) -> None:
        self._counts.hold(self._held())
        loads = self._counts.loads()
        least = min(self._takers, key=loads.__getitem__)
        if loads[least] < loads[self._place] and self._pass_on(connection, least):
            connection.close()
        else:
            self._serve_here(connection)

    def _pass_on(self, connection: socket.socket, to: int) -> bool:
        self._counts.sent(to)  # before it can be received
        try:
            # socket.send_fds takes an address and ignores it.
            descriptor = array("i", [connection.fileno()])
            rights = (socket.SOL_SOCKET, socket.SCM_RIGHTS, descriptor)
            self._outbox.sendmsg([bytes([self._place])], [rights], 0, self._inboxes[to])
        except OSError:
            self._counts.unsent(to)
            return False
        return True

    def _take(self) -> None:
        """Serve what others have passed on."""
        for _ in range(_ACCEPTED_AT_ONCE):
            try:
                message, descriptors, _, _ = socket.recv_fds(self._inbox, 1, 1)
            except OSError:
                return
            if message and descriptors:
                self._counts.received(message[0])
                connection = socket.socket(fileno=descriptors[0])
                connection.setblocking(False)
                self._serve_here(connection)

    def _serve_here(self, connection: socket.socket) -> None:
        self._serve(connection)
        self._counts.hold(self._held())

    def takers(self) -> list[int]:
        """Return the workers that connections may be passed on to, this one included."""
        return self._takers

    def _note(self) -> None:
        self._counts.hold(self._held())
        self._heartbeats.look()
        silent_s, own = self._heartbeats.silent_s, self._place
        self._takers = [place for place in range(len(self._inboxes)) if place == own or silent_s(place) < STILL_S]
        self._tick = asyncio.get_running_loop().call_later(TICK_S, self._note)


def _datagram_socket() -> socket.socket:
    made = socket.socket(socket.AF_UNIX, socket.SOCK_DGRAM)
    made.setblocking(False)
    return made
