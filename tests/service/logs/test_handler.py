"""Lines to a pipe: nobody who logs waits for its reader, whatever the length of a line."""

import contextlib
import json
import logging
import os
import threading
from collections.abc import Iterator
from typing import NamedTuple, TextIO

import pytest

from service.logs.handler import ROOM_LINES, PipeHandler
from service.logs.log import JsonLines, configure, log_event

PIPE_BYTES = 1 << 16
"""Room of a pipe of Linux."""

log = logging.getLogger("tests.pipe")


class Pipe(NamedTuple):
    reader: TextIO
    descriptor: int


@pytest.fixture
def pipe() -> Iterator[Pipe]:
    read, write = os.pipe()
    with open(read) as reader:
        yield Pipe(reader, write)
        with contextlib.suppress(OSError):
            os.close(write)


@pytest.fixture
def handler(pipe: Pipe) -> Iterator[PipeHandler]:
    made = PipeHandler(pipe.descriptor)
    made.setFormatter(JsonLines())
    log.addHandler(made)
    yield made
    log.removeHandler(made)
    made.close()


def fill(descriptor: int, free: int) -> None:
    """Leave so many bytes free in a pipe."""
    os.write(descriptor, b"x" * (PIPE_BYTES - free - 1) + b"\n")


def read_to(pipe: Pipe, last: str) -> list[str]:
    """Read the lines up to the first that holds a text."""
    lines = [pipe.reader.readline()]
    while last not in lines[-1]:
        lines.append(pipe.reader.readline())
    return lines


def test_a_line_longer_than_the_room_left_holds_up_nobody_and_comes_whole(pipe: Pipe, handler: PipeHandler) -> None:
    fill(pipe.descriptor, free=8192)
    long = "y" * 20_000
    logging_ended = threading.Event()

    def say() -> None:
        log_event(log, logging.ERROR, "failed", "Failed: %s", long)
        log_event(log, logging.ERROR, "next", "Next")
        logging_ended.set()

    threading.Thread(target=say, daemon=True).start()
    assert logging_ended.wait(30), "nothing was read, and whoever logs went on"
    lines = read_to(pipe, '"next"')
    assert json.loads(lines[1])["message"] == f"Failed: {long}"
    assert json.loads(lines[2])["event"] == "next"


def test_beyond_the_room_lines_are_dropped_and_those_after_are_written(pipe: Pipe, handler: PipeHandler) -> None:
    fill(pipe.descriptor, free=0)
    for number in range(2 * ROOM_LINES):
        log_event(log, logging.ERROR, "many", "Many", number=number)
    kept = [json.loads(line)["number"] for line in read_to(pipe, f'"number":{ROOM_LINES - 1}')[1:]]
    assert kept == list(range(ROOM_LINES))
    while handler._lines.unfinished_tasks > 1:
        pipe.reader.readline()
    log_event(log, logging.ERROR, "after", "After")
    read_to(pipe, '"after"')


def test_a_line_is_written_when_it_was_logged(
    pipe: Pipe, handler: PipeHandler, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("service.logs.handler.PATIENCE_S", 30.0)
    os.set_blocking(pipe.reader.fileno(), False)
    log_event(log, logging.ERROR, "said", "Said")
    assert handler._lines.unfinished_tasks == 0
    assert '"said"' in pipe.reader.readline()


def test_the_end_waits_for_a_reader_and_not_for_ever(pipe: Pipe, handler: PipeHandler) -> None:
    fill(pipe.descriptor, free=0)
    log_event(log, logging.ERROR, "last", "Last")
    handler.flush()
    handler.close()
    read_to(pipe, '"last"')
    handler._thread.join(30)
    assert not handler._thread.is_alive()


def test_a_reader_that_has_gone_costs_lines_alone(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("service.logs.handler.PATIENCE_S", 30.0)
    read, write = os.pipe()
    os.close(read)
    handler = PipeHandler(write)
    handler.emit(logging.LogRecord("x", logging.INFO, "", 0, "lost", None, None))
    assert handler._lines.unfinished_tasks == 0
    handler.close()
    handler._thread.join(30)
    os.close(write)


def test_streams_that_are_pipes_have_it(pipe: Pipe) -> None:
    root = logging.getLogger()
    handlers, level = root.handlers[:], root.level
    try:
        with open(pipe.descriptor, "w", closefd=False) as stream:
            configure("json", "info", 0, stream)
        (made,) = root.handlers
        assert isinstance(made, PipeHandler)
        log_event(log, logging.INFO, "kept", "Kept")
        read_to(pipe, '"kept"')
        made.close()
    finally:
        root.handlers[:], root.level = handlers, level
        logging.captureWarnings(False)
