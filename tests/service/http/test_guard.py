"""Authorisation of calls: with keys, without, from here, from elsewhere."""

from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any, NamedTuple

import httpx
import pytest

from service.engine import Engine
from service.errors import Unauthorised
from service.http.app import create_app
from service.http.guard import PEERS, WRONG_KEYS_AT_ONCE, Guard
from service.keys import Keys, line_of, new_key
from service.monitoring.telemetry import Telemetry
from service.run_directory import RunDirectory
from service.settings import Settings
from tests.support.calls import ask

ROWS = {"instances": [{"age": 9.5}]}
INFER = {
    "inputs": [
        {"name": "numeric", "datatype": "FP32", "shape": [1, 3], "data": [9.5, 1, 2]},
        {"name": "categorical", "datatype": "BYTES", "shape": [1, 2], "data": ["red", ""]},
    ]
}


class Call(NamedTuple):
    """Call, and what answers it when it is allowed."""

    method: str
    path: str
    body: Any = None
    status: int = 200


OPEN = [
    Call("GET", path)
    for path in (
        *("/", "/docs", "/assets/app.js", "/metrics", "/openapi.json"),
        *("/health/live", "/health/ready", "/v2/health/live", "/v2/health/ready"),
    )
]
ASKING = [
    Call("POST", "/v1/predict", ROWS),
    Call("POST", "/v1/models/hand:predict", ROWS),
    Call("POST", "/v1/models/hand/versions/1:predict", ROWS),
    Call("POST", "/v1/models/nope:predict", ROWS, 404),
    Call("POST", "/v1/models/hand:gates", ROWS),
    Call("POST", "/v1/gates", ROWS),
    Call("GET", "/v1/gates"),
    Call("GET", "/v1/models/hand/gates"),
    Call("GET", "/v1/models/hand/versions/1/gates"),
    Call("GET", "/v1/models"),
    Call("HEAD", "/v1/models"),
    Call("GET", "/v1/models/hand"),
    Call("GET", "/v1/models/hand/versions/1"),
    Call("GET", "/v1/models/hand/metadata"),
    Call("GET", "/v1/models/hand/versions/1/metadata"),
    Call("GET", "/v2"),
    Call("GET", "/v2/models"),
    Call("GET", "/v2/models/hand"),
    Call("GET", "/v2/models/hand/versions/1"),
    Call("GET", "/v2/models/hand/ready"),
    Call("GET", "/v2/models/nope", None, 404),
    Call("POST", "/v2/models/hand/infer", INFER),
    Call("POST", "/v2/repository/index", {}),
]
ADMIN = [
    Call("POST", "/v2/repository/models/hand/unload", {}),
    Call("POST", "/v2/repository/models/hand/load", {}),
    Call("POST", "/v1/models/hand:pin", {"version": 1}),
    Call("POST", "/v1/models/hand:shadow", {"version": None}),
    Call("POST", "/v1/models/hand:canary", {"version": None}),
    Call("GET", "/v1/models/hand/shadow"),
    Call("HEAD", "/v1/models/hand/shadow"),
    Call("POST", "/v1/models/hand:rollback", None, 409),
]


class Bench:
    """Ask an application that serves `hand`, with or without keys."""

    def __init__(self, models: Path, run_dir: Path) -> None:
        self._models, self._run_dir = models, run_dir
        self.keys = {"predict": new_key(), "admin": new_key()}
        self.file = run_dir / "keys"
        self.file.write_text("".join(line_of(role, role, self.keys[role]) + "\n" for role in ("predict", "admin")))

    @contextmanager
    def app(self, **settings: Any) -> Iterator[Any]:
        with RunDirectory.create(1, self._run_dir) as directory:
            telemetry = Telemetry(directory)
            given = Settings(models=self._models, log_requests="off", **settings)
            engine = Engine(given, telemetry, telemetry.recorder_of)
            engine.catalogue.scan()
            telemetry.tick(0, engine.catalogue.loaded())
            yield create_app(engine, telemetry)
            telemetry.close()
            engine.close()

    def ask(self, *calls: Call, peer: str = "127.0.0.1", headers: Any = None, **settings: Any) -> list[httpx.Response]:
        sent = [(call.method, call.path, call.body) for call in calls]
        with self.app(**settings) as app:
            return ask(app, *sent, peer=peer, headers=headers)


