"""Probes of liveness during an attack: how long each took, and what the loop did meanwhile."""

import socket
import threading
import time
from types import TracebackType
from typing import NamedTuple, Self
from urllib.parse import urlsplit

from tests.support.processes import loop_s, resident_mb
from tests.support.server import Service

PROBE = b"GET /health/live HTTP/1.1\r\nhost: localhost\r\nconnection: close\r\n\r\n"
PIECE = 1 << 16
LONGEST_S = 60


class Probe(NamedTuple):
    """Times of one probe, in seconds.

    Until its answer, and of the loop: run, waited for a core.
    """

    took_s: float
    ran_s: float
    waited_s: float


class Probing:
    """Probes of a service of one worker, one after another, and looks at its memory.

    Each is on a connection of its own.

    Attributes:
        probes: all that were answered.
        peak_mb: largest resident memory seen.
        failed: the answer that was not a success, or the error; "" while there is none.
    """

    def __init__(self, service: Service) -> None:
        self._pid, self._address = service.process.pid, address_of(service)
        self._stopping = threading.Event()
        self._thread = threading.Thread(target=self._run)
        self.probes: list[Probe] = []
        self.peak_mb, self.failed = 0.0, ""

    def __enter__(self) -> Self:
        self._thread.start()
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self._stopping.set()
        self._thread.join()

    def told(self) -> str:
        """Tell of the slowest probe, and of the one in which the loop ran longest."""
        slowest, busiest = max(self.probes), max(self.probes, key=lambda probe: probe.ran_s)
        return (
            f"slowest of {len(self.probes)} probes {1e3 * slowest.took_s:.0f} ms, in which the loop ran "
            f"{1e3 * slowest.ran_s:.0f} ms and waited {1e3 * slowest.waited_s:.0f} ms for a core; it ran at most "
            f"{1e3 * busiest.ran_s:.0f} ms in one of {1e3 * busiest.took_s:.0f} ms"
        )

    def _run(self) -> None:
        while self._probe() and not self._stopping.wait(0.01):
            pass

    def _probe(self) -> bool:
        (ran, waited), began = loop_s(self._pid), time.monotonic()
        try:
            answer = ask(self._address, PROBE)
        except OSError as error:
            answer = repr(error).encode()
        took, (ran_then, waited_then) = time.monotonic() - began, loop_s(self._pid)
        self.probes.append(Probe(took, ran_then - ran, waited_then - waited))
        self.peak_mb = max(self.peak_mb, resident_mb(self._pid))
        if not answer.startswith(b"HTTP/1.1 200 "):
            self.failed = repr(answer)
        return not self.failed


def address_of(service: Service) -> tuple[str, int]:
    port = urlsplit(service.url).port
    assert port
    return "127.0.0.1", port


def ask(address: tuple[str, int], request: bytes) -> bytes:
    with socket.create_connection(address, timeout=LONGEST_S) as connection:
        connection.sendall(request)
        return connection.recv(PIECE)
