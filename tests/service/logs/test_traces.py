"""Spans of requests, sent by the real exporter to a small collector that speaks OTLP over HTTP."""

import importlib.util
import subprocess
import sys
from collections import Counter
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import httpx
import pytest

from service.errors import SettingsError
from service.logs.spans import TracedRequest
from service.logs.trace_context import Sampler, read_trace
from service.logs.traces import Tracer, _otlp, read_sampler, wants_traces
from service.settings import Settings
from tests.support.collector import Collector, attributes

ROOT = Path(__file__).parents[3]
INSTALLED = importlib.util.find_spec("opentelemetry.exporter") is not None
needs_otel = pytest.mark.skipif(not INSTALLED, reason="the extra [otel] is not installed")
TRACE, SPAN = "4bf92f3577b34da6a3ce929d0e0e4736", "00f067aa0ba902b7"
ENDPOINT = "OTEL_EXPORTER_OTLP_ENDPOINT"


@pytest.fixture
def collector(monkeypatch: pytest.MonkeyPatch) -> Iterator[Collector]:
    made = Collector()
    monkeypatch.setenv(ENDPOINT, made.url)
    yield made
    made.close()


@needs_otel
def test_a_request_has_a_span_with_its_stages_in_the_callers_trace(
    collector: Collector, start_service: Callable[..., Any], models: Path
) -> None:
    sampled = {"traceparent": f"00-{TRACE}-{SPAN}-01", "tracestate": "a=1", "X-Request-Id": "order-7"}
    row = {"instances": [{"age": 1.5}, {}]}
    with start_service(models) as service, httpx.Client(base_url=service.url) as client:
        predicted = client.post("/v1/models/hand/versions/2:predict", json=row, headers=sampled)
        assert client.post("/v1/models/hand:predict", json=row, headers={"traceparent": f"00-{TRACE}-{SPAN}-00"})
        refused = client.post("/v1/models/hand:gates", json={}, headers={"traceparent": f"00-{'b' * 32}-{SPAN}-01"})
        new = client.get("/health/live")
        spans = {span.name: span for span in collector.wait_for(7)}
        assert len(spans) == 7, "what the caller does not record is not recorded here"
    server = spans["POST /v1/models/{name}/versions/{version}:predict"]
    assert (server.trace_id.hex(), server.parent_span_id.hex(), server.kind) == (TRACE, SPAN, 2)
    assert predicted.headers["traceparent"] == f"00-{TRACE}-{server.span_id.hex()}-01"
    assert predicted.headers["tracestate"] == server.trace_state == "a=1"
    assert attributes(server) == {
        "http.request.method": "POST",
        "http.response.status_code": 200,
        "http.route": "/v1/models/{name}/versions/{version}:predict",
        "url.path": "/v1/models/hand/versions/2:predict",
        "url.scheme": "http",
        "mmoe.request_id": "order-7",
        "mmoe.model": "hand",
        "mmoe.version": 2,
        "mmoe.rows": 2,
    }
    stages = [spans[name] for name in ("parse", "queue", "run", "render")]
    assert {(stage.trace_id, stage.parent_span_id) for stage in stages} == {(server.trace_id, server.span_id)}
    ends = [server.start_time_unix_nano]
    for stage in stages:
        assert ends[-1] - 1000 <= stage.start_time_unix_nano <= stage.end_time_unix_nano, "one after the other"
        ends.append(stage.end_time_unix_nano)
    assert ends[-1] <= server.end_time_unix_nano + 1000
    failed = spans["POST /v1/models/{name}:gates"]
    assert refused.status_code == 400
    assert (attributes(failed)["error.type"], failed.status.code) == ("malformed", 0)
    root = spans["GET /health/live"]
    assert root.parent_span_id == b""
    assert new.headers["traceparent"] == f"00-{root.trace_id.hex()}-{root.span_id.hex()}-01"
    assert collector.resources[0]["service.name"] == "mmoe-serve"


def traced(number: int = 0) -> TracedRequest:
    context = read_trace(f"00-{TRACE}-{SPAN}-01".encode())
    begun = Sampler().begin(context)
    assert begun is not None
    return TracedRequest(begun, "POST", f"/v1/predict/{number}", "predict", 500, "internal", {}, 10**18, 0.0, 0.5, [])


