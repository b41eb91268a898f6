"""Random and mutated bodies, with and without binary tensors and odd headers.

Never a 5xx, always an answer in form.

Most are sent in process, straight into the application; some through a socket, with faults of HTTP
itself.
"""

import asyncio
import contextlib
import gzip
import json
import math
import random
import socket
import struct
import zlib
from collections import Counter
from collections.abc import Callable
from pathlib import Path
from typing import Any, NamedTuple
from urllib.parse import urlsplit

import orjson
import pytest
from hypothesis import HealthCheck, Phase, given, settings
from hypothesis import strategies as st

from service.engine import Engine
from service.http.app import create_app
from tests.support.effort import Effort

FORMS = {"application/json", "application/problem+json", "application/octet-stream"}
EXPECTED = {200, 400, 404, 405, 409, 413, 415, 422}
NUMERIC, CATEGORICAL = [9.5, 12.0, -3.25], ["red", "Oslo"]
ROW = dict(zip(["age", "height", "balance", "colour", "city"], [*NUMERIC, *CATEGORICAL], strict=True))
TOKENS = [
    b"NaN", b"Infinity", b"-Infinity", b"1e999", b"-1e999", b"1e39", b"1e-999", b"9" * 400, b"-0", b"01", b"null",
    b"true", b'""', b"{}", b"[]", b"[" * 2000, b'{"a":' * 2000, b'"\\ud800"', b'"\\u0000"', b"\x00", b"\xff",
    b"\xef\xbb\xbf", b"18446744073709551616", b"-9223372036854775809", b'"instances":[{}],', b'"inputs":{},', b",",
    b":", b"}", b"]", b'"shape":[-1,3]', b'"shape":[1e3,3]', b'"shape":[99999999999999999999,3]',
    b'"binary_data_size":-1', b'"binary_data_size":99999999999999999999', b'"datatype":"BOOL"', b'"datatype":"FP16"',
    "é".encode("utf-16"),
]  # fmt: skip
NOW = "2026-11-28T18:30:00"
NOISE = [b"\x00", b"\r\n", b"\xff", b":", b"transfer-encoding: chunked\r\n", b"content-length: 5\r\n"]


class Sent(NamedTuple):
    """One request."""

    path: str
    headers: dict[str, str]
    body: bytes


def as_json(value: Any) -> bytes:
    return json.dumps(value).encode()


def _kinds_tensors(rows: int, binary: bool) -> tuple[dict[str, Any], bytes]:
    """Make the same of the model with features of every kind."""
    heads = [
        {"name": "numeric", "datatype": "FP32", "shape": [rows, 3]},
        {"name": "categorical", "datatype": "BYTES", "shape": [rows, 5]},
        {"name": "datetime", "datatype": "INT64", "shape": [rows, 1]},
    ]
    values: list[list[Any]] = [NUMERIC, KINDS_TEXTS, [1795890600]]
    if not binary:
        return {"inputs": [head | {"data": data * rows} for head, data in zip(heads, values, strict=True)]}, b""
    texts = b"".join(struct.pack("<I", len(text)) + text.encode() for text in KINDS_TEXTS)
    raw = [struct.pack("<3f", *NUMERIC) * rows, texts * rows, struct.pack("<q", 1795890600) * rows]
    inputs = [head | {"parameters": {"binary_data_size": len(data)}} for head, data in zip(heads, raw, strict=True)]
    return {"inputs": inputs}, b"".join(raw)


def _tensors(rows: int, binary: bool) -> tuple[dict[str, Any], bytes]:
    """Make a valid request of the Open Inference Protocol.

    Its JSON, and the raw tensors behind it.
    """
    numeric = {"name": "numeric", "datatype": "FP32", "shape": [rows, 3]}
    categorical = {"name": "categorical", "datatype": "BYTES", "shape": [rows, 2]}
    if not binary:
        entries = [numeric | {"data": NUMERIC * rows}, categorical | {"data": CATEGORICAL * rows}]
        return {"inputs": entries}, b""
    raw = [
        struct.pack("<3f", *NUMERIC) * rows,
        b"".join(struct.pack("<I", len(text)) + text.encode() for text in CATEGORICAL) * rows,
    ]
    pairs = zip((numeric, categorical), raw, strict=True)
    return {"inputs": [entry | {"parameters": {"binary_data_size": len(data)}} for entry, data in pairs]}, b"".join(raw)


