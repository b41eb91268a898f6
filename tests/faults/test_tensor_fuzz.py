"""Headers and shapes of binary tensors, mutated.

An answer in form each time, from a worker of bounded memory.
"""

import http.client
import json
import random
import resource
import struct
from collections import Counter
from collections.abc import Callable
from pathlib import Path
from typing import Any

from tests.support.effort import Effort
from tests.support.processes import forget_peak, peak_mb, resident_mb, virtual_mb
from tests.support.server import running

PATH, LENGTH = "/v2/models/hand/infer", "inference-header-content-length"
ROOM_MB = 256
"""Address space that the worker may take beyond what it has when it is warm."""

MOST_ANSWER = 8 << 10
NUMBERS: list[Any] = [
    0, 1, 2, 3, 4, 7, 8, 12, 24, -1, -2, 255, 9999, 10_000, 10_001, 10**6, 10**9, 2**31, 2**32, 2**40, 2**62, 2**63,
    -(2**63), 2**64, 1e9, 1.5, True, None, "3", [], [2], {},
]  # fmt: skip
DATATYPES: list[Any] = ["FP32", "FP64", "FP16", "BYTES", "BOOL", "INT8", "UINT64", "fp32", "", None, 7]


class Mutator:
    """Maker of requests of binary tensors that are wrong in a few places.

    A seed makes the same again.
    """

    def __init__(self, seed: int) -> None:
        self.random = random.Random(seed)

    def __call__(self) -> tuple[bytes, str]:
        """Return a body and what it announces as the length of its JSON."""
        rows = self.random.choice([1, 1, 2, 3])
        raw = {
            "numeric": struct.pack("<3f", 9.5, 12.0, -3.25) * rows,
            "categorical": b"".join(struct.pack("<I", len(t)) + t for t in (b"red", b"Oslo")) * rows,
        }
        entries = [self._entry(name, rows, raw[name]) for name in self.random.sample([*raw], 2)]
        tail = b"".join(raw[entry["name"]] for entry in entries)
        for _ in range(self.random.choice([0, 1, 1, 2, 3])):
            tail = self._spoil(self.random.choice(entries), tail)
        head = json.dumps({"inputs": entries}).encode()
        announced = str(len(head))
        if self.random.random() < 0.1:
            announced = str(self.random.choice([*NUMBERS[:20], len(head) - 1, len(head) + 4, "9" * 5000]))
        return head + tail, announced

    def _entry(self, name: str, rows: int, raw: bytes) -> dict[str, Any]:
        datatype, width = ("FP32", 3) if name == "numeric" else ("BYTES", 2)
        return {
            "name": name, "datatype": datatype, "shape": [rows, width], "parameters": {"binary_data_size": len(raw)},
        }  # fmt: skip

    def _spoil(self, entry: dict[str, Any], tail: bytes) -> bytes:
        pick, at = self.random.choice, self.random.randint(0, len(tail))
        kind = pick(["rows", "width", "both", "size", "type", "shape", "bytes", "cut", "length", "name"])
        shape = entry["shape"] if isinstance(entry["shape"], list) and len(entry["shape"]) == 2 else [1, 1]
        if kind in ("rows", "both"):
            entry["shape"] = [pick(NUMBERS), shape[1]]
        if kind in ("width", "both"):
            entry["shape"] = [shape[0], pick(NUMBERS)]
        if kind == "size":
            entry["parameters"] = {"binary_data_size": pick(NUMBERS)}
        if kind == "type":
            entry["datatype"] = pick(DATATYPES)
        if kind == "shape":
            entry["shape"] = pick([[], [pick(NUMBERS)], [1, 3, 1], "1,3", None, [1] * 500, {"0": 1}])
        if kind == "name":
            entry["name"] = pick(["numeric", "categorical", "gate_weights", ""])
        if kind == "bytes":
            return tail[:at] + self.random.randbytes(9) + tail[at + 9 :]
        if kind == "length":  # where a string's length may be
            return tail[:at] + struct.pack("<I", pick([0, 1, 2**16, 2**31, 2**32 - 1])) + tail[at + 4 :]
        return tail[:at] if kind == "cut" else tail


def test_mutated_tensors_are_answered_within_a_limit_of_memory(
    models: Path, effort: Effort, measured: Callable[[str], None]
) -> None:
    make, statuses = Mutator(random.randrange(2**32) if effort.soak else 0), Counter[int]()
    good = Mutator(0)._entry("numeric", 1, bytes(12)), Mutator(0)._entry("categorical", 1, bytes(8))
    head = json.dumps({"inputs": good}).encode()
    with running(models) as service:
        pid = service.process.pid
        connection = http.client.HTTPConnection("127.0.0.1", service.port, timeout=60)

        def ask(body: bytes, announced: str) -> tuple[int, bytes]:
            connection.request("POST", PATH, body, {LENGTH: announced})
            answer = connection.getresponse()
            return answer.status, answer.read()

        expected = ask(head + bytes(20), str(len(head)))
        assert expected[0] == 200
        limit = int((virtual_mb(pid) + ROOM_MB) * 2**20)
        resource.prlimit(pid, resource.RLIMIT_AS, (limit, limit))
        before = resident_mb(pid)
        forget_peak(pid)
        for number in range(effort.bodies // 3):
            body, announced = make()
            status, answer = ask(body, announced)
            statuses[status] += 1
            assert status in (200, 400, 413), (status, answer, body, announced)
            if status != 200:
                assert len(answer) < MOST_ANSWER
                assert json.loads(answer)["error"]
            if number % 100 == 0:
                assert ask(head + bytes(20), str(len(head))) == expected
        measured(
            f"{statuses.total()} tensors: {dict(sorted(statuses.items()))}; memory {before:.0f}, "
            f"at most {peak_mb(pid):.0f} MB"
        )
        assert statuses[200] > statuses.total() / 50
        assert statuses[413]
        assert peak_mb(pid) < before + 64
        assert service.process.poll() is None
        connection.close()
