"""The sum over all instances, of a real Prometheus that scrapes two real services."""

import threading
from collections.abc import Callable
from pathlib import Path
from typing import Any

import httpx
import pytest
import yaml

from tests.support.hand_model import write_model
from tests.support.server import START_TIMEOUT_S, running

ROWS = {"first": 120, "second": 360}


def test_two_instances_are_summed_by_the_prometheus_that_scrapes_them(
    start_program: Callable[..., Any], program: Callable[[str, str], str], port: Callable[[], int], tmp_path: Path
) -> None:
    prometheus, number = program("prometheus", "prometheus"), port()
    write_model(tmp_path / "models", "hand", 3)
    url, asked = f"http://127.0.0.1:{number}", "/v1/models/hand/gates"
    with (
        running(tmp_path / "models", prometheus_url=url) as first,
        running(tmp_path / "models", prometheus_url=url) as second,
        httpx.Client(trust_env=False, timeout=30) as client,
    ):
        refused = client.get(f"{first.url}{asked}/all")
        assert (refused.status_code, refused.headers["retry-after"]) == (503, "5")
        assert "MMOE_PROMETHEUS_URL" in refused.json()["detail"]
        targets = [f"127.0.0.1:{service.port}" for service in (first, second)]
        config = {
            "global": {"scrape_interval": "1s", "scrape_timeout": "1s"},
            "scrape_configs": [{"job_name": "mmoe", "static_configs": [{"targets": targets}]}],
        }
        (tmp_path / "prometheus.yml").write_text(yaml.safe_dump(config))
        options = [f"--config.file={tmp_path}/prometheus.yml", f"--storage.tsdb.path={tmp_path}/data"]
        command = [prometheus, *options, f"--web.listen-address=127.0.0.1:{number}"]
        with start_program(command, url, "/-/ready", tmp_path / "log"):
            until(lambda: len(client.get(f"{first.url}{asked}/all").json().get("instances", [])) == 2)
            for age, (service, rows) in enumerate(zip((first, second), ROWS.values(), strict=True)):
                instances = [{"age": 8 + 5 * age, "colour": "red"}] * rows
                assert client.post(f"{service.url}/v1/predict", json={"instances": instances}).is_success
            until(lambda: client.get(f"{second.url}{asked}/all").json()["rows"] > 0.9 * sum(ROWS.values()))
            everywhere = client.get(f"{second.url}{asked}/all?window=5m").json()
            alone = [client.get(f"{service.url}{asked}?window=5m").json() for service in (first, second)]
    assert [one["instance"] for one in everywhere["instances"]] == sorted(targets)
    assert everywhere["version"] == 3
    assert {report["instance"] for report in alone} != {alone[0]["instance"]}
    for task, figures in everywhere["tasks"].items():
        parts = zip(*(report["tasks"][task]["utilisation"] for report in alone), strict=True)
        together = [(ROWS["first"] * one + ROWS["second"] * other) / sum(ROWS.values()) for one, other in parts]
        assert figures["utilisation"] == pytest.approx(together, abs=0.05)
        entropies = [report["tasks"][task]["normalised_entropy"] for report in alone]
        assert min(entropies) - 0.05 <= figures["normalised_entropy"] <= max(entropies) + 0.05


def until(true: Callable[[], bool]) -> None:
    """Ask again and again; Prometheus scrapes every second, and an answer is kept for a few."""
    pause = threading.Event()
    for _ in range(START_TIMEOUT_S * 2):
        if true():
            return
        pause.wait(0.5)
    pytest.fail("Prometheus has not told it")