PREDICT = ["/v1/models/hand:predict", "/v1/predict", "/v1/models/hand/versions/1:predict", "/v1/gates"]
INFER = ["/v2/models/hand/infer", "/v2/models/hand/versions/1/infer"]
ROWS: list[dict[str, Any]] = [
    {"instances": [ROW]}, {"instances": [[*NUMERIC, *CATEGORICAL], ROW, {}]}, {"instances": [ROW] * 20},
    {"inputs": {name: [value] * 3 for name, value in ROW.items()}}, {"instances": [{"age": None}]},
]  # fmt: skip
OPTIONS: list[dict[str, Any]] = [{}, {"contributions": True}, {"ablation": True, "top_k": 2}, {"signature_name": "x"}]
OUTPUTS: list[dict[str, Any]] = [
    {}, {"id": "7"}, {"outputs": [{"name": "gate_weights"}]}, {"parameters": {"binary_data_output": True}},
    {"outputs": [{"name": "sold", "parameters": {"binary_data": True}}, {"name": "gate_contributions"}]},
]  # fmt: skip
KINDS_TEXTS = ["red", "Oslo", "user 7", "art|news", "x, 7"]
KINDS_ROW: dict[str, Any] = ROW | {
    "user": "user 7", "tags": ["art", "news"], "seen": ["x", 7], "clicked_at": "2026-11-28T18:30:00Z"
}  # fmt: skip
KINDS_ROWS: list[dict[str, Any]] = [
    {"instances": [KINDS_ROW, {**KINDS_ROW, "user": 7, "tags": None, "clicked_at": 1.5}]},
    {"instances": [[*KINDS_ROW.values()]]}, {"inputs": {name: [value] * 3 for name, value in KINDS_ROW.items()}},
]  # fmt: skip
HEADERS = {
    "content-type": ["application/json", "text/plain", "application/octet-stream", "application/x+json", "", "x" * 300],
    "content-encoding": ["gzip", "deflate", "br", "identity", "gzip, gzip", ""],
    "inference-header-content-length": ["0", "1", "-1", "99999999999999999999999", "1.5", "x", "", "10", "300"],
    "x-request-timeout-ms": ["60000", "0", "-1", "x", "9" * 30],
    "x-request-id": ["a", "x" * 200, "\x01", "é"],
    "traceparent": ["00-" + "a" * 32 + "-" + "b" * 16 + "-01", "x", ""],
    "authorization": ["Bearer x", "Basic x", ""],
    "accept": ["text/html", "*/*", ""],
}

JSON_VALUES = st.recursive(
    st.none() | st.booleans() | st.integers() | st.floats(allow_nan=False, allow_infinity=False) | st.text(max_size=8),
    lambda inner: st.lists(inner, max_size=4) | st.dictionaries(st.text(max_size=8) | st.sampled_from([*ROW]), inner),
    max_leaves=8,
)


class Mutator:
    """Maker of requests from valid ones; a seed makes the same again."""

    predict, infer, rows, tensors = PREDICT, INFER, ROWS, staticmethod(_tensors)

    def __init__(self, seed: int) -> None:
        self.random = random.Random(seed)

    def __call__(self) -> Sent:
        pick = self.random.choice
        headers = {"content-type": "application/json"}
        if self.random.random() < 0.5:
            path, body = pick(self.predict), self._rows()
        else:
            path, tensors = pick(self.infer), self.tensors(pick([1, 1, 3]), self.random.random() < 0.6)
            head, raw = as_json(tensors[0] | pick(OUTPUTS)), tensors[1]
            if raw:
                headers["inference-header-content-length"] = str(len(head))
            body = head + raw
        for _ in range(pick([0, 0, 1, 1, 2, 4])):
            body = self._mutated(body)
        self._spoil(headers)
        if headers.get("content-encoding") in ("gzip", "deflate") and self.random.random() < 0.7:
            body = gzip.compress(body) if headers["content-encoding"] == "gzip" else zlib.compress(body)
            body = self._mutated(body) if self.random.random() < 0.3 else body
        return Sent(path, headers, body)

    def _rows(self) -> bytes:
        document = dict(self.random.choice(self.rows)) | self.random.choice(OPTIONS)
        if self.random.random() < 0.6:
            document = {key: self._nudged(value) for key, value in document.items()}
        return as_json(document)

    def _nudged(self, value: Any) -> Any:
        """Change one value somewhere in a document, so that it stays JSON."""
        if isinstance(value, dict) and value:
            key = self.random.choice([*value])
            return value | {key: self._nudged(value[key])}
        if isinstance(value, list) and value:
            at = self.random.randrange(len(value))
            return [*value[:at], self._nudged(value[at]), *value[at + 1 :]]
        return self.random.choice(
            [None, True, "", "x", [], {}, 0, -1, 1e38, 1e39, 2**70, [[[]]], {"a": {}}, "\x00", NOW]
        )

    def _mutated(self, body: bytes) -> bytes:
        chance, at = self.random, self.random.randint(0, len(body))
        to = min(at + chance.choice([1, 2, 4, 9, 50]), len(body))
        return chance.choice(
            [
                body[:at] + body[to:],
                body[:at],
                body[:at] + chance.choice(TOKENS) + body[at:],
                body[:at] + chance.choice(TOKENS) + body[to:],
                body[:at] + chance.randbytes(to - at) + body[to:],
                body[:to] + body[at:],
                body + body,
                chance.choice(TOKENS),
            ]
        )

    def _spoil(self, headers: dict[str, str]) -> None:
        if self.random.random() < 0.3:
            name = self.random.choice([*HEADERS])
            headers[name] = self.random.choice(HEADERS[name])
        if self.random.random() < 0.05:
            headers.pop(self.random.choice([*headers]))


