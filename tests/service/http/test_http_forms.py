"""Odd but possible requests, byte by byte on a socket: what each is answered."""

import socket
from typing import Any
from urllib.parse import urlsplit

import pytest

BODY = b'{"instances":[{"age":1}]}'
LENGTH = b"content-length: 25"


def request(path: str = "/v1/predict", body: bytes = BODY, method: str = "POST", version: str = "1.1") -> bytes:
    lines = [
        f"{method} {path} HTTP/{version}",
        "host: localhost",
        "content-type: application/json",
        "connection: close",
    ]
    return "\r\n".join([*lines, f"content-length: {len(body)}", "", ""]).encode() + body


def row(value: bytes) -> bytes:
    return b'{"instances":[{"age":' + value + b"}]}"


CASES = {
    "a name with an escape": (request("/v1/models/h%61nd:predict"), 200),
    "a target with its host": (request("http://127.0.0.1/v1/predict"), 200),
    "HTTP/1.0": (request(version="1.0"), 200),
    "an escaped NUL in a category": (request(body=b'{"instances":[{"colour":"a\\u0000b"}]}'), 200),
    "a whole number beyond 64 bits": (request(body=row(b"123456789012345678901234567890")), 200),
    "a slash at the end": (request("/v1/predict/"), 404),
    "two slashes": (request("//v1/predict"), 404),
    "a target of no path": (request("*", b"", "OPTIONS"), 404),
    "a NUL in the path": (request("/v1/models/%00", b"", "GET"), 404),
    "a path that is not UTF-8": (request("/v1/models/%ff:predict"), 404),
    "a version beyond 64 bits": (request("/v1/models/hand/versions/" + "9" * 4000, b"", "GET"), 404),
    "another method": (request("/v1/predict", b"", "TRACE"), 405),
    "UTF-16": (request(body=BODY.decode().encode("utf-16")), 400),
    "a byte order mark": (request(body=b"\xef\xbb\xbf" + BODY), 400),
    "a bare NUL": (request(body=row(b'"\x00"')), 400),
    "half a surrogate": (request(body=row(b'"\\ud800"')), 400),
    "depth": (request(body=b"[" * 50_000), 400),
    "a number of 5,000 digits": (request(body=row(b"9" * 5000)), 400),
    "two lengths": (request().replace(LENGTH, LENGTH + b"\r\n" + LENGTH), 400),
    "two lengths that differ": (request().replace(LENGTH, LENGTH + b"\r\ncontent-length: 26"), 400),
    "a length and chunks": (request().replace(LENGTH, LENGTH + b"\r\ntransfer-encoding: chunked"), 400),
    "a negative length": (request().replace(LENGTH, b"content-length: -1"), 400),
    "no HTTP": (b"\x16\x03\x01\x02\x00\x01\x00", 400),
    "HTTP/2": (b"PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n", 400),
    "a method that is none": (b"BREW / HTTP/1.1\r\n\r\n", 400),
}


@pytest.mark.parametrize("name", CASES)
def test_an_odd_request_is_answered(service: Any, name: str) -> None:
    sent, expected = CASES[name]
    address = urlsplit(service.url)
    came = b""
    with socket.create_connection((address.hostname, address.port), timeout=30) as connection:
        connection.sendall(sent)
        while more := connection.recv(65536):
            came += more
    head = came.partition(b"\r\n\r\n")[0]
    assert head.startswith(b"HTTP/1.1 %d " % expected), came[:500]
    if expected >= 400:
        assert b"\r\nx-request-id: " in head
        assert b"\r\ncontent-type: application/problem+json" in head
