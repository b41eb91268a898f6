"""Correlation ids of a request.

Its request id and its place in a trace, as they came or made here.
"""

import itertools
import os
from typing import NamedTuple

from service.http.body import REQUEST_ID
from service.http.types import Headers, RawHeaders
from service.logs.trace_context import TraceContext

TRACEPARENT, TRACESTATE = b"traceparent", b"tracestate"


class CorrelationIds(NamedTuple):
    """Ids by which a request is known.

    Attributes:
        request_id: the caller's, or one made here; None if none came and none was needed.
        trace: that the caller named or that was begun here, and where in it this request is.
        traced: whether it has a span of its own.
    """

    request_id: bytes | None
    trace: TraceContext | None
    traced: bool = False

    def headers(self) -> RawHeaders:
        """Return what the answer carries of it."""
        found = [(REQUEST_ID, self.request_id)] if self.request_id is not None else []
        return found + self.trace.headers() if self.trace is not None else found


def request_id(headers: Headers) -> bytes | None:
    """Return the caller's own id of the request, if it is fit to be sent back."""
    value = headers.get(REQUEST_ID)
    return value if value and len(value) <= 128 and value.isascii() and value.decode().isprintable() else None


class RequestIdSource:
    """Source of ids for requests without one: unique over processes and restarts, and cheap."""

    def __init__(self) -> None:
        self._prefix = os.urandom(6).hex()
        self._numbers = itertools.count(1)

    def next(self) -> bytes:
        """Return a new id."""
        return f"{self._prefix}-{next(self._numbers):x}".encode()