@pytest.fixture
def bench(tmp_path: Path, hand_model: Callable[..., Path]) -> Bench:
    hand_model(tmp_path / "models", "hand", 1)
    return Bench(tmp_path / "models", tmp_path)


def statuses(calls: list[Call]) -> list[int]:
    return [call.status for call in calls]


def codes(answers: list[httpx.Response]) -> list[int]:
    return [answer.status_code for answer in answers]


def test_without_keys_everybody_may_ask_and_nobody_may_change_anything(bench: Bench) -> None:
    for peer in ("127.0.0.1", "10.0.0.1"):
        assert codes(bench.ask(*OPEN, *ASKING, peer=peer)) == statuses(OPEN + ASKING)
        refused = bench.ask(*ADMIN, peer=peer)
        assert codes(refused) == [403] * len(ADMIN)
        assert "MMOE_KEYS_FILE" in refused[0].json()["error"]
        assert "MMOE_KEYS_FILE" in refused[-1].json()["detail"]


def test_with_keys_probes_metrics_and_pages_stay_open_and_nothing_else(bench: Bench) -> None:
    assert codes(bench.ask(*OPEN, keys_file=bench.file)) == statuses(OPEN)
    for headers in (None, {"X-API-Key": new_key()}, {"Authorization": "Basic YTpi"}, {"Authorization": "Bearer"}):
        answers = [bench.ask(call, keys_file=bench.file, headers=headers)[0] for call in ASKING + ADMIN]
        for answer in answers:
            assert answer.status_code == 401
            assert answer.headers["www-authenticate"] == "Bearer"
            if answer.request.method != "HEAD":
                body = answer.json()
                assert "API key" in (body["error"] if "error" in body else body["detail"])


@pytest.mark.parametrize("scheme", ["Bearer", "bearer", "X-API-Key"])
def test_a_key_for_predictions_may_ask_but_not_change(bench: Bench, scheme: str) -> None:
    key = bench.keys["predict"]
    headers = {"X-API-Key": key} if scheme == "X-API-Key" else {"Authorization": f"{scheme} {key}"}
    assert codes(bench.ask(*OPEN, *ASKING, keys_file=bench.file, headers=headers)) == statuses(OPEN + ASKING)
    answers = bench.ask(*ADMIN, keys_file=bench.file, headers=headers)
    assert codes(answers) == [403] * len(ADMIN)
    assert "needs a key of the role 'admin'; the key 'predict' has the role 'predict'" in answers[0].json()["error"]
    assert key not in answers[0].text


def test_an_admin_key_may_all_from_anywhere_and_its_calls_are_logged_by_its_name(
    bench: Bench, caplog: pytest.LogCaptureFixture
) -> None:
    headers = {"Authorization": f"Bearer {bench.keys['admin']}", "X-Forwarded-For": "10.0.0.9", "Origin": "http://x"}
    calls = OPEN + ASKING + ADMIN
    with caplog.at_level("INFO", "service"):
        assert codes(bench.ask(*calls, keys_file=bench.file, headers=headers, peer="10.0.0.1")) == statuses(calls)
    assert "Admin call POST '/v2/repository/models/hand/load' by the key 'admin'" in caplog.text
    assert bench.keys["admin"] not in caplog.text


def test_a_long_path_is_cut_in_the_line_of_an_admin_call(bench: Bench, caplog: pytest.LogCaptureFixture) -> None:
    headers = {"Authorization": f"Bearer {bench.keys['admin']}"}
    with caplog.at_level("INFO", "service"):
        bench.ask(Call("POST", f"/v1/models/{'x' * 60_000}:rollback"), keys_file=bench.file, headers=headers)
    (line,) = [record for record in caplog.records if "Admin call" in record.getMessage()]
    assert len(line.getMessage()) < 300
    assert len(line.__dict__["fields"]["path"]) <= 200


