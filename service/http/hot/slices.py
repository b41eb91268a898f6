"""Parsing of what comes on one connection in slices, between which the others have their turns."""

from abc import abstractmethod
from typing import Any

import httptools

from service.errors import MalformedRequest
from service.http.hot.closing import ClosingProtocol
from service.http.hot.head_cache import RefusedHead

SLICE_BYTES = 16 << 10
MOST_WORK, MOST_AHEAD = 512, 16
"""Most that a connection may ask for in one turn of the loop before the others have theirs, looked
at after each slice of what came: pieces of bodies, a head counted as eight; and requests that wait
for the answers before theirs."""


class SlicedProtocol(ClosingProtocol):
    """HTTP protocol that parses no more in a turn than is fair to other connections."""

    def __init__(self, *args: Any, **kwargs: Any) -> None:
        super().__init__(*args, **kwargs)
        self._came = self._ended = self._work = 0
        self._continuing = False

    def _feed(self, data: bytes, first: bytes = b"") -> None:
        """Parse what came, or as much of it as is enough for a turn of the loop.

        The rest waits.
        """
        self._came, self._ended, self._work, self.rest, taken = len(data), 0, 0, b"", 0
        try:
            while taken < len(data) and self._work < MOST_WORK and len(self.pipeline) < MOST_AHEAD:
                self._parse(data[taken : taken + SLICE_BYTES])
                taken += SLICE_BYTES
        except httptools.HttpParserError as error:
            cause = error.__context__
            self.refuse(cause.args[0] if isinstance(cause, RefusedHead) else _not_http(error))
            return
        if taken < len(data):
            self._came = taken
            self._hold(data[taken:])
        self._check_progress(first)

    @abstractmethod
    def _check_progress(self, first: bytes) -> None:
        """Look at what has been parsed in a turn."""

    def _hold(self, rest: bytes) -> None:
        """Let the rest wait for another turn, or for the answers to what came before it."""
        self.rest = rest
        self.flow.held = True
        self.flow.pause_reading()
        self.continue_soon()

    def continue_soon(self) -> None:
        """Parse what waits in another turn, unless too many requests wait for their answers."""
        if not self._continuing and len(self.pipeline) < MOST_AHEAD:
            self._continuing = True
            self.loop.call_soon(self._continue)

    def _continue(self) -> None:
        """Parse what waits."""
        self._continuing = False
        if self.input_closed or self.transport.is_closing():
            self.rest = b""
            return
        self.flow.held = False
        self._feed(self.rest)
        if not (self.flow.held or self.input_closed or self.pipeline or self.flow.write_paused):
            self.flow.resume_reading()

    def _parse(self, data: bytes) -> None:
        """Parse what came; a request for an upgrade is parsed anew, as one without."""
        rest: bytes | memoryview = data
        while True:
            try:
                self.parser.feed_data(rest)
                return
            except httptools.HttpParserUpgrade as upgrade:  # the parser takes the rest for the other protocol
                method, version = self.parser.get_method(), self.parser.get_http_version().encode()
                lines = [b"%b: %b\r\n" % header for header in self.headers if header[0] != b"upgrade"]
                head = b"%b %b HTTP/%b\r\n%b\r\n" % (method, self.url, version, b"".join(lines))
                self.parser = httptools.HttpRequestParser(self)
                self.parser.set_dangerous_leniencies(lenient_data_after_close=True)
                self.parser.feed_data(head)
                rest = memoryview(rest)[upgrade.args[0] :]


def _not_http(error: httptools.HttpParserError) -> MalformedRequest:
    return MalformedRequest(f"the bytes received are not an HTTP/1.1 request ({error})", "a valid head, then the body")
