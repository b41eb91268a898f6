"""Names that the trainer lets pass are names that the service takes, and the other way round."""

import json
from pathlib import Path
from typing import TYPE_CHECKING, Any

import onnx
import pytest

pytest.importorskip("torch", reason="trains a model: needs the trainer's packages")

from model.config.names import LONGEST_NAME, check_feature_name
from model.config.run import Config
from model.errors import ConfigError
from service.artifact.manifest import parse_manifest
from service.errors import ArtifactError
from tables.errors import DataError, UserError

if TYPE_CHECKING:
    from tests.conftest import Artifact

FEATURES = [
    "",
    "x",
    " ",
    "a" * LONGEST_NAME,
    "a" * (LONGEST_NAME + 1),
    "é" * LONGEST_NAME,
    "𝄞" * LONGEST_NAME,
    "𝄞" * (LONGEST_NAME + 1),
    'quote " and \\ and / and \x07 and \n',
    "numeric",
    "price",
    "How often? " * 95,
]
TASKS = ["x", "codes", "add", "a" * 64, "a.b-c_d", "numeric", "datetime", "gate_weights", "", "1", "a" * 65, "a b", "é"]


@pytest.fixture(scope="module")
def manifest(artifact: "Artifact") -> dict[str, Any]:
    model = onnx.load(artifact.path / "model.onnx")
    (text,) = (entry.value for entry in model.metadata_props if entry.key == "mmoe.manifest")
    read: dict[str, Any] = json.loads(text)
    return read


@pytest.mark.parametrize("name", FEATURES)
def test_trainer_and_service_agree_on_the_name_of_a_feature(manifest: dict[str, Any], name: str) -> None:
    first, *rest = manifest["features"]
    changed = json.dumps({**manifest, "features": [{**first, "name": name}, *rest]})
    try:
        check_feature_name(name, 1)
    except DataError:
        with pytest.raises(ArtifactError):
            parse_manifest(changed)
    else:
        assert parse_manifest(changed).feature_names[0] == name


@pytest.mark.parametrize("name", TASKS)
def test_name_of_a_task_that_the_trainer_takes_is_one_for_the_service(manifest: dict[str, Any], name: str) -> None:
    task = {"name": name, "column": "y", "kind": "regression"}
    try:
        Config.model_validate({"name": "a", "data": {"kind": "table", "path": "t"}, "tasks": [task]})
    except ValueError:
        return
    old = manifest["tasks"][0]["name"]
    changed = json.loads(json.dumps(manifest))
    changed["tasks"][0]["name"] = name
    live = changed["baseline"]
    by_task = live["predictions"], live["contributions"], live["raising"], live["without"]
    for place in (changed["gates"]["tasks"], changed["golden"]["outputs"], *by_task):
        place[name] = place.pop(old)
    assert parse_manifest(json.dumps(changed)).task_names[0] == name


@pytest.mark.parametrize(
    ("table", "sentence"),
    [
        (f"{'How often? ' * 95},y", "the name of column 1, 'How often? How often? How often? How oft...', has 1,044"),
        (f"z,{'long' * 300},y", "the name of column 2, "),
    ],
)
def test_columns_of_other_names_are_refused_before_training(tmp_path: Path, table: str, sentence: str) -> None:
    with pytest.raises(UserError) as caught:
        read(tmp_path, table, {})
    assert str(caught.value).startswith(sentence)
    read(tmp_path, f"{table},z2", {"drop": [name.strip() for name in table.split(",") if len(name) > 999]})


def test_column_without_a_name_is_refused_before_training(tmp_path: Path) -> None:
    import polars as pl

    frame = pl.DataFrame({"": [0.1 * row for row in range(60)], "y": [float(row % 7) for row in range(60)]})
    frame.write_parquet(tmp_path / "table")
    with pytest.raises(DataError, match=r"column 1 has no name, and a feature needs one"):
        read(tmp_path, None, {})


def read(folder: Path, header: str | None, data: dict[str, Any]) -> None:
    from model.data.table import read_dataset

    if header is not None:
        cells = ["".join(f",{(row * k) % 7}" for k in range(1, header.count(",") + 2))[1:] for row in range(60)]
        (folder / "table").write_text("\n".join([header, *cells]) + "\n")
    settings = {"kind": "table", "path": str(folder / "table"), **data}
    task = {"name": "y", "column": "y", "kind": "regression"}
    read_dataset(Config.model_validate({"name": "a", "data": settings, "tasks": [task]}))


def test_text_of_the_configuration_is_in_the_form_of_the_table(tmp_path: Path) -> None:
    from model.config.run import load_config

    composed, decomposed = "caf\u00e9", "cafe\u0301"
    (tmp_path / "c.toml").write_text(
        f'name = "a"\n[data]\nkind = "table"\npath = "{decomposed}.csv"\ndrop = ["{decomposed}"]\n'
        f'[[tasks]]\nname = "y"\ncolumn = "y"\nkind = "binary"\npositive = "{decomposed}"\n',
        encoding="utf-8",
    )
    config = load_config(tmp_path / "c.toml")
    assert config.tasks[0].positive == composed
    assert config.data.model_dump()["drop"] == (composed,)
    assert config.data.model_dump()["path"] == f"{decomposed}.csv"
    with pytest.raises(ConfigError):
        load_config(tmp_path / "none.toml")