def test_with_keys_callers_on_this_machine_need_one_too(bench: Bench) -> None:
    assert codes(bench.ask(*ADMIN, keys_file=bench.file, local_admin=True)) == [401] * len(ADMIN)


@pytest.mark.parametrize("peer", ["127.0.0.1", "127.8.0.1", "::1", "::ffff:127.0.0.1"])
def test_callers_on_this_machine_may_where_the_setting_says_so(bench: Bench, peer: str) -> None:
    assert codes(bench.ask(*ADMIN, peer=peer, local_admin=True)) == statuses(ADMIN)


@pytest.mark.parametrize("peer", ["10.0.0.1", "::ffff:10.0.0.1", "fe80::1%eth0", "", "testclient"])
def test_others_may_not(bench: Bench, peer: str) -> None:
    answers = bench.ask(*ADMIN, peer=peer, local_admin=True)
    assert codes(answers) == [403] * len(ADMIN)
    assert "Without API keys, admin calls are accepted only from this machine" in answers[0].json()["error"]


FORWARDING = [
    *("Forwarded", "X-Forwarded", "X-Forwarded-For", "X-Forwarded-Proto", "X-Forwarded-Host", "X-Forwarded-Port"),
    *("Forwarded-For", "X-Original-Forwarded-For", "X-Vercel-Forwarded-For", "X-Http-Forwarded-For", "Via"),
    *("X-Real-IP", "X-Client-IP", "Client-IP", "X-Cluster-Client-IP", "True-Client-IP", "Fastly-Client-IP"),
    *(
        "CF-Connecting-IP",
        "CF-Connecting-IPv6",
        "CF-Ray",
        "CF-Visitor",
        "CDN-Loop",
        "Do-Connecting-IP",
        "Fly-Client-IP",
    ),
    *("X-ProxyUser-Ip", "WL-Proxy-Client-IP", "Proxy-Client-IP", "X-Remote-IP", "X-Remote-Addr", "X-Originating-IP"),
    *("X-Azure-ClientIP", "X-Azure-SocketIP", "X-Appengine-User-IP", "X-NF-Client-Connection-IP", "X-Amzn-Trace-Id"),
    *("X-Envoy-External-Address", "X-Envoy-Original-Path", "X-Arr-Log-Id", "X-Sucuri-ClientIP", "Fly-Client-IP"),
    *("X-Original-Host", "X-Varnish", "Proxy-Connection", "X-Scheme", "Front-End-Https", "X-Cloud-Trace-Context"),
]


CLIENTS = ["User-Agent", "Accept-Encoding", "X-Request-Id", "traceparent", "X-Request-Timeout-Ms", "Cookie"]


def test_any_header_that_forwards_ends_local_admin_and_those_of_clients_do_not(bench: Bench) -> None:
    load: tuple[str, str, Any] = ("POST", "/v2/repository/models/hand/load", {})
    with bench.app(local_admin=True) as app:
        for header in FORWARDING + CLIENTS:
            (answer,) = ask(app, load, headers={header: "127.0.0.1"})
            assert answer.status_code == (200 if header in CLIENTS else 403), header


@pytest.mark.parametrize(
    ("header", "value", "sentence"),
    [
        ("Origin", "http://127.0.0.1", "this request carries 'origin'. Use curl."),
        ("Sec-Fetch-Site", "same-origin", "this request carries 'sec-fetch-site'. Use curl."),
        ("X-Forwarded-For", "127.0.0.1", "through a proxy"),
        ("CF-Connecting-IP", "127.0.0.1", "through a proxy"),
        ("Host", "rebound.example:8000", "the host 'rebound.example'"),
    ],
)
def test_proxies_and_pages_in_a_browser_are_not_on_this_machine(
    bench: Bench, header: str, value: str, sentence: str
) -> None:
    settings: dict[str, Any] = {"local_admin": True, "allowed_hosts": frozenset("*")}
    answers = bench.ask(*ADMIN, headers={header: value}, **settings)
    assert codes(answers) == [403] * len(ADMIN)
    assert sentence in answers[0].json()["error"]
    assert codes(bench.ask(*ASKING, headers={header: value}, **settings)) == statuses(ASKING)


