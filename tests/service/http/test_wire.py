"""Requests that are not what HTTP says, and clients that only half go.

Byte by byte, to a real worker.
"""

import socket
from typing import Any
from urllib.parse import urlsplit

import pytest

from tests.support.raw import ALIVE, BODY, LAST, post, statuses, talk

CHUNKED = b"19\r\n" + BODY + b"\r\n0\r\n"
PATHS = ("/v1/predict", "/v1/models/hand:gates")


@pytest.mark.parametrize("path", PATHS)
@pytest.mark.parametrize(
    "trailer", ["X-Request-Timeout-Ms: none", "Content-Type: text/plain", "Content-Encoding: br", "Host: other"]
)
def test_trailers_are_no_headers(service: Any, path: str, trailer: str) -> None:
    sent = post(CHUNKED, "transfer-encoding: chunked", path=path) + trailer.encode() + b"\r\n\r\n"
    assert statuses(talk(service, sent + LAST)) == [200, 200]


MUCH = 400_000
"""More than is read at once."""


@pytest.mark.parametrize("trailers", [b"a: b\r\n" * 2000, b"a: " + b"b" * MUCH, b"a" * MUCH])
def test_trailers_beyond_a_few_kilobytes_are_refused(service: Any, trailers: bytes) -> None:
    (answer,) = talk(service, post(CHUNKED, "transfer-encoding: chunked") + trailers)
    assert answer.status == 400
    assert b"trailers" in answer.body
    assert "connection: close" in answer.head


@pytest.mark.parametrize("host", ["", "a b", "a/b", "user@a", "[::1", "a:b", "a:123456", "\x80", "a,b c", "a\\b"])
@pytest.mark.parametrize("path", PATHS)
def test_a_host_that_cannot_be_is_400(service: Any, path: str, host: str) -> None:
    head, _, body = post(path=path, host="?").partition(b"\r\n\r\n")
    sent = head.replace(b"host: ?", b"host: " + host.encode("latin-1")) + b"\r\n\r\n" + body
    (answer,) = talk(service, sent)
    assert answer.status == 400
    assert b"Host" in answer.body


@pytest.mark.parametrize("path", PATHS)
def test_a_request_has_one_host(service: Any, path: str) -> None:
    for sent in (post(path=path, host=None), post(BODY, "Host: localhost", path=path)):
        (answer,) = talk(service, sent)
        assert answer.status == 400
        assert b"Host headers" in answer.body
    old = post(path=path, host=None).replace(b"HTTP/1.1", b"HTTP/1.0")
    assert statuses(talk(service, old)) == [200]


@pytest.mark.parametrize("coding", ["gzip, chunked", "chunked, chunked", "gzip", "identity", "xchunked", "chunked;q=1"])
def test_a_transfer_coding_other_than_chunked_is_refused(service: Any, coding: str) -> None:
    lines = post(CHUNKED + b"\r\n", "transfer-encoding: chunked").replace(b": chunked", b": " + coding.encode())
    (answer,) = talk(service, lines + LAST)
    assert answer.status in (400, 501)
    assert statuses(talk(service, post(CHUNKED + b"\r\n", "Transfer-Encoding: Chunked") + LAST)) == [200, 200]


def test_a_transfer_coding_that_is_not_spoken_is_501(service: Any) -> None:
    (answer,) = talk(service, post(CHUNKED + b"\r\n", "transfer-encoding: gzip, chunked"))
    assert answer.status == 501
    assert b"'gzip, chunked'" in answer.body


def test_blank_lines_before_a_request_are_passed_over_up_to_a_limit(service: Any) -> None:
    assert statuses(talk(service, b"\r\n" * 1000 + ALIVE, b"\r\n" * 10 + LAST)) == [200, 200]
    for before in (b"", ALIVE):
        answers = talk(service, before, *[b"\r\n" * 8192] * 40)
        assert statuses(answers) == [200] * bool(before) + [400]
        assert b"blank lines" in answers[-1].body


