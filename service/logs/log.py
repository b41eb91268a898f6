"""Event log of the service: one line on stderr per event, as JSON or as text.

Text is for a terminal, JSON for programs.

`log_event` names the event and hands its figures over as fields; every other logger of the
process, uvicorn's and asyncio's too, comes out in the same form. No value of a feature is ever
logged.
"""

import logging
import os
import stat
import sys
import threading
import traceback
from collections.abc import Mapping
from datetime import UTC, datetime
from types import TracebackType
from typing import Any, TextIO

import orjson

from service.logs.handler import PipeHandler

TEXT = "%(asctime)s %(levelname)s %(process)d %(message)s"
_TRACEBACK_CHARACTERS = 20_000


def configure(form: str, level: str, worker: int | None = None, stream: TextIO | None = None) -> None:
    """Send every logger of this process to a stream in one form, and uncaught errors too.

    Args:
        form: "json", "text" or "auto": text if the stream is a terminal, else JSON.
        level: least level to log.
        worker: place of this worker; None in a launcher.
        stream: stderr by default.
    """
    stream = stream or sys.stderr
    handler = _handler(stream)
    as_json = is_json(form, stream)
    handler.setFormatter(JsonLines(worker) if as_json else logging.Formatter(TEXT))
    logging.basicConfig(level=level.upper(), handlers=[handler], force=True)
    logging.captureWarnings(True)
    if as_json:
        sys.excepthook = _log_the_end
        threading.excepthook = _log_the_end_of_a_thread


def _handler(stream: TextIO) -> logging.Handler:
    """Return a handler that no reader of the stream can hold up; files are written to at once."""
    try:
        descriptor = stream.fileno()
        if not stat.S_ISREG(os.fstat(descriptor).st_mode):
            return PipeHandler(descriptor)
    except OSError:  # not a file of the system
        pass
    return logging.StreamHandler(stream)


def is_json(form: str, stream: TextIO) -> bool:
    """Tell whether a form of log means JSON on a stream."""
    return form == "json" or (form != "text" and not stream.isatty())


def log_event(
    logger: logging.Logger,
    level: int,
    event: str,
    message: str,
    *values: object,
    exc_info: object = None,
    **fields: Any,
) -> None:
    """Log an event.

    Args:
        logger: its name says who speaks.
        level: of `logging`.
        event: a name for programs, which never changes.
        message: a sentence, with places for `values`, that holds what a person needs.
        values: for the sentence.
        exc_info: an exception to log with its traceback.
        fields: for programs; None is left out.
    """
    extra = {"event": event, "fields": {name: value for name, value in fields.items() if value is not None}}
    logger.log(level, message, *values, exc_info=exc_info, extra=extra)  # type: ignore[arg-type]


class JsonLines(logging.Formatter):
    """Formatter of a record as one line of JSON.

    Time, level, event, message, logger, pid, worker, then the event's fields.

    Args:
        worker: place of this worker; None in a launcher.
    """

    def __init__(self, worker: int | None = None) -> None:
        super().__init__()
        self.process: dict[str, Any] = {"pid": os.getpid()} | ({} if worker is None else {"worker": worker})

    def format(self, record: logging.LogRecord) -> str:
        """Write a record."""
        event, fields = getattr(record, "event", "log"), getattr(record, "fields", {})
        line = head(record.created, record.levelname.lower(), event, record.getMessage())
        line |= {"logger": record.name, **self.process, **fields}
        if record.exc_info and record.exc_info[1]:
            line |= described(record.exc_info[1])
        return dumps(line).decode()


def head(since_1970_s: float, level: str, event: str, message: str) -> dict[str, Any]:
    """Begin a line."""
    return {"time": rfc3339(since_1970_s), "level": level, "event": event, "message": message}


def described(error: BaseException) -> dict[str, str]:
    """Return an exception as fields."""
    text = "".join(traceback.format_exception(error))
    return {"error_type": type(error).__name__, "error": str(error), "traceback": text[-_TRACEBACK_CHARACTERS:]}


def rfc3339(since_1970_s: float) -> str:
    """Write a time in UTC, to the microsecond."""
    return datetime.fromtimestamp(since_1970_s, UTC).isoformat(timespec="microseconds").replace("+00:00", "Z")


def dumps(line: Mapping[str, Any]) -> bytes:
    """Write JSON whatever the values are.

    Text that is not valid UTF-8 is shown with its escapes.
    """
    try:
        return orjson.dumps(line, default=str, option=orjson.OPT_NON_STR_KEYS)
    except TypeError:  # lone surrogates, for example from a path, or integers beyond 64 bits
        safe = {name: repr(value).encode("ascii", "backslashreplace").decode() for name, value in line.items()}
        return orjson.dumps(safe)


def _log_the_end(kind: type[BaseException], error: BaseException, where: TracebackType | None) -> None:
    if issubclass(kind, KeyboardInterrupt):
        return
    log_event(logging.getLogger("service"), logging.CRITICAL, "crashed", "Ended by an error", exc_info=error)


def _log_the_end_of_a_thread(ended: threading.ExceptHookArgs) -> None:
    name = ended.thread.name if ended.thread else "a thread"
    log_event(
        logging.getLogger("service"), logging.CRITICAL, "thread_crashed", "The thread %s ended by an error", name,
        exc_info=ended.exc_value,
    )  # fmt: skip
