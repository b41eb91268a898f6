"""Replicas as the loop calls them."""

import threading
from collections.abc import Iterator
from http.server import BaseHTTPRequestHandler, HTTPServer

import pytest

from loop.config import Services
from loop.errors import LoopError
from loop.services import Replicas


class Redirecting(BaseHTTPRequestHandler):
    """Server that sends callers to another path of its own."""

    def do_GET(self) -> None:
        self.send_response(200 if self.path == "/elsewhere" else 307)
        self.send_header("Location", "/elsewhere")
        self.send_header("Content-Length", "0")
        self.end_headers()

    def log_message(self, *arguments: object) -> None:
        """Say nothing."""


@pytest.fixture
def url() -> Iterator[str]:
    server = HTTPServer(("127.0.0.1", 0), Redirecting)
    threading.Thread(target=server.serve_forever, kwargs={"poll_interval": 0.05}).start()
    yield f"http://127.0.0.1:{server.server_port}"
    server.shutdown()
    server.server_close()


def test_a_key_follows_no_redirect(url: str, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("MMOE_LOOP_KEY", "mmoe_secret")
    with pytest.raises(LoopError, match="answered 307"):
        Replicas(Services(urls=(url,)), "hand").states()
