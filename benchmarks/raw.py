"""Run onnxruntime in a loop without HTTP: what a core can do at most. Prints {"rows_per_s": ..., "memory_mb": ...}.

python -m benchmarks.raw MODEL.onnx BODIES ROWS SECONDS: the rows are those of a file of binary bodies, decoded before.
"""

import json
import os
import resource
import sys
import time
from pathlib import Path
from typing import Any

os.environ["ORT_DISABLE_TELEMETRY"] = "1"

import numpy as np
import onnxruntime

from benchmarks.bodies import Body, read_bodies


def decode(body: Body) -> dict[str, Any]:
    """Turn a binary body into onnxruntime's inputs."""
    assert body.header_bytes is not None
    feed: dict[str, Any] = {}
    start = body.header_bytes
    for tensor in json.loads(body.content[: body.header_bytes])["inputs"]:
        end = start + tensor["parameters"]["binary_data_size"]
        raw = body.content[start:end]
        values = _strings(raw) if tensor["datatype"] == "BYTES" else np.frombuffer(raw, "<f4")
        feed[tensor["name"]], start = values.reshape(tensor["shape"]), end
    return feed


def rows_per_s(model: str, feeds: list[dict[str, Any]], rows: int, seconds: float) -> float:
    """Count the rows of one thread that runs the feeds in turn, after some runs to warm up."""
    options = onnxruntime.SessionOptions()
    options.intra_op_num_threads = options.inter_op_num_threads = 1
    session = onnxruntime.InferenceSession(model, options, providers=["CPUExecutionProvider"])
    names = [tensor.name for tensor in session.get_outputs()]
    for feed in feeds:
        session.run(names, feed)
    runs, started = 0, time.perf_counter()
    while (elapsed := time.perf_counter() - started) < seconds:
        for feed in feeds:
            session.run(names, feed)
        runs += len(feeds)
    return runs * rows / elapsed


def main(model: str, bodies: str, rows: str, seconds: str) -> None:
    """Measure and print one line."""
    feeds = [decode(body) for body in read_bodies(Path(bodies))[:8]]
    figures = {"rows_per_s": rows_per_s(model, feeds, int(rows), float(seconds))}
    figures["memory_mb"] = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss / 1024
    print(json.dumps(figures))


def _strings(raw: bytes) -> Any:
    values, start = [], 0
    while start < len(raw):
        length = int.from_bytes(raw[start : start + 4], "little")
        values.append(raw[start + 4 : start + 4 + length].decode())
        start += 4 + length
    return np.array(values, dtype=object)


if __name__ == "__main__":
    main(*sys.argv[1:])
