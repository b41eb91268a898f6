"""The command with --from: the same answers, new rows for new values, and what is refused."""

import json
import re
from pathlib import Path
from typing import Any

import numpy as np
import onnx
import onnxruntime as ort
import polars as pl
import pytest
import tomli_w
import torch
from numpy.typing import NDArray

from model.artifact.earlier import go_on, load_earlier
from model.artifact.weights import load_model
from model.config.run import load_config
from model.data.table import read_dataset
from model.network.inputs import inputs_of
from model.network.model import predict
from model.schema import MISSING_TIME, UNKNOWN, Rows
from scripts.train import main
from tests.support.streamed_tables import assert_same_rows, config_of, made

SMALL = ["train.device=cpu", "train.batch_size=200", "train.learning_rate=0.01"]
STREAMED = "data.stream_above_rows=0"


def table(path: Path) -> pl.DataFrame:
    """Write a table with every kind of column and a funnel; returns it."""
    frame = made(1_500)
    draw = np.random.default_rng(1).random(len(frame)) < 0.5
    again = pl.when(pl.Series(draw)).then(pl.col("bought")).otherwise(0).alias("again")
    frame = frame.with_columns(again)
    frame.write_parquet(path)
    return frame


def configure(folder: Path, path: Path, **changes: Any) -> str:
    """Write a configuration with own experts, a funnel and a calibrated task."""
    told = config_of(path).model_dump(mode="json", exclude_none=True, exclude_defaults=True)
    told["tasks"][0]["calibrate"] = True
    told["tasks"].append({"name": "again", "column": "again", "kind": "binary", "after": "bought"})
    told["model"] |= {"architecture": "cgc", "experts": 2, "expert_hidden": [8], "tower_hidden": [4]}
    for section, keys in changes.items():
        told[section] |= keys
    config = folder / "config.toml"
    config.write_text(tomli_w.dumps(told))
    return str(config)


def run(config: str, models: Path, *options: str, epochs: int = 0, settings: tuple[str, ...] = ()) -> int:
    return main([config, "--models", str(models), *options, "--set", *SMALL, f"train.epochs={epochs}", *settings])


