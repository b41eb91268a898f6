"""The gRPC port: several workers, deadlines, overload, the end, TLS, and what is wrong with it."""

import datetime
import json
import os
import signal
import socket
from pathlib import Path
from typing import Any

import grpc
import numpy as np
import pytest

from service.errors import SettingsError
from service.grpc.messages import MESSAGES
from service.settings import read_settings
from tests.support.grpc_calls import OPTIONS, Caller, both, calling, categorical, numeric, place
from tests.support.hand_model import write_model
from tests.support.metrics import awaited, metric
from tests.support.processes import alive, children
from tests.support.server import completed, running
from tests.support.v2 import CATEGORICAL, NUMERIC

INFER = "/inference.GRPCInferenceService/ModelInfer"


@pytest.fixture(scope="module")
def own(tmp_path_factory: pytest.TempPathFactory) -> Path:
    root = tmp_path_factory.mktemp("own")
    write_model(root, "hand", 1)
    return root


def body() -> bytes:
    return bytes(MESSAGES["ModelInferRequest"](model_name="hand", inputs=both()).SerializeToString())


def answered_by(address: str) -> bool:
    """Ask over a connection of its own; tell whether the answer came."""
    options = [*OPTIONS, ("grpc.use_local_subchannel_pool", 1)]
    with grpc.insecure_channel(address, options=options) as channel:
        return Caller(channel)("ModelInfer", model_name="hand", inputs=both()) is not None


def test_a_killed_worker_is_replaced_and_serves_again(own: Path) -> None:
    with running(own, grpc_port="0", workers="2") as service:
        address, team = place(service), children(service.process.pid)
        assert all(answered_by(address) for _ in range(20))
        os.kill(team[0], signal.SIGKILL)
        assert awaited(lambda: not alive(team[0]), True)

        def listening() -> int:
            port = int(address.rpartition(":")[2])
            lines = [
                line for name in ("tcp", "tcp6") for line in Path(f"/proc/net/{name}").read_text().splitlines()[1:]
            ]
            return sum(line.split()[1].endswith(f":{port:04X}") and line.split()[3] == "0A" for line in lines)

        assert awaited(listening, 2) == 2, "each worker has a socket of its own"
        assert all(answered_by(address) for _ in range(20))
        assert service.end() == 0
    assert not any(map(alive, team))


def test_requests_in_flight_are_answered_at_the_end_and_later_ones_find_nobody(own: Path) -> None:
    with running(own, grpc_port="0", max_wait_us="500000") as service, calling(place(service)) as call:
        before = metric(service.url, "mmoe_queue_rows")
        under_way = call.channel.unary_unary(INFER).future(body(), timeout=30)
        assert awaited(lambda: metric(service.url, "mmoe_queue_rows") > before or under_way.done(), True)
        service.process.send_signal(signal.SIGTERM)
        assert under_way.result()
        assert service.end() == 0
        assert call("ServerLive") is None
        assert call.code == "UNAVAILABLE"


def test_while_it_drains_it_is_not_ready_and_serves_on(own: Path) -> None:
    with running(own, grpc_port="0", drain_delay_s="60") as service, calling(place(service)) as call:
        assert call("ServerReady").ready
        service.process.send_signal(signal.SIGTERM)
        assert awaited(lambda: call("ServerReady").ready, False) is False
        assert call("ModelInfer", model_name="hand", inputs=both()) is not None
        service.process.send_signal(signal.SIGTERM)
        assert service.process.wait(30) == 0, "a second signal ends it"


def test_the_services_own_limit_of_time_is_said(own: Path) -> None:
    settings = {"max_wait_us": "300000", "request_timeout_s": "0.01"}
    with running(own, grpc_port="0", **settings) as service, calling(place(service)) as call:
        assert call("ModelInfer", model_name="hand", inputs=both()) is None
        assert (call.code, call.said[:35]) == ("DEADLINE_EXCEEDED", "No answer within the 0.01 s allowed")


