"""One worker's telemetry follows what is loaded, and reports for all workers."""

import asyncio
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import NamedTuple

import numpy as np
import pytest
from prometheus_client.parser import text_string_to_metric_families

from service.artifact.file import read_model
from service.artifact.manifest import Manifest
from service.errors import ModelNotFound
from service.monitoring.telemetry import Telemetry
from service.run_directory import RunDirectory


class Served(NamedTuple):
    name: str
    version: int


@pytest.fixture
def directory(tmp_path: Path) -> Iterator[RunDirectory]:
    with RunDirectory.create(2, tmp_path / "run") as made:
        yield made


@pytest.fixture
def manifest(tmp_path: Path, hand_model: Callable[..., Path]) -> Manifest:
    return read_model(hand_model(tmp_path, "hand", tasks=("price", "sold")))[1]


def weights(rows: int) -> "np.ndarray[tuple[int, ...], np.dtype[np.float32]]":
    return np.full((rows, 2, 4), 0.25, np.float32)


def value(telemetry: Telemetry, name: str, **labels: str) -> float | None:
    page, content_type = telemetry.prometheus()
    assert content_type.startswith("text/plain; version=")
    samples = (s for family in text_string_to_metric_families(page.decode()) for s in family.samples)
    return next((s.value for s in samples if s.name == name and s.labels == labels), None)


def test_a_swap_is_followed_and_the_old_version_stays_readable(directory: RunDirectory, manifest: Manifest) -> None:
    here, there = Telemetry(directory), Telemetry(directory)
    first = here.recorder_of("hand", 1, manifest)
    assert first is not None
    here.tick(0, {("hand", 1): 0.5})
    first.record(weights(3))
    here.request("predict", 200, Served("hand", 1), rows=3)
    second = here.recorder_of("hand", 2, manifest)
    assert second is not None
    here.request("metadata", 200, Served("hand", 2))  # it may come before the tick that tells of the version
    here.tick(5, {("hand", 2): 0.25})
    second.record(weights(4))
    first.record(weights(1))  # a request that was in flight at the swap
    for telemetry in (here, there):
        telemetry.tick(1, {("hand", 2): 0.25} if telemetry is here else {})
        assert telemetry.gate_report("hand", 1, "1m")["rows"] == 4
        assert telemetry.gate_report("hand", 2, "1m")["rows"] == 4
        with pytest.raises(ModelNotFound, match=r"Version 3 .*\(no traffic of it is kept\)\. Available: 2, 1"):
            telemetry.gate_report("hand", 3)
    assert value(there, "mmoe_rows_total", model="hand", version="1") == 3
    assert value(there, "mmoe_model_workers", model="hand", version="1") is None
    assert value(there, "mmoe_model_workers", model="hand", version="2") == 1
    assert value(there, "mmoe_model_load_duration_seconds", model="hand", version="2") == 0.25
    assert value(there, "mmoe_queue_rows") == 2
    assert value(there, "mmoe_workers") == 2


def test_another_file_of_the_same_version_takes_over(directory: RunDirectory, manifest: Manifest) -> None:
    telemetry = Telemetry(directory)
    first = telemetry.recorder_of("hand", 1, manifest)
    assert first is telemetry.recorder_of("hand", 1, manifest), "the same content goes on"
    assert manifest.gates is not None
    other = manifest.model_copy(update={"gates": manifest.gates.model_copy(update={"rows": 77})})
    second = telemetry.recorder_of("hand", 1, other)
    assert first is not None
    assert second is not None
    first.record(weights(5))
    second.record(weights(2))
    telemetry.tick(0, {("hand", 1): 0})
    assert telemetry.gate_report("hand", 1)["rows"] == 2
    assert telemetry.gate_report("hand", 1)["baseline"]["rows"] == 77


def test_a_model_without_gates_has_no_recorder(
    directory: RunDirectory, tmp_path: Path, hand_model: Callable[..., Path]
) -> None:
    telemetry = Telemetry(directory)
    plain = read_model(hand_model(tmp_path, "plain", kind="plain"))[1]
    assert telemetry.recorder_of("plain", 1, plain) is None
    telemetry.tick(0, {("plain", 1): 0.1})
    assert value(telemetry, "mmoe_model_workers", model="plain", version="1") == 1


def test_ticking_folds_until_it_is_cancelled(directory: RunDirectory, manifest: Manifest) -> None:
    async def tick_once() -> None:
        ticked = asyncio.Event()

        def queue_rows() -> int:
            ticked.set()
            return 9

        ticking = asyncio.create_task(telemetry.keep_ticking(queue_rows, lambda: {("hand", 1): 0.0}))
        await ticked.wait()
        ticking.cancel()
        with pytest.raises(asyncio.CancelledError):
            await ticking

    telemetry = Telemetry(directory)
    asyncio.run(tick_once())
    assert value(telemetry, "mmoe_queue_rows") == 9
    assert value(telemetry, "mmoe_model_workers", model="hand", version="1") == 1


def test_a_closed_worker_gives_its_slot_to_the_next(directory: RunDirectory, manifest: Manifest) -> None:
    first = Telemetry(directory)
    recorder = first.recorder_of("hand", 1, manifest)
    assert recorder is not None
    recorder.record(weights(2))
    first.request("predict", 200)
    first.rejected("overloaded")
    first.close()
    other, heir = Telemetry(directory), Telemetry(directory)
    assert other.gate_report("hand", 1)["rows"] == heir.gate_report("hand", 1)["rows"] == 2
    assert value(other, "mmoe_requests_total", route="predict", status="200", model="") == 1
    assert value(other, "mmoe_rejected_requests_total", reason="overloaded") == 1
    assert value(other, "mmoe_worker_restarts_total") == 1


def test_openmetrics_is_given_to_those_who_ask(directory: RunDirectory) -> None:
    page, content_type = Telemetry(directory).prometheus("application/openmetrics-text; version=1.0.0")
    assert content_type.startswith("application/openmetrics-text")
    assert page.endswith(b"# EOF\n")
