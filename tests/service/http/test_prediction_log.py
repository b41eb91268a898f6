"""Every call that predicts leaves its rows in the prediction log, whatever its protocol.

None that does not.
"""

import json
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import httpx
import numpy as np
import pytest

Records = list[dict[str, Any]]
Logged = Callable[[Callable[[httpx.Client], httpx.Response]], tuple[httpx.Response, Records]]

ROW = {"age": 9.5, "height": 12.0, "balance": -3.25, "colour": "red", "city": "Oslo"}
V2: dict[str, Any] = {
    "id": "its own",
    "inputs": [
        {"name": "numeric", "shape": [1, 3], "datatype": "FP32", "data": [9.5, 12.0, -3.25]},
        {"name": "categorical", "shape": [1, 2], "datatype": "BYTES", "data": ["red", "Oslo"]},
    ],
}


@pytest.fixture(scope="module")
def logged(
    models: Path, start_service: Callable[..., Any], tmp_path_factory: pytest.TempPathFactory
) -> Iterator[Logged]:
    """Give a function that sends a request and returns the answer and the records it leaves."""
    log = tmp_path_factory.mktemp("log")
    settings = {"prediction_log": str(log), "prediction_log_features": "true", "default_model": "hand"}
    with start_service(models, **settings) as service, httpx.Client(base_url=service.url) as client:

        def send(request: Callable[[httpx.Client], httpx.Response]) -> tuple[httpx.Response, Records]:
            before = len(records())
            answer = request(client)
            marker = client.post("/v1/predict", json={"instances": [{}]}, headers={"X-Request-Id": "marker"})
            assert marker.status_code == 200
            while (found := records()[before:])[-1:] == [] or found[-1]["request_id"] != "marker":
                pass
            return answer, found[:-1]

        def records() -> Records:
            lines = [
                line for path in sorted(log.glob("*.jsonl")) for line in path.read_text().splitlines(keepends=True)
            ]
            return [json.loads(line) for line in lines if line.endswith("\n")]  # the last may be half written

        yield send


def binary() -> dict[str, Any]:
    """Build the same request with raw tensors in and out."""
    numbers = np.array([9.5, 12.0, -3.25], np.float32).tobytes()
    words = b"".join(len(word).to_bytes(4, "little") + word for word in (b"red", b"Oslo"))
    tensors = [
        {key: value for key, value in tensor.items() if key != "data"} | {"parameters": {"binary_data_size": len(raw)}}
        for tensor, raw in zip(V2["inputs"], (numbers, words), strict=True)
    ]
    head = json.dumps({"inputs": tensors, "parameters": {"binary_data_output": True}}).encode()
    return {"content": head + numbers + words, "headers": {"Inference-Header-Content-Length": str(len(head))}}


@pytest.mark.parametrize(
    ("path", "body"),
    [
        ("/v1/models/hand:predict", {"json": {"instances": [ROW]}}),
        ("/v1/models/hand:predict", {"json": {"instances": [list(ROW.values())]}}),
        ("/v1/predict", {"json": {"inputs": {name: [value] for name, value in ROW.items()}}}),
        ("/v2/models/hand/infer", {"json": V2}),
        ("/v2/models/hand/infer", binary()),
    ],
    ids=["named", "list", "columns", "v2 json", "v2 binary"],
)
def test_the_same_row_leaves_the_same_record(logged: Logged, path: str, body: dict[str, Any]) -> None:
    expected = logged(lambda client: client.post("/v1/predict", json={"instances": [ROW]}))[0].json()["predictions"][0]
    trace = {"traceparent": "00-4bf92f3577b34da6a3ce929d0e0e4736-00f067aa0ba902b7-01", **body.get("headers", {})}
    answer, (record,) = logged(lambda client: client.post(path, **body | {"headers": trace}))
    assert answer.status_code == 200
    assert record["request_id"] == answer.headers["x-request-id"]
    assert record["trace_id"] == "4bf92f3577b34da6a3ce929d0e0e4736"
    assert (record["model"], record["version"], record["row"]) == ("hand", 2, 0)
    for task in record["tasks"]:
        name = task["task"]
        np.testing.assert_allclose(task["prediction"], np.atleast_1d(expected["tasks"][name]), rtol=1e-5)
        np.testing.assert_allclose(task["gate_weights"], expected["gate_weights"][name], rtol=1e-5)
    values = {feature["feature"]: feature["value"] for feature in record["features"]}
    assert {**values, **{name: float(values[name]) for name in ("age", "height", "balance")}} == ROW


def test_the_caller_s_id_is_the_record_s(logged: Logged) -> None:
    headers = {"X-Request-Id": "order-7"}
    body: dict[str, Any] = {"instances": [{}, {}]}
    _, records = logged(lambda client: client.post("/v1/models/plain:predict", json=body, headers=headers))
    assert [(record["request_id"], record["row"]) for record in records] == [("order-7", 0), ("order-7", 1)]


@pytest.mark.parametrize(
    ("path", "body"),
    [
        ("/v1/models/hand:predict", {"instances": [{"age": "x"}]}),
        ("/v1/models/hand:gates", {"instances": [{}]}),
        ("/v2/models/hand/infer", V2 | {"outputs": [{"name": "gate_weights"}]}),
    ],
)
def test_what_predicts_nothing_leaves_nothing(logged: Logged, path: str, body: dict[str, Any]) -> None:
    _, records = logged(lambda client: client.post(path, json=body))
    assert records == []