@needs_otel
def test_a_collector_that_fails_costs_spans_is_told_once_and_is_used_again(
    collector: Collector, caplog: pytest.LogCaptureFixture, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("service.logs.traces.GATHER_S", 0.01)
    counts: Counter[str] = Counter()
    tracer = Tracer(Sampler(), _otlp, lambda record, count: counts.update({record: count}))
    collector.status = 400
    for number in range(2):
        tracer.record(traced())
        while counts["trace_requests_dropped_export"] <= number:
            pass
    collector.status = 200
    tracer.record(traced())
    (span,) = collector.wait_for(1)
    tracer.close()
    assert span.status.code == 2, "an error of the service"
    assert span.end_time_unix_nano - span.start_time_unix_nano == 5 * 10**8
    assert counts == {"trace_requests_dropped_export": 2}
    told = [record.event for record in caplog.records if hasattr(record, "event")]
    assert told == ["traces_failed", "traces_resumed"]


def test_what_finds_no_room_is_counted(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("service.logs.traces.ROOM_REQUESTS", 2)
    monkeypatch.setattr("service.logs.traces.GATHER_S", 60.0)
    counts: Counter[str] = Counter()

    def exporter() -> Any:
        raise ConnectionError("nothing can be sent")

    tracer = Tracer(Sampler(), exporter, lambda record, count: counts.update({record: count}))
    for _ in range(5):
        tracer.record(traced())
    assert counts == {"trace_requests_dropped_queue": 3}
    tracer.close()


@pytest.mark.parametrize(
    ("environ", "sampler"),
    [
        ({}, Sampler(True, 1.0)),
        ({"OTEL_TRACES_SAMPLER": "always_off"}, Sampler(False, 0.0)),
        ({"OTEL_TRACES_SAMPLER": "traceidratio", "OTEL_TRACES_SAMPLER_ARG": "0.25"}, Sampler(False, 0.25)),
        ({"OTEL_TRACES_SAMPLER": "parentbased_traceidratio", "OTEL_TRACES_SAMPLER_ARG": "0"}, Sampler(True, 0.0)),
        ({"OTEL_TRACES_SAMPLER": "parentbased_always_on", "OTEL_TRACES_SAMPLER_ARG": "0"}, Sampler(True, 1.0)),
    ],
)
def test_opentelemetrys_samplers_are_known(environ: dict[str, str], sampler: Sampler) -> None:
    assert read_sampler(environ) == sampler


@pytest.mark.parametrize(
    "environ",
    [
        {"OTEL_TRACES_SAMPLER": "jaeger_remote"},
        {"OTEL_TRACES_SAMPLER": "traceidratio", "OTEL_TRACES_SAMPLER_ARG": "half"},
        {"OTEL_TRACES_SAMPLER": "traceidratio", "OTEL_TRACES_SAMPLER_ARG": "1.5"},
    ],
)
def test_an_unknown_sampler_is_refused(environ: dict[str, str]) -> None:
    with pytest.raises(SettingsError) as caught:
        read_sampler(environ)
    assert caught.value.variable in environ


@needs_otel
@pytest.mark.parametrize(
    ("setting", "environ", "wanted"),
    [
        ("auto", {}, False),
        ("auto", {ENDPOINT: "http://collector:4318"}, True),
        ("auto", {"OTEL_EXPORTER_OTLP_TRACES_ENDPOINT": "http://collector:4318/v1/traces"}, True),
        ("auto", {ENDPOINT: "http://collector:4318", "OTEL_SDK_DISABLED": "true"}, False),
        ("auto", {ENDPOINT: "http://collector:4318", "OTEL_TRACES_EXPORTER": "none"}, False),
        ("off", {ENDPOINT: "http://collector:4318"}, False),
        ("on", {}, True),
    ],
)
def test_traces_are_wanted_as_settings_and_environment_say(setting: Any, environ: dict[str, str], wanted: bool) -> None:
    assert wants_traces(Settings(traces=setting), environ) is wanted


START = """
import os, sys
{hide}
from service.__main__ import main
sys.exit(main([]))
"""
HIDE = "sys.modules['opentelemetry.sdk'] = None"


@pytest.mark.parametrize("variable", ["MMOE_TRACES=on", f"{ENDPOINT}=http://127.0.0.1:9"])
@pytest.mark.parametrize("workers", ["1", "2"])
def test_without_the_extra_the_start_ends_with_a_sentence(models: Path, variable: str, workers: str) -> None:
    name, _, value = variable.partition("=")
    environ = {"MMOE_MODELS": str(models), "MMOE_PORT": "0", "MMOE_WORKERS": workers, name: value, "PATH": ""}
    run = subprocess.run(
        [sys.executable, "-c", START.format(hide=HIDE)], cwd=ROOT, env=environ, capture_output=True, text=True,
        timeout=60, check=False,
    )  # fmt: skip
    assert run.returncode == 2
    assert (
        f"{name} is '{value}'; expected OpenTelemetry to be installed: pip install -c constraints.txt -e '.[otel]'"
        in run.stderr
    )
    assert "Traceback" not in run.stderr


def test_nothing_of_opentelemetry_is_loaded_unless_it_is_used() -> None:
    code = "import service.workers.worker, sys; print(any(m.startswith('opentelemetry.sdk') for m in sys.modules))"
    run = subprocess.run([sys.executable, "-c", code], cwd=ROOT, capture_output=True, text=True, check=True)
    assert run.stdout == "False\n"
