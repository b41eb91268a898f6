"""The call that the log shows works when it is typed."""

import json
import os
import re
import signal
import subprocess
from pathlib import Path

import httpx
import pytest

from service.keys import line_of, new_key
from tests.support.hand_model import write_model
from tests.support.metrics import awaited
from tests.support.server import Service, running


@pytest.mark.parametrize("kind", ["full", "wide"])
@pytest.mark.parametrize("locked", [False, True])
def test_the_call_in_the_log_works(tmp_path: Path, kind: str, locked: bool) -> None:
    write_model(tmp_path / "models", "hand", 1, kind=kind)
    key, file = new_key(), tmp_path / "keys"
    file.write_text(line_of("predict", "me", key))
    settings = {"keys_file": str(file)} if locked else {}
    with running(tmp_path / "models", log_format="text", **settings) as service:
        assert "every address" not in "".join(service.lines)
        line = service.wait_for("Try: (curl .*)")[1]
        assert ("$KEY" in line) == locked
        run = subprocess.run(
            ["bash", "-c", line], env=os.environ | {"KEY": key}, capture_output=True, text=True, check=True
        )
        assert json.loads(run.stdout)["model"] == "hand"
        assert re.search("Serving hand 1 on ", "".join(service.lines))


@pytest.mark.parametrize("workers", ["1", "2"])
def test_it_says_that_it_is_ready_when_its_readiness_does(tmp_path: Path, workers: str) -> None:
    (tmp_path / "models").mkdir()
    with running(tmp_path / "models", workers=workers, default_model="hand", poll_interval_s="0") as service:
        assert events(service) >= {"listening"}
        assert "no model" in service.wait_for('"event":"not_ready".*')[0]
        write_model(tmp_path / "models", "other", 1)
        service.process.send_signal(signal.SIGHUP)
        service.wait_for("Loaded other 1")
        assert httpx.get(f"{service.url}/health/ready").status_code == 503, "it is not the default model"
        assert "ready" not in events(service)
        write_model(tmp_path / "models", "hand", 1)
        service.process.send_signal(signal.SIGHUP)
        service.wait_for('"event":"ready"')
        # One worker speaks; where cores are scarce, another may swap a moment after it.
        assert awaited(lambda: httpx.get(f"{service.url}/health/ready").status_code, 200) == 200
        service.wait_for('"event":"example".*models/hand:predict')


def events(service: Service) -> set[str]:
    return {json.loads(line)["event"] for line in service.lines}


@pytest.mark.parametrize("workers", ["1", "2"])
def test_it_says_where_it_listens(models: Path, workers: str) -> None:
    settings = {"workers": workers, "host": "0.0.0.0", "operation_host": "127.0.0.1", "operation_port": "0"}
    with running(models, **settings) as service:
        lines = {json.loads(line)["event"]: json.loads(line) for line in service.lines}
    assert lines["ready"]["bound"] == f"0.0.0.0:{service.port}"
    assert f"every address of this machine (0.0.0.0:{service.port})" in lines["ready"]["message"]
    assert service.url == lines["ready"]["url"] == f"http://127.0.0.1:{service.port}"
    assert lines["operation"]["bound"] == lines["operation"]["url"].removeprefix("http://")
    assert "every address" not in lines["operation"]["message"]