def test_deadlines_and_a_full_queue_have_their_status(own: Path) -> None:
    settings = {"max_rows": "2", "max_queue_rows": "2", "max_wait_us": "1000000"}
    with running(own, grpc_port="0", **settings) as service, calling(place(service)) as call:
        method = call.channel.unary_unary(INFER)
        waiting = [method.future(body(), timeout=30) for _ in range(20)]
        codes = {one.code() for one in waiting}
        assert codes == {grpc.StatusCode.OK, grpc.StatusCode.RESOURCE_EXHAUSTED}
        refused = next(one for one in waiting if one.code() is grpc.StatusCode.RESOURCE_EXHAUSTED)
        assert "rows are waiting" in refused.details()
        assert int(dict(refused.trailing_metadata())["retry-after"]) >= 1
        assert call("ModelInfer", model_name="hand", inputs=both(), timeout=0.5) is None
        assert call.code == "DEADLINE_EXCEEDED"
        assert awaited(lambda: metric(service.url, "mmoe_requests_total", route="grpc_infer", status="504"), 1.0) == 1


def test_messages_of_16_mb_pass(tmp_path: Path) -> None:
    write_model(tmp_path, "wide", 1, kind="wide", tasks=("price",))
    rows = 41_000
    settings = {"max_rows": str(rows), "max_queue_rows": str(rows), "max_body_bytes": str(17 << 20)}
    settings |= {"max_inflated_bytes": str(17 << 20)}
    with running(tmp_path, grpc_port="0", **settings) as service, calling(place(service)) as call:
        raw = np.full((rows, 100), 0.5, "<f4").tobytes()
        entry: Any = {"name": "numeric", "datatype": "FP32", "shape": [rows, 100]}
        answer = call("ModelInfer", model_name="wide", inputs=[entry], raw_input_contents=[raw])
        assert len(raw) > 16_000_000
        assert list(answer.outputs[0].shape) == [rows]
        assert len(answer.raw_output_contents[0]) == 4 * rows


def test_answers_are_in_log_and_prediction_log(own: Path, tmp_path: Path) -> None:
    settings = {"log_requests": "all", "prediction_log": str(tmp_path / "log")}
    with running(own, grpc_port="0", **settings) as service, calling(place(service)) as call:
        mine = (("x-request-id", "mine"), ("x-row-key", "order"))
        row: list[Any] = [numeric(NUMERIC[:1]), categorical(CATEGORICAL[:1])]
        assert call("ModelInfer", mine, model_name="hand", inputs=row) is not None
        line = service.wait_for(r'.*"request_id":"mine".*')[0]
        assert '"route":"grpc_infer","status":200' in line
        assert '"path":"/inference.GRPCInferenceService/ModelInfer"' in line
        assert '"model":"hand","version":1,"rows":1' in line
    (file,) = (tmp_path / "log").glob("*.jsonl")
    (logged,) = [json.loads(one) for one in file.read_text().splitlines()]
    assert (logged["request_id"], logged["model"], logged["key"]) == ("mine", "hand", "order")


def make_certificate(directory: Path, name: str) -> tuple[Path, Path]:
    """Write a certificate that signs itself, and its key."""
    x509 = pytest.importorskip("cryptography.x509", reason="cryptography is not installed")
    from cryptography.hazmat.primitives import hashes, serialization
    from cryptography.hazmat.primitives.asymmetric import ec

    key, now = ec.generate_private_key(ec.SECP256R1()), datetime.datetime.now(datetime.UTC)
    subject = x509.Name([x509.NameAttribute(x509.NameOID.COMMON_NAME, name)])
    made = (
        x509.CertificateBuilder().subject_name(subject).issuer_name(subject).public_key(key.public_key())
        .serial_number(x509.random_serial_number()).not_valid_before(now - datetime.timedelta(days=1))
        .not_valid_after(now + datetime.timedelta(days=1))
        .add_extension(x509.SubjectAlternativeName([x509.DNSName(name)]), critical=False)
        .add_extension(x509.BasicConstraints(ca=True, path_length=0), critical=True).sign(key, hashes.SHA256())
    )  # fmt: skip
    certificate, secret = directory / "tls.crt", directory / "tls.key"
    certificate.write_bytes(made.public_bytes(serialization.Encoding.PEM))
    form, none = serialization.PrivateFormat.PKCS8, serialization.NoEncryption()
    secret.write_bytes(key.private_bytes(serialization.Encoding.PEM, form, none))
    return certificate, secret


