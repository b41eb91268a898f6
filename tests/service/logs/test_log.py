"""Event log, line by line."""

import io
import json
import logging
import subprocess
import sys
import threading
from collections.abc import Iterator
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

import pytest

from service.logs.log import JsonLines, configure, dumps, log_event

ROOT = Path(__file__).parents[3]
log = logging.getLogger("service.test")


class Terminal(io.StringIO):
    def isatty(self) -> bool:
        return True


@pytest.fixture(autouse=True)
def _restored() -> Iterator[None]:
    root, hooks = logging.getLogger(), (sys.excepthook, threading.excepthook)
    handlers, level = root.handlers[:], root.level
    yield
    root.handlers[:], root.level = handlers, level
    logging.captureWarnings(False)
    sys.excepthook, threading.excepthook = hooks


def lines_of(stream: io.StringIO) -> list[dict[str, Any]]:
    return [json.loads(line) for line in stream.getvalue().splitlines()]


def test_an_event_is_one_line_of_json_with_its_fields() -> None:
    stream = io.StringIO()
    configure("json", "info", 3, stream)
    log_event(log, logging.WARNING, "swapped", "Now %d,\nbefore %d", 2, 1, model="cënsus", version=2, reason=None)
    (line,) = lines_of(stream)
    assert datetime.fromisoformat(line.pop("time")).tzinfo == UTC
    assert line.pop("pid") > 0
    assert line == {
        "level": "warning",
        "event": "swapped",
        "message": "Now 2,\nbefore 1",
        "logger": "service.test",
        "worker": 3,
        "model": "cënsus",
        "version": 2,
    }


def test_an_exception_stays_in_its_line() -> None:
    stream = io.StringIO()
    configure("json", "info", None, stream)
    try:
        raise ValueError("broken\nin two")
    except ValueError as error:
        log_event(log, logging.ERROR, "failed", "It failed", exc_info=error)
    (line,) = lines_of(stream)
    assert (line["error_type"], line["error"]) == ("ValueError", "broken\nin two")
    assert "test_log.py" in line["traceback"]
    assert "worker" not in line


@pytest.mark.parametrize("name", ["uvicorn.error", "asyncio", "some.package"])
def test_other_loggers_come_out_in_the_same_form(name: str) -> None:
    stream = io.StringIO()
    configure("json", "info", 0, stream)
    logging.getLogger(name).warning("It says %s", "so")
    (line,) = lines_of(stream)
    assert (line["logger"], line["message"], line["event"]) == (name, "It says so", "log")


@pytest.mark.parametrize(
    ("form", "stream", "as_json"),
    [
        ("auto", io.StringIO(), True),
        ("auto", Terminal(), False),
        ("json", Terminal(), True),
        ("text", io.StringIO(), False),
    ],
)
def test_the_form_follows_the_setting_and_then_the_terminal(form: str, stream: io.StringIO, as_json: bool) -> None:
    configure(form, "info", 0, stream)
    log_event(log, logging.INFO, "said", "Said %s", "something", model="demo")
    assert stream.getvalue().startswith("{") is as_json
    assert "Said something" in stream.getvalue()


def test_below_the_level_nothing_is_logged() -> None:
    stream = io.StringIO()
    configure("json", "warning", 0, stream)
    log_event(log, logging.INFO, "said", "Said")
    assert stream.getvalue() == ""


@pytest.mark.parametrize("value", ["\ud800", 1 << 70, {1: {2}}, b"bytes", float("nan")])
def test_a_line_can_always_be_written(value: object) -> None:
    assert "value" in json.loads(dumps({"value": value}))


def test_what_ends_the_process_is_one_line() -> None:
    code = "from service.logs.log import configure; configure('json', 'info', 1); {}['missing']"
    run = subprocess.run([sys.executable, "-c", code], cwd=ROOT, capture_output=True, text=True, check=False)
    line = json.loads(run.stderr)
    assert run.returncode == 1
    assert (line["event"], line["level"], line["error_type"]) == ("crashed", "critical", "KeyError")


def test_a_record_without_fields_has_a_line() -> None:
    record = logging.LogRecord("x", logging.INFO, "", 0, "plain", None, None)
    assert json.loads(JsonLines().format(record))["message"] == "plain"
