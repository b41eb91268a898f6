import subprocess
import sys
from pathlib import Path

import pytest

from scripts.study import main, parse

ROOT = Path(__file__).parents[2]


def test_help_names_the_options(capsys: pytest.CaptureFixture[str]) -> None:
    with pytest.raises(SystemExit):
        parse(["--help"])
    out = capsys.readouterr().out
    assert all(option in out for option in ("--quick", "--out", "--work", "--device"))


@pytest.mark.parametrize("value", ["0", "-1", "two"])
def test_a_number_of_processes_that_makes_no_sense_is_refused(value: str, capsys: pytest.CaptureFixture[str]) -> None:
    with pytest.raises(SystemExit):
        parse([f"--workers={value}"])
    assert "not a whole number above 0" in capsys.readouterr().err


def test_a_gpu_that_is_not_there_is_an_error_in_a_sentence(
    tmp_path: Path, capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("torch.cuda.is_available", lambda: False)
    assert main(["--device", "cuda", "--out", str(tmp_path), "--work", str(tmp_path / "work")]) == 2
    assert "torch finds no GPU here" in capsys.readouterr().err


def test_a_place_that_cannot_be_written_is_refused_before_any_run(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    (tmp_path / "docs").write_text("a file")
    assert main(["--out", str(tmp_path / "docs"), "--work", str(tmp_path / "work")]) == 2
    assert str(tmp_path / "docs") in capsys.readouterr().err
    assert not (tmp_path / "work").exists()


def test_ctrl_c_ends_every_process_and_says_how_to_go_on(tmp_path: Path) -> None:
    command = [
        sys.executable,
        "-m",
        "scripts.study",
        "--quick",
        "--workers=2",
        f"--work={tmp_path}/w",
        f"--out={tmp_path}/o",
    ]
    with subprocess.Popen(command, cwd=ROOT, stderr=subprocess.PIPE, text=True, start_new_session=True) as run:
        assert run.stderr is not None
        heard = ""
        while "/" not in heard.rpartition("study:")[2]:  # the bar is there: the processes are about to start
            heard += run.stderr.read(1)
        run.send_signal(2)
        _, rest = run.communicate(timeout=60)
    assert run.returncode == 130
    assert "the same command goes on" in rest
    assert "Traceback" not in rest


def test_a_table_that_is_not_there_is_an_error_in_a_sentence(
    tmp_path: Path, capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("MMOE_DATA", str(tmp_path))
    assert main(["census", "--out", str(tmp_path / "docs"), "--work", str(tmp_path / "work")]) == 2
    assert "set MMOE_DATA" in capsys.readouterr().err


@pytest.mark.parametrize("arguments", [["census", "--steps", "3"], ["hotel", "--device", "cuda"], ["--seeds", "2"]])
def test_an_option_of_the_other_kind_of_study_is_refused(
    arguments: list[str], capsys: pytest.CaptureFixture[str]
) -> None:
    with pytest.raises(SystemExit, match="2"):
        parse(arguments)
    assert arguments[-2] in capsys.readouterr().err


def test_only_a_whole_study_replaces_the_pages_that_are_kept() -> None:
    assert parse([]).out == parse(["census"]).out == Path("docs")
    for smaller in (["--quick"], ["--steps", "3"], ["hotel", "--seeds", "1"]):
        assert parse(smaller).out != Path("docs")
    assert parse(["--quick", "--out", "here"]).out == Path("here")
