"""Lines of requests: whole, in order, written by a thread."""

import json
import os
import tempfile
from typing import Any

import pytest

from service.logs.requests import RequestEntry, RequestLog

ONE = RequestEntry(1e9 + 0.25, "order-7", None, "POST", "/v1/predict", "predict", 200, None, "demo", 3, 2, 1.23456)


def written(requests: list[RequestEntry], as_json: bool = True) -> list[str]:
    with tempfile.TemporaryFile() as file:
        log = RequestLog(as_json, 4, file.fileno(), lambda lines: None)
        for request in requests:
            log.put(request)
        assert log.close()
        file.seek(0)
        return file.read().decode().splitlines()


def test_a_line_says_who_what_and_how_long() -> None:
    line: dict[str, Any] = json.loads(written([ONE])[0])
    assert line.pop("pid") == os.getpid()
    assert line == {
        "time": "2001-09-09T01:46:40.250000Z",
        "level": "info",
        "event": "request",
        "message": "POST /v1/predict 200 in 1.235 ms",
        "logger": "service.requests",
        "worker": 4,
        "request_id": "order-7",
        "method": "POST",
        "path": "/v1/predict",
        "route": "predict",
        "status": 200,
        "model": "demo",
        "version": 3,
        "rows": 2,
        "duration_ms": 1.235,
    }


def test_text_is_for_people() -> None:
    (line,) = written([ONE._replace(status=422, error="invalid_features")], as_json=False)
    assert line.endswith(" POST /v1/predict 422 in 1.235 ms error=invalid_features request_id=order-7")
    assert " WARNING " in line


@pytest.mark.parametrize("as_json", [True, False])
def test_what_a_stranger_sends_stays_within_its_line(as_json: bool) -> None:
    paths = ["/a\nb", "/\x1b[31m", "/\ud800", "/" + "x" * 5000]
    lines = written([ONE._replace(path=path) for path in paths], as_json)
    assert len(lines) == len(paths)
    assert all(len(line) < 1000 and line.isprintable() for line in lines)


def test_no_line_is_lost_or_out_of_order() -> None:
    lines = written([ONE._replace(rows=number) for number in range(500)])
    assert [json.loads(line)["rows"] for line in lines] == list(range(500))
