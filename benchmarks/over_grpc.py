"""CPU time of a server per request over gRPC, beside HTTP's binary tensors: the same rows, raw.

    python -m benchmarks.over_grpc --models DIRECTORY --name MODEL
    python -m benchmarks.over_grpc --name MODEL --grpc HOST:PORT --width 100 --pid PID

The first starts the service and compares; the second asks a server that runs, such as MLServer,
over gRPC alone. The model has one input of FP32, `numeric`. Clients are threads of this process,
one connection each, so that rates say more of them than of the server; its CPU time is its own.
Needs grpcio.
"""

import argparse
import http.client
import json
import statistics
import sys
import tempfile
import threading
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import NamedTuple

import grpc
import numpy as np

from benchmarks.servers import Launch, Server, free_port, running

INFER = "/inference.GRPCInferenceService/ModelInfer"
CASES = ((1, 1), (1, 8), (512, 4))
"""Rows of a request, and clients."""
ROUNDS, SECONDS = 5, 2.0


class Target(NamedTuple):
    """Server to ask: its ports, its model, and the input's name and width."""

    http: str
    grpc: str
    name: str
    tensor: str
    width: int


def grpc_body(target: Target, rows: int) -> bytes:
    """Write a ModelInferRequest with one FP32 input in raw_input_contents."""
    shape = b"".join(_varint(size) for size in (rows, target.width))
    tensor = _field(1, target.tensor.encode()) + _field(2, b"FP32") + _field(3, shape)
    return _field(1, target.name.encode()) + _field(5, tensor) + _field(7, _rows(target, rows))


def http_body(target: Target, rows: int) -> tuple[bytes, dict[str, str]]:
    """Write the same request as JSON and raw bytes, with its headers."""
    raw, wanted = _rows(target, rows), {"binary_data_output": True}
    size = {"binary_data_size": len(raw)}
    entry = {"name": target.tensor, "datatype": "FP32", "shape": [rows, target.width], "parameters": size}
    head = json.dumps({"inputs": [entry], "parameters": wanted}).encode()
    return head + raw, {"Inference-Header-Content-Length": str(len(head))}


@contextmanager
def over_grpc(target: Target, rows: int) -> Iterator[Callable[[], object]]:
    """Open a connection of gRPC; yield a call."""
    body, options = grpc_body(target, rows), [("grpc.use_local_subchannel_pool", 1)]
    with grpc.insecure_channel(target.grpc, options) as channel:
        method = channel.unary_unary(INFER)
        yield lambda: method(body, timeout=30)


@contextmanager
def over_http(target: Target, rows: int) -> Iterator[Callable[[], object]]:
    """Open a connection of HTTP; yield a call."""
    (body, headers), connection = http_body(target, rows), http.client.HTTPConnection(target.http)
    path = f"/v2/models/{target.name}/infer"

    def call() -> None:
        connection.request("POST", path, body, headers)
        answer = connection.getresponse()
        answer.read()
        assert answer.status == 200, answer.status

    yield call
    connection.close()


def burst(target: Target, server: Server, transport: Callable[..., object], rows: int, clients: int) -> list[float]:
    """Ask for some seconds; return the server's CPU and the median latency, in us a request."""
    took: list[float] = []
    until = time.perf_counter() + SECONDS

    def ask() -> None:
        with transport(target, rows) as call:  # type: ignore[attr-defined]
            while (began := time.perf_counter()) < until:
                call()
                took.append(time.perf_counter() - began)

    threads, before = [threading.Thread(target=ask) for _ in range(clients)], server.cpu_s()
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    return [1e6 * (server.cpu_s() - before) / len(took), 1e6 * statistics.median(took)]


def compare(target: Target, server: Server) -> None:
    """Print all cases over gRPC, and over HTTP where that is asked, in alternating rounds."""
    print("rows, clients: server's CPU and p50, us a request; gRPC / HTTP by rounds")
    transports: dict[str, Callable[..., object]] = {"HTTP": over_http} if target.http else {}
    transports["gRPC"] = over_grpc
    for rows, clients in CASES:
        figures: dict[str, list[list[float]]] = {name: [] for name in transports}
        for _ in range(ROUNDS):
            for name, transport in transports.items():
                figures[name].append(burst(target, server, transport, rows, clients))
        for name, found in figures.items():
            cpu, p50 = (statistics.median(column) for column in zip(*found, strict=True))
            print(f"{rows}, {clients}: {name} CPU {cpu:.0f}, p50 {p50:.0f}")
        if not target.http:
            continue
        ratios = [b[0] / a[0] for a, b in zip(figures["HTTP"], figures["gRPC"], strict=True)]
        print(f"{rows}, {clients}: CPU {statistics.median(ratios):.2f} ({min(ratios):.2f} to {max(ratios):.2f})")


def width_of(place: str, name: str) -> tuple[str, int]:
    """Ask a server for the name and width of the model's only input."""
    connection = http.client.HTTPConnection(place)
    connection.request("GET", f"/v2/models/{name}")
    (tensor,) = json.loads(connection.getresponse().read())["inputs"]
    return tensor["name"], tensor["shape"][1]


def _rows(target: Target, rows: int) -> bytes:
    return np.random.default_rng(0).normal(size=(rows, target.width)).astype("<f4").tobytes()


def _field(number: int, content: bytes) -> bytes:
    return bytes([number << 3 | 2]) + _varint(len(content)) + content


def _varint(value: int) -> bytes:
    found = b""
    while value > 0x7F:
        found, value = found + bytes([value & 0x7F | 0x80]), value >> 7
    return found + bytes([value])


def main() -> None:
    """Run the comparison."""
    parser = argparse.ArgumentParser("python -m benchmarks.over_grpc", description="gRPC beside HTTP.")
    parser.add_argument("--models", type=Path, help="directory of models to start the service on")
    parser.add_argument("--name", required=True, help="of the model")
    parser.add_argument("--grpc", help="HOST:PORT of a server that runs")
    parser.add_argument("--cores", default="0", help="of the service, with commas between")
    parser.add_argument("--width", type=int, default=100, help="columns of its input")
    parser.add_argument("--pid", type=int, help="its process")
    asked = parser.parse_args()
    if asked.models is None:
        server = Server(process=_Running(asked.pid), port=0)  # type: ignore[arg-type]
        compare(Target("", asked.grpc, asked.name, "numeric", asked.width), server)
        return
    number = free_port()
    environment = {"MMOE_MODELS": str(asked.models), "MMOE_PORT": "{port}", "MMOE_GRPC_PORT": str(number)}
    launch = Launch((sys.executable, "-m", "service"), "/health/ready", environment)
    cores = frozenset(map(int, asked.cores.split(",")))
    with tempfile.TemporaryDirectory() as directory, running(launch, cores, Path(directory) / "log") as server:
        place = f"127.0.0.1:{server.port}"
        compare(Target(place, f"127.0.0.1:{number}", asked.name, *width_of(place, asked.name)), server)
        print(f"resident memory of the worker: {server.memory_mb()[0]:.0f} MB")


class _Running(NamedTuple):
    pid: int


if __name__ == "__main__":
    main()
