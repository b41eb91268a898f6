"""Prometheus' own programs on what is deployed.

Rules, alerts, and a number for every query of the dashboard.
"""

import json
import queue
import re
import subprocess
import threading
import time
from collections.abc import Callable, Iterator
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from typing import Any

import httpx
import pytest
import yaml

ROOT = Path(__file__).parents[2]
DEPLOY = ROOT / "deploy"
CONFIG = yaml.safe_load((DEPLOY / "prometheus/prometheus.yml").read_text())
RULE_FILES = [DEPLOY / "prometheus" / name for name in CONFIG["rule_files"]]
RULES = [rule for file in RULE_FILES for group in yaml.safe_load(file.read_text())["groups"] for rule in group["rules"]]
ALERTS = {rule["alert"] for rule in RULES if "alert" in rule}
DASHBOARD = json.loads((DEPLOY / "grafana/dashboards/mmoe.json").read_text())
ANSWER_TIMEOUT_S = 60


def documented_metrics() -> set[str]:
    table = [
        line.split("|")[1]
        for line in (ROOT / "docs/metrics.md").read_text().splitlines()
        if line.startswith("| `mmoe_")
    ]
    return {name for cell in table for name in re.findall(r"`(\w+)`", cell)}


def metrics_in(query: str) -> set[str]:
    """Name the service's metrics in a query; the parts of a histogram count as the histogram."""
    return {re.sub(r"_(bucket|sum|count)$", "", name) for name in re.findall(r"\bmmoe_\w+", query)}


@pytest.mark.parametrize(
    "arguments",
    [
        ("check", "config", "prometheus.yml"),
        ("check", "rules", *CONFIG["rule_files"]),
        ("test", "rules", "rules_test.yml"),
    ],
    ids=" ".join,
)
def test_promtool_has_nothing_to_say(program: Callable[[str, str], str], arguments: tuple[str, ...]) -> None:
    command = [program("promtool", "prometheus"), *arguments]
    run = subprocess.run(command, cwd=DEPLOY / "prometheus", capture_output=True, text=True, timeout=60, check=False)
    assert run.returncode == 0, run.stdout + run.stderr


def test_prometheus_tells_an_alertmanager_whose_configuration_is_sound(program: Callable[[str, str], str]) -> None:
    file = DEPLOY / "alertmanager/alertmanager.yml"
    config = yaml.safe_load(file.read_text())
    (manager,) = CONFIG["alerting"]["alertmanagers"]
    services = yaml.safe_load((ROOT / "docker-compose.yml").read_text())["services"]
    assert [target.partition(":")[0] in services for [target] in [manager["static_configs"][0]["targets"]]] == [True]
    assert config["route"]["receiver"] in {receiver["name"] for receiver in config["receivers"]}
    named = re.findall(r'alertname =~? "([\w|]+)"', file.read_text())
    assert named
    assert {name for names in named for name in names.split("|")} <= ALERTS
    amtool = program("amtool", "prometheus-alertmanager")
    subprocess.run([amtool, "check-config", str(file)], check=True, capture_output=True, timeout=60)


class _Webhook(BaseHTTPRequestHandler):
    def do_POST(self) -> None:
        told = json.loads(self.rfile.read(int(self.headers["content-length"])))
        self.server.told.put(told)  # type: ignore[attr-defined]
        self.send_response(200)
        self.end_headers()

    def log_message(self, *_: Any) -> None:
        pass


@pytest.fixture
def webhook() -> Iterator[ThreadingHTTPServer]:
    """Listen for what Alertmanager tells, and put it into a queue."""
    server = ThreadingHTTPServer(("127.0.0.1", 0), _Webhook)
    server.told = queue.Queue()  # type: ignore[attr-defined]
    serving = threading.Thread(target=server.serve_forever)
    serving.start()
    try:
        yield server
    finally:
        server.shutdown()
        server.server_close()
        serving.join()


