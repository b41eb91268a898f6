"""Spans of calls over gRPC, sent by the real exporter to a small collector."""

import importlib.util
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from tests.support.collector import Collector, attributes
from tests.support.grpc_calls import both, calling, place

TRACE, SPAN = "4bf92f3577b34da6a3ce929d0e0e4736", "00f067aa0ba902b7"
SERVICE = "inference.GRPCInferenceService"


@pytest.mark.skipif(
    importlib.util.find_spec("opentelemetry.exporter") is None, reason="the extra [otel] is not installed"
)
def test_a_call_has_a_span_with_its_stages_in_the_callers_trace(
    start_service: Callable[..., Any], models: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    collector = Collector()
    monkeypatch.setenv("OTEL_EXPORTER_OTLP_ENDPOINT", collector.url)
    sampled = [("traceparent", f"00-{TRACE}-{SPAN}-01"), ("x-request-id", "order-7")]
    unsampled = [("traceparent", f"00-{TRACE}-{SPAN}-00")]
    try:
        with start_service(models, grpc_port="0", default_model="hand") as service, calling(place(service)) as call:
            assert call("ModelInfer", sampled, model_name="hand", model_version="2", inputs=both())
            answered = call.trailing["traceparent"]
            assert call("ModelInfer", unsampled, model_name="hand", inputs=both())
            assert call("ModelMetadata", [("traceparent", f"00-{'b' * 32}-{SPAN}-01")], name="nobody") is None
            spans = {span.name: span for span in collector.wait_for(6)}
            assert len(spans) == 6, "what the caller does not record is not recorded here"
    finally:
        collector.close()
    server = spans[f"{SERVICE}/ModelInfer"]
    assert (server.trace_id.hex(), server.parent_span_id.hex(), server.kind) == (TRACE, SPAN, 2)
    assert answered == f"00-{TRACE}-{server.span_id.hex()}-01"
    assert attributes(server) == {
        "rpc.system": "grpc",
        "rpc.service": SERVICE,
        "rpc.method": "ModelInfer",
        "http.response.status_code": 200,
        "mmoe.request_id": "order-7",
        "mmoe.model": "hand",
        "mmoe.version": 2,
        "mmoe.rows": 2,
    }
    stages = [spans[name] for name in ("parse", "queue", "run", "render")]
    assert {(stage.trace_id, stage.parent_span_id) for stage in stages} == {(server.trace_id, server.span_id)}
    failed = attributes(spans[f"{SERVICE}/ModelMetadata"])
    assert (failed["error.type"], failed["http.response.status_code"]) == ("model_not_found", 404)
