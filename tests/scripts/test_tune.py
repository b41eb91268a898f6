import subprocess
import sys
from pathlib import Path

import optuna
import pytest

from model.config.run import load_config
from scripts.tune import main

ROOT = Path(__file__).parents[2]
CONFIG = """
name = "searched"
[data]
kind = "synthetic"
rows = 400
dims = 4
[train]
epochs = 2
"""


@pytest.fixture
def config(tmp_path: Path) -> Path:
    path = tmp_path / "c.toml"
    path.write_text(CONFIG)
    return path


def test_a_search_ends_in_a_configuration_that_trains_and_a_page(
    config: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    out = tmp_path / "out"
    assert main([str(config), "--trials", "3", "--out", str(out)]) == 0
    assert load_config(out / "tuned.toml").name == "searched"
    page = (out / "trials.md").read_text()
    assert "Test rows were never looked at" in page
    assert "| 0 |" in page
    assert (out / "trials.png").stat().st_size > 5000
    assert "scripts.train" in capsys.readouterr().out


def test_processes_share_one_search(config: Path, tmp_path: Path) -> None:
    command = [sys.executable, "-m", "scripts.tune", str(config), "--trials", "6", "--out", str(tmp_path / "out")]
    storage = ["--storage", str(tmp_path / "shared.db")]
    assert main([str(config), "--trials", "1", "--out", str(tmp_path / "out"), *storage]) == 0
    runs = [subprocess.Popen([*command, *storage], cwd=ROOT, stderr=subprocess.PIPE) for _ in range(2)]
    assert [run.wait(timeout=240) for run in runs] == [0, 0]
    for run in runs:
        assert run.stderr is not None
        run.stderr.close()
    (name,) = optuna.get_all_study_names(f"sqlite:///{tmp_path / 'shared.db'}")
    trials = optuna.load_study(study_name=name, storage=f"sqlite:///{tmp_path / 'shared.db'}").trials
    assert len(trials) in (6, 7)  # both may begin the last one
    assert all(trial.state.is_finished() for trial in trials)


def test_ctrl_c_keeps_the_finished_trials(config: Path, tmp_path: Path) -> None:
    command = [sys.executable, "-m", "scripts.tune", str(config), "--minutes", "9", "--out", str(tmp_path / "out")]
    with subprocess.Popen(command, cwd=ROOT, stderr=subprocess.PIPE, text=True) as run:
        assert run.stderr is not None
        assert run.stderr.readline().startswith("trial 0")
        run.send_signal(2)
        _, rest = run.communicate(timeout=120)
    assert run.returncode == 130
    assert "the same command goes on" in rest
    assert (tmp_path / "out" / "tuned.toml").exists()


def test_a_fault_of_the_configuration_is_a_sentence(config: Path, capsys: pytest.CaptureFixture[str]) -> None:
    config.write_text(CONFIG + "epoch = 1\n")
    assert main([str(config)]) == 2
    assert "unknown key 'train.epoch'" in capsys.readouterr().err
