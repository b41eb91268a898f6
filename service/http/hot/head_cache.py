"""Head of a request: checks, its meaning, and the cache of heads that were parsed before."""

from collections.abc import Sequence
from typing import NamedTuple

from service.errors import HeadTooLarge, MalformedRequest, ServiceError, UnsupportedTransferCoding
from service.http.body import CONTENT_LENGTH, HOST, TRANSFER_ENCODING, content_length
from service.http.hosts import host_of
from service.http.hot.routing import Route
from service.http.types import Headers
from service.system.quoting import quote

MAX_HEAD_BYTES, MAX_HEADERS = 64 << 10, 100

RawHeaders = Sequence[tuple[bytes, bytes]]

_MOST, _LARGEST_BYTES = 1000, 1024
HEAD_TOO_LARGE = HeadTooLarge(MAX_HEAD_BYTES, MAX_HEADERS)


class RefusedHead(Exception):
    """A request's head that is not taken; its argument is the error to answer."""


def size_of(url: bytes, headers: RawHeaders) -> int:
    """Return how many bytes of a head these are, but for a few of its first line."""
    return len(url) + sum([len(name) + len(value) + 4 for name, value in headers])


def check_head(url: bytes, headers: RawHeaders, version: str) -> None:
    """Let a head pass that a server may take (RFC 9112).

    Args:
        url: as the first line has it.
        headers: names in lower case.
        version: of HTTP, such as "1.1".

    Raises:
        RefusedHead: it is too large, of another version, names no host, two or one that cannot be
            (section 3.2), or uses a transfer coding other than chunked (section 6.1).
    """
    if len(headers) > MAX_HEADERS or size_of(url, headers) > MAX_HEAD_BYTES:
        raise RefusedHead(HEAD_TOO_LARGE)
    if version not in ("1.0", "1.1"):
        raise RefusedHead(MalformedRequest(f"the request is one of HTTP/{version}", "HTTP/1.1"))
    for name, value in headers:
        if name == TRANSFER_ENCODING and value.lower() != b"chunked":
            raise RefusedHead(UnsupportedTransferCoding(value))
        if name == CONTENT_LENGTH:
            _check_length(value)
    hosts = [value for name, value in headers if name == HOST]
    if len(hosts) > 1 or (not hosts and version == "1.1"):
        raise RefusedHead(MalformedRequest(f"the request has {len(hosts) or 'no'} Host headers", "one"))
    if hosts and host_of(hosts[0]) is None:
        raise RefusedHead(MalformedRequest(f"the header Host is {quote(hosts[0])}", "a name or an address, and a port"))


def _check_length(value: bytes) -> None:
    try:
        content_length(value)
    except ServiceError as error:
        raise RefusedHead(error) from None


def target_host(url: bytes) -> bytes:
    """Return the host that a URL in absolute form names.

    It counts instead of the header (RFC 9112, section 3.2.2).

    Raises:
        RefusedHead: it names none.
    """
    host = url.partition(b"://")[2].partition(b"/")[0].partition(b"?")[0].partition(b"#")[0]
    if host_of(host) is None:
        raise RefusedHead(MalformedRequest(f"the target is {quote(url)}", "a path, or a URL with a host"))
    return host


class Call(NamedTuple):
    """Head of a request for a prediction.

    Attributes:
        headers: by name; of several of one name the last.
    """

    route: Route
    method: str
    path: str
    headers: Headers


class Head(NamedTuple):
    """Head of a plain call, with what it says of the body and the connection.

    Attributes:
        length: of the body, in bytes.
        keep_alive: whether the connection stays after the answer.
    """

    call: Call
    length: int
    keep_alive: bool


class HeadCache:
    """Cache of heads as they came; bounded, for strangers may send any."""

    def __init__(self) -> None:
        self._known: dict[bytes, Head] = {}
        self.get = self._known.get

    def learn(self, text: bytes, head: Head) -> None:
        """Keep a head under its bytes, which the parser took for nothing else."""
        if len(text) <= _LARGEST_BYTES:
            if len(self._known) >= _MOST:
                self._known.clear()
            self._known[text] = head
