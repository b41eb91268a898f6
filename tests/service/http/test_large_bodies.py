"""Bodies of megabytes, whose JSON becomes objects in a thread.

Answered, and refused, as small ones are.
"""

from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from service.engine import Engine
from service.http.admission import APART_BYTES
from service.http.app import create_app
from tests.support.calls import ask

WRONG: list[Any] = [{"age": "wrong"}, {"nobody": 1}, [1], 5]


@pytest.mark.parametrize("path", ["/v1/models/hand:predict", "/v1/models/hand:gates"])
@pytest.mark.parametrize("wrong", [None, *WRONG])
def test_a_large_body_is_answered_as_a_small_one(
    own_hand: Path, open_engine: Callable[..., Engine], path: str, wrong: Any
) -> None:
    def body(city: str) -> Any:
        rows: list[Any] = [{"age": 1.5, "colour": text, "city": city} for text in ("red", "unknown")]
        return {"instances": rows if wrong is None else [*rows, wrong]}

    app = create_app(open_engine(own_hand))
    answers = ask(app, *(("POST", path, body(city)) for city in ("elsewhere", "z" * APART_BYTES)))
    assert [answer.status_code for answer in answers] == [200 if wrong is None else 422] * 2
    small, large = (answer.json() | {"request_id": ""} for answer in answers)
    assert large == small