@pytest.fixture(scope="module")
def home(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Publish version 1; returns the folder of table.parquet, config.toml and models."""
    folder = tmp_path_factory.mktemp("home")
    table(folder / "table.parquet")
    assert run(configure(folder, folder / "table.parquet"), folder / "models", epochs=1) == 0
    return folder


def questions(home: Path) -> dict[str, NDArray[Any]]:
    """Read rows of version 1's test split, as a caller sends them."""
    rows: Rows = read_dataset(load_config(home / "config.toml")).test
    assert rows.datetimes is not None
    assert (rows.datetimes != MISSING_TIME).any()
    return {"numeric": rows.numeric, "categorical": rows.text, "datetime": rows.datetimes}


def answers(version: Path, inputs: dict[str, NDArray[Any]]) -> dict[str, NDArray[np.float32]]:
    """Answer as a server does, by onnxruntime: all tasks, conditionals and gates."""
    options = ort.SessionOptions()
    options.log_severity_level = 3
    session = ort.InferenceSession(version / "model.onnx", options, providers=["CPUExecutionProvider"])
    names = [output.name for output in session.get_outputs() if output.name != "gate_contributions"]
    return dict(zip(names, session.run(names, inputs), strict=True))


def manifest(version: Path) -> dict[str, Any]:
    model = onnx.load_model(version / "model.onnx")
    found: dict[str, Any] = json.loads(model.metadata_props[0].value)
    return found


def test_no_epoch_and_no_new_value_leave_every_answer(home: Path, capsys: pytest.CaptureFixture[str]) -> None:
    """In memory, then as a large table: hashed, shared, bags, moments, a funnel, calibration."""
    config, models = str(home / "config.toml"), home / "models"
    assert run(config, models, "--from", "1") == 0
    assert run(config, models, "--from", "latest", settings=(STREAMED,)) == 0
    said = capsys.readouterr().err
    assert "Goes on from version 2; new values: none." in said
    assert "as published  validation " in said
    inputs = questions(home)
    first = answers(models / "made/1", inputs)
    assert {"again", "again.given.bought", "gate_weights"} <= first.keys()
    for version in ("2", "3"):
        for name, found in answers(models / "made" / version, inputs).items():
            np.testing.assert_array_equal(found, first[name], name)
    entries = [manifest(models / "made" / version) for version in "123"]
    assert entries[0]["tasks"][0]["calibration"] == entries[2]["tasks"][0]["calibration"]
    assert entries[0]["provenance"].get("from") is None
    assert [entry["provenance"]["from"]["version"] for entry in entries[1:]] == [1, 2]
    report = (models / "made/3/report.md").read_text()
    assert "went on from version 2. No epoch was trained" in report.replace("\n", " ")


def following(home: Path, folder: Path) -> str:
    """Write another day's table, other columns, values and numbers; returns its configuration."""
    frame = pl.read_parquet(home / "table.parquet")
    fresh = pl.int_range(pl.len()) % 3 == 0
    frame = frame.with_columns(
        pl.when(fresh).then(pl.lit("yew")).otherwise("tree").alias("tree"),
        pl.when(fresh).then(pl.lit(["t1", "new tag"])).otherwise("tags").alias("tags"),
        pl.col("width") * 2 + 100,
        pl.lit(None, pl.Int32).alias("height"),
        pl.col("spent") + 1_000,
        (pl.col("seen") + 86_400 * 400).alias("seen"),
        pl.lit("x").alias("further"),
    ).select("further", *reversed(frame.columns))
    frame.write_parquet(folder / "next.parquet")
    return configure(folder, folder / "next.parquet")


def test_new_values_get_rows_and_the_others_keep_theirs(home: Path, tmp_path: Path) -> None:
    """Statistics stay, too, though the numbers are others."""
    (tmp_path / "made").symlink_to(home / "models/made")
    assert run(following(home, tmp_path), tmp_path, "--from", "1", epochs=1) == 0
    latest = tmp_path / "made" / str(max(int(path.name) for path in (tmp_path / "made").iterdir()))
    (old, before), (new, after) = (load_model(v / "checkpoint.pt") for v in (tmp_path / "made/1", latest))
    assert before.names == after.names
    assert after.numeric == before.numeric
    assert after.datetimes == before.datetimes
    tree = [f.vocabulary for schema in (before, after) for f in schema.categorical if f.name == "tree"]
    assert tree[1] == (*tree[0], "yew")
    assert after.bags[0].vocabulary == (*before.bags[0].vocabulary, "new tag")
    assert old.encoder.embedding is not None
    assert new.encoder.embedding is not None
    assert len(new.encoder.embedding.weight) == len(old.encoder.embedding.weight) + 2
    assert new.encoder.met.sum() >= old.encoder.met.sum() + 2
    inputs = questions(home)
    texts = inputs["categorical"].copy()
    place = [f.name for f in after.texts].index("tree")
    texts[:, place] = "yew"
    known, learned = (answers(latest, inputs | {"categorical": one}) for one in (inputs["categorical"], texts))
    assert not np.array_equal(known["bought"], learned["bought"])


@pytest.mark.parametrize("refit", [False, True])
def test_a_large_table_is_read_by_a_version_as_one_in_memory(home: Path, tmp_path: Path, refit: bool) -> None:
    config = load_config(Path(following(home, tmp_path)))
    start = load_earlier(home / "models/made", 1, config, refit)
    config, earlier, _ = start
    data = config.data.model_copy(update={"stream_above_rows": 0})
    whole = read_dataset(config, earlier=earlier)
    cut = read_dataset(config.model_copy(update={"data": data}), tmp_path / "work", earlier=earlier)
    for one in (whole, cut):
        assert "further: not a feature of version 1: left out" in " ".join(one.remarks)
        assert one.features.names == earlier.features.names
    assert cut.features == whole.features
    assert cut.tasks == whole.tasks
    for part in ("train", "validation", "test"):
        assert_same_rows(getattr(cut, part), getattr(whole, part))
    width, height = earlier.features.numeric
    assert whole.features.numeric[1] == height  # no row has a value
    assert whole.features.numeric[0].mean == pytest.approx(2 * width.mean + 100 if refit else width.mean)
    means = [task.mean for tasks in (whole.tasks, earlier.tasks) for task in tasks if task.name == "spent"]
    assert means[0] == pytest.approx(means[1] + 1_000 * refit)
    answered = predict(go_on(start, whole), whole.test)
    assert all(np.isfinite(values).all() for values in answered.tasks.values())


def test_a_new_value_is_answered_as_an_unknown_one_until_it_is_trained(home: Path, tmp_path: Path) -> None:
    config = load_config(Path(following(home, tmp_path)))
    start = load_earlier(home / "models/made", 1, config)
    dataset = read_dataset(start.config, earlier=start.earlier)
    before, after = start.model.encoder, go_on(start, dataset).encoder
    single = [feature.name for feature in dataset.features.single].index("tree")
    inputs = inputs_of(dataset.test)
    unknown = inputs.codes.clone()
    unknown[inputs.codes == dataset.features.categorical[single].codes - 1] = UNKNOWN
    bags = list(inputs.bags)
    bags[0] = torch.where(bags[0] == dataset.features.bags[0].codes - 1, UNKNOWN, bags[0])
    asked = inputs._replace(codes=torch.where(torch.arange(unknown.shape[1]) == single, unknown, inputs.codes))
    torch.testing.assert_close(after(inputs), before(asked._replace(bags=tuple(bags))), rtol=0, atol=0)


REFUSED: dict[str, tuple[dict[str, Any], str]] = {
    "architecture": ({"model": {"architecture": "mmoe"}}, "model.architecture is mmoe, and cgc in version 1"),
    "width": ({"model": {"expert_hidden": [4]}}, r"model.expert_hidden is \[4\], and \[8\] in version 1"),
    "buckets": ({"features": {"hashed": {"user": 9}}}, "features.hashed is {'user': 9}, and"),
    "kind": ({"features": {"categorical": ["grade", "width"]}}, "column 'width' is categorical, and version 1 reads"),
    "dropped": ({"data": {"drop": ["tree", "times"]}}, "version 1 reads the column 'tree', which is not a feature"),
    "further": ({"data": {"drop": []}, "features": {"numeric": ["times"]}}, "features.numeric names 'times'"),
    "marker": ({"data": {"missing": ["-999", "?"]}}, "data.missing is "),
}


@pytest.mark.parametrize("case", REFUSED)
@pytest.mark.parametrize("settings", [(), (STREAMED,)], ids=["memory", "streamed"])
def test_what_cannot_go_on_is_refused(
    home: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str], case: str, settings: tuple[str, ...]
) -> None:
    changes, sentence = REFUSED[case]
    config = configure(tmp_path, home / "table.parquet", **changes)
    assert run(config, home / "models", "--from", "1", "--check", settings=settings) == 2
    (said,) = [line for line in capsys.readouterr().err.splitlines() if line.startswith("error: ")]
    assert re.search(sentence, said), said
    assert "afresh without --from" in said


