"""The README: its commands exist, its config trains, its call is answered in its words."""

import json
import os
import random
import re
import shutil
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path

import pytest

from tests.support.server import ROOT, running

README = (ROOT / "README.md").read_text()


def blocks(language: str) -> list[str]:
    return re.findall(rf"```{language}\n(.*?)```", README, re.DOTALL)


def program(module: str, *arguments: str, cwd: Path) -> subprocess.CompletedProcess[str]:
    """Run a module of the checkout from another directory, where paths are relative to that
    directory.
    """
    env = {key: value for key, value in os.environ.items() if key != "MMOE_DATA"} | {"PYTHONPATH": str(ROOT)}
    command = [sys.executable, "-m", module, *arguments]
    return subprocess.run(command, cwd=cwd, env=env, capture_output=True, text=True, timeout=180, check=False)


@pytest.fixture(scope="module")
def models(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Train the demo's config on few rows."""
    pytest.importorskip("torch", reason="the trainer is not installed")
    models = tmp_path_factory.mktemp("readme") / "models"
    few = ["--set", "data.rows=600", "--set", "train.epochs=1"]
    run = program(
        "scripts.train", str(ROOT / "scripts/configs/synthetic.toml"), "--models", str(models), *few, cwd=ROOT
    )
    assert run.returncode == 0, run.stderr
    return models


@pytest.fixture(scope="module")
def printed(models: Path) -> Iterator[list[str]]:
    """Serve it on a free port.

    Give the lines that a terminal would show until the service has shown a call.
    """
    with running(models, log_format="text") as service:
        service.wait_for("curl")
        yield service.lines


def curl(command: str) -> object:
    if shutil.which("curl") is None:
        pytest.skip("there is no curl")
    run = subprocess.run(command, shell=True, capture_output=True, text=True, timeout=30, check=False)
    return json.loads(run.stdout)


def assert_weights_sum_to_one(answer: object) -> None:
    assert isinstance(answer, dict)
    for row in answer["predictions"]:
        assert row["tasks"].keys() == row["gate_weights"].keys()
        for weights in row["gate_weights"].values():
            assert sum(weights) == pytest.approx(1, abs=1e-5)


def test_every_make_command_is_a_target() -> None:
    targets = set(re.findall(r"^([a-z-]+):", (ROOT / "Makefile").read_text(), re.MULTILINE))
    code = "\n".join([*blocks("bash"), *re.findall(r"`([^`\n]+)`", README)])
    named = set(re.findall(r"\bmake ([a-z-]+)", code))
    assert named
    assert named <= targets


def test_every_link_into_the_repository_leads_somewhere() -> None:
    places = [place for place in re.findall(r"\]\(([^)]+)\)", README) if "://" not in place]
    assert places
    assert [place for place in places if not (ROOT / place.partition("#")[0]).exists()] == []


def test_the_answer_shown_has_weights_that_sum_to_one() -> None:
    (answer,) = blocks("json")
    assert_weights_sum_to_one(json.loads(answer))


def test_the_call_shown_is_answered_in_the_form_shown(printed: list[str]) -> None:
    (command,) = [block for block in blocks("bash") if block.startswith("curl")]
    address = re.search(r"http://127\.0\.0\.1:\d+", "".join(printed))
    assert address
    answer = curl(command.replace("http://127.0.0.1:8000", address[0]))
    assert_weights_sum_to_one(answer)
    assert shape(answer) == shape(json.loads(blocks("json")[0]))


def shape(answer: object) -> object:
    """Reduce an answer to its keys and lengths."""
    if isinstance(answer, dict):
        return {key: shape(value) for key, value in answer.items()}
    return [shape(value) for value in answer] if isinstance(answer, list) else type(answer)


def test_the_call_that_the_service_prints_works(printed: list[str]) -> None:
    command = printed[-1][printed[-1].index("curl") :]
    assert_weights_sum_to_one(curl(command))


def test_the_config_shown_trains_on_a_table_of_that_form(tmp_path: Path) -> None:
    pytest.importorskip("torch", reason="the trainer is not installed")
    (config,) = blocks("toml")
    (tmp_path / "customers.toml").write_text(config)
    random.seed(0)
    rows = [
        (random.randint(18, 90), random.choice("ab"), random.choice(["yes", "no"]), random.random()) for _ in range(200)
    ]
    table = "age,plan,churned,spend_next_month\n" + "".join(f"{a},{p},{c},{s}\n" for a, p, c, s in rows)
    (tmp_path / "customers.csv").write_text(table)
    run = program("scripts.train", "customers.toml", "--set", "train.epochs=1", cwd=tmp_path)
    assert run.returncode == 0, run.stderr
    written = {path.name for path in (tmp_path / "models/customers/1").iterdir()}
    assert {"model.onnx", "checkpoint.pt", "config.toml", "report.md"} <= written
