"""Lines of answered requests, written by a thread.

A request pays for a tuple, and nothing for a stuck reader.

Lines never hold what was sent: no body, no query, no sentence of an error, which may quote a
value.
"""

import contextlib
import os
import time
from collections.abc import Callable
from typing import Any, NamedTuple

from service.logs.background import Background, yield_to_loop
from service.logs.log import dumps, head
from service.system.files import write_all

ROOM_LINES = 10_000
_PIPE_BYTES = 4096
"""Bytes that one write puts into a pipe without another process's in between (PIPE_BUF)."""
_LINES_AT_ONCE = 20
_LONGEST_PATH = 200


class RequestEntry(NamedTuple):
    """Fields of a line about an answered request.

    Attributes:
        time: of the answer, seconds since 1970.
        error: code of the error; None for a success.
        model: name that was asked and is loaded, and its version.
    """

    time: float
    request_id: str | None
    trace_id: str | None
    method: str
    path: str
    route: str
    status: int
    error: str | None
    model: str | None
    version: int | None
    rows: int | None
    duration_ms: float


class RequestLog:
    """Request log: a line per request.

    Args:
        as_json: or as text.
        worker: place of this worker.
        descriptor: of the file to write to.
        lost: told how many lines found no room; called on the thread of `put`.
    """

    def __init__(self, as_json: bool, worker: int, descriptor: int, lost: Callable[[int], object]) -> None:
        self._fixed: dict[str, Any] = {"logger": "service.requests", "pid": os.getpid(), "worker": worker}
        self._render = self._json if as_json else self._text
        self._descriptor, self._lost = descriptor, lost
        self._thread: Background[RequestEntry] = Background("request log", self._write, ROOM_LINES)
        self.close = self._thread.close

    def put(self, request: RequestEntry) -> None:
        """Have a request's line written, soon."""
        if not self._thread.put(request):
            self._lost(1)

    def _write(self, requests: list[RequestEntry]) -> None:
        waiting = b""
        for number, request in enumerate(requests):
            line = self._render(request)
            if waiting and len(waiting) + len(line) > _PIPE_BYTES:
                self._out(waiting)
                waiting = b""
            waiting += line
            if number % _LINES_AT_ONCE == 0:
                yield_to_loop()
        self._out(waiting)

    def _out(self, lines: bytes) -> None:
        with contextlib.suppress(OSError):  # nobody reads the log any more
            write_all(self._descriptor, lines)

    def _json(self, request: RequestEntry) -> bytes:
        line = head(request.time, _level(request.status), "request", _sentence(request)) | self._fixed
        line |= {name: value for name, value in request._asdict().items() if value is not None and name != "time"}
        line |= {"path": request.path[:_LONGEST_PATH], "duration_ms": round(request.duration_ms, 3)}
        return dumps(line) + b"\n"

    def _text(self, request: RequestEntry) -> bytes:
        at = time.strftime("%Y-%m-%d %H:%M:%S", time.localtime(request.time))
        names = ("error", "request_id", "trace_id")
        more = "".join(f" {name}={value}" for name in names if (value := getattr(request, name)))
        line = f"{at},{int(request.time % 1 * 1000):03d} {_level(request.status).upper()} {self._fixed['pid']} "
        return (line + _sentence(request) + more + "\n").encode(errors="backslashreplace")


def _sentence(request: RequestEntry) -> str:
    path = request.path[:_LONGEST_PATH]
    shown = path if path.isprintable() else repr(path)
    return f"{request.method} {shown} {request.status} in {request.duration_ms:.3f} ms"


def _level(status: int) -> str:
    return "error" if status >= 500 else "warning" if status >= 400 else "info"
