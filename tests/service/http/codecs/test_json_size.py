"""Values and containers of JSON are counted in its bytes as a parser would find them, whatever
strings hold.
"""

import random
from typing import Any

import orjson
import pytest

from service.errors import RequestTooLarge
from service.http.codecs import json_size
from service.http.codecs.json_size import JsonLimits, count

ANY = JsonLimits(10**9, 10**9, 1, None)


def sizes(value: Any) -> tuple[int, int]:
    """Count the values of a document, itself included, and its containers."""
    inner = value if isinstance(value, list) else value.values() if isinstance(value, dict) else None
    if inner is None:
        return 1, 0
    found = [sizes(each) for each in inner]
    return 1 + sum(values for values, _ in found), 1 + sum(containers for _, containers in found)


class Maker:
    """Maker of documents whose strings are full of what means something outside of strings."""

    def __init__(self, seed: int) -> None:
        self.random = random.Random(seed)

    def text(self) -> str:
        return "".join(self.random.choices('a,[{}]:"\\\n\u00e9', k=self.random.randrange(9)))

    def document(self, depth: int) -> Any:
        kind = self.random.random()
        if depth == 0 or kind < 0.3:
            return self.random.choice([None, 1.5, self.text(), self.text()])
        inner = [self.document(depth - 1) for _ in range(self.random.randrange(6))]
        return inner if kind < 0.6 else {self.text(): value for value in inner}


@pytest.mark.parametrize("chunk", [2, 7, 64])
def test_what_is_counted_is_what_there_is(monkeypatch: pytest.MonkeyPatch, chunk: int) -> None:
    monkeypatch.setattr(json_size, "_CHUNK", chunk)
    monkeypatch.setattr(json_size, "_SMALL_CHUNK", chunk)
    for seed in range(300):
        document = [Maker(seed).document(4)]
        body = orjson.dumps(document)
        values, containers = sizes(document)
        for limits, fits in (
            (ANY._replace(containers=containers), True),
            (ANY._replace(containers=containers - 1), False),
            (ANY._replace(values=values + containers), True),  # the first of a container and itself count as two
            (ANY._replace(values=(values - 1) // 2), False),
        ):
            assert passes(limits, body + b"] [1, 2, [", len(body)) == fits, (body, limits)
            assert fits or not limits.fits_roughly(body, len(body))


def passes(limits: JsonLimits, body: bytes, length: int) -> bool:
    try:
        limits.check(body, length)
    except RequestTooLarge:
        return False
    return True


@pytest.mark.parametrize("form", ["rows", "columns", "flat", "nested"])
def test_as_many_rows_as_are_allowed_fit_in_any_form(form: str) -> None:
    rows, width = 5000, 7
    names = [f"feature, [{i}]" for i in range(width)]
    row = dict.fromkeys(names, "a, [b], {c}")
    body = orjson.dumps(
        {
            "rows": {"instances": [row] * rows, "signature_name": "x"},
            "columns": {"inputs": {name: [0.25] * rows for name in names}},
            "flat": {"inputs": [{"data": [1] * rows * 4}, {"data": [""] * rows * 3}]},
            "nested": {"inputs": [{"data": [[1] * 4] * rows}, {"data": [[""] * 3] * rows}]},
        }[form]
    )
    assert passes(JsonLimits.of_rows(rows, width, 3), body, len(body))
    assert not passes(JsonLimits.of_rows(rows // 3, width, 3), body, len(body))


@pytest.mark.parametrize("flood", [b"[],", b"{},", b"1,", b'"",', b'"a":1,', b"[", b'{"a":', b"[1],", b" null ,"])
def test_floods_do_not_fit(flood: bytes) -> None:
    body = b'{"instances": [' + flood * 200_000
    limits = JsonLimits.of_rows(1000, 5, 3)
    assert not limits.fits_roughly(body, len(body))
    with pytest.raises(RequestTooLarge, match="MMOE_MAX_ROWS"):
        limits.check(body, len(body))


@pytest.mark.parametrize("size", [10, 100_000])
def test_characters_are_counted(size: int) -> None:
    assert count(b"[" + b"a[" * size, b"[") == size + 1
