import csv
import fcntl
import json
import re
import signal
import subprocess
import sys
from pathlib import Path

import onnx
import pytest

from model.config.run import load_config
from scripts.train import main
from scripts.train_text import tabulate

ROOT = Path(__file__).parents[2]
TINY = [
    "data.rows=300",
    "data.dims=4",
    "model.experts=2",
    "train.epochs=2",
    "train.device=cpu",
]
DEMO = str(ROOT / "scripts" / "configs" / "synthetic.toml")


@pytest.fixture(scope="module")
def models(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Publish one version of a tiny model with the command."""
    models = tmp_path_factory.mktemp("work") / "models"
    assert main([DEMO, "--models", str(models), "--set", *TINY]) == 0
    return models


def test_a_run_publishes_one_whole_version_and_clears_its_checkpoint(models: Path) -> None:
    assert [path.name for path in models.iterdir()] == ["synthetic"]
    assert [path.name for path in (models / "synthetic").iterdir()] == ["1"]
    files = {path.name for path in (models / "synthetic" / "1").iterdir()}
    assert {"model.onnx", "checkpoint.pt", "config.toml", "report.md"} <= files


def test_what_was_set_is_in_the_published_config(models: Path) -> None:
    published = models / "synthetic" / "1" / "config.toml"
    told, found = load_config(Path(DEMO), TINY), load_config(published)
    assert (found.data, found.tasks) == (told.data, told.tasks)
    for section in ("model", "train"):
        held = getattr(found, section)
        assert all(
            getattr(held, key) == value for key, value in getattr(told, section).model_dump(exclude_unset=True).items()
        )
        assert held.model_fields_set >= getattr(told, section).model_fields_set
    entries = onnx.load(models / "synthetic" / "1" / "model.onnx").metadata_props
    manifest = json.loads(next(entry.value for entry in entries if entry.key == "mmoe.manifest"))
    assert manifest["provenance"]["config"] == published.read_text()


def test_the_command_says_what_came_of_it(models: Path, capsys: pytest.CaptureFixture[str]) -> None:
    assert main([DEMO, "--models", str(models), "--set", *TINY, "--no-resume"]) == 0
    out, err = capsys.readouterr()
    assert "Chosen by the " in err
    assert "train.patience = " in err
    assert "Chosen by the " in (models / "synthetic" / "2" / "report.md").read_text()
    assert "task_1" in out
    assert "rmse" in out
    assert f"Published {models / 'synthetic' / '2'}" in out
    assert re.search(rf"MMOE_MODELS={models} \S*python\S* -m service", out)


@pytest.mark.parametrize(
    ("settings", "sentence"),
    [
        (["train.epoch=3"], "unknown key 'train.epoch'; did you mean 'train.epochs'?"),
        (["features.numeric=['x1']"], "features.numeric names the column 'x1', which the table lacks; did you mean"),
        (["tasks.task_1.column=y_3"], "task 'task_1' names the column 'y_3', which the table lacks"),
        (["tasks.task_1.kind=binary"], "binary task 'task_1' has no 'positive'"),
        (["tasks.task_1.kind=multiclass"], "multiclass task 'task_1' wants classes, and column 'y_1' holds"),
        (
            ["tasks.task_1.kind=binary", "tasks.task_1.positive_if='> 1e6'"],
            "no row of class '> 1e6' is in the training",
        ),
        (["data.validation=0.001"], "data.split leaves no row for validation"),
    ],
)
def test_a_wrong_config_ends_with_one_sentence_and_writes_nothing(
    tmp_path: Path, capsys: pytest.CaptureFixture[str], settings: list[str], sentence: str
) -> None:
    assert main([DEMO, "--models", str(tmp_path / "models"), "--set", *TINY, *settings]) == 2
    out, err = capsys.readouterr()
    assert out == ""
    assert err.startswith("error: ")
    assert err.count("\n") == 1
    assert sentence in err
    assert list(tmp_path.iterdir()) == []


def test_a_remarkable_table_is_trained_on_with_a_word_and_refused_when_strict(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    cells = [str(18 + row % 70) for row in range(400)]
    cells[7] = r"\N"
    lines = "".join(f"{age},{row % 13},{row % 5}\n" for row, age in enumerate(cells))
    (tmp_path / "table.csv").write_text(f"age,z,y\n{lines}")
    config = tmp_path / "config.toml"
    config.write_text(
        f'name = "stray"\n[data]\nkind = "table"\npath = "{tmp_path / "table.csv"}"\n'
        '[[tasks]]\nname = "y"\ncolumn = "y"\nkind = "regression"\n[train]\nepochs = 1\n[model]\nexperts = 2\n'
    )
    remark = r"age: 399 numbers and 1 other value ('\N', row 8): taken as numbers, that cell as missing"
    models = tmp_path / "models"
    assert main([str(config), "--models", str(models), "--strict"]) == 2
    out, err = capsys.readouterr()
    assert (out, err) == (
        "",
        f"error: {remark}\nerror: --strict, and columns of the table need a word, see docs/values.md\n",
    )
    assert not models.exists()
    assert main([str(config), "--models", str(models)]) == 0
    assert f"\n{remark}\n" in capsys.readouterr().err
    assert f"\n- {remark}\n" in (models / "stray" / "1" / "report.md").read_text()


def test_a_table_that_is_not_there_ends_with_one_sentence(
    tmp_path: Path, capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("MMOE_DATA", str(tmp_path))
    config = str(ROOT / "scripts" / "configs" / "hotel.toml")
    assert main([config, "--models", str(tmp_path / "models")]) == 2
    err = capsys.readouterr().err
    assert err.startswith(f"error: {tmp_path / 'hotel' / 'hotel_bookings.csv.zip'}: the table cannot be read")
    assert list(tmp_path.iterdir()) == []


def test_a_place_that_cannot_be_written_is_refused_before_training(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    (tmp_path / "file").touch()
    assert main([DEMO, "--models", str(tmp_path / "file" / "models"), "--set", *TINY]) == 2
    err = capsys.readouterr().err
    assert "no version can be written there" in err
    assert "epoch" not in err


def test_a_file_in_the_model_s_place_is_refused_before_training(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    (tmp_path / "synthetic").touch()
    assert main([DEMO, "--models", str(tmp_path), "--set", *TINY]) == 2
    err = capsys.readouterr().err
    assert f"{tmp_path / 'synthetic'}: no version can be written there" in err
    assert "epoch" not in err


def test_two_runs_of_one_model_do_not_share_a_checkpoint(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    work = tmp_path / ".training" / "synthetic"
    work.mkdir(parents=True)
    with (work / "lock").open("w") as other:
        fcntl.flock(other, fcntl.LOCK_EX)
        assert main([DEMO, "--models", str(tmp_path), "--set", *TINY]) == 2
        assert "another process is training this model" in capsys.readouterr().err
    assert main([DEMO, "--models", str(tmp_path), "--set", *TINY]) == 0
    assert [path.name for path in tmp_path.iterdir()] == ["synthetic"]


def test_a_run_that_fails_leaves_nothing(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    assert main([DEMO, "--models", str(tmp_path / "models"), "--set", *TINY, "train.learning_rate=1e30"]) == 2
    assert "training has diverged" in capsys.readouterr().err
    assert list(tmp_path.iterdir()) == []


def test_an_interrupted_run_goes_on_where_it_was(tmp_path: Path) -> None:
    command = [
        sys.executable,
        "-m",
        "scripts.train",
        DEMO,
        "--models",
        str(tmp_path),
        "--set",
        *TINY,
        "train.epochs=100",
    ]
    command += ["train.patience=0", "train.checkpoint_every_s=0"]
    with subprocess.Popen(command, cwd=ROOT, stderr=subprocess.PIPE, text=True) as process:
        assert process.stderr is not None
        for line in process.stderr:
            if line.startswith("epoch   3/"):
                process.send_signal(signal.SIGINT)
                break
        rest = process.stderr.read()
    assert process.returncode == 130
    assert "Interrupted; the same command goes on from the last checkpoint." in rest
    assert "Traceback" not in rest
    assert not (tmp_path / "synthetic").exists()
    again = subprocess.run(command, cwd=ROOT, capture_output=True, text=True, check=False)
    assert again.returncode == 0, again.stderr
    assert "Going on from" in again.stderr
    assert "epoch   1/" not in again.stderr
    assert "epoch 100/" in again.stderr
    assert [path.name for path in tmp_path.iterdir()] == ["synthetic"]


def test_metrics_line_up_and_gaps_show() -> None:
    lines = tabulate({"a": {"auc": 0.5}, "long": {"rmse": 1234.5}}).splitlines()
    assert lines == ["task     auc       rmse", "a     0.5000          -", "long       -  1234.5000"]


def test_the_splits_can_be_written_and_given_back(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    splits = tmp_path / "splits.csv"
    assert main([DEMO, "--check", "--write-splits", str(splits), "--models", str(tmp_path / "m"), "--set", *TINY]) == 0
    with splits.open(newline="") as file:
        rows = list(csv.DictReader(file))
    assert [row["row"] for row in rows] == [str(number) for number in range(1, 301)]
    counts = {split: sum(row["split"] == split for row in rows) for split in ("train", "validation", "test")}
    err = capsys.readouterr().err
    assert f"{counts['train']} training, {counts['validation']} validation, {counts['test']} test." in err
    assert "epoch" not in err
    assert [path.name for path in tmp_path.iterdir()] == ["splits.csv"]


def test_rows_that_were_left_out_have_no_split_and_the_others_keep_their_numbers(tmp_path: Path) -> None:
    table, splits = tmp_path / "t.csv", tmp_path / "splits.csv"
    table.write_text("x,y\n" + "".join(f"{row},{'' if row % 10 == 0 else row}\n" for row in range(1, 101)))
    config = tmp_path / "c.toml"
    config.write_text(
        f"name = 'a'\n[data]\nkind = 'table'\npath = '{table}'\nkeep = ['x > 15']\n"
        "[[tasks]]\nname = 'y'\ncolumn = 'y'\nkind = 'regression'\n"
    )
    assert main([str(config), "--check", "--write-splits", str(splits)]) == 0
    numbers = [int(line.split(",")[0]) for line in splits.read_text().splitlines()[1:]]
    assert numbers == [row for row in range(16, 101) if row % 10]


def test_splits_that_cannot_be_written_end_before_training(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    models = str(tmp_path / "models")
    assert main([DEMO, "--models", models, "--write-splits", str(tmp_path / "no" / "s.csv"), "--set", *TINY]) == 2
    err = capsys.readouterr().err
    assert err.splitlines()[-1] == f"error: {tmp_path / 'no' / 's.csv'}: No such file or directory"
    assert "epoch" not in err
