"""The hot path's protocol answers, byte for byte, what uvicorn's own protocol answers for the same
application.
"""

import asyncio
import gzip
import json
import re
from collections.abc import Sequence

import pytest

from service.engine import Engine
from service.http.app import create_app
from service.http.hot import timeouts
from service.http.hot.predict import HotPath
from service.http.hot.protocol import HotPathProtocol
from tests.support.served_protocol import BODY, PREDICT, ROW, both, request, serving

CHUNKED = b"%x\r\n%b\r\n0\r\n\r\n" % (len(BODY), BODY)
GZIPPED = gzip.compress(BODY)
TENSOR = json.dumps({"inputs": []}).encode()
REQUESTS = {
    "rows": request(),
    "columns": request(json.dumps({"inputs": {name: [value] for name, value in ROW.items()}}).encode()),
    "short path": request(BODY, "/v1/predict"),
    "version": request(BODY, "/v1/models/hand/versions/1:predict"),
    "close": request(BODY, PREDICT, "Connection: close"),
    "bad row": request(json.dumps({"instances": [{"age": True}]}).encode()),
    "not json": request(b"{"),
    "empty": request(b""),
    "no such model": request(BODY, "/v1/models/other:predict"),
    "no such version": request(BODY, "/v1/models/hand/versions/9:predict"),
    "another type": request(BODY, PREDICT, "Content-Encoding: identity"),
    "deadline": request(BODY, PREDICT, "X-Request-Timeout-Ms: nonsense"),
    "too large": request(b" " * 5000),
    "gzip": request(GZIPPED, PREDICT, "Content-Encoding: gzip"),
    "chunked": request(CHUNKED, PREDICT, "Transfer-Encoding: chunked"),
    "expect": request(BODY, PREDICT, "Expect: 100-continue"),
    "http 1.0": request(version="1.0"),
    "escaped path": request(BODY, "/v1/models/h%61nd:predict"),
    "query": request(BODY, PREDICT + "?a=b"),
    "get": request(b"", method="GET"),
    "v2": request(TENSOR, "/v2/models/hand/infer"),
    "elsewhere": request(b"", "/health/live", method="GET"),
}


@pytest.mark.parametrize("name", REQUESTS)
def test_every_request_has_the_answer_it_has_from_uvicorn(name: str, engine: Engine) -> None:
    theirs, ours = both(create_app(engine), lambda bench: bench.talk(REQUESTS[name]))
    assert ours == theirs


@pytest.mark.parametrize("protocol", ["h2c", "websocket"])
@pytest.mark.parametrize("method", ["GET", "POST"])
@pytest.mark.parametrize("path", ["/health/live", "/v1/models", PREDICT, "/v2/repository/index"])
def test_an_upgrade_is_not_made_and_the_request_answered_as_without(
    engine: Engine, caplog: pytest.LogCaptureFixture, path: str, method: str, protocol: str
) -> None:
    body = BODY if method == "POST" else b""
    plain = request(body, path, method=method)
    upgrade = request(body, path, "Connection: Upgrade", f"Upgrade: {protocol}", method=method)

    async def run() -> None:
        async with serving(create_app(engine), HotPathProtocol) as bench, asyncio.timeout(20):
            (expected,) = await bench.talk(plain)
            assert await bench.talk(upgrade * 3, upgrade, answers=4) == [expected] * 4
            assert await bench.talk(upgrade[:60], upgrade[60:] + plain, answers=2) == [expected] * 2

    asyncio.run(run())
    assert not caplog.records


@pytest.mark.parametrize("cut", [10, len(request()) - len(BODY), len(request()) - 5])
def test_a_request_may_come_in_pieces(cut: int, engine: Engine) -> None:
    whole = request()
    theirs, ours = both(create_app(engine), lambda bench: bench.talk(whole[:cut], whole[cut:]))
    assert ours == theirs


