"""The Host allow-list: who may be named where, on both ports, behind proxies and by probes."""

from pathlib import Path
from typing import Any

import httpx
import pytest

from service.engine import Engine
from service.errors import SettingsError
from service.http.app import create_app, create_apps
from service.http.hosts import Hosts, host_of
from service.settings import Settings, read_settings
from tests.support.calls import ask

LOOPBACK = ["localhost", "LOCALHOST:8000", "localhost.", "127.0.0.1", "127.8.9.1:80", "[::1]", "[::1]:8000"]
OTHERS = ["rebound.example", "rebound.example:8000", "localhost.example", "127.0.0.1.example", "x", "a.localhost"]
ADDRESSES = ["10.0.0.7:8000", "[fe80::1]", "172.18.0.4"]


@pytest.mark.parametrize("bound", ["127.0.0.1", "localhost", "::1", "127.0.0.2"])
def test_bound_to_loopback_only_its_own_names_pass(bound: str) -> None:
    hosts = Hosts(None, bound)
    assert [host for host in LOOPBACK if not hosts.allows(host.encode())] == []
    assert [host for host in OTHERS + ADDRESSES if hosts.allows(host.encode())] == []


@pytest.mark.parametrize("bound", ["0.0.0.0", "::", "10.0.0.7", "models.example.com"])
def test_bound_to_more_any_passes_unless_some_are_named(bound: str) -> None:
    assert all(Hosts(None, bound).allows(host.encode()) for host in LOOPBACK + OTHERS + ADDRESSES)
    named = Hosts({"models.example.com", "*.internal"}, bound)
    allowed = [*LOOPBACK, *ADDRESSES, "Models.Example.Com:443", "a.internal", "b.a.internal:80"]
    assert [host for host in allowed if not named.allows(host.encode())] == []
    assert not any(named.allows(host.encode()) for host in [*OTHERS, "internal", "xinternal", "a.models.example.com"])


def test_names_pass_on_loopback_too_where_they_are_set() -> None:
    named = Hosts({"models.example.com"}, "127.0.0.1")
    assert named.allows(b"models.example.com")
    assert not named.allows(b"rebound.example")
    assert not named.allows(b"10.0.0.7")
    assert Hosts({"*"}, "127.0.0.1").allows(b"rebound.example")


@pytest.mark.parametrize("value", [b"", b" ", b"a b", b"a:b", b"[::1", b"a@b", b"a/b", b"a:1:2", b"\xe4", b"a:123456"])
def test_what_is_no_host_never_passes(value: bytes) -> None:
    assert host_of(value) is None
    assert not Hosts({"*"}, "0.0.0.0").allows(value)


def test_what_is_remembered_of_strangers_is_bounded() -> None:
    hosts = Hosts(None, "127.0.0.1")
    for number in range(3000):
        assert not hosts.allows(b"host-%d.example" % number)
        assert not hosts.allows(b"%d" % number * 300)
        assert len(hosts._known) <= 1000


@pytest.mark.parametrize(
    ("text", "expected"),
    [
        ("a.example, *.B.internal ,", {"a.example", "*.b.internal"}),
        ("*", {"*"}),
        ("[::1],10.0.0.1", {"::1", "10.0.0.1"}),
    ],
)
def test_the_setting_takes_names(text: str, expected: set[str]) -> None:
    assert read_settings({"MMOE_ALLOWED_HOSTS": text}).allowed_hosts == frozenset(expected)


@pytest.mark.parametrize("text", ["a.example:8000", "http://a.example", "a b", "a.*.example", "**"])
def test_the_setting_takes_nothing_else(text: str) -> None:
    with pytest.raises(SettingsError, match="MMOE_ALLOWED_HOSTS"):
        read_settings({"MMOE_ALLOWED_HOSTS": text})


CALLS: list[tuple[str, str, Any]] = [
    ("POST", "/v1/predict", {"instances": [{"age": 9.5}]}),
    *(("GET", path, None) for path in ("/", "/docs", "/assets/app.js", "/metrics", "/health/live", "/v1/models")),
    *(("GET", path, None) for path in ("/v2", "/v2/models/hand", "/none", "/openapi.json")),
]


def test_a_page_under_a_rebound_name_gets_nothing(engine: Engine) -> None:
    answers = ask(create_app(engine), *CALLS, headers={"Host": "rebound.example:8000"})
    assert {answer.status_code for answer in answers} == {421}
    for answer in answers:
        body = answer.json()
        assert "MMOE_ALLOWED_HOSTS" in (body["error"] if "error" in body else body["detail"])
        assert "rebound.example:8000" in answer.text
        assert answer.headers["x-request-id"]
    assert 421 not in {answer.status_code for answer in ask(create_app(engine), *CALLS)}


def test_the_second_port_has_the_list_too(own_hand: Path) -> None:
    for host, expected in (("127.0.0.1", 421), ("0.0.0.0", 404)):
        engine = Engine(Settings(models=own_hand, operation_port=0, operation_host=host, log_requests="off"))
        engine.catalogue.scan()
        apps = create_apps(engine)
        assert apps.operation is not None
        headers = {"Host": "rebound.example"}
        assert ask(apps.operation, ("GET", "/metrics", None), headers=headers)[0].status_code == expected
        assert ask(apps.main, ("GET", "/health/live", None), headers=headers)[0].status_code == 421
        engine.close()


def test_a_head_that_was_allowed_is_not_when_its_host_is_another(service: Any) -> None:
    with httpx.Client(base_url=service.url) as client:
        for _ in range(3):
            rows = {"instances": [{"age": 1}]}
            assert client.post("/v1/predict", json=rows).status_code == 200
            refused = client.post("/v1/predict", json=rows, headers={"Host": "rebound.example"})
            assert refused.status_code == 421
            assert refused.json()["code"] == "host_not_allowed"
    metrics = httpx.get(f"{service.url}/metrics").text
    assert 'mmoe_rejected_requests_total{reason="host_not_allowed"}' in metrics