def ready_over_tls(address: str, name: str, credentials: Any) -> bool:
    options = [("grpc.ssl_target_name_override", name), ("grpc.use_local_subchannel_pool", 1)]
    with grpc.secure_channel(address, credentials, options) as channel:
        answer = Caller(channel)("ServerReady", timeout=10)
        return answer is not None and bool(answer.ready)


def test_tls_by_files_that_may_be_renewed(own: Path, tmp_path: Path) -> None:
    for name in ("server", "client", "renewed"):
        (tmp_path / name).mkdir()
    certificate, key = make_certificate(tmp_path / "server", "model.example")
    client, client_key = make_certificate(tmp_path / "client", "caller.example")
    settings = {"grpc_tls_cert": str(certificate), "grpc_tls_key": str(key), "grpc_tls_client_ca": str(client)}
    with running(own, grpc_port="0", **settings) as service:
        pair = {"private_key": client_key.read_bytes(), "certificate_chain": client.read_bytes()}
        known = grpc.ssl_channel_credentials(certificate.read_bytes(), **pair)
        assert ready_over_tls(place(service), "model.example", known)
        assert not ready_over_tls(
            place(service), "model.example", grpc.ssl_channel_credentials(certificate.read_bytes())
        )
        with calling(place(service)) as plain:
            assert plain("ServerReady", timeout=10) is None
        renewed, renewed_key = make_certificate(tmp_path / "renewed", "model.example")
        renewed_key.rename(key)
        content = renewed.read_bytes()
        renewed.rename(certificate)
        assert ready_over_tls(place(service), "model.example", grpc.ssl_channel_credentials(content, **pair))


@pytest.mark.parametrize("workers", ["1", "2"])
def test_a_port_that_is_taken_ends_the_start(own: Path, workers: str) -> None:
    with running(own, grpc_port="0") as service:
        port = place(service).rpartition(":")[2]
        run = completed(models=str(own), port="0", grpc_port=port, workers=workers)
    assert run.returncode == 2
    assert f"MMOE_GRPC_PORT is '{port}'; expected a free port on 127.0.0.1 (Address already in use)." in run.stderr


def test_bytes_that_are_no_http_2_disturb_nobody(own: Path) -> None:
    with running(own, grpc_port="0") as service, calling(place(service)) as call:
        host, _, port = place(service).rpartition(":")
        for garbage in (
            b"",
            b"GET / HTTP/1.1\r\nHost: x\r\n\r\n",
            os.urandom(4096),
            b"PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n",
        ):
            with socket.create_connection((host, int(port))) as raw:
                raw.sendall(garbage)
        assert call("ModelInfer", model_name="hand", inputs=[*both()]) is not None
        assert not [line for line in service.log() if "Traceback" in line or '"level":"error"' in line]


@pytest.mark.parametrize(
    ("given", "variable", "words"),
    [
        ({"MMOE_GRPC_TLS_CERT": "a"}, "MMOE_GRPC_TLS_KEY", "a file where MMOE_GRPC_TLS_CERT names one"),
        ({"MMOE_GRPC_TLS_KEY": "a"}, "MMOE_GRPC_TLS_KEY", "and only there"),
        ({"MMOE_GRPC_TLS_CLIENT_CA": "a"}, "MMOE_GRPC_TLS_CLIENT_CA", "only TLS asks for certificates"),
    ],
)
def test_files_of_tls_belong_together(given: dict[str, str], variable: str, words: str) -> None:
    with pytest.raises(SettingsError, match=words) as caught:
        read_settings(given)
    assert caught.value.variable == variable


@pytest.mark.parametrize("content", [None, "not PEM"])
def test_a_certificate_that_is_none_ends_the_start(own: Path, tmp_path: Path, content: str | None) -> None:
    file = tmp_path / "tls.crt"
    if content is not None:
        file.write_text(content)
    run = completed(
        models=str(own), port="0", grpc_port="0", grpc_tls_cert=str(file), grpc_tls_key=str(file), log_format="text"
    )
    assert run.returncode == 2
    assert f"MMOE_GRPC_TLS_CERT is '{file}'; expected a file of PEM" in run.stderr
    assert "Traceback" not in run.stderr