@pytest.mark.parametrize(
    "names", [("rows", "columns", "bad row"), ("rows", "elsewhere", "gzip", "rows"), ("chunked", "rows", "get")]
)
def test_requests_sent_before_the_answer_are_answered_in_order(names: Sequence[str], engine: Engine) -> None:
    together = b"".join(REQUESTS[name] for name in names)
    theirs, ours = both(create_app(engine), lambda bench: bench.talk(together, answers=len(names)))
    assert ours == theirs


def test_a_connection_serves_many_requests(engine: Engine) -> None:
    theirs, ours = both(create_app(engine), lambda bench: bench.talk(*[request()] * 5, answers=5))
    assert ours == theirs


OTHER_BODY = BODY.replace(b"11.0", b"12.5")
KNOWN = request(BODY, PREDICT, "X-Request-Id-Not: 7").replace(b"X-Request-Id: 7\r\n", b"")
"""Without an id of its own, the head of a request is remembered."""


@pytest.mark.parametrize(
    "pieces",
    [
        [KNOWN, KNOWN.replace(BODY, OTHER_BODY), KNOWN],
        [KNOWN, KNOWN[:-5], KNOWN[-5:]],
        [KNOWN, KNOWN[:50], KNOWN[50:]],
        [KNOWN, KNOWN + KNOWN, KNOWN],
        [KNOWN + KNOWN, KNOWN],
        [KNOWN, KNOWN + KNOWN[:50], KNOWN[50:]],
        [KNOWN, KNOWN.replace(b"11.0", b"null"), KNOWN],
        [KNOWN, KNOWN.replace(PREDICT.encode(), b"/v1/models/other:predict"), KNOWN],
        [KNOWN, REQUESTS["elsewhere"], KNOWN],
        [KNOWN, REQUESTS["chunked"], KNOWN],
        [b"\r\n" + KNOWN, b"\r\n" + KNOWN, KNOWN],
        [request(b""), request(b"")],
        [KNOWN, KNOWN.replace(BODY, b"\r\n\r\n" + BODY[4:])],
        [KNOWN, KNOWN, request(BODY, PREDICT, "Connection: close")],
    ],
)
def test_a_head_that_came_before_means_the_same_again(pieces: Sequence[bytes], engine: Engine) -> None:
    answers = b"".join(pieces).count(b" HTTP/1.1\r\n")
    theirs, ours = both(create_app(engine), lambda bench: bench.talk(*pieces, answers=answers))
    ids = re.compile("[0-9a-f]{12}-[0-9]+")  # made for requests that bring none
    assert ids.sub("", str(ours)) == ids.sub("", str(theirs))


def test_heads_are_kept_but_not_without_end(engine: Engine) -> None:
    app = create_app(engine)
    assert isinstance(app, HotPath)
    kept = app.head_cache

    async def run() -> None:
        async with serving(app, HotPathProtocol) as bench, asyncio.timeout(20):
            await bench.talk(KNOWN, REQUESTS["rows"], REQUESTS["gzip"], REQUESTS["elsewhere"], answers=4)
            head = KNOWN.removesuffix(BODY)
            known = kept.get(head)
            assert known is not None
            assert (known.call.path, known.length, known.keep_alive) == (PREDICT, len(BODY), True)
            assert kept.get(REQUESTS["rows"].removesuffix(BODY)) is None  # with an id of its own
            assert kept.get(REQUESTS["gzip"].removesuffix(GZIPPED)) is None
            for number in range(1000):
                kept.learn(b"%d" % number, known)
            assert kept.get(head) is None
            kept.learn(b"x" * 5000, known)
            assert kept.get(b"x" * 5000) is None

    asyncio.run(run())


def test_a_body_that_is_slow_to_come_is_left_to_uvicorn(engine: Engine, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(timeouts, "SLOW_BODY_S", 0.0)
    whole = request()
    theirs, ours = both(create_app(engine), lambda bench: bench.talk(whole[:-20], whole[-20:-9], whole[-9:]))
    assert ours == theirs