NUMBERS = ["1" * 5000, "0" * 5000 + "1", "9" * 20, "-1", "+1", "1.0", "1_0", "", " ", "\u00b2"]


@pytest.mark.parametrize("number", NUMBERS)
@pytest.mark.parametrize(
    ("name", "path"),
    [
        ("x-request-timeout-ms", "/v1/predict"),
        ("x-request-timeout-ms", "/v1/gates"),
        ("x-request-timeout-ms", "/v2/models/hand/infer"),
        ("inference-header-content-length", "/v2/models/hand/infer"),
    ],
)
def test_a_header_that_is_no_number_of_a_sensible_size_is_400(service: Any, name: str, path: str, number: str) -> None:
    sent = post(BODY, "connection: close", f"{name}: ?", path=path).replace(b"?", number.encode("latin-1"))
    (answer,) = talk(service, sent)
    assert answer.status == 400
    assert name in answer.body.decode().lower()


@pytest.mark.parametrize("length", ["0" * 5000 + "25", "9" * 5000, "9" * 19, "+25", "25 25"])
@pytest.mark.parametrize("path", [*PATHS, "/v2/repository/index"])
def test_a_length_that_is_no_number_of_a_sensible_size_is_refused(service: Any, path: str, length: str) -> None:
    sent = post(path=path).replace(b"content-length: 25", b"content-length: " + length.encode())
    with socket.create_connection(("127.0.0.1", urlsplit(service.url).port), timeout=30) as connection:
        connection.sendall(sent)
        assert connection.recv(13) in (b"HTTP/1.1 400 ", b"HTTP/1.1 413 ")


@pytest.mark.parametrize("version", ["1" * 30, "1" * 300, "9" * 5000, "0" * 5000 + "1", "18446744073709551616"])
@pytest.mark.parametrize(
    "path", ["/v1/models/hand/versions/{}", "/v1/models/hand/versions/{}/gates", "/v2/models/hand/versions/{}/ready"]
)
def test_a_version_in_a_path_may_have_any_number_of_digits(service: Any, path: str, version: str) -> None:
    sent = LAST.replace(b"/health/live", path.format(version).encode())
    (answer,) = talk(service, sent)
    assert answer.status in (200, 400, 404)


def test_a_version_to_be_called_may_have_any_number_of_digits(service: Any) -> None:
    for path in ("/v1/models/hand/versions/{}:predict", "/v1/models/hand/versions/{}:gates"):
        for version in ("1" * 30, "9" * 5000):
            (answer,) = talk(service, post(BODY, "connection: close", path=path.format(version)))
            assert answer.status in (400, 404)


@pytest.mark.parametrize("version", ["9" * 19, "9" * 20, "9" * 40, "9" * 5000, "1e300"])
def test_a_number_in_a_body_may_have_any_number_of_digits(service: Any, version: str) -> None:
    bodies = {
        "/v1/models/hand:pin": f'{{"version":{version}}}',
        "/v1/models/hand:shadow": f'{{"version":{version}}}',
        "/v1/gates": f'{{"instances":[{{"age":1}}],"contributions":true,"top_k":{version}}}',
    }
    for path, body in bodies.items():
        (answer,) = talk(service, post(body.encode(), "connection: close", path=path))
        assert answer.status < 500
        assert answer.status in (200, 400, 404, 409)


GARBAGE = [b"\x00\x01nonsense\r\n\r\n", b"GET /\r\n\r\n" * 1000, b"GET / HTTP/1.1\r\nbad header\r\n\r\n"]


@pytest.mark.parametrize("garbage", GARBAGE)
@pytest.mark.parametrize("sent", [post(), post(b"{"), post(path="/v1/gates"), ALIVE, post(path="/none") + post()])
def test_a_request_followed_by_garbage_keeps_its_answer(service: Any, sent: bytes, garbage: bytes) -> None:
    expected = statuses(talk(service, sent + LAST))[:-1]
    for pieces in ([sent + garbage], [sent, garbage]):
        answers = talk(service, *pieces)
        assert statuses(answers) == [*expected, 400]
        assert "connection: close" in answers[-1].head