def test_the_document_names_features_to_those_who_may_know_them(bench: Bench) -> None:
    call = Call("GET", "/openapi.json")
    (free,) = bench.ask(call)
    (stranger,) = bench.ask(call, keys_file=bench.file)
    (known,) = bench.ask(call, keys_file=bench.file, headers={"X-API-Key": bench.keys["predict"]})
    assert "colour" in free.text
    assert "securitySchemes" not in free.text
    for document in (stranger.json(), known.json()):
        assert {scheme["type"] for scheme in document["components"]["securitySchemes"].values()} == {"http", "apiKey"}
        assert document["security"]
        assert document["paths"]["/health/live"]["get"]["security"] == []
        assert "security" not in document["paths"]["/v1/models/{name}:predict"]["post"]
    assert "colour" not in stranger.text
    assert "hand" not in stranger.text
    assert known.json()["paths"].keys() == free.json()["paths"].keys()


WRONG = {"X-API-Key": "mmoe_wrong"}


def test_wrong_keys_beyond_a_rate_are_429_and_the_right_one_passes(
    bench: Bench, caplog: pytest.LogCaptureFixture
) -> None:
    right = {"X-API-Key": bench.keys["predict"]}
    calls = [*ASKING[:5], Call("GET", "/v1/models"), Call("GET", "/openapi.json")]
    with bench.app(keys_file=bench.file) as app:

        def get(headers: Any, count: int = 1, peer: str = "10.0.0.1", *calls: Call) -> list[httpx.Response]:
            sent = [(call.method, call.path, call.body) for call in calls or [ASKING[0]] * count]
            return ask(app, *sent, peer=peer, headers=headers)

        assert set(codes(get(WRONG, WRONG_KEYS_AT_ONCE))) == {401}
        refused = get(WRONG, 1, "10.0.0.1", *calls)
        assert codes(refused) == [429] * (len(calls) - 1) + [200]  # the document then names no model
        assert all(int(answer.headers["retry-after"]) >= 1 for answer in refused[:-1])
        assert refused[0].json()["code"] == "wrong_keys"
        assert codes(get(right, 1, "10.0.0.1", *calls)) == statuses(calls)
        assert (
            codes(get(None, 2 * WRONG_KEYS_AT_ONCE)) == [401] * 2 * WRONG_KEYS_AT_ONCE
        )  # a missing key is not a wrong key
        assert codes(get(WRONG, 1, "10.0.0.2")) == [401]
        network = [f"2001:db8::{number:x}" for number in range(WRONG_KEYS_AT_ONCE + 1)]
        assert [codes(get(WRONG, 1, peer))[0] for peer in network] == [401] * WRONG_KEYS_AT_ONCE + [429]
        assert codes(get(WRONG, 1, "2001:db8:0:1::1")) == [401]
        assert codes(get(right, 1, network[0])) == [200]
    assert "too many unknown API keys" in caplog.text
    assert "mmoe_wrong" not in caplog.text


def test_the_addresses_whose_wrong_keys_are_counted_are_bounded(bench: Bench) -> None:
    guard = Guard(Keys(bench.file), local_admin=False, clock=lambda: 0.0)
    for number in range(PEERS + 100):
        with pytest.raises(Unauthorised):
            guard.check({b"x-api-key": b"x"}, f"10.{number >> 16}.{number >> 8 & 255}.{number & 255}")
    assert len(guard._wrong) == PEERS
