"""Bodies and headers of requests: reading and inflating, bounded in bytes and in time."""

import asyncio
import zlib
from collections.abc import Callable

from service.errors import MalformedRequest, NotReady, RequestTooLarge, SlowClient, UnsupportedMediaType
from service.http.types import Headers, Receive
from service.settings import Settings
from service.system.quoting import quote

CONTENT_LENGTH, CONTENT_TYPE, CONTENT_ENCODING = b"content-length", b"content-type", b"content-encoding"
HOST, TRANSFER_ENCODING = b"host", b"transfer-encoding"
TIMEOUT, REQUEST_ID = b"x-request-timeout-ms", b"x-request-id"

_ZLIB_OR_GZIP, _RAW_DEFLATE = zlib.MAX_WBITS | 32, -zlib.MAX_WBITS
_MOST_MEMBERS = 10
_LONGEST_TIMEOUT_MS = 3_600_000


class Disconnected(Exception):
    """Client that went away before its body had come; there is nobody to answer."""


async def read_in_time(receive: Receive, settings: Settings, came: Callable[[int], object]) -> bytes:
    """Read a body that comes in pieces, if it begins to come at all; stop at the limit.

    Args:
        receive: gives the pieces.
        settings: hold the limits.
        came: told with each piece how many bytes there are; may raise.

    Raises:
        RequestTooLarge: over `max_body_bytes`.
        SlowClient: it did not come in time.
        NotReady: the service ends, and did not wait longer.
        Disconnected: the client left.
    """
    pieces: list[bytes] = []
    size, more = 0, True
    try:
        async with asyncio.timeout(settings.client_timeout_s):
            while more:
                message = await receive()
                if message["type"] == "http.disconnect":
                    raise Disconnected
                pieces.append(message.get("body", b""))
                size += len(pieces[-1])
                if size > settings.max_body_bytes:
                    raise too_large(size if len(pieces) == 1 else None, settings.max_body_bytes)
                came(size)
                more = message.get("more_body", False)
    except TimeoutError:
        raise SlowClient("body", settings.client_timeout_s) from None
    except asyncio.CancelledError:  # by the server, at the end of `drain_timeout_s`, and by nobody else
        raise NotReady("the service has ended before the body had come") from None
    return b"".join(pieces)


def inflate(body: bytes, encoding: bytes, limit: int) -> bytes:
    """Undo a Content-Encoding, never beyond `limit` bytes.

    Raises:
        RequestTooLarge: it would inflate to more.
        MalformedRequest: broken, cut short, or followed by something else.
        UnsupportedMediaType: neither gzip, deflate nor identity.
    """
    name = encoding.strip().lower()
    if name in (b"identity", b""):
        return body
    if name not in (b"gzip", b"x-gzip", b"deflate"):
        raise UnsupportedMediaType("Content-Encoding", encoding.decode("latin-1"), ("gzip", "deflate", "nothing"))
    raw = name == b"deflate" and not _has_zlib_header(body)
    pieces: list[bytes] = []
    size, rest = 0, body
    for _ in range(_MOST_MEMBERS):
        if not rest:
            return b"".join(pieces)
        stream = zlib.decompressobj(_RAW_DEFLATE if raw else _ZLIB_OR_GZIP)
        try:
            pieces.append(stream.decompress(rest, limit + 1 - size))
        except zlib.error as error:
            raise _broken(name, str(error)) from None
        size += len(pieces[-1])
        if size > limit:
            raise RequestTooLarge("the inflated body", None, limit, "bytes", "MMOE_MAX_INFLATED_BYTES")
        if not stream.eof:
            raise _broken(name, "it ends too early")
        rest = stream.unused_data  # a gzip file may have several members
    raise _broken(name, f"it has more than {_MOST_MEMBERS - 1} members")


def whole_number(text: bytes) -> int | None:
    """Return the number that a header holds.

    None if it has another character than digits, or more than 19 of those.

    Python reads no number of thousands of digits, and what is in a header is anybody's.
    """
    return int(text) if len(text) <= 19 and text.isdigit() else None


def content_length(text: bytes) -> int:
    """Return the length that a request announces.

    Raises:
        MalformedRequest: it is not a whole number of at most 19 digits.
    """
    length = whole_number(text)
    if length is None:
        raise MalformedRequest(f"Content-Length is {quote(text)}", "the number of bytes in the body")
    return length


def timeout_s(headers: Headers, most: float) -> float:
    """Return how long the request may take: what its header says, at most the setting.

    Raises:
        MalformedRequest: the header is not a whole number of milliseconds from 1.
    """
    value = headers.get(TIMEOUT)
    if value is None:
        return most
    timeout_ms = whole_number(value)
    if timeout_ms is None or not 0 < timeout_ms <= _LONGEST_TIMEOUT_MS:
        raise MalformedRequest(
            f"X-Request-Timeout-Ms is {quote(value)}", f"a whole number from 1 to {_LONGEST_TIMEOUT_MS}"
        )
    return min(timeout_ms / 1000, most)


def _has_zlib_header(body: bytes) -> bool:
    return len(body) >= 2 and body[0] & 0x0F == 8 and (body[0] << 8 | body[1]) % 31 == 0


def too_large(came: int | None, limit: int) -> RequestTooLarge:
    """Return the error of a body over `max_body_bytes`.

    `came` is None where it was not read to its end.
    """
    return RequestTooLarge("the body", came, limit, "bytes", "MMOE_MAX_BODY_BYTES")


def _broken(encoding: bytes, reason: str) -> MalformedRequest:
    return MalformedRequest(f"the body is not valid {encoding.decode()}: {reason}", "the body as its encoding says")