class KindsMutator(Mutator):
    """Maker of requests of the model with features of every kind."""

    predict, infer = ["/v1/models/kinds:predict", "/v1/models/kinds:gates"], ["/v2/models/kinds/infer"]
    rows, tensors = KINDS_ROWS, staticmethod(_kinds_tensors)


def check(sent: Sent, status: int, headers: dict[str, str], body: bytes) -> None:
    """Check that an answer is one that may be given, and in form."""
    assert status in EXPECTED, (status, body[:300], sent)
    kind = headers["content-type"]
    assert kind in FORMS
    assert int(headers["content-length"]) == len(body)
    text = body
    if kind == "application/octet-stream":
        text = body[: int(headers["inference-header-content-length"])]
    answer = strict(text)
    if status >= 400:
        assert headers["x-request-id"]
        if sent.path.startswith("/v2"):
            assert list(answer) == ["error"]
            assert answer["error"]
        else:
            assert (answer["status"], answer["request_id"]) == (status, headers["x-request-id"])
            assert answer["detail"]
            assert answer["code"]
    elif sent.path.startswith("/v2"):
        size = sum(output.get("parameters", {}).get("binary_data_size", 0) for output in answer["outputs"])
        assert len(text) + size == len(body)
        for output in answer["outputs"]:
            if "data" in output:
                assert len(output["data"]) == math.prod(output["shape"])


def strict(text: bytes) -> Any:
    """Read JSON; NaN and infinity are none."""
    return orjson.loads(text)


@pytest.fixture
def engine(own_hand: Path, hand_model: Callable[..., Path], open_engine: Callable[..., Engine]) -> Engine:
    hand_model(own_hand, "kinds", kind="kinds")
    return open_engine(own_hand, default_model="hand", max_rows=50, max_body_bytes=200_000, max_inflated_bytes=400_000)


class InProcess:
    """Send requests straight into the application, on a loop of its own."""

    def __init__(self, engine: Engine) -> None:
        self.app = create_app(engine)
        self.statuses: Counter[int] = Counter()

    async def ask(self, sent: Sent) -> tuple[int, dict[str, str], bytes]:
        headers = [(name.encode(), value.encode("latin-1")) for name, value in sent.headers.items()]
        headers.append((b"content-length", b"%d" % len(sent.body)))
        scope = {
            "type": "http", "asgi": {"version": "3.0"}, "http_version": "1.1", "method": "POST", "scheme": "http",
            "path": sent.path, "raw_path": sent.path.encode(), "query_string": b"", "root_path": "", "headers": headers,
            "client": ("127.0.0.1", 1), "server": ("127.0.0.1", 2), "state": {},
        }  # fmt: skip
        messages = [{"type": "http.request", "body": sent.body, "more_body": False}]
        answer: list[dict[str, Any]] = []

        async def receive() -> dict[str, Any]:
            return messages.pop() if messages else {"type": "http.disconnect"}

        async def send(message: Any) -> None:
            answer.append(message)

        await self.app(scope, receive, send)
        start, *bodies = answer
        found = {name.decode(): value.decode("latin-1") for name, value in start["headers"]}
        return start["status"], found, b"".join(message.get("body", b"") for message in bodies)

    async def ask_and_check(self, sent: Sent) -> None:
        status, headers, body = await self.ask(sent)
        self.statuses[status] += 1
        check(sent, status, headers, body)


KINDS_GOOD = [
    Sent("/v1/models/kinds:predict", {"content-type": "application/json"}, as_json(KINDS_ROWS[0])),
    Sent("/v2/models/kinds/infer", {}, as_json(_kinds_tensors(1, False)[0])),
]
GOOD = [
    Sent("/v1/predict", {"content-type": "application/json"}, as_json({"instances": [ROW]})),
    Sent("/v2/models/hand/infer", {}, as_json(_tensors(1, False)[0])),
]