def test_an_answer_outlives_a_flood_of_garbage(service: Any) -> None:
    answers = talk(service, post(path="/v1/gates") + b"\x00" * 200_000)
    assert statuses(answers) == [200, 400]


@pytest.mark.parametrize("end", [b"zz\r\n", b"1\r\nab\r\n"])
def test_chunks_that_are_none_are_400(service: Any, end: bytes) -> None:
    chunks = post(b"5\r\n" + BODY[:5] + b"\r\n", "transfer-encoding: chunked") + end
    assert statuses(talk(service, chunks)) == [400]
    assert statuses(talk(service, ALIVE + post(path="/v1/gates") + chunks)) == [200, 200, 400]


ROWS = b'{"instances":[' + b",".join([b'{"age":1}'] * 50) + b"]}"
ERRORS = [post(b"{"), post(b'{"instances":[{"agee":1}]}'), post(path="/v1/models/none:predict"), post(path="/none")]


@pytest.mark.parametrize("sent", [ALIVE, post(), post(ROWS), post(ROWS, path="/v1/gates"), *ERRORS])
def test_a_client_that_has_stopped_sending_gets_its_answers(service: Any, sent: bytes) -> None:
    (expected, _) = talk(service, sent + LAST)
    for count in (1, 3):
        assert statuses(talk(service, sent * count, half=True)) == [expected.status] * count


def test_a_request_that_its_client_never_ends_is_refused_behind_the_answers_to_those_before(service: Any) -> None:
    for begun in (post()[:-3], post()[:20], post(path="/v1/gates")[:-3], post(CHUNKED, "transfer-encoding: chunked")):
        assert statuses(talk(service, post(ROWS, path="/v1/gates") + post(b"{") + begun, half=True)) == [200, 400, 400]
        assert statuses(talk(service, begun, half=True)) == [400]


UPGRADES = ["h2c", "websocket", "TLS/1.0"]


@pytest.mark.parametrize("protocol", UPGRADES)
@pytest.mark.parametrize("path", [*PATHS, "/v2/repository/index", "/nothing"])
def test_an_upgrade_is_ignored_and_the_request_answered(service: Any, path: str, protocol: str) -> None:
    wish = ("Connection: Upgrade, HTTP2-Settings", f"Upgrade: {protocol}", "HTTP2-Settings: AAEAAEAAAAIAAAAB")
    body = b"{}" if path.startswith("/v2") else BODY
    plain = [(a.status, len(a.body)) for a in talk(service, post(body, path=path) * 2 + LAST)]
    for sent in (
        post(body, *wish, path=path),
        post(b"%x\r\n%b\r\n0\r\n\r\n" % (len(body), body), *wish, "transfer-encoding: chunked", path=path),
    ):
        assert [(a.status, len(a.body)) for a in talk(service, sent * 2 + LAST)] == plain
        middle = len(sent) - 10
        assert [(a.status, len(a.body)) for a in talk(service, sent[:middle], sent[middle:] + sent + LAST)] == plain


def test_a_tunnel_is_refused(service: Any) -> None:
    (answer,) = talk(service, b"CONNECT localhost:80 HTTP/1.1\r\nhost: localhost:80\r\n\r\n" + ALIVE)
    assert answer.status == 400
    assert b"tunnel" in answer.body


def test_the_host_of_the_target_counts_and_not_that_of_the_header(service: Any) -> None:
    ask = b"GET %b HTTP/1.1\r\nhost: %b\r\nconnection: close\r\n\r\n"
    for target, host, expected in (
        (b"http://localhost:80/health/live", b"rebound.example", 200),
        (b"http://rebound.example/health/live", b"localhost", 421),
        (b"http://user@localhost/health/live", b"localhost", 400),
        (b"http:///health/live", b"localhost", 400),
    ):
        assert statuses(talk(service, ask % (target, host))) == [expected]