def test_other_tasks_are_refused(home: Path, capsys: pytest.CaptureFixture[str]) -> None:
    config, models = str(home / "config.toml"), home / "models"
    assert run(config, models, "--from", "1", settings=("tasks.many.name=most",)) == 2
    assert "the list of tasks is ['bought', 'most'" in capsys.readouterr().err
    assert run(config, models, "--from", "1", settings=("tasks.many.positive_if='> 4'",)) == 2
    assert "tasks.many.positive_if is > 4, and > 3 in version 1" in capsys.readouterr().err


def test_a_class_that_the_version_does_not_know_is_refused(
    home: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    frame = pl.read_parquet(home / "table.parquet")
    frame.with_columns(pl.when(pl.col("stars") == 3).then(9).otherwise("stars").alias("stars")).write_parquet(
        tmp_path / "next.parquet"
    )
    config = configure(tmp_path, tmp_path / "next.parquet")
    assert run(config, home / "models", "--from", "1", "--check") == 2
    assert "task 'stars': column 'stars' holds '9' in row" in capsys.readouterr().err


def test_a_version_that_is_absent_or_lacks_its_weights_is_refused(
    home: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    config = str(home / "config.toml")
    assert run(config, tmp_path, "--from", "latest") == 2
    assert "nothing is published there" in capsys.readouterr().err
    assert run(config, home / "models", "--from", "77") == 2
    assert "--from names version 77, which is not there; published are 1" in capsys.readouterr().err
    version = tmp_path / "made" / "4"
    version.mkdir(parents=True)
    assert run(config, tmp_path, "--from", "4") == 2
    assert "config.toml" in capsys.readouterr().err
    (version / "config.toml").write_text((home / "models/made/1/config.toml").read_text())
    assert run(config, tmp_path, "--from", "4") == 2
    assert "checkpoint.pt: No such file or directory; choose another one" in capsys.readouterr().err
    torch.save({"format": 99}, version / "checkpoint.pt")
    assert run(config, tmp_path, "--from", "4") == 2
    assert "is not the network of a version that this release reads" in capsys.readouterr().err


def test_no_epoch_is_for_runs_that_go_on(home: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    assert run(str(home / "config.toml"), tmp_path) == 2
    assert "train.epochs is 0" in capsys.readouterr().err
    with pytest.raises(SystemExit):
        main([str(home / "config.toml"), "--refit"])