def test_an_alert_reaches_the_webhook_that_a_file_names(
    start_program: Callable[..., Any],
    program: Callable[[str, str], str],
    port: Callable[[], int],
    webhook: ThreadingHTTPServer,
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    amtool, number = program("amtool", "prometheus-alertmanager"), port()
    for file in (DEPLOY / "alertmanager").iterdir():
        (tmp_path / file.name).write_text(file.read_text().replace("group_wait: 10s", "group_wait: 0s"))
    (tmp_path / "webhook").write_text(f"http://127.0.0.1:{webhook.server_port}/hook?token=secret\n")
    (tmp_path / "tmp").mkdir()
    monkeypatch.setenv("WEBHOOK_FILE", str(tmp_path / "webhook"))
    monkeypatch.setenv("TMPDIR", str(tmp_path / "tmp"))
    url = f"http://127.0.0.1:{number}"
    options = [
        f"--storage.path={tmp_path}/data",
        "--cluster.listen-address=",
        f"--web.listen-address=127.0.0.1:{number}",
    ]
    with start_program(["sh", str(tmp_path / "start.sh"), *options], url, "/-/ready", tmp_path / "log"):
        adding = [amtool, f"--alertmanager.url={url}", "alert", "add", "alertname=ReplicasMissing", "severity=warning"]
        subprocess.run(adding, check=True, capture_output=True, timeout=30)
        told = webhook.told.get(timeout=ANSWER_TIMEOUT_S)  # type: ignore[attr-defined]
    assert told["receiver"] == "team"
    assert [alert["labels"]["alertname"] for alert in told["alerts"]] == ["ReplicasMissing"]


def test_every_alert_is_tested_to_fire_and_to_keep_quiet_and_documented() -> None:
    tests = yaml.safe_load((DEPLOY / "prometheus/rules_test.yml").read_text())["tests"]
    cases = [case for test in tests for case in test.get("alert_rule_test", [])]
    assert {case["alertname"] for case in cases if case.get("exp_alerts")} == ALERTS
    assert {case["alertname"] for case in cases if not case.get("exp_alerts")} >= ALERTS
    assert set(re.findall(r"^\| `([A-Z]\w+)` \|", (ROOT / "docs/deploy.md").read_text(), re.MULTILINE)) == ALERTS


def test_rules_and_panels_ask_for_metrics_that_there_are(panel_queries: dict[str, str]) -> None:
    queries = [*panel_queries.values(), *(rule["expr"] for rule in RULES)]
    assert {name for query in queries for name in metrics_in(query)} <= documented_metrics()
    recorded = {rule["record"] for rule in RULES if "record" in rule}
    assert {name for query in queries for name in re.findall(r"\bmmoe:[\w:]+", query)} <= recorded


def test_the_dashboard_finds_its_datasource() -> None:
    provisioned = yaml.safe_load((DEPLOY / "grafana/provisioning/datasources/prometheus.yml").read_text())[
        "datasources"
    ]
    (variable,) = [v for v in DASHBOARD["templating"]["list"] if v["type"] == "datasource"]
    assert [source["uid"] for source in provisioned] == [variable["current"]["value"]]
    assert len({panel["id"] for panel in DASHBOARD["panels"]}) == len(DASHBOARD["panels"])
    assert {p["datasource"]["uid"] for p in DASHBOARD["panels"] if p["type"] != "row"} == {"${datasource}"}


def query(url: str, text: str, at: dict[str, str]) -> list[float]:
    answer = httpx.get(f"{url}/api/v1/query", params={"query": text, **at}, trust_env=False).json()
    return [float(sample["value"][1]) for sample in answer["data"]["result"]]


def test_prometheus_scrapes_two_replicas_and_answers_every_panel(
    artifact: Any,
    start_service: Callable[..., Any],
    start_program: Callable[..., Any],
    program: Callable[[str, str], str],
    port: Callable[[], int],
    panel_queries: dict[str, str],
    not_numbers: Callable[[str, dict[str, str]], dict[str, object]],
    tmp_path: Path,
) -> None:
    prometheus, number = program("prometheus", "prometheus"), port()
    url = f"http://127.0.0.1:{number}"
    with start_service(artifact.models_dir) as a, start_service(artifact.models_dir) as b:
        replicas = [a.url, b.url]
        targets = [replica.removeprefix("http://") for replica in replicas]
        config = CONFIG | {
            "global": {"scrape_interval": "1s", "scrape_timeout": "1s", "evaluation_interval": "1s"},
            "rule_files": list(map(str, RULE_FILES)),
            "scrape_configs": [{"job_name": "mmoe", "static_configs": [{"targets": targets}]}],
        }
        (tmp_path / "prometheus.yml").write_text(yaml.safe_dump(config))
        command = [prometheus, f"--config.file={tmp_path}/prometheus.yml", f"--storage.tsdb.path={tmp_path}/data"]
        command += [f"--web.listen-address=127.0.0.1:{number}"]
        with start_program(command, url, "/-/ready", tmp_path / "log"):
            wrong: dict[str, object] = {"everything": "not asked yet"}
            pause = threading.Event()
            for _ in range(ANSWER_TIMEOUT_S):
                for replica in replicas:
                    rows = {"instances": [{"age": 30}, {"colour": "red"}]}
                    httpx.post(f"{replica}/v1/predict", json=rows, trust_env=False).raise_for_status()
                wrong = not_numbers(url, panel_queries)
                if not wrong:
                    break
                pause.wait(1)
            assert wrong == {}
            at = {"time": str(time.time())}
            parts, (total,) = query(url, "mmoe_rows_total", at), query(url, "sum(mmoe_rows_total)", at)
            assert len(parts) == len(replicas)
            assert total == sum(parts)
            loaded = httpx.get(f"{url}/api/v1/rules", trust_env=False).json()["data"]["groups"]
            rules = [rule for group in loaded for rule in group["rules"]]
            assert {rule["name"] for rule in rules if rule["type"] == "alerting"} == ALERTS
            assert {rule["health"] for rule in rules} == {"ok"}
