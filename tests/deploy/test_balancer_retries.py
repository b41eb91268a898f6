"""Retries of the balancer: a real nginx before servers that count, break off or say nothing."""

import os
import re
import socket
import threading
from collections.abc import Callable, Iterator
from contextlib import ExitStack, contextmanager, suppress
from pathlib import Path
from typing import Any

import httpx
import pytest

from tests.support.balancer import write_config

ALIVE = b"HTTP/1.1 200 OK\r\ncontent-length: 0\r\n\r\n"


class Upstream:
    """Server that takes requests and counts them.

    Probes are answered, anything else with bytes, silence (None), or the end (b"").
    """

    def __init__(self, answer: bytes | None) -> None:
        self._answer = answer
        self._listening = socket.create_server(("127.0.0.1", 0))
        self._open: list[socket.socket] = []
        self._threads = [threading.Thread(target=self._accept)]
        self._threads[0].start()
        self.port: int = self._listening.getsockname()[1]
        self.asked = 0

    def _accept(self) -> None:
        while True:
            try:
                connection, _ = self._listening.accept()
            except OSError:
                return
            self._open.append(connection)
            self._threads.append(threading.Thread(target=self._speak, args=(connection,)))
            self._threads[-1].start()

    def _speak(self, connection: socket.socket) -> None:
        while head := self._receive(connection):
            if head.startswith(b"GET /health/"):
                connection.sendall(ALIVE)
                continue
            self.asked += 1
            if self._answer == b"":
                connection.shutdown(socket.SHUT_RDWR)
                return
            if self._answer is not None:
                connection.sendall(self._answer)

    @staticmethod
    def _receive(connection: socket.socket) -> bytes:
        try:
            return connection.recv(65536)
        except OSError:
            return b""

    def close(self) -> None:
        self._listening.shutdown(socket.SHUT_RDWR)
        self._listening.close()
        self._threads[0].join()
        for connection in self._open:
            with suppress(OSError):
                connection.shutdown(socket.SHUT_RDWR)
            connection.close()
        for thread in self._threads[1:]:
            thread.join()


@pytest.fixture
def balance(
    start_program: Callable[..., Any], program: Callable[[str, str], str], port: Callable[[], int], tmp_path: Path
) -> Callable[..., Any]:
    """Give a context manager that runs nginx before upstreams of these answers, or gone ones."""
    nginx = program("nginx", "nginx")

    @contextmanager
    def start(
        *answers: bytes | type["Gone"] | None, silence_s: int | None = None
    ) -> Iterator[tuple[str, list["Upstream | Gone"]]]:
        number, root = port(), "user root;" if os.geteuid() == 0 else ""
        with ExitStack() as stack:
            upstreams = [Gone() if isinstance(answer, type) else Upstream(answer) for answer in answers]
            for upstream in upstreams:
                stack.callback(upstream.close)
            conf = write_config(tmp_path, number, [upstream.port for upstream in upstreams])
            if silence_s is not None:
                text, found = re.subn(
                    r"proxy_read_timeout \d+s;", f"proxy_read_timeout {silence_s}s;", conf.read_text()
                )
                assert found == 1
                conf.write_text(text)
            url = f"http://127.0.0.1:{number}"
            command = [nginx, "-e", "stderr", "-c", str(conf), "-g", f"daemon off; {root}"]
            with start_program(command, url, "/health/ready", tmp_path / "log"):
                yield url, upstreams

    return start


@pytest.mark.parametrize(
    ("method", "path", "times"),
    [
        ("POST", "/v1/models/m:predict", 2),
        ("POST", "/v1/models/m/versions/3:gates", 2),
        ("POST", "/v2/models/m/versions/3/infer", 2),
        ("GET", "/v1/models", 2),
        ("POST", "/v2/repository/index", 1),
        ("POST", "/v1/models/m:another", 1),
    ],
)
def test_what_ends_a_replica_reaches_one_more_at_most_and_that_only_where_it_changes_nothing(
    balance: Callable[..., Any], method: str, path: str, times: int
) -> None:
    with balance(b"", b"", b"", b"") as (url, upstreams):
        answer = httpx.request(method, url + path, trust_env=False, timeout=30)
        assert answer.status_code == 503
        assert sum(upstream.asked for upstream in upstreams) == times
        assert max(upstream.asked for upstream in upstreams) == 1


class Gone:
    """Port that refuses connections."""

    def __init__(self) -> None:
        self._bound = socket.socket()
        self._bound.bind(("127.0.0.1", 0))
        self.port: int = self._bound.getsockname()[1]
        self.asked = 0
        self.close = self._bound.close


@pytest.mark.parametrize("path", ["/v1/models/m:predict", "/v1/models/m:another"])
def test_however_many_are_gone_the_one_that_is_left_answers(balance: Callable[..., Any], path: str) -> None:
    with balance(Gone, Gone, Gone, Gone, ALIVE) as (url, (*_, left)):
        for asked in range(1, 11):
            assert httpx.post(url + path, trust_env=False, timeout=30).status_code == 200
            assert left.asked == asked


@pytest.mark.parametrize(("path", "most"), [("/v1/models/m:predict", 2), ("/v1/models/m:another", 1)])
def test_what_ends_a_replica_reaches_no_third_though_others_are_gone(
    balance: Callable[..., Any], path: str, most: int
) -> None:
    with balance(Gone, b"", b"", Gone, b"") as (url, upstreams):
        for _ in range(10):
            before = sum(upstream.asked for upstream in upstreams)
            assert httpx.post(url + path, trust_env=False, timeout=30).status_code == 503
            assert sum(upstream.asked for upstream in upstreams) - before <= most


def test_a_silent_replica_is_left_out_after_three_requests(balance: Callable[..., Any]) -> None:
    with balance(None, ALIVE, silence_s=1) as (url, (silent, sound)):
        together = threading.Barrier(8)

        def ask() -> None:
            together.wait()
            answer = httpx.post(f"{url}/v1/predict", trust_env=False, timeout=30)
            statuses.append(answer.status_code)

        statuses: list[int] = []
        clients = [threading.Thread(target=ask) for _ in range(8)]
        for client in clients:
            client.start()
        for client in clients:
            client.join()
        assert statuses == [200] * 8
        before = silent.asked
        assert before >= 3
        with httpx.Client(base_url=url, trust_env=False, timeout=30) as asking:
            for _ in range(200):
                assert asking.post("/v1/predict").status_code == 200
        assert silent.asked - before <= 2
        assert sound.asked >= 200
