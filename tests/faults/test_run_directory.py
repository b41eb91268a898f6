"""The run directory is removed while the service runs.

Predictions go on, the log says so, nothing runs on alone.
"""

import os
import shutil
import signal
from pathlib import Path

import httpx
import pytest

from tests.support.metrics import awaited, metric
from tests.support.processes import alive, children
from tests.support.server import running


@pytest.mark.parametrize("workers", ["1", "2"])
def test_it_is_noticed_and_predictions_go_on(models: Path, tmp_path: Path, workers: str) -> None:
    settings = {"workers": workers, "run_dir": str(tmp_path / "run"), "local_admin": "true", "poll_interval_s": "0.2"}
    with running(models, **settings) as service:
        remove(service.url, tmp_path / "run", int(workers))
        assert "Start the service again" in service.wait_for('"event":"run_directory_gone".*')[0]
        for _ in range(4):
            asked = httpx.post(f"{service.url}/v1/models/hand:predict", json={"instances": [{}]})
            assert asked.status_code == 200
            answer = httpx.post(f"{service.url}/v1/models/hand:pin", json={"version": 1})
            assert (answer.status_code, answer.json()["code"]) == (503, "run_directory_gone")
        shutil.copytree(models / "hand" / "1", models / "hand" / "9")  # which cannot be told to the other workers
        service.wait_for('"event":"scan_failed".*')
        for _ in range(3):
            os.kill(service.process.pid, signal.SIGHUP)
            service.wait_for("SIGHUP: looking")
            assert httpx.get(f"{service.url}/v1/models").status_code == 200
        assert service.end() == 0
        assert sum('"event":"scan_failed"' in line for line in service.log()) <= int(workers)
        assert not any("Traceback" in line for line in service.log())


def test_no_launcher_runs_on_alone(models: Path, tmp_path: Path) -> None:
    with running(models, workers="2", run_dir=str(tmp_path / "run")) as service:
        first, second = children(service.process.pid)
        remove(service.url, tmp_path / "run", 2)
        service.wait_for('"event":"run_directory_gone"')
        os.kill(first, signal.SIGKILL)
        service.wait_for(f"Worker {first} ended with status -9; none can start")
        assert httpx.get(f"{service.url}/health/ready").status_code == 200, "the other one serves on"
        os.kill(second, signal.SIGKILL)
        service.wait_for("No worker is left, and none can be started: the run directory .* is gone")
        assert service.process.wait(30) == 1
        assert not any(map(alive, [first, second]))


def test_workers_that_cannot_start_end_the_service(models: Path, tmp_path: Path) -> None:
    settings = {"workers": "2", "keys_file": str(tmp_path / "keys")}
    key = "predict me sha256:" + 64 * "0"
    (tmp_path / "keys").write_text(key)
    with running(models, **settings) as service:
        (tmp_path / "keys").unlink()  # followed by workers that live, and needed by new ones
        for worker in children(service.process.pid):
            os.kill(worker, signal.SIGKILL)
        service.wait_for("No worker is left, and none can be started: . in a row ended before they were loaded")
        assert service.process.wait(30) == 1
        assert any("No such file" in line for line in service.lines), "each says why"


def remove(url: str, directory: Path, workers: int) -> None:
    """Remove what the service has made there once every worker serves.

    It goes all at once, as files are made and renamed in it meanwhile.
    """
    (made,) = directory.iterdir()
    assert awaited(lambda: metric(url, "mmoe_model_workers", model="hand") >= workers, True)
    shutil.rmtree(made.rename(directory.with_name("removed")))
