"""Runs that publish unless they are worse than the published version."""

import json
from pathlib import Path

import numpy as np
import onnx
import pytest

from model.artifact.published import read_published
from scripts.train import main
from tables.errors import UserError

TOML = """\
name = "ads"
[data]
kind = "table"
path = "{path}"
[[tasks]]
name = "sold"
column = "sold"
kind = "binary"
[[tasks]]
name = "price"
column = "price"
kind = "regression"
[model]
experts = 2
[train]
epochs = 6
learning_rate = 1e-2
device = "cpu"
"""


@pytest.fixture(scope="module")
def config(tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("ads")
    write_table(folder / "ads.csv", 900)
    (folder / "ads.toml").write_text(TOML.format(path=folder / "ads.csv"))
    return folder / "ads.toml"


def write_table(path: Path, rows: int) -> None:
    """Write a table whose tasks follow from its columns."""
    random = np.random.default_rng(3)
    age, colour = random.normal(size=rows), random.integers(4, size=rows)
    sold = random.random(rows) < 1 / (1 + np.exp(-2 * age - colour + 1))
    price = 3 * age + colour + random.normal(size=rows)
    lines = [f"{a:.4f},{'rgby'[c]},{int(s)},{p:.4f}" for a, c, s, p in zip(age, colour, sold, price, strict=True)]
    path.write_text("\n".join(["age,colour,sold,price", *lines]) + "\n")


@pytest.fixture(scope="module")
def models(config: Path) -> Path:
    """Publish a first version; that there is none to compare with keeps nothing from it."""
    models = config.parent / "models"
    assert main([str(config), "--models", str(models), "--unless-worse", "sold.auc=0"]) == 0
    return models


def versions(models: Path) -> list[str]:
    return sorted(path.name for path in (models / "ads").iterdir())


def provenance(version: Path) -> dict[str, object]:
    entries = onnx.load(version / "model.onnx").metadata_props
    found: dict[str, object] = json.loads(next(e.value for e in entries if e.key == "mmoe.manifest"))["provenance"]
    return found


def test_a_worse_model_is_not_published_and_nothing_of_it_appears(
    config: Path, models: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    before = versions(models)
    worse = ["--set", "train.epochs=1", "train.learning_rate=1e-6"]
    bars = ["--unless-worse", "price.rmse=10000", "--unless-worse", "sold.auc=0.01"]
    assert main([str(config), "--models", str(models), *worse, *bars]) == 3
    out, err = capsys.readouterr()
    assert "Not published: sold.auc is " in err
    assert "price.rmse is" not in err
    assert f"sold: version {before[-1]}" in out
    assert "Published" not in out
    assert versions(models) == before
    assert not (models / ".training").exists()


def test_an_equal_model_is_published_with_the_comparison_in_report_and_manifest(config: Path, models: Path) -> None:
    before = versions(models)[-1]
    assert main([str(config), "--models", str(models), "--unless-worse", "sold.auc=0.0001"]) == 0
    version = models / "ads" / versions(models)[-1]
    compared = provenance(version)["compared_with"]
    assert isinstance(compared, dict)
    assert compared["version"] == int(before)
    assert compared["trained_on_these_rows"] == "no"  # the same table, split in the same way
    for found in compared["metrics"].values():
        for pair in found.values():
            assert pair["before"] == pytest.approx(pair["now"], abs=1e-4)  # the same training answers alike
    report = (version / "report.md").read_text()
    assert f"## Beside version {before}\n\nBoth versions answered the same 180 test rows." in report
    assert "| `sold` | auc | " in report
    assert "training rows, which" not in report.replace("\n", " ")
    serving = models / "ads" / "serving.json"
    elsewhere = config.parent / "elsewhere" / "ads" / "serving.json"
    elsewhere.parent.mkdir(parents=True)
    for content, compared_with in (
        ("{}", version.name),
        (f'{{"pinned": {before}}}', before),
        (f'{{"shadow": {{"version": {version.name}, "share": 0.1}}}}', before),
        ("[]", "cannot be read"),
    ):
        for file, directory in ((serving, None), (elsewhere, elsewhere.parent.parent)):
            file.write_text(content)
            if compared_with.isdecimal():
                published = read_published(models, "ads", directory)
                assert published is not None
                assert published.number == int(compared_with)
            else:
                with pytest.raises(UserError, match=compared_with):
                    read_published(models, "ads", directory)
            file.unlink()


def test_a_longer_table_split_by_a_key_keeps_test_rows_apart_and_another_split_does_not(
    config: Path, models: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    def caution(home: Path, settings: list[str], rows: int) -> bool:
        write_table(config.parent / "ads.csv", rows)
        command = [str(config), "--models", str(home), "--unless-worse", "sold.auc=1", "--set", "train.epochs=1"]
        assert main([*command, *settings]) == 0
        return "may have been among its training rows" in capsys.readouterr().out

    try:
        assert caution(models, [], 1000)
        keyed = ["data.split.key=age"]
        assert not caution(config.parent / "keyed", keyed, 900)  # there is nothing to compare with
        assert not caution(config.parent / "keyed", keyed, 1000)
        assert "compared_with" in provenance(config.parent / "keyed" / "ads" / "2")
    finally:
        write_table(config.parent / "ads.csv", 900)


@pytest.mark.parametrize(
    ("bar", "settings", "sentence"),
    [
        ("sold.auk=0.1", [], "--unless-worse names 'sold.auk', expected one of sold.auc, "),
        ("sold.auc=much", [], "--unless-worse has the margin 'much', expected a number from 0"),
        ("sold.auc=-1", [], "--unless-worse has the margin '-1', expected a number from 0"),
        ("price.rmse=1", ["data.drop=['colour']"], "it reads the feature 'colour', which is not a feature here"),
        ("price.rmse=1", ["features.hashed={age=8}"], "it reads 'age' as numeric, and here the feature is hashed"),
        ("bought.auc=1", ["tasks.0.name=bought"], "it has no task 'bought'"),
    ],
)
def test_what_cannot_be_compared_is_refused_before_training(
    config: Path, models: Path, capsys: pytest.CaptureFixture[str], bar: str, settings: list[str], sentence: str
) -> None:
    before = versions(models)
    chosen = ["--set", *settings] if settings else []
    assert main([str(config), "--models", str(models), "--unless-worse", bar, *chosen]) == 2
    err = capsys.readouterr().err
    assert sentence in err
    assert "epoch 1/" not in err
    assert versions(models) == before
