"""Figures asked of a Prometheus: its answer, and whatever else may come from there."""

import asyncio
import json
import threading
from collections.abc import Callable, Iterator
from contextlib import ExitStack, contextmanager
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from urllib.parse import parse_qs, urlsplit

import pytest

from service.artifact.file import read_model
from service.artifact.manifest import Manifest
from service.errors import MalformedRequest
from service.monitoring import fleet
from service.monitoring.fleet import Fleet, FleetAnswer, PrometheusError

Handle = Callable[[BaseHTTPRequestHandler], None]


@contextmanager
def prometheus(handle: Handle) -> Iterator[str]:
    """Answer as a handler says, on a free port."""

    class Handler(BaseHTTPRequestHandler):
        def do_GET(self) -> None:
            handle(self)

        def log_message(self, *_: object) -> None:
            pass

    server = ThreadingHTTPServer(("127.0.0.1", 0), Handler)
    serving = threading.Thread(target=server.serve_forever)
    serving.start()
    try:
        yield f"http://127.0.0.1:{server.server_port}"
    finally:
        server.shutdown()
        server.server_close()
        serving.join()


def answering(content: bytes, status: int = 200, **headers: str) -> Handle:
    def handle(request: BaseHTTPRequestHandler) -> None:
        request.send_response(status)
        for name, value in headers.items():
            request.send_header(name, value)
        request.send_header("content-length", str(len(content)))
        request.end_headers()
        request.wfile.write(content)

    return handle


def series(figure: str, value: float, **labels: str) -> dict[str, object]:
    return {"metric": {"figure": figure, **labels}, "value": [1.8e9, str(value)]}


def document(*found: dict[str, object]) -> bytes:
    return json.dumps({"status": "success", "data": {"resultType": "vector", "result": found}}).encode()


@pytest.fixture(scope="module")
def manifest(tmp_path_factory: pytest.TempPathFactory, hand_model: Callable[..., Path]) -> Manifest:
    return read_model(hand_model(tmp_path_factory.mktemp("models"), "hand", tasks=("price",), experts=2))[1]


def asked(url: str, manifest: Manifest, window: str = "5m") -> FleetAnswer:
    return asyncio.run(Fleet(url).report("hand", 3, manifest, window))


def test_series_become_shares_and_means(manifest: Manifest) -> None:
    queries: list[str] = []
    found = document(
        series("rows", 30, instance="b:1"), series("rows", 10, instance="a:1"),
        series("weight", 30, task="price", expert="0"), series("weight", 10, task="price", expert="1"),
        series("entropy", 20, task="price"),
    )  # fmt: skip

    def handle(request: BaseHTTPRequestHandler) -> None:
        queries.append(parse_qs(urlsplit(request.path).query)["query"][0])
        answering(found)(request)

    with prometheus(handle) as url:
        one = Fleet(f"{url}/")

        async def twice() -> tuple[FleetAnswer, FleetAnswer]:
            first, second = await asyncio.gather(*(one.report("hand", 3, manifest, "1h") for _ in range(2)))
            return first, second

        first, second = asyncio.run(twice())
    assert first is second
    assert len(queries) == 1
    assert 'mmoe_gate_rows_total{model="hand",version="3"}[1h]' in queries[0]
    assert first["rows"] == 40
    assert [one["instance"] for one in first["instances"]] == ["a:1", "b:1"]
    assert first["tasks"]["price"]["utilisation"] == [0.75, 0.25]
    assert first["tasks"]["price"]["entropy"] == 0.5
    assert first["tasks"]["price"]["normalised_entropy"] == pytest.approx(0.5 / 0.693147, rel=1e-5)


def test_nothing_scraped_yet_is_no_figure(manifest: Manifest) -> None:
    with prometheus(answering(document(series("rows", 0, instance="a:1")))) as url:
        found = asked(url, manifest)
    assert found["rows"] == 0
    assert found["tasks"]["price"] == {"utilisation": None, "entropy": None, "normalised_entropy": None}


@pytest.mark.parametrize(
    "handle",
    [
        answering(b"<html>"), answering(b"{}"), answering(b"[]"), answering(b"no", 500),
        answering(b'{"data": {"result": [{"metric": {}, "value": []}]}}'),
        answering(b"", 302, location="http://127.0.0.1:1/"), answering(b" " * 5000),
    ],
    ids=["html", "empty", "list", "error", "series", "redirect", "large"],
)  # fmt: skip
def test_whatever_else_comes_is_an_error(manifest: Manifest, handle: Handle, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(fleet, "MOST_BYTES", 4000)
    with prometheus(handle) as url, pytest.raises(PrometheusError):
        asked(url, manifest)


def test_one_that_never_ends_is_waited_for_no_longer(manifest: Manifest, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(fleet, "TIMEOUT_S", 0.3)
    ended = threading.Event()

    def drip(request: BaseHTTPRequestHandler) -> None:
        request.send_response(200)
        request.end_headers()
        while not ended.wait(0.05):
            try:
                request.wfile.write(b" ")
            except OSError:
                return

    with prometheus(drip) as url, ExitStack() as after:
        after.callback(ended.set)
        with pytest.raises(PrometheusError, match="took more than"):
            asked(url, manifest)


def test_an_unknown_window_is_refused_and_nobody_is_asked(manifest: Manifest) -> None:
    with pytest.raises(MalformedRequest, match="1m, 5m, 1h"):
        asked("http://127.0.0.1:1", manifest, "2m")
