"""Onnxruntime in a loop without HTTP: the most that a core can do.

Prints one line of JSON.

python -m benchmarks.raw MODEL.onnx BODIES SECONDS: the rows are those of a file of binary bodies,
decoded before.
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


def runs_per_s(model: str, feeds: list[dict[str, Any]], seconds: float) -> tuple[float, float]:
    """Run the feeds in turn in one thread, after some runs to warm up.

    Also returns the share of the time for which it had a core.
    """
    options = onnxruntime.SessionOptions()
    options.intra_op_num_threads = options.inter_op_num_threads = 1
    session = onnxruntime.InferenceSession(model, options, providers=["CPUExecutionProvider"])
    names = [tensor.name for tensor in session.get_outputs()]
    for feed in feeds:
        session.run(names, feed)
    runs, started, cpu_s = 0, time.perf_counter(), time.process_time()
    while (elapsed := time.perf_counter() - started) < seconds:
        for feed in feeds:
            session.run(names, feed)
        runs += len(feeds)
    return runs / elapsed, (time.process_time() - cpu_s) / elapsed


def main(model: str, bodies: str, seconds: str) -> None:
    """Measure and print one line."""
    rate, share = runs_per_s(model, [decode(body) for body in read_bodies(Path(bodies))[:8]], float(seconds))
    memory_mb = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss / 1024
    print(json.dumps({"runs_per_s": rate, "cpu_share": share, "memory_mb": memory_mb}))


def _strings(raw: bytes) -> Any:
    values, start = [], 0
    while start < len(raw):
        length = int.from_bytes(raw[start : start + 4], "little")
        values.append(raw[start + 4 : start + 4 + length].decode())
        start += 4 + length
    return np.array(values, dtype=object)


if __name__ == "__main__":
    main(*sys.argv[1:])
