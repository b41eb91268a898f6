"""Keys on the wire: a trailer holds none, wrong ones have a rate, the right one always passes."""

import re
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any
from urllib.parse import urlsplit

import pytest

from service.http.guard import WRONG_KEYS_AT_ONCE
from service.keys import line_of, new_key
from tests.support.raw import LAST, post, statuses, talk

KEY = new_key()
CHUNKS = b"19\r\n" + b'{"instances":[{"age":1}]}' + b"\r\n0\r\n"


@pytest.fixture
def guarded(models: Path, tmp_path: Path, start_service: Callable[..., Any]) -> Iterator[Any]:
    (tmp_path / "keys").write_text(line_of("predict", "web", KEY))
    with start_service(
        models, default_model="hand", keys_file=str(tmp_path / "keys"), operation_port="0", log_format="text"
    ) as service:
        yield service


def test_a_key_in_a_trailer_neither_authorises_nor_overrides(guarded: Any) -> None:
    for path in ("/v1/predict", "/v1/models/hand:gates"):
        for name, value in (("X-API-Key", KEY), ("Authorization", f"Bearer {KEY}")):
            trailer = f"{name}: {value}\r\n\r\n".encode()
            sent = post(CHUNKS, "transfer-encoding: chunked", path=path) + trailer
            assert statuses(talk(guarded, sent + LAST)) == [401, 200]
        right = post(CHUNKS, "transfer-encoding: chunked", f"x-api-key: {KEY}", path=path)
        assert statuses(talk(guarded, right + b"X-API-Key: mmoe_wrong\r\n\r\n" + LAST)) == [200, 200]


def test_wrong_keys_have_a_rate_and_the_right_one_passes(guarded: Any) -> None:
    wrong = post(b'{"instances":[{"age":1}]}', "x-api-key: mmoe_wrong")
    large = post(b" " * 100_000, "x-api-key: mmoe_wrong")
    right = post(b'{"instances":[{"age":1}]}', f"x-api-key: {KEY}")
    answers = talk(guarded, *[wrong] * WRONG_KEYS_AT_ONCE, wrong * 30 + large + right + LAST)
    found = statuses(answers)
    assert found[:WRONG_KEYS_AT_ONCE] == [401] * WRONG_KEYS_AT_ONCE
    assert found[-2:] == [200, 200]
    assert found[WRONG_KEYS_AT_ONCE:-2].count(429) >= 20
    refused = next(answer for answer in answers if answer.status == 429)
    assert "retry-after: " in refused.head
    assert b'"code":"wrong_keys"' in refused.body
    assert guarded.wait_for("too many unknown API keys")


def test_the_second_port_speaks_as_strictly(guarded: Any) -> None:
    found = re.search(r"admin calls are on (http://\S+)", "".join(guarded.lines))
    assert found
    other = urlsplit(found[1]).port
    (answer,) = talk(other, b"GET /health/live HTTP/1.1\r\n\r\n")
    assert answer.status == 400
    assert b"Host headers" in answer.body
    (answer,) = talk(other, LAST.replace(b"localhost", b"rebound.example"))
    assert answer.status == 421
    assert statuses(talk(other, LAST)) == [200]
