"""A disk that is full, read-only or gone under the prediction log.

Requests go on, loss is counted, writing resumes.
"""

import json
import resource
import shutil
import subprocess
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import httpx
import pytest
from prometheus_client.parser import text_string_to_metric_families

from tests.support.server import Service, running

pytestmark = pytest.mark.alone

MODEL = "/v1/models/hand"
ROWS = 40
BODY = {"instances": [{"age": number} for number in range(ROWS)]}
MOST_REQUESTS = 2000


@contextmanager
def logged(models: Path, directory: Path, **settings: str) -> Iterator[tuple[Service, httpx.Client]]:
    """Run a service with a prediction log, and a client of it."""
    given = {"prediction_log": str(directory), "prediction_log_file_bytes": "65536", "prediction_log_files": "2"}
    with running(models, **given, **settings) as service, httpx.Client(base_url=service.url, timeout=30) as client:
        yield service, client


def counts(client: httpx.Client) -> dict[str, float]:
    """Return the rows written, and those dropped by reason."""
    families = text_string_to_metric_families(client.get("/metrics").text)
    samples = [sample for family in families for sample in family.samples if "prediction_log" in sample.name]
    return {sample.labels.get("reason", "written"): sample.value for sample in samples}


def ask_until(client: httpx.Client, done: Callable[[dict[str, float]], bool]) -> int:
    """Send requests, which must all succeed, until the counts are as wanted.

    Return the rows answered.
    """
    for number in range(1, MOST_REQUESTS):
        answer = client.post(f"{MODEL}:predict", json=BODY)
        assert answer.status_code == 200
        assert len(answer.json()["predictions"]) == ROWS
        if done(counts(client)):
            return number * ROWS
    raise AssertionError(f"after {MOST_REQUESTS} requests: {counts(client)}")


def events(service: Service) -> list[str]:
    """End a service and return what it said of the prediction log."""
    service.process.terminate()
    service.wait_for('"event":"ended"')
    found = (json.loads(line)["event"] for line in service.lines)
    return [event for event in found if event.startswith("prediction_log")]


def records(directory: Path) -> list[dict[str, Any]]:
    paths = sorted(directory.glob("*.jsonl"))
    return [json.loads(line) for path in paths for line in path.read_text().splitlines()]


def check_a_loss(models: Path, directory: Path, spoil: Callable[[Service], object], mend: Callable[[], object]) -> None:
    """Spoil the disk under a running service, see it go on and count, mend it, see it write
    again.
    """
    with logged(models, directory) as (service, client):
        answered = ask_until(client, lambda found: found["written"] > 0)
        spoil(service)
        answered += ask_until(client, lambda found: found["disk"] >= 3 * ROWS)
        assert client.get("/health/ready").status_code == 200
        mend()
        written = counts(client)["written"]
        answered += ask_until(client, lambda found: found["written"] > written)
        told = events(service)
    assert told == ["prediction_log_failed", "prediction_log_resumed"]
    assert len(records(directory)) <= answered
    assert records(directory)


def test_a_limit_of_space_is_survived(models: Path, tmp_path: Path) -> None:
    process: list[int] = []

    def spoil(service: Service) -> None:
        process.append(service.process.pid)
        resource.prlimit(process[0], resource.RLIMIT_FSIZE, (100, resource.RLIM_INFINITY))

    def mend() -> None:
        resource.prlimit(process[0], resource.RLIMIT_FSIZE, (resource.RLIM_INFINITY, resource.RLIM_INFINITY))

    check_a_loss(models, tmp_path / "log", spoil, mend)


def test_a_directory_replaced_by_a_device_without_space_is_survived(models: Path, tmp_path: Path) -> None:
    place = tmp_path / "log"

    def spoil(_: Service) -> None:
        shutil.rmtree(place)
        place.symlink_to("/dev/full")

    check_a_loss(models, place, spoil, place.unlink)


@pytest.fixture
def disk(tmp_path: Path) -> Iterator[Path]:
    """Mount a disk of 256 KiB; without the right to do so, there is no such test."""
    place = tmp_path / "disk"
    place.mkdir()
    mounted = shutil.which("mount") and subprocess.run(
        ["mount", "-t", "tmpfs", "-o", "size=256k", "tmpfs", place], capture_output=True, check=False
    )
    if not mounted or mounted.returncode:
        pytest.skip("no disk can be mounted here")
    yield place
    subprocess.run(["umount", "-l", place], check=True)


def fill(path: Path) -> None:
    """Write to a file until the disk is full."""
    with path.open("wb", buffering=0) as file:
        while True:
            file.write(b"x" * 4096)


def test_a_full_disk_is_survived(models: Path, disk: Path) -> None:
    filler = disk / "filler"

    def spoil(_: Service) -> None:
        with pytest.raises(OSError, match="No space"):
            fill(filler)

    check_a_loss(models, disk / "log", spoil, filler.unlink)


def test_a_disk_that_is_read_only_from_the_start_is_survived(models: Path, disk: Path) -> None:
    def remount(way: str) -> None:
        subprocess.run(["mount", "-o", f"remount,{way}", disk], check=True)

    remount("ro")
    with logged(models, disk / "log") as (service, client):
        ask_until(client, lambda found: found["disk"] >= 3 * ROWS)
        remount("rw")
        ask_until(client, lambda found: found["written"] > 0)
        assert events(service) == ["prediction_log_failed", "prediction_log_resumed"]
    assert records(disk / "log")


def test_files_stay_bounded_and_workers_do_not_share_them(models: Path, tmp_path: Path) -> None:
    log = tmp_path / "log"
    with logged(models, log, workers="2") as (service, client):
        ask_until(client, lambda found: found["written"] >= 60 * ROWS)
        others = [httpx.Client(base_url=service.url) for _ in range(8)]
        for other in others * 5:
            assert other.post(f"{MODEL}:predict", json=BODY).status_code == 200
        for other in others:
            other.close()
        assert events(service) == []
    paths = sorted(log.glob("*.jsonl"))
    assert {path.name.split("-")[1] for path in paths} == {"0", "1"}
    assert len(paths) <= 4
    assert all(path.stat().st_size <= 65536 for path in paths)
    assert records(log), "every line is whole"