@pytest.mark.parametrize(("mutator", "good"), [(Mutator, GOOD), (KindsMutator, KINDS_GOOD)], ids=["hand", "kinds"])
def test_mutated_bodies_are_answered_in_form_and_harm_nobody(
    engine: Engine, effort: Effort, measured: Callable[[str], None], mutator: type[Mutator], good: list[Sent]
) -> None:
    """Send them many at a time, so that bad ones and good ones meet in a run.

    The good ones keep their answers.
    """

    async def run() -> None:
        asking, make = InProcess(engine), mutator(random.randrange(2**32) if effort.soak else 0)
        expected = [await asking.ask(sent) for sent in good]
        assert {status for status, _, _ in expected} == {200}
        for _ in range(effort.bodies // 20):
            await asyncio.gather(*[asking.ask_and_check(make()) for _ in range(20)])
            for sent, (status, _, body) in zip(good, expected, strict=True):
                again = await asking.ask(sent)
                assert (again[0], again[2]) == (status, body)
        measured(f"{asking.statuses.total()} bodies: {dict(sorted(asking.statuses.items()))}")
        assert {200, 400, 415, 422} <= set(asking.statuses)
        assert asking.statuses[200] > effort.bodies / 50

    asyncio.run(run())


def test_whatever_json_is_sent_is_answered_in_form(engine: Engine, effort: Effort) -> None:
    asking = InProcess(engine)
    any_json = JSON_VALUES.map(as_json) | st.binary(max_size=100)
    rows = st.lists(JSON_VALUES | st.dictionaries(st.sampled_from([*KINDS_ROW]), JSON_VALUES), max_size=4)
    in_form = st.builds(lambda key, value: as_json({key: value}), st.sampled_from(["instances", "inputs"]), rows)

    paths = [*PREDICT, *INFER, *KindsMutator.predict, *KindsMutator.infer]
    with asyncio.Runner() as runner:

        @settings(
            max_examples=max(effort.bodies // 10, 300), deadline=None, database=None, phases=[Phase.generate],
            suppress_health_check=[*HealthCheck],
        )  # fmt: skip
        @given(path=st.sampled_from(paths), body=any_json | in_form)
        def send(path: str, body: bytes) -> None:
            runner.run(asking.ask_and_check(Sent(path, {"content-type": "application/json"}, body)))

        send()


def _read(connection: socket.socket) -> list[tuple[int, dict[str, str], bytes]]:
    """Read all answers of a connection; a spoiled request may be several, and each has one."""
    data, answers = b"", []
    with contextlib.suppress(ConnectionResetError):  # the service left some of it unread
        while more := connection.recv(65536):
            data += more
    while data:
        head, _, rest = data.partition(b"\r\n\r\n")
        first, *lines = head.decode("latin-1").split("\r\n")
        headers = {name.lower(): value for name, value in (line.split(": ", 1) for line in lines)}
        length = int(headers["content-length"])
        assert len(rest) >= length
        answers.append((int(first.split()[1]), headers, rest[:length]))
        data = rest[length:]
    return answers


def test_mutated_requests_on_a_socket_are_answered_in_form_and_the_service_lives_on(
    service: Any, effort: Effort
) -> None:
    """Spoil the bytes of HTTP itself: heads, lengths, chunks, ends."""
    parts, make, chance = urlsplit(service.url), Mutator(1), random.Random(1)
    for _ in range(effort.bodies // 10):
        sent = make()
        headers = {"host": "localhost", "connection": "close", "content-length": str(len(sent.body))} | sent.headers
        head = f"POST {sent.path} HTTP/1.1\r\n" + "".join(f"{name}: {value}\r\n" for name, value in headers.items())
        whole = head.encode("latin-1") + b"\r\n" + sent.body
        if chance.random() < 0.5:
            at = chance.randrange(len(head) + 2)
            noise = chance.choice(
                [
                    *(b"\x00", b"\r\n", b"\xff", b":", b"transfer-encoding: chunked\r\n", b"content-length: 5\r\n"),
                    *(b"host: x\r\n", b"connection: upgrade\r\nupgrade: h2c\r\n", b"transfer-encoding: gzip\r\n"),
                ]
            )
            whole = whole[:at] + noise + whole[at + chance.choice([0, 1, 4]) :]
        with socket.create_connection((parts.hostname, parts.port), timeout=30) as connection:
            try:
                connection.sendall(whole)
                connection.shutdown(socket.SHUT_WR)
                answers = _read(connection)
            except (ConnectionResetError, BrokenPipeError):
                continue
        for status, headers, body in answers:
            assert status in EXPECTED | {431, 408, 421, 501}, (whole, answers)
            assert headers["content-type"].partition(";")[0] in FORMS
            if status >= 400 and headers["content-type"] != "application/octet-stream":
                strict(body)
                assert headers["x-request-id"]
    assert service.process.poll() is None
